"""Graphs that spell windows out, as torch.onnx writes them, with every number free to be wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from attnexport.export.capture.from_onnx import from_onnx
from attnexport.export.domain import DOMAIN, add_bodies
from attnexport.export.lower import lower
from attnexport.export.quiet import quiet
from attnexport.export.raising import Raised, raise_windows
from attnexport.runtime.sessions.ort import OrtSession

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


class Net(torch.nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        return self.function(*args)


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Raised]:
    """A function exported by torch.onnx, either way, cleaned as an ONNX file is, and raised."""

    def make(
        function: Callable[..., torch.Tensor],
        args: tuple[torch.Tensor, ...],
        exporter: str = "torchscript",
        free: tuple[int, ...] = (0,),
    ) -> Raised:
        path = tmp_path / "plain.onnx"
        names = [f"x{i}" for i in range(len(args))]
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if exporter == "torchscript":
                axes = {name: {axis: f"d{axis}" for axis in free} for name in names}
                torch.onnx.export(
                    Net(function).eval(),
                    args,
                    path,
                    dynamo=False,
                    opset_version=18,
                    input_names=names,
                    dynamic_axes=axes,
                )
            else:
                shapes = (tuple(dict.fromkeys(free, torch.export.Dim.DYNAMIC) for _ in args),)
                torch.onnx.export(
                    Net(function).eval(),
                    args,
                    path,
                    dynamo=True,
                    verbose=False,
                    input_names=names,
                    dynamic_shapes=shapes,
                )
        found: list[Raised] = []

        def spy(model: onnx.ModelProto) -> Raised:
            found.append(raise_windows(model))
            return found[-1]

        monkeypatch.setattr("attnexport.export.capture.from_onnx.raise_windows", spy)
        from_onnx(onnx.load(path))
        return found[0]

    return make


@pytest.fixture
def agree() -> Callable[..., None]:
    """Assert that a raised model gives what ``expected`` gives, by the operators' bodies and by their lowerings."""

    def check(model: onnx.ModelProto, inputs: tuple[Any, ...], expected: Any, tolerance: float = 0.0) -> None:
        for form in (add_bodies(model), lower(model, ("ort-cpu", "tensorrt-10")).model):
            session = OrtSession(form.SerializeToString())
            feeds = {name: np.asarray(x) for name, x in zip(("x0", "x1", "x2"), inputs, strict=False)}
            (y,) = session.run({name: feeds[name] for name in session.input_names}).values()
            assert y.shape == tuple(expected.shape)
            np.testing.assert_allclose(y, np.asarray(expected), atol=tolerance, rtol=tolerance)

    return check


@pytest.fixture
def domain_node() -> Callable[[onnx.ModelProto], tuple[str, dict[str, Any]]]:
    """The one domain operator of a model and its attributes."""

    def find(model: onnx.ModelProto) -> tuple[str, dict[str, Any]]:
        (node,) = [n for n in model.graph.node if n.domain == DOMAIN]
        return node.op_type, {a.name: helper.get_attribute_value(a) for a in node.attribute}

    return find


@pytest.fixture
def branches() -> Callable[..., onnx.ModelProto]:
    """Three taps of x0 (2, 4, 9) along its last axis, ``body`` done to each (``{s}`` its tap, ``{i}`` its number), ``join``ed as y.

    There are x1 (2, 4, 7), constants c0, c1, c2 (4, 1), and axes and shapes by name.
    """

    def make(body: str, join: str = "Concat<axis = 1>", dtype: str = "float") -> onnx.ModelProto:
        lines = [f"t{i} = Slice(x0, a{i}, b{i}, axis)" for i in range(3)]
        lines += [body.format(s=f"t{i}", i=i) for i in range(3)]
        text = f"""<ir_version: 10, opset_import: ["" : 18]> g ({dtype}[2,4,9] x0, float[2,4,7] x1) => ({dtype} y)
            <int64[1] axis = {{2}}, int64[1] a0 = {{0}}, int64[1] a1 = {{1}}, int64[1] a2 = {{2}},
             int64[1] b0 = {{7}}, int64[1] b1 = {{8}}, int64[1] b2 = {{9}}, int64[1] zero = {{0}},
             int64[1] one = {{1}}, int64[1] two = {{2}},
             int64[1] last = {{-1}}, int64[4] heads = {{2,2,2,7}}, int64[2] flat = {{0,-1}}, int64[3] copy = {{0,0,7}},
             float[4,1] c0 = {{1,2,3,4}}, float[4,1] c1 = {{5,6,7,8}}, float[4,1] c2 = {{9,1,2,3}}, float[2] k = {{2,3}}>
            {{ {" ".join(lines)} y = {join}(r0, r1, r2) }}"""
        model = onnx.parser.parse_model(text)
        model.graph.output[0].type.tensor_type.ClearField("shape")
        for name, node in zip("abc", model.graph.node, strict=False):
            node.name = f"slice_{name}"
        model.graph.node[-1].name = "join"
        return model

    return make
