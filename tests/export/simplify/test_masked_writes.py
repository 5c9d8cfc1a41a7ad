"""Writes at the places of a mask become Where and agree with PyTorch; writes of other values stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import parser
from torch import Tensor, nn

from attnexport.export.graph.rewrites import Refusal, Rewrite
from attnexport.export.simplify.masked_writes import masked_writes
from attnexport.export.stages.rewrite import find_windows

FREE = ("x:0=1:2:5",)


class Net(nn.Module):
    """Each write on the same input; one capture serves them all."""

    def __init__(self, *writes: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.writes = writes

    def forward(self, x: Tensor) -> list[Tensor]:
        return [write(x) for write in self.writes]


def number(x: Tensor) -> Tensor:
    y = x.sin()
    y[x > 0] = 3.0
    return y


def hue(x: Tensor) -> Tensor:
    """As colour conversions write it, each mask computed twice, a division by what may be 0 outside of it."""
    most, least = x.max(1)[0], x.min(1)[0]
    found = torch.zeros_like(most)
    found[x[:, 2] == most] = 4.0 + ((x[:, 0] - x[:, 1]) / (most - least))[x[:, 2] == most]
    found[x[:, 0] == most] = (((x[:, 1] - x[:, 2]) / (most - least))[x[:, 0] == most]) % 6
    found[least == most] = 0.0
    return found / 6


def in_place(x: Tensor) -> Tensor:
    y = x * 2
    y[y > 1] += 0.5
    y[y < 0] *= y[y < 0].exp()
    return y


def rows(x: Tensor) -> Tensor:
    """The mask has the first axes alone."""
    y = x * 1
    keep = x.sum((2, 3)) > 0
    y[keep] = x[keep].tanh() * 2
    y[~keep] = 0
    return y


def two_values(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    m = x > 0.3
    y[m] = torch.where(x[m] > 1, x[m], x[m].square().clamp(max=0.5))
    return y


def test_a_write_at_a_mask_becomes_where(parity: Any, entered: Any) -> None:
    captured = entered(Net(number, hue, in_place, rows, two_values), "x=2x3x5x4", dynamic=FREE)
    assert parity(captured) < 1e-5
    model = captured.captured.model
    assert {"NonZero", "ScatterND"} <= {node.op_type for node in model.graph.node}
    after = {node.op_type for node in find_windows(model).model.graph.node}
    assert "Where" in after
    assert not {"NonZero", "ScatterND", "GatherND"} & after


def other_mask(x: Tensor) -> Tensor:
    """As many places of one mask as of the other, and not the same ones."""
    y = torch.zeros_like(x)
    y[x > 0] = x.flip(0)[x.flip(0) > 0]
    return y


def running_sum(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[x > 0] = x[x > 0].cumsum(0)
    return y


def test_a_write_of_other_values_stays(parity: Any, entered: Any) -> None:
    captured = entered(Net(other_mask, running_sum), "x=2x3x5x4", dynamic=FREE)
    assert parity(captured) < 1e-5
    result = masked_writes(captured.captured.model)
    assert [entry.reason for entry in result.refused] == [NOT_ELEMENTWISE] * 2
    assert result.model is captured.captured.model


NOT_ELEMENTWISE = "its values are not computed elementwise from values of the same mask"
GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
g ({kind}[{shape}] r, {kind}[4, 6] v, bool[4, 6] m) => ({kind}[{shape}] y) {{
  n = NonZero(m)  i = Transpose<perm = [1, 0]>(n)  a = GatherND(v, i)  {body}  y = ScatterND{attribute}(r, i, b) }}"""


def written(body: str, kind: str = "float", shape: str = "4, 6", attribute: str = "") -> onnx.ModelProto:
    model = parser.parse_model(GRAPH.format(body=body, kind=kind, shape=shape, attribute=attribute))
    for place, node in enumerate(model.graph.node):
        node.name = f"n{place}"
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto, *arrays: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, dict(zip("rvm", arrays, strict=True)))
    return result


def test_an_onnx_graph_keeps_the_name_of_the_write_and_its_bits() -> None:
    model = written("c = Sqrt(a)  b = Mul(c, c)")
    rng = np.random.default_rng(0)
    r, v = rng.standard_normal((2, 4, 6)).astype(np.float32)
    mask = v > 0
    result = masked_writes(model)
    chosen = result.model
    assert (result.applied, result.refused) == ((Rewrite("masked_writes", "n5", "Where of m"),), ())
    names = {node.op_type: node.name for node in chosen.graph.node}
    assert names == {"Sqrt": "n3/everywhere", "Mul": "n4/everywhere", "Where": "n5"}
    np.testing.assert_array_equal(run(chosen, r, v, mask), run(model, r, v, mask))
    expected = np.where(mask, np.sqrt(np.where(mask, v, 0)) ** 2, r)
    np.testing.assert_allclose(run(chosen, r, v, mask), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        ("b = Div(a, a)", {"kind": "int64"}, NOT_ELEMENTWISE),
        ("b = CumSum(a, z)  ", {}, NOT_ELEMENTWISE),
        ("b = Identity(a)", {"attribute": '<reduction = "add">'}, "it reduces values instead of writing them"),
        ("b = Identity(a)", {"shape": "8, 6"}, "the mask's axes are not known to be the first axes of the data"),
    ],
    ids=["integers divided", "a running sum", "a write that adds", "data of another size"],
)
def test_a_refused_write_stays_with_its_reason(body: str, options: dict[str, str], reason: str) -> None:
    if "CumSum" in body:
        body = "z = Constant<value = int64 {0}>()  " + body
    model = written(body, **options)
    result = masked_writes(model)
    assert result.model is model
    assert (result.applied, result.refused) == ((), (Refusal("masked_writes", model.graph.node[-1].name, reason),))


def test_a_model_without_masks_is_the_same_object() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    )
    assert masked_writes(model).model is model
