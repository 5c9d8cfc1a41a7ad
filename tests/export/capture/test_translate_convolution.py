"""Convolutions with and without a bias, in one to three dimensions, run in ONNX Runtime and mean what torch means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

CONVOLUTIONS: dict[str, tuple[Callable[..., nn.Module], int]] = {
    "conv1d": (nn.Conv1d, 1),
    "conv2d": (nn.Conv2d, 2),
    "conv3d": (nn.Conv3d, 3),
    "transposed 1-D": (nn.ConvTranspose1d, 1),
    "transposed 2-D": (nn.ConvTranspose2d, 2),
    "transposed 3-D": (nn.ConvTranspose3d, 3),
}


@pytest.mark.parametrize(("name", "bias"), [*((name, False) for name in CONVOLUTIONS), ("conv3d", True)])
def test_a_bias_has_one_axis_or_is_absent(name: str, bias: bool) -> None:
    torch.manual_seed(0)
    kind, axes = CONVOLUTIONS[name]
    check(kind(4, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=bias), (2, 4, *(7, 6, 5)[:axes]))


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"kernel_size": 1}, (2, 4, 3, 4, 5)),
        ({"kernel_size": (1, 2, 3), "stride": (3, 2, 1), "padding": (0, 1, 2), "dilation": (1, 2, 1)}, (2, 4, 5, 6, 7)),
        ({"kernel_size": 3, "padding": "same"}, (2, 4, 3, 4, 5)),
        ({"kernel_size": 3, "padding": 1}, (4, 3, 4, 5)),
    ],
    ids=["pointwise", "each axis its own", "same", "unbatched"],
)
def test_conv3d_without_bias(options: dict[str, object], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    check(nn.Conv3d(4, 6, bias=False, **options), shape)


def check(module: nn.Module, shape: tuple[int, ...]) -> None:
    spec = TensorSpec("x", "float32", tuple(map(Axis.fixed, shape)))
    x = torch.randn(shape)
    model = to_onnx(export_program(module.eval(), [spec], [x]), [spec], ["y"]).model
    initializers = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    convolution = next(node for node in model.graph.node if node.op_type in {"Conv", "ConvTranspose"})
    for held in convolution.input[2:3]:
        assert initializers[held].shape == (6,)
    truth = module.double()(x.double()).detach().numpy()
    np.testing.assert_allclose(
        OrtSession(model.SerializeToString()).run({"x": x.numpy()})["y"], truth, rtol=1e-5, atol=1e-5
    )


def test_a_function_call_with_one_number_for_all_axes() -> None:
    class Call(nn.Module):
        def forward(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.conv3d(x, weight, stride=[2], padding=[1])

    specs = [
        TensorSpec(name, "float32", (Axis.fixed(2), Axis.fixed(2), *[Axis.fixed(size)] * 3))
        for name, size in [("x", 5), ("w", 3)]
    ]
    feeds = [torch.randn([axis.opt for axis in spec.axes]) for spec in specs]
    model = to_onnx(export_program(Call(), specs, feeds), specs, ["y"]).model
    got = OrtSession(model.SerializeToString()).run({"x": feeds[0].numpy(), "w": feeds[1].numpy()})["y"]
    np.testing.assert_allclose(got, Call()(*feeds).numpy(), rtol=1e-5, atol=1e-5)
