"""The search along a graph: the first tensor that differs on a way that leads to the output, however few are looked at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from attnexport.export.verify import locate as module
from attnexport.export.verify.graphs import Flow
from attnexport.export.verify.locate import Place, locate, relative_error

FLOOR = 2.0**-24


def _graph(*nodes: tuple[str, list[str], str]) -> onnx.GraphProto:
    made = [helper.make_node(op, inputs, [output], name=f"n/{output}") for op, inputs, output in nodes]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in ("x", made[-1].output[0])]
    return helper.make_graph(made, "g", ends[:1], ends[1:])


def _chain(length: int) -> onnx.GraphProto:
    return _graph(*(("Relu", [f"t{i - 1}" if i else "x"], f"t{i}") for i in range(length)))


def _search(
    graph: onnx.GraphProto, errors: dict[str, float], shared: Sequence[str] | None = None
) -> tuple[Place | None, list[list[str]]]:
    """Search with given errors (others round); what was looked at, round by round."""
    flow = Flow(graph)
    output = graph.output[0].name
    rounds: list[list[str]] = []

    def compare(names: Sequence[str]) -> dict[str, float | None]:
        rounds.append(list(names))
        return {name: errors.get(name, 2 * FLOOR) for name in names}

    return locate(flow, shared if shared is not None else set(flow.maker), output, compare, FLOOR), rounds


@pytest.mark.parametrize("at", [0, 1, 17, 398, 399])
def test_the_first_of_a_long_chain_is_found_in_a_few_rounds(at: int) -> None:
    place, rounds = _search(_chain(400), {f"t{i}": 1e-2 for i in range(at, 400)})
    assert place == Place(f"t{at}", frozenset({f"t{at}"}))
    assert max(map(len, rounds)) <= module.MOST
    assert len(rounds) <= 5


def test_a_difference_that_dies_out_is_not_blamed() -> None:
    """A mask of -1e9 is stored as -65504: after the softmax nothing of it is left; the fault is further down."""
    graph = _graph(
        ("Relu", ["x"], "mask"),
        ("Relu", ["mask"], "softmax"),
        ("Relu", ["softmax"], "fine"),
        ("Relu", ["fine"], "fault"),
        ("Relu", ["fault"], "y"),
    )
    place, _ = _search(graph, {"mask": 1.0, "fault": 0.1, "y": 0.1})
    assert place is not None
    assert place.tensor == "fault"


def test_a_difference_that_dies_out_between_tensors_that_were_looked_at_is_seen() -> None:
    """Of 400 tensors the first look takes every ninth: t11 differs, and so do t20 and all behind it, but not t12."""
    place, rounds = _search(_chain(400), {"t11": 1.0} | {f"t{i}": 0.1 for i in range(14, 400)})
    assert {"t11", "t20"} <= set(rounds[1])
    assert place is not None
    assert place.tensor == "t14"


def test_the_branch_that_differs_is_followed_and_tensors_that_cannot_be_compared_belong_to_the_region() -> None:
    graph = _graph(
        ("Relu", ["x"], "a"),
        ("Relu", ["a"], "left"),
        ("Relu", ["a"], "inner"),
        ("Relu", ["inner"], "right"),
        ("Add", ["left", "right"], "y"),
    )
    place, _ = _search(graph, {"right": 0.5, "y": 0.3}, shared=["a", "left", "right", "y"])
    assert place == Place("right", frozenset({"right", "inner"}))


def test_what_is_not_finite_is_found_and_a_right_output_is_no_place() -> None:
    errors = dict.fromkeys(("t3", "t4"), float("inf"))
    place, _ = _search(_chain(5), errors)
    assert place is not None
    assert place.tensor == "t3"
    assert _search(_chain(5), {"t4": FLOOR / 2})[0] is None


def test_small_steps_of_rounding_do_not_hide_a_jump() -> None:
    errors = {"t0": 1e-7, "t1": 2e-7, "t2": 3e-7, "t3": 5e-4, "t4": 5e-4}
    place, _ = _search(_chain(5), errors)
    assert place is not None
    assert place.tensor == "t3"


def test_sizes_and_axes_are_no_way_of_an_error() -> None:
    graph = _graph(("Relu", ["x"], "a"), ("Relu", ["x"], "sizes"), ("Reshape", ["a", "sizes"], "y"))
    assert Flow(graph).behind("y") == {"y", "a"}


@pytest.mark.parametrize(
    ("got", "held", "expected"),
    [
        (np.float32([3, 4]), np.float64([3, 5]), pytest.approx(1 / np.sqrt(34))),
        (np.float32([1, np.inf]), np.float64([1, 2]), np.inf),
        (np.float32([1, np.inf]), np.float64([1, np.inf]), 0.0),
        (np.float32([1]), np.float64([1, 2]), None),
        (np.int64([1]), np.int64([1]), None),
        (np.float32([]), np.float64([]), None),
    ],
)
def test_the_error_of_a_tensor(got: np.ndarray, held: np.ndarray, expected: float | None) -> None:
    assert relative_error(got, held) == expected


def test_the_search_ends_even_where_every_round_could_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    monkeypatch.setattr(module, "ROUNDS", 3)
    place, rounds = _search(_chain(50), {f"t{i}": 1e-2 for i in range(50)})
    assert place is not None
    assert len(rounds) <= 4
