"""A model of an older opset at a later one, with its meaning: ONNX's version converter changes that of three operators, and fails on two.

    Resize, Upsample before 11 : asymmetric coordinates, nearest by floor, and by ceil along axes that become shorter, as ONNX
                                 Runtime does; the converter leaves the later default half_pixel
    Hardmax before 13          : over all axes from ``axis`` on as one; the converter keeps ``axis``, which is one axis then
    Pad before 11              : the converter keeps ``value`` of the modes that do not use it; later opsets have no such attribute
    Softmax before 13          : where a body reads its result, the converter fails; written out as Hardmax is
    MeanVarianceNormalization  : its function body is FP32 and, without ``axes``, not valid; so it is written out

Measured with onnx 1.23; whatever else the converter changes is caught, because every model is compared with the file
as it came.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from .model import at_opset, opset_of

_MVN_AXES = (0, 2, 3)
_MVN_EPSILON = 1e-9


def brought_to(model: ModelProto, opset: int) -> ModelProto:
    """A copy of ``model`` at ``opset``, or at its own opset if that is later.

    Raises whatever ONNX's version converter raises, and ValueError for Scan of opset 8.
    """
    version = opset_of(model)
    if version < 9 and any(node.op_type == "Scan" for graph in _graphs(model.graph) for node in graph.node):
        raise ValueError("Scan of opset 8 runs over a first axis of batches, which no later opset has")
    copy = ModelProto()
    copy.CopyFrom(model)
    for graph in _graphs(copy.graph):
        _rewrite(graph, "MeanVarianceNormalization", lambda node: _mean_variance(node, version))
        if version < 13:
            _rewrite(graph, "Hardmax", _over_rows)
            for op in ("Softmax", "LogSoftmax"):
                _rewrite(graph, op, partial(_read_inside, read=_inside(graph)))
        if version < 11:
            _rewrite(graph, "Pad", _pad)
    if version >= opset:
        return copy
    converted = at_opset(copy, opset)
    if version < 11:
        for graph in _graphs(converted.graph):
            _rewrite(graph, "Resize", partial(_resize_10, known=_constants(graph)))
    return converted


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _constants(graph: GraphProto) -> dict[str, np.ndarray]:
    """The weights of a graph and its constants."""
    nodes = [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer} | {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in nodes
    }


def _resize_10(node: NodeProto, known: Mapping[str, np.ndarray]) -> list[NodeProto]:
    """Asymmetric; two nodes where some axes become longer and others shorter, or where that is not known."""
    scales = known.get(node.input[2])
    linear = any(a.name == "mode" and a.s == b"linear" for a in node.attribute)
    if linear or (scales is not None and (scales >= 1).all()):
        return [_asymmetric(node, "floor")]
    if scales is not None and (scales <= 1).all():
        return [_asymmetric(node, "ceil")]
    x, region, given, *_ = node.input
    y = node.output[0]
    one, longer, shorter, middle = (f"{y}/{part}" for part in ("one", "longer", "shorter", "middle"))
    first, second = (_asymmetric(node, nearest) for nearest in ("floor", "ceil"))
    first.input[:], first.output[:], first.name = [x, region, longer], [middle], f"{node.name or y}/longer"
    second.input[:] = [middle, region, shorter]
    return [
        helper.make_node("Constant", [], [one], value=numpy_helper.from_array(np.array(1, np.float32))),
        helper.make_node("Max", [given, one], [longer], f"{longer}/max"),
        helper.make_node("Min", [given, one], [shorter], f"{shorter}/min"),
        first,
        second,
    ]


def _asymmetric(node: NodeProto, nearest: str) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    given = {attribute.name for attribute in node.attribute}
    for name, value in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", nearest)):
        if name not in given:
            copy.attribute.append(helper.make_attribute(name, value))
    return copy


def _rewrite(graph: GraphProto, op: str, write: Callable[[NodeProto], list[NodeProto]]) -> None:
    """Replace, in place, every node of one operator by the nodes that ``write`` returns for it."""
    if any(node.op_type == op for node in graph.node):
        nodes = [new for node in graph.node for new in (write(node) if node.op_type == op else [node])]
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)


def _inside(graph: GraphProto) -> set[str]:
    """What bodies in the graph read, of their own tensors and of the graph's."""
    return {name for body in list(_graphs(graph))[1:] for node in body.node for name in node.input}


def _read_inside(node: NodeProto, read: set[str]) -> list[NodeProto]:
    return _over_rows(node) if node.output[0] in read else [node]


def _over_rows(node: NodeProto) -> list[NodeProto]:
    """Flatten, the operator over the second axis, Reshape, which every opset understands alike."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    x, y = node.input[0], node.output[0]
    flat, chosen, shape = (f"{y}/{part}" for part in ("flat", "chosen", "shape"))
    name = node.name or y
    return [
        helper.make_node("Flatten", [x], [flat], f"{name}/flatten", axis=axis),
        helper.make_node(node.op_type, [flat], [chosen], node.name, axis=1),
        helper.make_node("Shape", [x], [shape], f"{name}/shape"),
        helper.make_node("Reshape", [chosen, shape], [y], f"{name}/reshape"),
    ]


def _pad(node: NodeProto) -> list[NodeProto]:
    """Without the value of a mode that repeats what is there."""
    mode = next((a.s for a in node.attribute if a.name == "mode"), b"constant")
    kept = NodeProto.FromString(node.SerializeToString())
    del kept.attribute[:]
    kept.attribute.extend(a for a in node.attribute if a.name != "value" or mode == b"constant")
    return [kept]


def _mean_variance(node: NodeProto, version: int) -> list[NodeProto]:
    """(x - mean) / (sqrt(mean of squares) + epsilon), the squares those of x - mean."""
    axes = next((list(a.ints) for a in node.attribute if a.name == "axes"), list(_MVN_AXES))
    x, y = node.input[0], node.output[0]
    mean, centred, square, variance, deviation, divisor, places, epsilon = (
        f"{y}/{part}" for part in ("mean", "centred", "square", "variance", "deviation", "divisor", "axes", "epsilon")
    )
    later: dict[str, Any] = {} if version >= 18 else {"axes": axes}
    more = [places] if version >= 18 else []
    constants = [
        helper.make_node("Constant", [], [epsilon], value=numpy_helper.from_array(np.array(_MVN_EPSILON, np.float32)))
    ]
    if more:
        constants.append(helper.make_node("Constant", [], [places], value=numpy_helper.from_array(np.array(axes))))
    steps = [
        ("ReduceMean", [x, *more], mean, later),
        ("Sub", [x, mean], centred, {}),
        ("Mul", [centred, centred], square, {}),
        ("ReduceMean", [square, *more], variance, later),
        ("Sqrt", [variance], deviation, {}),
        ("Add", [deviation, epsilon], divisor, {}),
        ("Div", [centred, divisor], y, {}),
    ]
    named = [
        helper.make_node(op, inputs, [output], f"{node.name}/{output.rpartition('/')[2]}", **attributes)
        for op, inputs, output, attributes in steps
    ]
    return constants + named
