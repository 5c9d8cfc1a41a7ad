"""If, Loop and Scan, with bodies that are drawn as the graph around them is, and that read its values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import floats, movement
from .sketch import Arrays, Rejected, Sketch, Step

_INNER = (*floats.KINDS, movement.transpose, movement.cut, movement.gather, movement.pad)


def _inner(s: Sketch, word: str, seen: list[str]) -> Sketch:
    """A body that reads ``seen`` of the graph around it."""
    return Sketch(s.rng, s.opset, s.free, s.fresh(word) + "_", values=dict(s.values), pool=list(seen))


def _state(body: Sketch, name: str, value: np.ndarray, readable: bool = True) -> str:
    body.values[name] = value
    body.given.append(name)
    if readable:
        body.pool.append(name)
    return name


def _body_value(body: Sketch, start: str, shape: tuple[int, ...] | None = None) -> str:
    """A few kinds in the body, from ``start``; of that shape where one is asked for."""
    for _ in range(body.between(1, 3)):
        body.attempt(body.one((*_INNER, branch)))
    found = [n for n in body.pool if body.values[n].dtype.kind == "f" and n != start and n.startswith(body.prefix)]
    if shape is not None:
        found = [n for n in found if body.shape(n) == shape and n not in body.given]
    made = [n for n in found if any(n in node.output for node in body.nodes)]
    return made[-1] if made else body.op("Tanh", [start], np.tanh)


def branch(s: Sketch) -> None:
    """If by a boolean input, or by a comparison; the branches give values of one shape."""
    x = s.pick()
    flags = [n for n in s.pool if s.values[n].dtype == bool and s.shape(n) == ()]
    if flags and s.flip():
        choice = s.one(flags)
    else:
        total = s.op("ReduceMean", [x], lambda v: np.mean(v), keepdims=0)
        choice = s.op("Greater", [total, s.const(0.0)], np.greater)
    shape = s.shape(x)
    bodies: dict[str, tuple[Sketch, str]] = {}
    for side in ("then_branch", "else_branch"):
        body = _inner(s, side, [x])
        bodies[side] = (body, _body_value(body, x, shape))
    outer = _outer(*(body for body, _ in bodies.values()))

    def function(flag: np.ndarray, *values: np.ndarray) -> np.ndarray:
        body, name = bodies["then_branch" if flag else "else_branch"]
        return _evaluate(body, dict(zip(outer, values, strict=True)), {}, [name])[name]

    graphs = {side: body.graph([name]) for side, (body, name) in bodies.items()}
    s.keep(_node(s, "If", [choice], outer, function, **graphs))


def loop(s: Sketch) -> None:
    """A fixed number of steps with a state; what each step gives is stacked."""
    x = s.pick()
    if s.free:
        raise Rejected("stacked in front of the free axis")
    body = _inner(s, "body", [x])
    step, go = (
        _state(body, f"{body.prefix}{word}", value, False) for word, value in (("i", np.int64(0)), ("go", np.bool_(1)))
    )
    state = _state(body, f"{body.prefix}state", s.values[x])
    following = _body_value(body, state, s.shape(x))
    following = body.op("Tanh", [body.op("Add", [following, state], np.add)], np.tanh)
    given = body.op("Abs", [state], np.abs)
    on = body.op("Identity", [go], lambda v: v)
    count, outer = s.between(1, 3), _outer(body)

    def function(
        _n: np.ndarray, _go: np.ndarray, first: np.ndarray, *values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        around, stacked = dict(zip(outer, values, strict=True)), []
        for i in range(count):
            feeds = {step: np.int64(i), go: np.bool_(True), state: first}
            results = _evaluate(body, around, feeds, [following, given])
            first = results[following]
            stacked.append(results[given])
        return first, np.stack(stacked)

    inputs = [s.const(count, np.int64), s.const(True, np.bool_), x]
    _node(s, "Loop", inputs, outer, function, 2, body=body.graph([on, following, given]))
    s.keep(*s.nodes[-1].output)


def scan(s: Sketch) -> None:
    """Row by row, with a running state; forwards or backwards from opset 9 on."""
    if s.opset < 9 or s.free:
        raise Rejected("fixed sizes from opset 9 on")
    x = s.pick((2, 3))
    back = s.flip()
    body = _inner(s, "scan", [])
    state = _state(body, f"{body.prefix}state", np.zeros(s.shape(x)[1:]))
    row = _state(body, f"{body.prefix}row", s.values[x][0])
    total = body.op("Add", [body.op("Mul", [state, body.const(0.5)], np.multiply), row], np.add)
    given = body.op(*body.one([("Tanh", [total], np.tanh), ("Relu", [total], lambda v: np.maximum(v, 0))]))
    outer = _outer(body)

    def function(first: np.ndarray, rows: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        around, stacked = dict(zip(outer, values, strict=True)), []
        for one in rows[::-1] if back else rows:
            results = _evaluate(body, around, {state: first, row: one}, [total, given])
            first = results[total]
            stacked.append(results[given])
        return first, np.stack(stacked)

    start = s.const(np.zeros(s.shape(x)[1:]))
    named = {"scan_input_directions": [int(back)]}
    _node(s, "Scan", [start, x], outer, function, 2, body=body.graph([total, given]), num_scan_inputs=1, **named)
    s.keep(*s.nodes[-1].output)


def _outer(*bodies: Sketch) -> tuple[str, ...]:
    """What bodies read of the graph around them."""
    read = (
        name for body in bodies for step in body.program for name in step.inputs if not name.startswith(body.prefix)
    )
    return tuple(dict.fromkeys(filter(None, read)))


def _node(
    s: Sketch, op: str, inputs: list[str], outer: tuple[str, ...], function: Callable, outputs: int = 1, **named
) -> str:
    """A node whose function also gets what its bodies read."""
    first = s.op(op, inputs, lambda *v: function(*v, *(s.values[n] for n in outer)), outputs, **named)
    made = s.program.pop()
    s.program.append(Step(function, (*made.inputs, *outer), made.outputs))
    return first


def _evaluate(body: Sketch, around: Arrays, feeds: Arrays, outputs: list[str]) -> Arrays:
    values = around | feeds
    for step in body.program:
        step.run(values)
    return {name: np.asarray(values[name]) for name in outputs}


KINDS = (branch, loop, scan)
