"""Adaptive pooling: native where windows tile, one domain node for each axis otherwise, and no silent indices."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from attnexport.errors import UnsupportedModelError
from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.lower import lower
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

FIXED = (TensorSpec("x", "float32", (Axis(1, 2, 8, "batch"), Axis.fixed(3), Axis.fixed(12), Axis.fixed(10))),)
FREE = (
    TensorSpec("x", "float32", (Axis(1, 2, 8, "batch"), Axis.fixed(3), Axis(4, 12, 40, "h"), Axis(4, 10, 40, "w"))),
)


def captured(module: nn.Module, specs):
    return to_onnx(export_program(module.eval(), specs, [torch.randn(2, 3, 12, 10)]), specs, ["y"]).model


@pytest.mark.parametrize(
    ("module", "kinds"),
    [
        (nn.AdaptiveAvgPool2d((4, 5)), {"AveragePool": 1}),
        (nn.AdaptiveMaxPool2d((4, 5)), {"MaxPool": 1}),
        (nn.AdaptiveAvgPool2d(1), {"ReduceMean": 1}),
        (nn.AdaptiveMaxPool2d(1), {"ReduceMax": 1}),
        (nn.AdaptiveAvgPool2d((5, 10)), {"AdaptiveAverage": 1}),
        (nn.AdaptiveMaxPool2d((5, 7)), {"AdaptiveMax": 2}),
    ],
    ids=str,
)
def test_windows_that_tile_are_native(module, kinds) -> None:
    found = Counter(node.op_type for node in captured(module, FIXED).graph.node)
    del found["Constant"]
    assert found == kinds


@pytest.mark.parametrize("module", [nn.AdaptiveAvgPool2d((4, 5)), nn.AdaptiveMaxPool2d((7, 5))], ids=str)
def test_a_free_height_and_width_are_not_fixed_at_those_traced(module) -> None:
    session = OrtSession(lower(captured(module, FREE), ("ort", "tensorrt")).model.SerializeToString())
    for size in ((12, 10), (13, 21), (4, 40)):
        x = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(0))
        truth = module(x.double()).numpy()
        np.testing.assert_allclose(session.run({"x": x.numpy()})["y"], truth, rtol=0, atol=1e-6)


def test_indices_are_refused() -> None:
    class Indices(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.adaptive_max_pool2d(x, (5, 7), return_indices=True)[1]

    with pytest.raises(UnsupportedModelError, match=r"the indices of aten.adaptive_max_pool2d.default .* are used"):
        captured(Indices(), FIXED)
