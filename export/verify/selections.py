"""Find the outputs whose rows a model selects by a score, from its graph.

    TopK                              rows along the axis whose size is K; also sort, whose K is the whole axis
    NonMaxSuppression, NonZero, ...   rows along the axis whose size no input gives: it is the number of selected elements

Rounding can change the order of such rows and the choice of the last ones, so they are matched before they are compared
(:mod:`...runtime.check.selection`). An output belongs to a selection if it depends on it and has an axis of its
size; outputs are matched together if the axes before that one are equal.
"""

from collections.abc import Collection, Iterator, Sequence

import onnx
from onnx import numpy_helper

from ...runtime.bundle.sections import Selection
from ...runtime.spec import TensorSpec

Size = int | str
"""Of an axis: a number or a symbol."""
_COUNTING = frozenset({"NonMaxSuppression", "NonZero", "Compress", "Unique"})
_SAME_ORDER = frozenset(
    {"Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Sigmoid", "Sqrt", "Exp", "Log"}
)
"""Operators that keep the place and the order of scores."""


def find_selections(
    model: onnx.ModelProto, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[Selection, ...]:
    """Return the selections of ``model``; each output belongs to at most one, that of the last operator before it."""
    graph = model.graph
    reached = _reached(graph)
    sizes = dict(_selected_sizes(graph))
    symbols = {axis.symbol for spec in inputs for axis in spec.axes}
    counted = dict(_counted_axes(graph, symbols))
    groups: dict[tuple[str, tuple[Size, ...]], dict[str, int]] = {}
    for spec in outputs:
        for node in reversed([n for n in graph.node if _key(n) in reached.get(spec.name, ())]):
            size = sizes.get(_key(node))
            axis = counted.get(spec.name) if size is None else _row_axis(spec, size)
            if axis is not None:
                groups.setdefault((_key(node), _before(spec, axis)), {})[spec.name] = axis
                break
    return tuple(
        Selection(axes, _scores(graph, key, [spec for spec in outputs if spec.name in axes]))
        for (key, _), axes in groups.items()
    )


def _key(node: onnx.NodeProto) -> str:
    """A node by its first output: names of nodes may be empty."""
    return next((name for name in node.output if name), "")


def _reached(graph: onnx.GraphProto) -> dict[str, frozenset[str]]:
    """For each tensor, the selecting nodes that it depends on."""
    reached: dict[str, frozenset[str]] = {}
    for node in graph.node:
        sources = frozenset[str]().union(*(reached.get(name, frozenset()) for name in _read(node)))
        if node.op_type == "TopK" or node.op_type in _COUNTING:
            sources |= {_key(node)}
        if sources:
            reached.update((name, sources) for name in node.output if name)
    return reached


def _read(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        if attribute.type == attribute.GRAPH:
            for inner in attribute.g.node:
                yield from _read(inner)


def _selected_sizes(graph: onnx.GraphProto) -> Iterator[tuple[str, Size | None]]:
    """The number of rows of each selecting node; None if only the values decide it."""
    values = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    for node in graph.node:
        if node.op_type in _COUNTING:
            yield _key(node), None
        elif node.op_type == "TopK":
            if len(node.input) > 1 and node.input[1] in values:
                yield _key(node), int(numpy_helper.to_array(values[node.input[1]]).reshape(-1)[0])
                continue
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
            for name in node.output:
                if len(dims := shapes.get(name, ())) > 0:
                    dim = dims[axis]
                    yield _key(node), dim.dim_param or dim.dim_value
                    break


def _counted_axes(graph: onnx.GraphProto, symbols: Collection[str | None]) -> Iterator[tuple[str, int]]:
    """For each output the first axis whose size no input gives."""
    given = {dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim} | set(symbols)
    for value in graph.output:
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value") and (not dim.dim_param or dim.dim_param not in given):
                yield value.name, i
                break


def _row_axis(spec: TensorSpec, size: Size) -> int | None:
    """The axis of the selected rows: a batch is not one."""
    for i, axis in enumerate(spec.axes):
        if axis.symbol == size or (axis.symbol is None and axis.opt == size and (i or len(spec.axes) == 1)):
            return i
    return None


def _before(spec: TensorSpec, axis: int) -> tuple[Size, ...]:
    """The sizes of the axes before the rows: outputs of other sizes there do not have the same rows."""
    return tuple(a.symbol or a.opt for a in spec.axes[:axis])


def _scores(graph: onnx.GraphProto, key: str, outputs: Sequence[TensorSpec]) -> str:
    """The output that holds the values of the TopK whose first output is ``key``, or an empty string."""
    makers = {name: node for node in graph.node for name in node.output if name}
    for spec in outputs:
        name = spec.name
        while name in makers and name != key and makers[name].op_type in _SAME_ORDER:
            name = makers[name].input[0]
        maker = makers.get(name)
        if (
            maker is not None
            and maker.op_type == "TopK"
            and name == maker.output[0] == key
            and spec.numpy_dtype.kind == "f"
        ):
            return spec.name
    return ""
