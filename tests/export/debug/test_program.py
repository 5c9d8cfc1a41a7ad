"""The traced program in FP64, node by node, under the names of the captured graph's tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attnexport.errors import StageError
from attnexport.export.capture import Captured
from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.debug.reference import ProgramSide
from attnexport.runtime.spec import Axis, TensorSpec

SPEC = TensorSpec("x", "float32", (Axis(1, 2, 8, "batch"), Axis.fixed(6)))


def side_of(module: nn.Module, outputs: tuple[str, ...], feeds: dict[str, np.ndarray]) -> tuple[ProgramSide, Captured]:
    with torch.no_grad():
        captured = to_onnx(export_program(module.eval(), [SPEC], [torch.rand(2, 6)]), [SPEC], outputs)
    assert captured.program is not None
    return ProgramSide(captured.program, ["x"], outputs, feeds), captured


class Rounding(nn.Module):
    """Asks for FP32 wherever one can, and has weights, a constant and a buffer in it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("table", torch.arange(6) / 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(6, dtype=torch.float32) / 3
        y = self.linear(x.float()).to(torch.float32) + places
        first, second = y.softmax(-1).split(3, dim=-1)
        return torch.cat([second, first], -1) * self.table * 0.1 + torch.full((6,), 0.3, dtype=torch.float32)


@pytest.mark.parametrize("rows", [1, 5])
def test_every_step_is_fp64_whatever_the_module_asks_for(rows: int) -> None:
    torch.manual_seed(0)
    module = Rounding()
    x = np.random.default_rng(0).normal(size=(rows, 6)).astype(np.float32)
    side, captured = side_of(module, ("y",), {"x": x})
    weight, bias = (p.detach().numpy().astype(np.float64) for p in (module.linear.weight, module.linear.bias))
    linear = x.astype(np.float64) @ weight.T + bias
    shifted = linear + np.arange(6) / 3
    soft = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    table = module.table.numpy().astype(np.float64)
    expected = {
        "linear": linear,
        "softmax": soft,
        "getitem": soft[:, :3],
        "getitem_1": soft[:, 3:],
        "y": np.concatenate([soft[:, 3:], soft[:, :3]], -1) * table * 0.1 + 0.3,
    }
    tensors = {name for node in captured.model.graph.node for name in node.output}
    made = [name for name in expected if name in tensors]
    assert {"linear", "softmax", "y"} <= set(made), "the graph's tensors go by the program's names"
    got = side.values([name for name in expected if name in side.names])
    assert set(made) <= set(got)
    for name, (array,) in got.items():
        assert array.dtype == np.float64
        np.testing.assert_allclose(array, expected[name], rtol=1e-14, atol=1e-15)
    assert torch.get_default_dtype() is torch.float32
    assert module.linear.weight.dtype is torch.float32, "the network itself is not widened"


def test_only_what_is_asked_for_is_shown() -> None:
    side, _ = side_of(Rounding(), ("y",), {"x": np.zeros((2, 6), np.float32)})
    seen: list[str] = []
    side.stream(["softmax"], lambda name, _: seen.append(name))
    assert seen == ["softmax"]


@torch.library.custom_op("attnexport_test::half_only", mutates_args=())
def half_only(x: torch.Tensor) -> torch.Tensor:
    if x.dtype is torch.float64:
        raise TypeError("no kernel for double")
    return x.clone()


@half_only.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def test_a_step_without_an_fp64_form_is_an_error_that_names_the_reason() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return torch.ops.attnexport_test.half_only(x) + 1

    program = export_program(Net().eval(), [SPEC], [torch.rand(2, 6)])
    side = ProgramSide(program, ["x"], ["y"], {"x": np.zeros((2, 6), np.float32)})
    with pytest.raises(StageError, match=r"the traced program cannot run in FP64: .*no kernel for double"):
        side.values(["y"])
    assert torch.get_default_dtype() is torch.float32
