"""What is an encoder-decoder network, what its parts take, and what is refused before anything is traced."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attnexport.errors import InputError
from attnexport.export.options import ExportOptions, read_options
from attnexport.export.sequence.decodes import sources
from attnexport.export.sequence.network import (
    check_lengths,
    check_sequence_options,
    is_sequence,
    plan_of,
)
from attnexport.export.source import Source, SourceOptions, load
from attnexport.export.source.torch_source import module_source
from attnexport.models import registry
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 4, "batch")


class Foreign(nn.Module):
    """Somebody's own network, of no class of ours: sums of embeddings, with its own token numbers."""

    memory_names = ("memory",)
    state_names = ("last",)
    bounds = MappingProxyType({"token": 9})
    start_token, end_token, padding_token = 3, 4, 8

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 6)

    def encode(self, source: Tensor) -> tuple[Tensor, ...]:
        memory = self.embedding(source)
        return memory, memory.sum(1)

    def step(self, token: Tensor, *encoded: Tensor) -> tuple[Tensor, ...]:
        memory, last = encoded
        attention = (memory @ last[:, :, None])[..., 0].softmax(1)
        following = last + self.embedding(token)
        return following @ self.embedding.weight.T, attention, following

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError


def of(module: nn.Module, *inputs: TensorSpec) -> Source:
    return module_source(module.eval(), kind="pickle", name="net", inputs=inputs)


def tokens(name: str, length: Axis, high: int = 9) -> TensorSpec:
    return TensorSpec(name, "int64", (BATCH, length), 0, high)


def options(**given) -> ExportOptions:
    return ExportOptions(model=Path("net.pt"), **given)


def reduced(name: str) -> Source:
    entry = registry.entry(name)
    module = registry.build(name, **entry.reduced_options)
    return of(module, *(TensorSpec.from_json(spec) for spec in entry.reduced_inputs or ()))


def test_ours_and_somebody_s_own_are_told_by_their_members() -> None:
    assert is_sequence(reduced("seq2seq_bahdanau"))
    assert is_sequence(of(Foreign()))
    assert not is_sequence(of(nn.Linear(2, 2)))
    assert not is_sequence(of(registry.build("digits_sasa")))
    assert not is_sequence(of(torch.jit.script(nn.Linear(2, 2))))


def test_the_parts_of_somebody_s_own_network_and_its_tokens() -> None:
    free = Axis(2, 3, 5, "length")
    plan = plan_of(of(Foreign(), tokens("words", free)), options())
    assert list(plan.parts) == ["encoder", "step"]
    encoder, step = plan.parts.values()
    assert encoder.inputs == (tokens("words", free),)
    assert encoder.outputs == ("memory", "last")
    assert [(s.name, s.symbols) for s in step.inputs] == [
        ("token", ("batch",)),
        ("memory", ("batch", "length", 6)),
        ("last", ("batch", 6)),
    ]
    assert step.outputs == ("logits", "attention", "next_last")
    facts = plan.facts
    assert (facts.start, facts.end, facts.padding, facts.limit) == (3, 4, 8, 64)
    assert (facts.memory, facts.state) == (("memory",), {"last": "next_last"})


def test_the_parts_share_the_weights_and_the_mode() -> None:
    source = of(Foreign(), tokens("words", Axis.fixed(3)))
    for part in plan_of(source, options()).parts.values():
        assert not part.module.training
        assert next(part.module.parameters()) is next(source.module.parameters())


@pytest.mark.parametrize(("name", "limit"), [("seq2seq_luong_local_m", 4), ("transformer_base", 12)])
def test_the_target_s_axis_is_the_limit(name, limit) -> None:
    assert plan_of(reduced(name), options()).facts.limit == limit
    assert plan_of(reduced(name), options(limit=3)).facts.limit == 3


def test_a_limit_beyond_the_cache_is_refused_and_one_without_cache_is_not() -> None:
    with pytest.raises(InputError, match="--limit 13 is above 12, the most tokens that net supports"):
        plan_of(reduced("transformer_base"), options(limit=13))
    assert plan_of(reduced("seq2seq_bahdanau"), options(limit=500)).facts.limit == 500


