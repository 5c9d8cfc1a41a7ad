"""Inputs and outputs keep their names when a model returns a value twice, an input, or a weight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

Results = tuple[torch.Tensor, ...]


class Returns(nn.Module):
    def __init__(self, pick: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Results]) -> None:
        super().__init__()
        self.pick = pick
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))

    def forward(self, x: torch.Tensor) -> Results:
        return self.pick(x, x.sum(1), self.weight)


@pytest.mark.parametrize(
    ("dtype", "pick"),
    [
        ("float32", lambda x, total, weight: (total, total, total)),
        ("float16", lambda x, total, weight: (total, total, total)),
        ("float32", lambda x, total, weight: (x, total, x)),
        ("float32", lambda x, total, weight: (weight, total, 2 * x)),
        ("float32", lambda x, total, weight: (total, x[:], 2 * total)),
    ],
    ids=["a value three times", "and cast", "the input twice", "a weight", "a view of the input"],
)
def test_each_output_has_its_name_and_value(
    dtype: str, pick: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Results]
) -> None:
    module = Returns(pick).to(getattr(torch, dtype))
    spec = TensorSpec("x", dtype, (Axis(2, 3, 8, "batch"), Axis.fixed(4)))
    feed = torch.randn(3, 4, dtype=getattr(torch, dtype))
    model = to_onnx(export_program(module, [spec], [feed]), [spec], ["a", "b", "c"]).model
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["x"]
    assert [value.name for value in model.graph.output] == ["a", "b", "c"]
    x = torch.randn(5, 4, dtype=getattr(torch, dtype))
    results = OrtSession(model.SerializeToString()).run({"x": x.numpy()})
    for name, wanted in zip("abc", module(x), strict=True):
        assert results[name].dtype == np.dtype(dtype)
        np.testing.assert_allclose(results[name], wanted.detach().numpy(), rtol=2e-3, atol=1e-5)
