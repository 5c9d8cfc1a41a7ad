"""Edits of an ONNX graph that make it wrong, each a function of the model, which it changes in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Edit = Callable[[ModelProto], None]
Change = Callable[[np.ndarray], np.ndarray]


def node_of(model: ModelProto, name: str) -> NodeProto:
    """The node of this name."""
    (node,) = (node for node in model.graph.node if node.name == name)
    return node


def attribute(name: str, **values: object) -> Edit:
    """Other attributes of the node ``name``."""

    def edit(model: ModelProto) -> None:
        node = node_of(model, name)
        kept = [a for a in node.attribute if a.name not in values]
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(key, value) for key, value in values.items())])

    return edit


def operator(name: str, op: str, *keep: str) -> Edit:
    """Another operator in place of the node ``name``; ``keep`` names the attributes that it takes over."""

    def edit(model: ModelProto) -> None:
        node = node_of(model, name)
        node.op_type = op
        kept = [a for a in node.attribute if a.name in keep]
        del node.attribute[:]
        node.attribute.extend(kept)

    return edit


def reads(name: str, position: int, tensor: str) -> Edit:
    """The node ``name`` reads ``tensor`` as its input ``position``."""

    def edit(model: ModelProto) -> None:
        node_of(model, name).input[position] = tensor

    return edit


def constant(reader: str, position: int, change: Change) -> Edit:
    """The node ``reader`` gets another constant; other readers keep the right one."""

    def edit(model: ModelProto) -> None:
        node = node_of(model, reader)
        (tensor,) = (t for t in model.graph.initializer if t.name == node.input[position])
        right = numpy_helper.to_array(tensor)
        wrong = np.asarray(change(right.copy())).astype(right.dtype)
        assert not np.array_equal(wrong, right)
        model.graph.initializer.append(numpy_helper.from_array(wrong, f"{tensor.name}/wrong"))
        node.input[position] = f"{tensor.name}/wrong"

    return edit


def scaled(factor: float, index: object = ...) -> Change:
    """The elements at ``index`` times ``factor``."""

    def change(array: np.ndarray) -> np.ndarray:
        array[index] = array[index] * factor  # type: ignore[index]
        return array

    return change


def swapped_outputs(first: str, second: str) -> Edit:
    """Two outputs exchange their names."""

    def edit(model: ModelProto) -> None:
        _rename(model, {first: second, second: first})

    return edit


def behind(output: str, body: Callable[[str, str], Sequence[NodeProto]], **constants: np.ndarray) -> Edit:
    """Nodes between what computes an output and the output: ``body`` gets the right tensor's name and the output's."""

    def edit(model: ModelProto) -> None:
        right = f"{output}/right"
        _rename(model, {output: right})
        model.graph.node.extend(body(right, output))
        model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())

    return edit


def part(output: str, axis: int, index: int, factor: float, *, batch: int | None = None) -> Edit:
    """One index of one axis times ``factor``; integers are shifted by it. ``batch``: only in a batch of so many."""
    integer = isinstance(factor, int)
    dtype = np.int64 if integer else np.float32

    def body(right: str, wrong: str) -> list[NodeProto]:
        place = helper.make_node("Equal", ["p/range", "p/index"], ["p/here"])
        nodes = [
            helper.make_node("Shape", [right], ["p/shape"]),
            helper.make_node("Gather", ["p/shape", "p/axis"], ["p/size"]),
            helper.make_node("Range", ["p/zero", "p/size", "p/one"], ["p/range"]),
            place,
        ]
        if batch is not None:
            nodes.append(helper.make_node("Gather", ["p/shape", "p/zero"], ["p/batch"]))
            nodes.append(helper.make_node("Equal", ["p/batch", "p/only"], ["p/that"]))
            nodes.append(helper.make_node("And", ["p/here", "p/that"], ["p/both"]))
        nodes += [
            helper.make_node("Where", [nodes[-1].output[0], "p/factor", "p/neutral"], ["p/line"]),
            helper.make_node("Unsqueeze", ["p/line", "p/others"], ["p/map"]),
            helper.make_node("Add" if integer else "Mul", [right, "p/map"], [wrong]),
        ]
        return nodes

    def edit(model: ModelProto) -> None:
        (info,) = (v for v in model.graph.output if v.name == output)
        rank = len(info.type.tensor_type.shape.dim)
        others = np.array([i for i in range(rank) if i != axis], np.int64)
        int64 = {"p/axis": axis, "p/zero": 0, "p/one": 1, "p/index": index, "p/only": batch or 0}
        numbers = {"p/factor": factor, "p/neutral": 0 if integer else 1}
        behind(
            output, body, **{k: np.array(v, np.int64) for k, v in int64.items()}, **{"p/others": others},
            **{k: np.array(v, dtype) for k, v in numbers.items()},
        )(model)  # fmt: skip

    return edit


def rounded(tensor: str) -> Edit:
    """Every reader of a float32 tensor gets it through FP16."""

    def edit(model: ModelProto) -> None:
        for node in model.graph.node:
            for i, name in enumerate(node.input):
                if name == tensor:
                    node.input[i] = f"{tensor}/coarse"
        place = next(i for i, node in enumerate(model.graph.node) if tensor in node.output)
        model.graph.node.insert(place + 1, helper.make_node("Cast", [tensor], ["half"], to=TensorProto.FLOAT16))
        model.graph.node.insert(
            place + 2, helper.make_node("Cast", ["half"], [f"{tensor}/coarse"], to=TensorProto.FLOAT)
        )

    return edit


def _rename(model: ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        for side in (node.input, node.output):
            for i, name in enumerate(side):
                side[i] = names.get(name, name)
