"""Requests in, rows out: each gets its own, whatever it was run with, and what is wrong with one is said to that one alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from attnexport.errors import AttnexportError, InputError, StageError
from attnexport.runtime.spec import Axis, TensorSpec
from attnexport.runtime.triton import grouping as grouping_module
from attnexport.runtime.triton.grouping import Grouping

BATCH = Axis(1, 2, 4, "batch")
INPUTS = (TensorSpec("x", "float32", (BATCH, Axis(1, 3, 5, "width"))),)


class Double:
    """2 x, and the sum of a row; it remembers the rows of each run, and fails where a row holds 13."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = feeds["x"]
        self.runs.append(len(x))
        if (x == 13).any():
            raise RuntimeError("thirteen\nand more")
        return {"y": 2 * x, "sum": x.sum(1)}


def rows(*values: float, width: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.repeat(np.float32(values)[:, None], width, 1)}


def first(answer: Mapping[str, np.ndarray] | AttnexportError) -> list[float]:
    assert not isinstance(answer, AttnexportError), answer
    return answer["y"][:, 0].tolist()


def test_requests_run_together_and_get_their_own_rows_back_in_order():
    model = Double()
    answers = Grouping(model, INPUTS, BATCH)([rows(1), rows(2, 3), rows(4)])
    assert model.runs == [4]
    assert [first(a) for a in answers] == [[2], [4, 6], [8]]
    assert answers[1]["sum"].tolist() == [6, 9]


def test_a_group_holds_no_more_rows_than_the_batch():
    model = Double()
    answers = Grouping(model, INPUTS, BATCH)([rows(1, 2, 3), rows(4, 5), rows(6, 7), rows(8)])
    assert model.runs == [3, 4, 1]
    assert [first(a) for a in answers] == [[2, 4, 6], [8, 10], [12, 14], [16]]


def test_requests_of_other_shapes_run_apart_and_answers_keep_their_order():
    model = Double()
    answers = Grouping(model, INPUTS, BATCH)([rows(1), rows(2, width=5), rows(3), rows(4, width=5)])
    assert model.runs == [2, 2]
    assert [first(a) for a in answers] == [[2], [4], [6], [8]]
    assert [a["y"].shape for a in answers] == [(1, 3), (1, 5), (1, 3), (1, 5)]


def test_without_a_batch_every_request_runs_by_itself():
    model = Double()
    fixed = (TensorSpec("x", "float32", (Axis.fixed(2), Axis.fixed(3))),)
    answers = Grouping(model, fixed, None)([rows(1, 2), rows(3, 4)])
    assert model.runs == [2, 2]
    assert [first(a) for a in answers] == [[2, 4], [6, 8]]


@pytest.mark.parametrize(("values", "runs"), [((5,), [3]), ((5, 6), [3]), ((5, 6, 7), [3]), ((5, 6, 7, 8), [4])])
def test_fewer_rows_than_the_least_batch_are_filled_up_and_cut_again(values, runs):
    model = Double()
    least = (TensorSpec("x", "float32", (Axis(3, 3, 4, "batch"), Axis.fixed(3))),)
    (answer,) = Grouping(model, least, least[0].axes[0])([rows(*values)])
    assert model.runs == runs
    assert first(answer) == [2 * v for v in values]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"x": np.zeros((1, 3), np.float64)}, "input 'x' has dtype float64. give float32."),
        ({"x": np.zeros(3, np.float32)}, "input 'x' has rank 1."),
        ({"x": np.zeros((5, 3), np.float32)}, "axis 0 of input 'x' has size 5."),
        ({"x": np.zeros((1, 9), np.float32)}, "axis 1 of input 'x' has size 9."),
        ({}, "input 'x' is missing."),
    ],
)
def test_what_a_request_has_wrong_is_said_to_it_alone(bad, says):
    model = Double()
    answers = Grouping(model, INPUTS, BATCH)([rows(1), bad, rows(2)])
    assert model.runs == [2]
    assert isinstance(answers[1], InputError)
    assert str(answers[1]).startswith(says)
    assert [first(answers[0]), first(answers[2])] == [[2], [4]]


def test_a_request_that_breaks_the_run_does_not_harm_those_beside_it():
    model = Double()
    answers = Grouping(model, INPUTS, BATCH)([rows(1), rows(13), rows(2)])
    assert model.runs == [3, 1, 1, 1]
    assert [first(answers[0]), first(answers[2])] == [[2], [4]]
    assert isinstance(answers[1], StageError)
    assert str(answers[1]) == "run: thirteen."


def test_an_output_that_lost_rows_is_an_error_and_no_answer():
    answers = Grouping(lambda feeds: {"y": feeds["x"][:1]}, INPUTS, BATCH)([rows(1), rows(2)])
    assert first(answers[0]) == [1]  # each by itself is whole
    (answer,) = Grouping(lambda feeds: {"y": feeds["x"][:1]}, INPUTS, BATCH)([rows(1, 2)])
    assert str(answer) == "run: output 'y' has shape (1, 3) for 2 rows."


def test_what_was_refused_once_is_refused_again_and_what_was_taken_is_taken(monkeypatch):
    monkeypatch.setattr(grouping_module, "_REMEMBERED", 2)
    group = Grouping(Double(), INPUTS, BATCH)
    for _ in range(3):
        for width in (1, 2, 3, 4, 9, 5):
            (answer,) = group([rows(1, width=width)])
            if width == 9:
                assert isinstance(answer, InputError)
            else:
                assert answer["y"].tolist() == [[2] * width]
    (answer,) = group([{"x": np.zeros((1, 3), np.float64)}])
    assert isinstance(answer, InputError)
