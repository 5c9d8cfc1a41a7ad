"""What windows are lowered to, and what index arithmetic needs: one-hot Conv, ConvTranspose, Pad, gathers, sums, free sizes."""

from collections.abc import Iterator

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

from .case import DTYPES, NODE, Expect, ProbeCase, model_of, normal, one_operator


def cases() -> Iterator[ProbeCase]:
    """All of them, FP32 first, each with free sizes where that is in doubt."""
    for dtype in ("float32", "float16"):
        for free in (0, 1):
            yield _one_hot("Conv", 4, _unfolded, dtype, free)
            yield _one_hot("ConvTranspose", 36, _folded, dtype, free)
            yield _pad(dtype, free)
        yield _einsum(dtype, "nhdp,nhdtp->nhtp", (2, 3, 8, 6), (2, 3, 8, 5, 6))
        yield _einsum(dtype, "...le,...se->...ls", (2, 3, 5, 8), (2, 3, 7, 8))
        yield one_operator(
            "CumSum", {"x": normal(2, 6), "axis": np.array(1)}, lambda x, _: x.cumsum(1), dtype=dtype, constants=["axis"]
        )  # fmt: skip
        yield _top_k(dtype)
        yield _gather_elements(dtype)
        yield _if(dtype)
        for condition in (0, 1):
            yield _loop(dtype, condition)


def _unfolded(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    y: torch.Tensor = F.unfold(x, 3, padding=1).reshape(len(x), -1, *x.shape[2:])
    return y


def _folded(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return F.fold(x.flatten(2), x.shape[2:], 3, padding=1)


def _one_hot(op: str, channels: int, expect: Expect, dtype: str, free: int) -> ProbeCase:
    """F.unfold by a grouped Conv, or F.fold by a grouped ConvTranspose, whose kernels are unit vectors."""
    kernel = np.tile(np.eye(9, dtype=np.float32).reshape(9, 1, 3, 3), (4, 1, 1, 1))
    return one_operator(
        op, {"x": normal(2, channels, 6, 5), "kernel": kernel}, expect, dtype=dtype, constants=["kernel"],
        facts={"kernel": "one-hot", "grouped": 1, "free": free}, group=4, pads=[1, 1, 1, 1],
    )  # fmt: skip


def _pad(dtype: str, free: int) -> ProbeCase:
    inputs = {"x": normal(2, 3, 6, 5), "pads": np.array([0, 0, 1, 2, 0, 0, 3, 1])}
    return one_operator(
        "Pad", inputs, lambda x, _: F.pad(x, (2, 1, 1, 3)), dtype=dtype, constants=["pads"], facts={"free": free}
    )


def _einsum(dtype: str, equation: str, first: tuple[int, ...], second: tuple[int, ...]) -> ProbeCase:
    return one_operator(
        "Einsum", {"a": normal(*first), "b": normal(*second)}, lambda a, b: torch.einsum(equation, a, b),
        dtype=dtype, facts={"equation": equation}, equation=equation,
    )  # fmt: skip


def _top_k(dtype: str) -> ProbeCase:
    case = one_operator(
        "TopK", {"x": normal(3, 9), "k": np.array([4])}, lambda x, _: x.topk(4).values, dtype=dtype, constants=["k"]
    )
    case.model.graph.node[0].output.append("places")
    return case


def _gather_elements(dtype: str) -> ProbeCase:
    places = np.random.default_rng(6).integers(0, 6, (2, 4))
    return one_operator(
        "GatherElements", {"x": normal(2, 6), "places": places}, lambda x, at: x.gather(1, at), dtype=dtype, axis=1
    )


def _if(dtype: str) -> ProbeCase:
    """Two branches of one shape, chosen by the data."""
    x = normal(2, 6)
    kind = DTYPES[dtype]

    def branch(name: str, op: str) -> object:
        node = helper.make_node(op, ["x"], [name], name=f"{NODE}/{name}")
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(name, kind, [2, 6])])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], NODE, then_branch=branch("kept", "Relu"), else_branch=branch("turned", "Neg")),
    ]  # fmt: skip
    inputs = {"x": x, "zero": np.zeros((), np.float32)}
    model = model_of(nodes, inputs, {"x": dtype, "zero": dtype}, rank=2, opset=18, dtype=dtype, constants=["zero"])
    feed = x.astype(dtype)
    wide = feed.astype(np.float64)
    return ProbeCase("If", 18, {"dtype": dtype}, model, {"x": feed}, np.maximum(wide, 0) if wide.sum() > 0 else -wide)


def _loop(dtype: str, condition: int) -> ProbeCase:
    """A state of one shape, carried round a number of trips that the graph computes; ``condition``: the input is given."""
    x = normal(2, 6)
    kind = DTYPES[dtype]
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["more"], name=f"{NODE}/more"),
            helper.make_node("Add", ["state", "state"], ["next"], name=f"{NODE}/add"),
        ],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("state", kind, ["x0", 6])],
        [info("more", TensorProto.BOOL, []), info("next", kind, ["x0", 6])],
    )
    nodes = [
        helper.make_node("Shape", ["x"], ["trips"], start=0, end=1),
        helper.make_node("Squeeze", ["trips"], ["count"]),
        helper.make_node("Loop", ["count", "go_on" if condition else "", "x"], ["y"], NODE, body=body),
    ]
    model = model_of(nodes, {"x": x}, {"x": dtype}, rank=2, opset=18, dtype=dtype, free={"x": (0,)})
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "go_on"))
    feed = x.astype(dtype)
    return ProbeCase(
        "Loop", 18, {"dtype": dtype, "condition": condition}, model, {"x": feed}, feed.astype(np.float64) * 4
    )