def test_a_target_longer_than_the_cache_does_not_lengthen_it() -> None:
    source = reduced("transformer_base")
    long = of(source.module, source.inputs[0], tokens("target", Axis(1, 5, 12, "t"), 40))
    assert plan_of(long, options()).facts.limit == 12


def test_beam_width_widens_the_step_alone() -> None:
    encoder, step = plan_of(reduced("seq2seq_bahdanau"), options(beam_width=4)).parts.values()
    assert {spec.axes[0] for spec in encoder.inputs} == {Axis(1, 4, 16, "batch")}
    assert {spec.axes[0] for spec in step.inputs} == {Axis(1, 4, 64, "batch")}
    fixed = TensorSpec("words", "int64", (Axis.fixed(4), Axis.fixed(3)), 0, 9)
    assert [s.axes[0] for s in plan_of(of(Foreign(), fixed), options()).parts["step"].inputs] == [Axis.fixed(4)] * 3
    with pytest.raises(InputError, match="--beam-width 4 needs a dynamic batch, but the batch is fixed at 4"):
        plan_of(of(Foreign(), fixed), options(beam_width=4))


@pytest.mark.parametrize(
    ("inputs", "given", "message"),
    [
        ((TensorSpec("x", "float32", (BATCH, Axis.fixed(3))),), {}, "its first input is not a source of tokens"),
        ((TensorSpec("x", "int64", (BATCH,)),), {}, "its first input is not a source of tokens"),
        ((tokens("words", Axis.fixed(3)),), {"outputs": ("y",)}, "--output y names an output of one graph"),
    ],
)
def test_what_does_not_fit_is_refused(inputs, given, message) -> None:
    with pytest.raises(InputError, match=message):
        plan_of(of(Foreign(), *inputs), options(**given))


def test_a_network_that_fails_in_encode_is_one_line() -> None:
    network = Foreign()
    network.embedding = nn.Linear(2, 2)  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"net cannot be split into encoder and step: .*--whole"):
        plan_of(of(network, tokens("words", Axis.fixed(3))), options())


@pytest.mark.parametrize(("given", "option"), [({"limit": 3}, "--limit"), ({"beam_width": 2}, "--beam-width")])
def test_options_of_decoding_need_a_decoder(given, option) -> None:
    check_sequence_options(options(**given), split=True)
    check_sequence_options(options(), split=False)
    with pytest.raises(InputError, match=f"{option} is for decoding"):
        check_sequence_options(options(**given), split=False)


@pytest.mark.parametrize(("name", "value"), [("limit", 0), ("beam_width", -1)])
def test_numbers_below_one_are_refused(name, value) -> None:
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} {value} is below 1"):
        read_options(
            model=Path("a.pt"), trt=None, precision="fp16", kwargs="{}", workspace=None, gate=2.0, **{name: value}
        )


def test_a_length_that_the_network_does_not_hold_is_one_line_before_tracing() -> None:
    small = {"vocabulary": 40, "channels": 16, "heads": 2, "hidden": 24, "layers": 1, "length": 12}
    source = load(None, SourceOptions(arch="transformer_base", kwargs=small, random_weights=True))
    with pytest.raises(InputError) as caught:
        check_lengths(source)
    assert caught.value.problem == "input 'source' may have 128 tokens, but transformer_base supports 12"
    assert caught.value.remedy == "pass --dynamic source:1=1:12:12 --dynamic target:1=1:12:12"
    given = ("source:1=1:12:12", "target:1=1:5:12")
    check_lengths(load(None, SourceOptions(arch="transformer_base", kwargs=small, random_weights=True, dynamic=given)))
    check_lengths(reduced("seq2seq_bahdanau"))


@pytest.mark.parametrize("padding", [0, 5, 99])
def test_random_sources_are_sentences_padded_behind(padding) -> None:
    spec = tokens("source", Axis(1, 6, 12, "length"))
    drawn = sources(spec, padding, 40, 7, seed=1)
    assert drawn.shape == (40, 7)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert drawn.max() < 9
    hidden = drawn == padding
    assert (np.sort(hidden, axis=1) == hidden).all()
    assert not hidden[:, 0].any()
    assert not hidden[0].any()
    assert hidden.any() == (padding < 9)
    assert (drawn == sources(spec, padding, 40, 7, seed=1)).all()
    assert (drawn != sources(spec, padding, 40, 7, seed=2)).any()
