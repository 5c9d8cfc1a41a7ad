"""A Python number in a float64 module has all its digits in the graph; float32 and float16 graphs are as torch.onnx writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from attnexport.export.capture import to_onnx as capture
from attnexport.export.capture.tracing.trace import export_program
from attnexport.runtime.spec import Axis, TensorSpec

Function = Callable[[torch.Tensor], torch.Tensor]


class Steps(nn.Module):
    """Functions of one tensor as a module with an output for each."""

    def __init__(self, functions: Sequence[Function]) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [function(x) for function in self.functions]


def captured(functions: Mapping[str, Function], dtype: str) -> onnx.ModelProto:
    """The graph, an output for each function under its name."""
    spec = TensorSpec("x", dtype, (Axis(2, 3, 8, "batch"), Axis.fixed(4)))
    x = torch.randn(3, 4, dtype=getattr(torch, dtype))
    program = export_program(Steps(list(functions.values())), [spec], [x])
    return capture.to_onnx(program, [spec], list(functions)).model


FUNCTIONS: dict[str, Function] = {
    "times": lambda x: x * 6**-0.5,
    "divided by": lambda x: x / 0.3,
    "dividing": lambda x: 0.3 / x,
    "plus": lambda x: x + 0.1,
    "plus a multiple": lambda x: torch.add(x, x * x, alpha=0.1),
    "base of a power": lambda x: 0.3**x,
    "clamp": lambda x: x.clamp(-0.1, 0.3),
    "clamp from below": lambda x: x.clamp_min(0.1),
    "hardtanh": lambda x: F.hardtanh(x, -0.1, 0.3),
    "masked_fill": lambda x: x.masked_fill(x > 0, 0.1),
    "where": lambda x: torch.where(x > 0, x, 0.1),
    "full": lambda x: x + torch.full((4,), 0.1, dtype=x.dtype),
    "full_like": lambda x: x * torch.full_like(x, 0.1),
    "new_full": lambda x: x * x.new_full((4,), 0.1),
    "lerp": lambda x: torch.lerp(x, x * x, 0.1),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.1),
    "threshold": lambda x: F.threshold(x, 0.1, 0.3),
    "scaled scores": lambda x: torch.softmax((x @ x.mT) * 0.3, -1) @ x,
    "matrix product with two factors": lambda x: torch.baddbmm(x[None], (x @ x.mT)[None], x[None], beta=0.1, alpha=0.3)[0],
}  # fmt: skip


@pytest.fixture(scope="module")
def float64_results() -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """What the captured functions give for an input, by the reference evaluator: ONNX Runtime fuses factors as float32."""
    torch.manual_seed(0)
    model = captured(FUNCTIONS, "float64")
    x = torch.randn(5, 4, dtype=torch.float64)
    return x, dict(zip(FUNCTIONS, ReferenceEvaluator(model).run(None, {"x": x.numpy()}), strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_float64_module_keeps_the_digits_of_its_numbers(
    name: str, float64_results: tuple[torch.Tensor, dict[str, np.ndarray]]
) -> None:
    x, results = float64_results
    assert results[name].dtype == np.float64
    np.testing.assert_allclose(results[name], FUNCTIONS[name](x).numpy(), rtol=1e-14, atol=1e-14)


def test_the_number_is_one_constant_and_nothing_casts_it() -> None:
    model = captured({"y": FUNCTIONS["times"]}, "float64")
    assert [node.op_type for node in model.graph.node] == ["Mul"]
    (held,) = model.graph.initializer
    assert (held.data_type, list(held.dims)) == (TensorProto.DOUBLE, [])
    assert numpy_helper.to_array(held) == 6**-0.5


def test_numbers_that_float32_cannot_tell_apart_are_each_their_own() -> None:
    close = 0.1 + 1e-12
    model = captured({"y": lambda x: (x + 0.1) * close}, "float64")
    assert {float(numpy_helper.to_array(t)) for t in model.graph.initializer} == {0.1, close}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_other_types_are_as_torch_onnx_writes_them(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = captured(FUNCTIONS, dtype)
    with monkeypatch.context() as patch:
        patch.setattr(capture, "restore_float64_scalars", lambda model: model)
        assert captured(FUNCTIONS, dtype) == ours
