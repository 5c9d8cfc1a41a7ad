"""Where the taps go in the result of a Concat, and which joins are worth an operator."""

from __future__ import annotations

from typing import Any

import pytest

from attnexport.export.raising import raise_windows


@pytest.mark.parametrize(
    ("body", "axis", "expected"),
    [
        ("r{i} = Unsqueeze({s}, last)", 3, ["Unfold"]),
        ("r{i} = Unsqueeze({s}, one)", 1, ["Unfold", "Transpose"]),
        ("r{i} = Neg({s})", 1, ["Unfold", "Neg", "Transpose", "Reshape"]),
        (
            "m{i} = Mul({s}, x1) r{i} = ReduceSum<keepdims = 1>(m{i}, two)",
            2,
            ["Unsqueeze", "Unfold", "Mul", "ReduceSum", "Squeeze"],
        ),
    ],
    ids=["stacked last", "stacked elsewhere", "merged", "reduced"],
)
def test_nothing_more_than_needed_is_written(branches: Any, body: str, axis: int, expected: list[str]) -> None:
    raised = raise_windows(branches(body, f"Concat<axis = {axis}>"))
    assert sorted(n.op_type for n in raised.model.graph.node) == sorted(expected)
    assert all(n.name.startswith("join/") for n in raised.model.graph.node)
    assert [o.name for o in raised.model.graph.output] == ["y"]


@pytest.mark.parametrize(
    ("body", "join"),
    [("r{i} = Neg({s})", "Concat<axis = 1>"), ("r{i} = Unsqueeze({s}, last)", "Concat<axis = 3>")],
    ids=["merged", "stacked"],
)
def test_two_branches_are_too_few(branches: Any, body: str, join: str) -> None:
    model = branches(body, join)
    del model.graph.node[-1].input[2]
    assert raise_windows(model).model is model
