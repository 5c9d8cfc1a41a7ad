"""The lowered graph of a target, node by node, held to the measured operator matrix; and what lowering had to give up.

Slow are: what the matrix measured so; samplings and deformable convolutions that became gathers since the target has no operator
that is right; loops, whose iterations wait for each other; double precision on a GPU. What the matrix has no row for says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper

from ..graph.opset import opset_of
from ..graph.origin import Origins, origin_of
from ..lower import Applied, LoweringResult
from ..recognise import Recognised
from ..targets import target_of, verdict
from ..targets.matrix import Fact
from .finding import Finding, Status

_DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.BFLOAT16: "bfloat16",
}
_STATUS: dict[str, Status] = {"fails": "cannot", "wrong": "wrong", "slow": "slow"}
_GATHERS = {
    "GridSample": "sampled by gathers",
    "GridSample3d": "sampled by gathers",
    "DeformConv": "sampled by gathers",
}
_LOOPS = ("Loop", "Scan")
_PROBED = re.compile(r"TensorRT's parser refuses (?:the model|\w+ node '[^']*'): ")


def measured(model: onnx.ModelProto, target: str, origins: Origins) -> Iterator[Finding]:
    """What the matrix says of the nodes of a lowered graph, in FP32 and, on a GPU, in FP16."""
    types = _types(model)
    opset = opset_of(model)
    for node in model.graph.node:
        own = next((types[name] for name in node.input if name in types), None)
        dtype = _DTYPES.get(own[0], "") if own else ""
        origin = origin_of(node.name, origins)
        if node.op_type in _LOOPS:
            reason = "iterations run one after the other: unroll it, or write it without a loop"
            yield Finding.of("slow", node.op_type, [target], reason, origin)
        if dtype == "float64" and target_of(target).gpu:
            yield Finding.of("slow", "float64", [target], "a GPU computes double precision slowly: use float32", origin)
        asked = [dtype, "float16"] if dtype == "float32" and target_of(target).half else [dtype]
        for one in asked:
            facts = _facts(node, model, one, len(own[1]) if own else None)
            found = verdict(target, node.op_type, opset=opset, **facts) if one else None
            if found is not None and found.status in _STATUS:
                reason = _PROBED.sub("", found.reason).strip() or found.status
                yield Finding.of(_STATUS[found.status], node.op_type, [target], reason, origin)
                break


def given_up(result: LoweringResult, target: str, origins: Origins) -> Iterator[Finding]:
    """Samplings for which the target's own operator was refused, with the reason."""
    for applied in result.applied:
        if applied.op in _GATHERS and "gather" in applied.lowering:
            why = "; ".join(dict.fromkeys(applied.refused.values())) or "no native operator"
            yield Finding.of("slow", applied.op, [target], f"{_GATHERS[applied.op]}: {why}", _origin(applied, origins))


def left(recognised: Recognised, targets: tuple[str, ...], origins: Origins) -> Iterator[Finding]:
    """Windows that stay unfolded, with recognition's reason: they take a copy of the map for each tap of the window."""
    operators = {node.name: node.op_type for node in recognised.model.graph.node}
    for entry in recognised.refused:
        reason = f"not recognised as local attention, so windows are copied: {entry.reason}"
        operator = operators.get(entry.node, "attention")
        yield Finding.of("left", operator, targets, reason, origin_of(entry.node, origins))


def _origin(applied: Applied, origins: Origins) -> Any:
    return origin_of(applied.node, origins)


def _types(model: onnx.ModelProto) -> dict[str, tuple[int, list[Any]]]:
    graph = model.graph
    found = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        found[value.name] = (tensor.elem_type, list(tensor.shape.dim))
    return found


def _facts(node: onnx.NodeProto, model: onnx.ModelProto, dtype: str, rank: int | None) -> Mapping[str, Fact]:
    """The facts of a node that rows of the matrix name, besides those that only say which case was measured."""
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}

    def text(name: str, default: str) -> str:
        value = values.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    facts: dict[str, Fact] = {"dtype": dtype}
    if node.op_type == "GridSample":
        modes = {"bilinear": "linear", "bicubic": "cubic"}
        mode = text("mode", "linear")
        facts |= {"mode": modes.get(mode, mode), "padding": text("padding_mode", "zeros")}
        facts |= {"rank": rank} if rank is not None else {}
    elif node.op_type == "Resize":
        facts |= {"antialias": int(values.get("antialias", 0)), "mode": text("mode", "nearest")}
    elif node.op_type in ("ScatterND", "ScatterElements"):
        facts |= {"reduction": text("reduction", "none")}
    elif node.op_type == "Loop":
        facts |= {"condition": int(len(node.input) > 1 and bool(node.input[1]))}
    return facts
