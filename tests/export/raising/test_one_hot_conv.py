"""A convolution that copies its taps is a window operator; one that computes, or copies otherwise, is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from attnexport.export.raising import raise_windows


def conv(weight: torch.Tensor, space: tuple[Any, ...], bias: bool = False, **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node("Conv", ["x0", "w", *(["b"] if bias else [])], ["y"], "copy", **attributes)
    channels = weight.shape[1] * attributes.get("group", 1)
    tensors = {"w": weight.numpy(), **({"b": np.ones(weight.shape[0], np.float32)} if bias else {})}
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["N", channels, *space])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, k) for k, v in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def one_hot(kernel: tuple[int, ...], channels: int, order: list[int] | None = None) -> torch.Tensor:
    taps = int(np.prod(kernel))
    return (
        torch.eye(taps)[order or list(range(taps))].reshape(taps, 1, *kernel).repeat(channels, *[1] * (len(kernel) + 1))
    )


ATTRIBUTES = {"pads": [1, 2, 0, 1], "strides": [2, 1], "dilations": [1, 2]}


@pytest.mark.parametrize("space", [(8, 9), ("H", "W")])
@pytest.mark.parametrize("order", [None, [4, 0, 8, 2, 6, 1, 3, 5, 7]], ids=["in order", "another order"])
def test_a_grouped_copy_is_an_im2col(agree: Any, domain_node: Any, space: Any, order: Any) -> None:
    weight = one_hot((3, 3), 4, order)
    raised = raise_windows(conv(weight, space, group=4, **ATTRIBUTES))
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    expected = {"kernel": [3, 3], "pads": [1, 2, 0, 1], "stride": [2, 1], "dilation": [1, 2]}
    assert domain_node(raised.model) == ("Im2Col", expected)
    assert "Gather" in {n.op_type for n in raised.model.graph.node} or order is None
    x = torch.randn(2, 4, 8, 9)
    agree(raised.model, (x,), F.conv2d(F.pad(x, (2, 1, 1, 0)), weight, stride=(2, 1), dilation=(1, 2), groups=4))


def test_taps_before_channels_is_a_transpose(agree: Any) -> None:
    weight = torch.zeros(36, 4, 3, 3)
    for tap in range(9):
        for channel in range(4):
            weight[tap * 4 + channel, channel, tap // 3, tap % 3] = 1
    raised = raise_windows(conv(weight, (8, 9)))
    assert [n.op_type for n in raised.model.graph.node] == ["Im2Col", "Reshape", "Transpose", "Reshape"]
    x = torch.randn(2, 4, 8, 9)
    agree(raised.model, (x,), F.conv2d(x, weight))


@pytest.mark.parametrize(
    ("kernel", "space", "size"), [((3,), ("L",), (9,)), ((2, 3, 2), ("D", "H", "W"), (4, 5, 6)), ((3,), (9,), (9,))]
)
def test_one_and_three_axes_are_unfolds(agree: Any, kernel: Any, space: Any, size: Any) -> None:
    n, weight = len(kernel), one_hot(kernel, 2)
    raised = raise_windows(conv(weight, space, group=2, pads=[2] * 2 * n, dilations=[2] * n, strides=[2] * n))
    assert (raised.counts, raised.refused) == ({"Unfold": n}, ())
    x = torch.randn(3, 2, *size)
    function = F.conv1d if n == 1 else F.conv3d
    agree(raised.model, (x,), function(x, weight, padding=2, dilation=2, stride=2, groups=2))


def twice() -> torch.Tensor:
    weight = one_hot((3, 3), 2)
    weight[0] = weight[1]
    return weight


@pytest.mark.parametrize(
    ("weight", "attributes", "reason"),
    [
        (one_hot((3, 3), 2), {"bias": True}, "it copies taps and adds a bias"),
        (one_hot((3, 3), 2), {"auto_pad": "SAME_UPPER"}, "its padding depends on the size, or its rank is not known"),
        (twice(), {}, "it copies some taps twice and others not at all"),
    ],
)
def test_a_near_miss_stays_with_its_reason(weight: torch.Tensor, attributes: Any, reason: str) -> None:
    raised = raise_windows(conv(weight, (8, 9), group=2, **attributes))
    assert (raised.counts, {entry.node: entry.reason for entry in raised.refused}) == ({}, {"copy": reason})


@pytest.mark.parametrize("weight", [one_hot((3, 3), 2) * 0.5, one_hot((3, 3), 2)[:16], torch.randn(18, 1, 3, 3)])
def test_a_convolution_that_computes_is_none_of_its_business(weight: torch.Tensor) -> None:
    raised = raise_windows(conv(weight, (8, 9), group=2))
    assert (raised.counts, raised.refused) == ({}, ())
