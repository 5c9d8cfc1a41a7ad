"""Modules of any interface through capture: keyword arguments, nested inputs and outputs, shared weights, buffers, whole numbers, bools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from attnexport.errors import InputError
from attnexport.export.forward.outputs import make_known, output_names
from attnexport.export.progress import Silent
from attnexport.export.source import CapturedModel, SourceOptions, load
from attnexport.export.stages.models import enter
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.sessions.ort import OrtSession


@dataclass
class Inner:
    pooled: torch.Tensor
    hidden: torch.Tensor | None = None


@dataclass
class Result:
    logits: torch.Tensor
    inner: Inner
    width: int = 3
    size: object = None
    parts: list | None = None


class Pair(NamedTuple):
    first: torch.Tensor
    second: dict


class Tied(nn.Module):
    """Integer and bool inputs, a keyword-only one, a weight used twice, buffers of which one is in no state dict."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, width)
        self.head = nn.Linear(width, 50, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("position", torch.randn(32, width), persistent=False)
        self.register_buffer("steps", torch.arange(width))

    def forward(self, ids, shift=None, *, keep):
        x = self.embed(ids) + self.position[: ids.shape[1]]
        x = x if shift is None else x + shift
        x = torch.where(keep[..., None], x, 0.0)
        return Result(self.head(x), Inner(x.mean(1)), size=x.shape[0], parts=[keep, {"steps": self.steps + ids.sum()}])


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, batch, maps):
        return {"z": self.layer(batch["image"]) + batch["bias"], "a": Pair(maps[0] * maps[1], {"k": maps[0]})}


def entered(factory: str, *inputs: str, dynamic: tuple[str, ...] = ()) -> CapturedModel:
    source = load(
        None, SourceOptions(factory=f"{__name__}:{factory}", own_weights=True, inputs=inputs, dynamic=dynamic)
    )
    assert source.kind == "factory"
    assert source.notes == ()
    return enter(source, (), 0, Silent())


def agrees(found: CapturedModel, sizes: dict[str, int]) -> None:
    """The captured graph on ONNX Runtime against the module in FP64."""
    feeds = random_feeds(found.inputs, sizes, seed=1)
    truth = found.original.run(feeds, "float64")
    assert tuple(truth) == found.output_names
    with OrtSession(found.captured.model.SerializeToString()) as session:
        got = session.run(feeds)
    for name, true in truth.items():
        np.testing.assert_allclose(got[name], true, rtol=1e-5, atol=1e-6)


IDS = ("ids=2x6:int64:0..50", "keep=2x6:bool")


@pytest.mark.parametrize(
    ("factory", "inputs", "dynamic", "outputs"),
    [
        ("Tied", IDS, (), ("logits", "inner_pooled", "parts_0", "parts_1_steps")),
        (
            "Tied",
            IDS,
            ("ids:0=1:2:4", "keep:0=1:2:4", "ids:1=t=2:6:9", "keep:1=t"),
            ("logits", "inner_pooled", "parts_0", "parts_1_steps"),
        ),
        ("Tied", (*IDS, "shift=scalar"), (), ("logits", "inner_pooled", "parts_0", "parts_1_steps")),
        (
            "Nested",
            ("batch.image=2x4", "batch.bias=2x4", "maps.0=2x3", "maps.1=2x3"),
            (),
            ("z", "a_first", "a_second_k"),
        ),
    ],
)
def test_modules_are_captured_as_they_are(factory, inputs, dynamic, outputs):
    found = entered(factory, *inputs, dynamic=dynamic)
    assert found.output_names == outputs
    assert all(spec.axes[0].symbol == "batch" for spec in found.inputs if spec.axes)
    agrees(found, {"batch": 3, **({"t": 5} if len(dynamic) > 2 else {})})


def test_a_large_weight_that_two_modules_share_is_stored_once():
    """Beyond the size up to which constants are folded: a folded transpose would be a second copy."""
    source = load(
        None, SourceOptions(factory=f"{__name__}:Tied", kwargs={"width": 30_000}, own_weights=True, inputs=IDS)
    )
    graph = enter(source, (), 0, Silent()).captured.model.graph
    assert [list(t.dims) for t in graph.initializer if 50 in t.dims] == [[50, 30_000]]


def test_names_follow_the_structure():
    x = torch.zeros(2)
    result = Result(x, Inner(x, x), parts=[Pair(x, {"b": x, "a": (x, x)})])
    make_known(result)
    assert output_names(result) == (
        "logits", "inner_pooled", "inner_hidden", "parts_0_first", "parts_0_second_b", "parts_0_second_a_0", "parts_0_second_a_1",
    )  # fmt: skip
    assert output_names(x) == ("output",)
    assert output_names((x, [x])) == ("output_0", "output_1_0")
    assert output_names({"a b": x, "a/b": x}) == ("a_b_0", "a_b_1")


def test_an_output_is_never_called_like_an_input():
    x = torch.zeros(2)
    assert output_names({"sample": x, "b": x}, inputs=("sample",)) == ("sample_out", "b")
    with pytest.raises(InputError, match="output 'sample' is called like an input"):
        output_names({"a": x}, ("sample",), ("sample",))


def test_a_result_without_tensors_is_named():
    with pytest.raises(InputError, match="gives no tensor but float, str"):
        output_names({"a": 1.0, "b": "text"})
    with pytest.raises(InputError, match="gives no tensor but Normal"):
        output_names(torch.distributions.Normal(0.0, 1.0))


def test_a_module_that_is_made_already_is_taken_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "made.py").write_text("import torch\nnet = torch.nn.Linear(3, 2)\n")
    monkeypatch.chdir(tmp_path)
    source = load(None, SourceOptions(factory="made:net", own_weights=True, inputs=("input=1x3",)))
    assert (source.kind, source.name, source.arch) == ("factory", "net", "made:net")
    with pytest.raises(InputError, match="made:net is a module, not a callable"):
        load(None, SourceOptions(factory="made:net", kwargs={"a": 1}, own_weights=True, inputs=("input=1x3",)))
