"""Operators with bodies: If, Loop, Scan and SequenceMap."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import helper

from .call import FLOATS, Array, Call, NotCovered, Value

Body = Callable[[onnx.GraphProto, Sequence[Value]], list[Value]]
"""Evaluates a body on its inputs, in order; the tensors around the node are visible to it."""


def _graph(call: Call, name: str) -> onnx.GraphProto:
    graph = call.attributes.get(name)
    if not isinstance(graph, onnx.GraphProto):
        raise NotCovered
    return graph


def _if(call: Call, body: Body) -> list[Value]:
    chosen = "then_branch" if bool(call.array(0).reshape(-1)[0]) else "else_branch"
    return body(_graph(call, chosen), [])


def _without_rows(value: onnx.ValueInfoProto) -> Array:
    """What a body's output gives, stacked, if the body never runs."""
    kind = value.type.tensor_type
    dtype = np.dtype(np.float64) if kind.elem_type in FLOATS | {0} else helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return np.zeros((0, *(dim.dim_value for dim in kind.shape.dim)), dtype)


def _loop(call: Call, body: Body) -> list[Value]:
    """Runs while the condition holds, at most M times; outputs beyond the carried ones are stacked."""
    graph = _graph(call, "body")
    limit = int(call.array(0).reshape(-1)[0]) if call.present(0) else None
    running = bool(call.array(1).reshape(-1)[0]) if call.present(1) else True
    carried = list(call.inputs[2:])
    rows: list[list[Value]] = [[] for _ in range(len(graph.output) - 1 - len(carried))]
    step = 0
    while running and (limit is None or step < limit):
        condition, *results = body(graph, [np.array(step, np.int64), np.array(True), *carried])
        running = bool(np.asarray(condition).reshape(-1)[0])
        carried, further = results[: len(carried)], results[len(carried) :]
        for row, value in zip(rows, further, strict=True):
            row.append(value)
        step += 1
    kinds = graph.output[1 + len(carried) :]
    return [*carried, *(np.stack(row) if row else _without_rows(kind) for row, kind in zip(rows, kinds, strict=True))]


def _scan(call: Call, body: Body) -> list[Value]:
    if call.opset < 9:
        return _batched_scan(call, body)
    count = call.integer("num_scan_inputs", 1)
    state, scanned = list(call.inputs[:-count]), list(call.inputs[-count:])
    given = [call.integers(f"scan_{side}_{what}") for side in ("input", "output") for what in ("axes", "directions")]
    return _scanned(_graph(call, "body"), body, state, scanned, given)


def _batched_scan(call: Call, body: Body) -> list[Value]:
    """Opset 8: a first axis of batches, and the length of each one's sequence as the first input."""
    count = call.integer("num_scan_inputs", 1)
    state, scanned = call.inputs[1:-count], call.inputs[-count:]
    batch, longest = np.asarray(scanned[0]).shape[:2]
    lengths = call.array(0) if call.present(0) else np.full(batch, longest)
    given = [None, call.integers("directions"), None, None]
    results = []
    for n in range(batch):
        parts = [value[n, : lengths[n]] for value in scanned]
        outputs = _scanned(_graph(call, "body"), body, [value[n] for value in state], parts, given)
        for place in range(len(state), len(outputs)):
            missing = [(0, longest - len(outputs[place]))] + [(0, 0)] * (outputs[place].ndim - 1)
            outputs[place] = np.pad(outputs[place], missing)
        results.append(outputs)
    return [np.stack(values) for values in zip(*results, strict=True)]


def _scanned(
    graph: onnx.GraphProto, body: Body, state: list[Value], scanned: list[Array], given: list[list[int] | None]
) -> list[Value]:
    """``given``: axes and directions of the scanned inputs, then of the outputs."""
    kinds = graph.output[len(state) :]
    axes, directions = given[0] or [0] * len(scanned), given[1] or [0] * len(scanned)
    out_axes, out_directions = given[2] or [0] * len(kinds), given[3] or [0] * len(kinds)
    lines = []
    for value, axis, reverse in zip(scanned, axes, directions, strict=True):
        line = np.moveaxis(value, axis, 0)
        lines.append(line[::-1] if reverse else line)
    rows: list[list[Array]] = [[] for _ in kinds]
    for step in range(len(lines[0])):
        results = body(graph, [*state, *(np.array(line[step]) for line in lines)])
        state, further = results[: len(state)], results[len(state) :]
        for row, value in zip(rows, further, strict=True):
            row.append(value)
    outputs = []
    for row, kind, axis, reverse in zip(rows, kinds, out_axes, out_directions, strict=True):
        stacked = np.stack(row[::-1] if reverse else row) if row else _without_rows(kind)
        outputs.append(np.moveaxis(stacked, 0, axis))
    return [*state, *outputs]


def _sequence_map(call: Call, body: Body) -> list[Value]:
    """The body for each element of the first sequence; further sequences go along, tensors are the same each time."""
    graph = _graph(call, "body")
    results: list[list[Value]] = [[] for _ in graph.output]
    for place in range(len(call.inputs[0])):
        values = [value[place] if isinstance(value, list) else value for value in call.inputs]
        for result, value in zip(results, body(graph, values), strict=True):
            result.append(value)
    return list(results)


CONTROL: dict[str, Callable[[Call, Body], list[Value]]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    "SequenceMap": _sequence_map,
}
"""By operator of the standard domain."""
