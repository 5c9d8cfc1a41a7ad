"""Graphs that spell windows out, as torch.onnx writes them, with every number free to be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Dim = int | str


def spelled_unfold(
    *,
    sizes: tuple[Dim, Dim] = (12, 14),
    kernel: tuple[int, int] = (3, 3),
    dilation: tuple[int, int] = (1, 1),
    stride: tuple[int, int] = (1, 1),
    short: int = 0,
    perm: tuple[int, ...] = (0, 1, 2, 4, 3, 5),
    shape: list[int] | None = None,
    start: int = 0,
    constant: bool = False,
    channels: int = 2,
) -> onnx.ModelProto:
    """F.unfold of x (N, C, H, W) by Range, Add, Gather, Transpose, Reshape. ``short`` takes from the Range's limit."""
    constants: dict[str, np.ndarray] = {}
    nodes = [helper.make_node("Shape", ["x"], ["shape"], "shape")]
    source = "x"
    for i, axis in enumerate((2, 3)):
        taps = dilation[i] * np.arange(kernel[i])[:, None]
        size = sizes[i]
        if constant:
            assert isinstance(size, int)
            bound = size - dilation[i] * (kernel[i] - 1) - short
            constants[f"index{i}"] = (taps + np.arange(start, bound, stride[i])).astype(np.int64)
        else:
            constants |= {
                f"axis{i}": np.int64(axis), f"start{i}": np.int64(start), f"step{i}": np.int64(stride[i]),
                f"less{i}": np.int64(dilation[i] * (kernel[i] - 1) + short), f"taps{i}": taps.astype(np.int64),
                "zero": np.array([0], np.int64),
            }  # fmt: skip
            nodes += [
                helper.make_node("Gather", ["shape", f"axis{i}"], [f"size{i}"], f"size{i}", axis=0),
                helper.make_node("Sub", [f"size{i}", f"less{i}"], [f"limit{i}"], f"limit{i}"),
                helper.make_node("Range", [f"start{i}", f"limit{i}", f"step{i}"], [f"range{i}"], f"range{i}"),
                helper.make_node("Unsqueeze", [f"range{i}", "zero"], [f"row{i}"], f"row{i}"),
                helper.make_node("Add", [f"row{i}", f"taps{i}"], [f"index{i}"], f"index{i}"),
            ]
        made = f"gathered{i}"
        nodes.append(helper.make_node("Gather", [source, f"index{i}"], [made], made, axis=(2, 4)[i]))
        source = made
    constants["to"] = np.array(shape or [0, channels * kernel[0] * kernel[1], -1], np.int64)
    nodes += [
        helper.make_node("Transpose", [source], ["moved"], "moved", perm=list(perm)),
        helper.make_node("Reshape", ["moved", "to"], ["y"], "columns"),
    ]
    return finish(nodes, constants, ["N", channels, *sizes], 3 if shape is None else len(shape))


def finish(nodes: list[Any], constants: dict[str, np.ndarray], shape: list[Dim], rank: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"d{i}" for i in range(rank)])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def spelled() -> Callable[..., onnx.ModelProto]:
    """See :func:`spelled_unfold`."""
    return spelled_unfold


@pytest.fixture
def gathered() -> Callable[..., onnx.ModelProto]:
    """One Gather of x (N, C, H, W) by a constant matrix along an axis."""

    def make(index: np.ndarray, axis: int = 2, shape: tuple[Dim, ...] = ("N", 2, 12, 14)) -> onnx.ModelProto:
        node = helper.make_node("Gather", ["x", "index"], ["y"], "windows", axis=axis)
        return finish([node], {"index": index.astype(np.int64)}, list(shape), len(shape) + 1)

    return make
