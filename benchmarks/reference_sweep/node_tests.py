"""onnx's own node tests, as they come and at the older opsets at which their calls are valid."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper

from attnexport.benchmarks.reference_sweep.case import FIRST, IR, LAST, versions
from attnexport.benchmarks.reference_sweep.trial import Key, Trial, attribute_text, dtype_text

_TENSOR = "tensor_type"
OUTSIDE: dict[str, str] = {
    "Bernoulli": "random",
    "Multinomial": "random",
    "RandomNormal": "random",
    "RandomNormalLike": "random",
    "RandomUniform": "random",
    "RandomUniformLike": "random",
    "ImageDecoder": "images",
    "RegexFullMatch": "strings",
    "StringConcat": "strings",
    "StringNormalizer": "strings",
    "StringSplit": "strings",
}
"""Operators that are not judged, and why."""


def node_tests() -> Iterator[Trial]:
    """Every node test of the default domain whose inputs and outputs are tensors of numbers, at each opset from 7 to 23."""
    for test in _collected():
        model = test.model
        if {entry.domain for entry in model.opset_import} != {""} or not _numbers(model):
            continue
        inputs, outputs = test.data_sets[0]
        feeds = {value.name: np.asarray(array) for value, array in zip(model.graph.input, inputs, strict=True)}
        if any(array.dtype.kind not in "fiubV" for array in feeds.values()) or _is_random(model.graph):
            continue
        native = model.opset_import[0].version
        for opset in _opsets(model.graph, native):
            known = tuple(outputs) if _same_meaning(model.graph, native, opset) else None
            yield Trial(
                _key(test.name, model.graph, feeds, opset), _at(model, opset), feeds, known, (test.rtol, test.atol)
            )


def _collected() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        tests: list[Any] = collect_testcases(None)
    return tests


def _numbers(model: onnx.ModelProto) -> bool:
    values = [*model.graph.input, *model.graph.output]
    kinds = {value.type.WhichOneof("value") for value in values}
    elements = {value.type.tensor_type.elem_type for value in values}
    return kinds == {_TENSOR} and onnx.TensorProto.STRING not in elements


def _is_random(graph: onnx.GraphProto) -> bool:
    training = any(node.op_type == "Dropout" and len(node.input) > 2 for node in graph.node)
    return training or any(node.op_type in OUTSIDE for node in graph.node)


def _opsets(graph: onnx.GraphProto, native: int) -> tuple[int, ...]:
    """A single call: wherever its operator changed. More nodes: the newest opset at which each call is valid."""
    if len(graph.node) == 1:
        node = graph.node[0]
        if not _known(node, LAST):
            return ()
        return tuple(v for v in versions(node.op_type) if _valid(node, v))
    candidates = [v for v in range(LAST, FIRST - 1, -1) if all(_known(n, v) and _valid(n, v) for n in graph.node)]
    return tuple(candidates[:1]) if native > LAST else (native,) if native >= FIRST else ()


def _known(node: onnx.NodeProto, opset: int) -> bool:
    return bool(defs.has(node.op_type, opset, ""))


def _valid(node: onnx.NodeProto, opset: int) -> bool:
    schema = defs.get_schema(node.op_type, opset)
    names = {attribute.name for attribute in node.attribute}
    return names <= set(schema.attributes) and schema.min_input <= len(node.input) <= schema.max_input


def _same_meaning(graph: onnx.GraphProto, native: int, opset: int) -> bool:
    """The expected values are those of the test's own opset: they bind where the operator's text is the same one."""
    if native == opset:
        return True
    return all(_since(node, native) == _since(node, opset) or node.op_type in _TYPES_ONLY for node in graph.node)


def _since(node: onnx.NodeProto, opset: int) -> int:
    return int(defs.get_schema(node.op_type, opset).since_version)


_TYPES_ONLY = frozenset(
    (
        *("Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "Ceil"),
        *("Compress", "Concat", "Conv", "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "Div", "Elu"),
        *("Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gemm"),
        *("GlobalAveragePool", "GlobalMaxPool", "Greater", "HardSigmoid", "HardSwish", "Identity"),
        *("InstanceNormalization", "IsNaN", "LRN", "LeakyRelu", "Less", "Log", "LpNormalization", "MatMul"),
        *("Max", "Mean", "Min", "Mish", "Mul", "Neg", "NonZero", "Pow", "Reciprocal", "Relu", "Round"),
        *("ScatterElements", "ScatterND", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Softplus"),
        *("Softsign", "SpaceToDepth", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile"),
        *("Transpose", "Where"),
    )
)
"""Operators whose later versions, for a call that is valid in both, only add types."""


def _at(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.opset_import[:]
    copy.opset_import.append(helper.make_opsetid("", opset))
    copy.ir_version = IR
    return copy


def _key(name: str, graph: onnx.GraphProto, feeds: dict[str, np.ndarray], opset: int) -> Key:
    node = graph.node[0]
    single = len(graph.node) == 1
    attributes = sorted((a.name, helper.get_attribute_value(a)) for a in node.attribute) if single else []
    texts = [f"{key}={attribute_text(value)}" for key, value in attributes if not isinstance(value, onnx.GraphProto)]
    inputs = " ".join(f"{dtype_text(array.dtype)}[{','.join(map(str, array.shape))}]" for array in feeds.values())
    return Key(node.op_type if single else _named(name), opset, " ".join(texts), inputs, name)


def _named(test: str) -> str:
    """The operator of a test of several nodes, by its name: test_softmax_axis_0_expanded tests Softmax."""
    words = test.removeprefix("test_").split("_")
    names = _lower_names()
    for size in range(len(words), 0, -1):
        if (joined := "".join(words[:size])) in names:
            return names[joined]
    return "several"


@cache
def _lower_names() -> dict[str, str]:
    return {s.name.lower(): s.name for s in defs.get_all_schemas_with_history() if s.domain == ""}
