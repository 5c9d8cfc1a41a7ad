"""The gate on decodes: what passes is the original's, or a tie that its own rounding could turn; a fault does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from attnexport.export.options import ExportOptions
from attnexport.export.sequence.decodes import OriginalSession, _Reference, original_of, sources
from attnexport.export.sequence.network import plan_of
from attnexport.export.source import ModuleSource
from attnexport.models import registry
from attnexport.models.seq2seq import START
from attnexport.runtime.decode.agreement import lengths
from attnexport.runtime.decode.sequence import SequenceDecoder
from attnexport.runtime.spec import TensorSpec

NAME = "seq2seq_bahdanau"


def network(spread: float = 1.8) -> Any:
    torch.manual_seed(4)
    module = registry.build(NAME, **registry.entry(NAME).reduced_options).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(spread)  # so that sources matter
    return module


def decoder(module: Any, precision: Any) -> SequenceDecoder:
    entry = registry.entry(NAME)
    specs = tuple(TensorSpec.from_json(spec) for spec in entry.reduced_inputs or ())
    plan = plan_of(
        ModuleSource(kind="random", name="net", module=module, inputs=specs), ExportOptions(model=None, limit=8)
    )
    sessions = [OriginalSession(original_of(part), part, precision) for part in plan.parts.values()]
    return SequenceDecoder(*sessions, plan.facts, specs[0], plan.parts["step"].inputs[0].axes[0])


@pytest.fixture(scope="module")
def case() -> SimpleNamespace:
    module = network()
    wide = decoder(module, "float64")
    feeds = {"random": sources(wide.source, 0, 30, 5, seed=2), "short": sources(wide.source, 0, 6, 5, seed=3)}
    return SimpleNamespace(module=module, feeds=feeds, wide=wide, reference=_Reference(wide, feeds, wide.facts))


def test_the_reference_is_the_whole_network_s_argmax_in_fp64_with_its_margins(case) -> None:
    """The oracle has neither state nor parts: the whole network, again for every token."""
    double = network().double()
    for golden in case.reference.golden():
        source = torch.from_numpy(golden.feeds["source"])
        tokens, margins = golden.reference["tokens"], golden.reference["margins"]
        target = torch.from_numpy(np.concatenate([np.full((len(tokens), 1), START), tokens[:, :-1]], axis=1))
        with torch.no_grad():
            scores = double(source, target).log_softmax(2).numpy()
        lives = np.arange(tokens.shape[1]) < lengths(tokens, 2)[:, None]
        assert (scores.argmax(2)[lives] == tokens[lives]).all()
        best = np.sort(scores, axis=2)
        np.testing.assert_allclose(margins[lives], (best[..., -1] - best[..., -2])[lives], rtol=0, atol=1e-10)
        assert np.isinf(margins[~lives]).all()


def test_pytorch_s_own_error_is_measured_on_the_reference_s_tokens(case) -> None:
    errors = {p: case.reference.torch_error(decoder(case.module, p), p) for p in ("float32", "bfloat16")}
    assert 1e-7 < errors["float32"] < 1e-5
    assert 1e-3 < errors["bfloat16"] < 1
    assert case.reference.torch_error(case.wide, "float64") < 1e-12


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_network_passes_at_each_precision(case, precision) -> None:
    other = decoder(case.module, precision)
    tie = 4 * case.reference.torch_error(other, precision)
    assert case.reference.compare(other, tie).wrong == ()
    assert case.reference.compare_beams(other, tie).wrong == ()


def test_a_network_that_is_a_little_off_does_not(case) -> None:
    module = network()
    with torch.no_grad():
        module.output[1].bias[5] += 1.0  # one token a little too likely
    tie = 4 * case.reference.torch_error(decoder(case.module, "float32"), "float32")
    found = case.reference.compare(decoder(module, "float32"), tie)
    assert found.wrong
    assert found.equal_rows + found.ties + len(found.wrong) == found.rows == 36
    assert case.reference.compare_beams(decoder(module, "float32"), tie).wrong
    assert case.reference.compare(decoder(module, "float32"), np.inf).wrong == ()


def test_a_state_that_is_not_carried_on_is_seen(case) -> None:
    """Each step alone is right, to the last bit; the decode is not."""
    other = decoder(case.module, "float64")
    step = other._decoder._step

    class Forgetful:
        input_names, output_names = step.input_names, step.output_names

        def run(self, feeds):
            return {**step.run(feeds), "next_hidden": feeds["hidden"]}

        def close(self) -> None: ...

    other._decoder._step = Forgetful()
    assert case.reference.compare(other, 1e-9).wrong
