"""The findings of a scan: each node of a target's lowered graph compared with the measured operator matrix, and TensorRT's parser.

Slow are: operators that the matrix measured as slow; samplings and deformable convolutions lowered to gathers, for which the
target has no correct operator; loops, whose iterations run in sequence; double precision on a GPU. An operator without a row in
the matrix has no finding. The parser of the installed TensorRT names each node that it refuses; it needs no GPU.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import onnx
from onnx import TensorProto, helper

from ...errors import InputError
from ...runtime.sessions.large_model import save_model
from ..engine.flavour import Flavour, find_flavour
from ..engine.logger import clean, logger_of
from ..graph.model import opset_of
from ..graph.origin import Origin, Origins, origin_of
from ..lower import LoweringResult
from ..recognise import Recognised
from ..targets import engine_target, target_names, target_of, verdict
from ..targets.matrix import Fact

Status = Literal["cannot", "wrong", "slow", "left"]
"""The operator does not run; returns wrong values; is slow; is local attention that is not recognised."""
ORDER: tuple[Status, ...] = ("cannot", "wrong", "slow", "left")


@dataclass(frozen=True)
class Finding:
    """An operator on some targets, with its reason, its module and line, and its count. ``modules``: every module with it."""

    status: Status
    operator: str
    targets: tuple[str, ...]
    reason: str
    module: str = ""
    kind: str = ""
    source: str = ""
    count: int = 1
    modules: tuple[str, ...] = ()

    @classmethod
    def of(cls, status: Status, operator: str, targets: Sequence[str], reason: str, origin: Origin | None) -> "Finding":
        """Return one finding at ``origin``."""
        known = origin or Origin("", "", "")
        return cls(status, operator, tuple(targets), reason, known.module, known.kind, known.source, 1, (known.module,))


def together(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Merge the findings of each operator and line, with all targets, modules and reasons. The worst come first."""
    merged: dict[tuple[Any, ...], Finding] = {}
    counts: Counter[tuple[Any, ...]] = Counter()
    for finding in findings:
        key = (finding.status, finding.operator, finding.kind, finding.source)
        counts.update((key, target) for target in finding.targets)
        first = merged.setdefault(key, finding)
        targets = tuple(name for name in target_names() if name in {*first.targets, *finding.targets})
        modules = tuple(dict.fromkeys((*first.modules, *finding.modules)))
        reason = first.reason if finding.reason in first.reason else f"{first.reason}; {finding.reason}"
        count = max(counts[key, target] for target in targets)
        merged[key] = replace(first, targets=targets, modules=modules, reason=reason, count=count)
    return tuple(sorted(merged.values(), key=lambda f: (ORDER.index(f.status), f.module, f.operator)))


_DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.DOUBLE: "float64",
    TensorProto.BFLOAT16: "bfloat16",
}  # fmt: skip
_STATUS: dict[str, Status] = {"fails": "cannot", "wrong": "wrong", "slow": "slow"}
_GATHERED = ("GridSample", "GridSample3d", "DeformConv")
_LOOPS = ("Loop", "Scan")
_PROBED = re.compile(r"TensorRT's parser refuses (?:the model|\w+ node '[^']*'): ")


def measured(model: onnx.ModelProto, target: str, origins: Origins) -> Iterator[Finding]:
    """Yield the findings of the matrix for each node of a lowered graph, in FP32 and, on a GPU, in FP16."""
    types = _types(model)
    opset = opset_of(model)
    for node in model.graph.node:
        data = next((types[name] for name in node.input if name in types), None)
        dtype = _DTYPES.get(data[0], "") if data else ""
        origin = origin_of(node.name, origins)
        if node.op_type in _LOOPS:
            reason = "iterations run one after the other: unroll it, or write it without a loop"
            yield Finding.of("slow", node.op_type, [target], reason, origin)
        if dtype == "float64" and target_of(target).gpu:
            yield Finding.of("slow", "float64", [target], "a GPU computes double precision slowly: use float32", origin)
        dtypes = [dtype, "float16"] if dtype == "float32" and target_of(target).half else [dtype]
        for tested in dtypes:
            facts = _facts(node, tested, len(data[1]) if data else None)
            fact = verdict(target, node.op_type, opset=opset, **facts) if tested else None
            if fact is not None and fact.status in _STATUS:
                reason = _PROBED.sub("", fact.reason).strip() or fact.status
                yield Finding.of(_STATUS[fact.status], node.op_type, [target], reason, origin)
                break


def gathered(result: LoweringResult, target: str, origins: Origins) -> Iterator[Finding]:
    """Yield a finding for each sampling lowered to gathers, with the reason why the target's operator was refused."""
    for applied in result.applied:
        if applied.op in _GATHERED and "gather" in applied.lowering:
            reason = "; ".join(dict.fromkeys(applied.refused.values())) or "no native operator"
            origin = origin_of(applied.node, origins)
            yield Finding.of("slow", applied.op, [target], f"sampled by gathers: {reason}", origin)


def unrecognised(recognised: Recognised, targets: tuple[str, ...], origins: Origins) -> Iterator[Finding]:
    """Yield a finding for each window that is not recognised; it copies the map for each tap of the window."""
    operators = {node.name: node.op_type for node in recognised.model.graph.node}
    for entry in recognised.refused:
        reason = f"not recognised as local attention, so windows are copied: {entry.reason}"
        operator = operators.get(entry.node, "attention")
        yield Finding.of("left", operator, targets, reason, origin_of(entry.node, origins))


def _types(model: onnx.ModelProto) -> dict[str, tuple[int, list[Any]]]:
    graph = model.graph
    types = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        types[value.name] = (tensor.elem_type, list(tensor.shape.dim))
    return types


def _facts(node: onnx.NodeProto, dtype: str, rank: int | None) -> Mapping[str, Fact]:
    """Return the properties of a node by which the matrix distinguishes its rows."""
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


def installed_flavour() -> Flavour | None:
    """Return the TensorRT that would build engines here; None if none is installed."""
    try:
        return find_flavour("auto")
    except InputError:
        return None


def refused(model: onnx.ModelProto, flavour: Flavour, origins: Origins) -> Iterator[Finding]:
    """Yield a finding for each node that the parser refuses."""
    trt = flavour.module
    logger, collector = logger_of(trt)
    target = engine_target(flavour.name, flavour.version[0])
    with collector.recording():
        builder = trt.Builder(logger)
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if flavour.asks_for_strong_typing else 0
        network = builder.create_network(flags)
        parser = trt.OnnxParser(network, logger)
        with TemporaryDirectory() as folder:
            path, *_ = save_model(model, Path(folder) / "model.onnx")
            supported = parser.supports_model_v2(path.read_bytes(), str(path))
        errors = [] if supported else [parser.get_error(i) for i in range(parser.num_errors)]
        for error in errors:
            text = clean(error.desc().removeprefix(f"Invalid Node - {error.node_name()}\n"))
            text = text.removeprefix("Assertion failed: ")
            reason = "the operator is not supported" if error.desc() == "false" else text
            origin = origin_of(error.node_name(), origins)
            operator = error.node_operator() or "model"
            yield Finding.of("cannot", operator, [target], f"{flavour.title}: {reason}", origin)
        del errors, parser, network, builder
