"""Inputs reach ``forward`` by position, whatever its signature: named, ``*args``, or both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import FixedAxisError, export_program
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 8, "batch")


class OnlyVariadic(nn.Module):
    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return xs[0] - 2 * xs[1] + xs[2]


class NamedThenVariadic(nn.Module):
    def forward(self, x: torch.Tensor, *xs: torch.Tensor) -> torch.Tensor:
        return x - 2 * xs[0] + xs[1]


class Named(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return x - 2 * y + z


class Pair(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 2 * x - y


def specs(*axes: Axis) -> list[TensorSpec]:
    return [TensorSpec(name, "float32", (axis, Axis.fixed(4))) for name, axis in zip("abc", axes, strict=False)]


@pytest.mark.parametrize("module", [OnlyVariadic(), NamedThenVariadic(), Named()], ids=lambda m: type(m).__name__)
def test_inputs_keep_their_order_and_their_free_axes(module: nn.Module) -> None:
    inputs = specs(BATCH, BATCH, Axis.fixed(1))
    captured = to_onnx(export_program(module, inputs, [torch.randn(n, 4) for n in (2, 2, 1)]), inputs, ["y"])
    graph = captured.model.graph
    assert [value.name for value in graph.input] == ["a", "b", "c"]
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in graph.input] == ["batch", "batch", ""]
    a, b, c = torch.randn(5, 4), torch.randn(5, 4), torch.randn(1, 4)
    got = OrtSession(captured.model.SerializeToString()).run({"a": a.numpy(), "b": b.numpy(), "c": c.numpy()})["y"]
    np.testing.assert_allclose(got, module(a, b, c).numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_a_batch_of_one_or_two_stays_free(shared: bool) -> None:
    small = Axis(1, 1, 2, "batch")
    module: nn.Module = Pair() if shared else nn.Linear(4, 4)
    inputs = specs(small, small) if shared else specs(small)
    captured = to_onnx(export_program(module, inputs, [torch.randn(2, 4) for _ in inputs]), inputs, ["y"])
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in captured.model.graph.input] == ["batch"] * len(
        inputs
    )
    session = OrtSession(captured.model.SerializeToString())
    for batch in (1, 2):
        xs = [torch.randn(batch, 4) for _ in inputs]
        got = session.run(dict(zip("ab", (x.numpy() for x in xs), strict=False)))["y"]
        np.testing.assert_allclose(got, module(*xs).detach().numpy(), rtol=1e-5, atol=1e-6)


class FixesTheSecond(nn.Module):
    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return xs[0].sum() + xs[1].view(2, 2, 2)


def test_a_fixed_axis_is_reported_under_the_name_of_its_input_not_of_the_variadic_parameter() -> None:
    inputs = specs(Axis.fixed(2), BATCH)
    with pytest.raises(FixedAxisError, match="fixes axis 0 of 'b' at 2") as caught:
        export_program(FixesTheSecond(), inputs, [torch.randn(2, 4), torch.randn(2, 4)])
    assert caught.value.axes == (("b", 0, 2),)
