"""A model of half precision returns half precision, also where its last step is one that torch computes in float32."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

STEPS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "contraction": lambda x: (x * x).sum(1),
    "sum": lambda x: x.sum(2, keepdim=True),
    "product": lambda x: x.prod(1),
    "running sum": lambda x: x.cumsum(1),
    "more behind it": lambda x: x.sum(1) + 1,
    "mean": lambda x: x.mean(1),
    "softmax": lambda x: x.softmax(1),
    "wider on purpose": lambda x: x.float().sum(1),
    "counted": lambda x: (x > 0).sum(1),
}


class Steps(nn.Module):
    """Every step as an output. ``seen`` makes a state that is written, which comes before the outputs in the traced signature."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.add_(1)
        return {name: step(x) for name, step in STEPS.items()}


def captured(dtype: str) -> onnx.ModelProto:
    spec = TensorSpec("x", dtype, (Axis(2, 3, 8, "batch"), Axis.fixed(4), Axis.fixed(5)))
    feed = torch.randn(3, 4, 5).to(getattr(torch, dtype))
    return to_onnx(export_program(Steps(), [spec], [feed]), [spec], list(STEPS)).model


ONNX_TYPES = {
    torch.float16: TensorProto.FLOAT16,
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.int64: TensorProto.INT64,
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_output_has_the_type_that_torch_gives_it(dtype: str) -> None:
    graph = captured(dtype).graph
    x = torch.randn(3, 4, 5).to(getattr(torch, dtype))
    assert {v.name: v.type.tensor_type.elem_type for v in graph.output} == {
        name: ONNX_TYPES[step(x).dtype] for name, step in STEPS.items()
    }


def test_the_sum_of_halves_is_taken_in_float32_and_rounded_once() -> None:
    torch.manual_seed(0)
    model = captured("float16")
    onnx.checker.check_model(model, full_check=True)
    x = torch.randn(5, 4, 5).half()
    results = OrtSession(model.SerializeToString()).run({"x": x.numpy()})
    for name, step in STEPS.items():
        torch.testing.assert_close(torch.from_numpy(results[name]), step(x), rtol=2e-3, atol=1e-3)
    assert torch.equal(torch.from_numpy(results["sum"]), x.float().sum(2, keepdim=True).half())


def test_the_cast_has_the_origin_of_its_step() -> None:
    class Sum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum(1)

    spec = TensorSpec("x", "float16", (Axis.fixed(3), Axis.fixed(4)))
    module = nn.Sequential(nn.Identity(), Sum())
    result = to_onnx(export_program(module, [spec], [torch.randn(3, 4).half()]), [spec], ["y"])
    assert [node.op_type for node in result.model.graph.node] == ["Cast", "ReduceSum", "Cast"]
    last = result.origins[result.model.graph.node[-1].name]
    assert (last.module, last.kind) == ("1", "Sum")
