"""A window matrix is told from any other index by its numbers."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnexport.export.graph.size import Size
from attnexport.export.raising.index_matrix import Windows, read


def matrix(values: np.ndarray, *, taps_first: bool = True) -> Windows | str:
    return read(gs.Constant("index", np.asarray(values, np.int64)), taps_first=taps_first)


@given(st.integers(2, 5), st.integers(1, 3), st.integers(1, 4), st.integers(0, 3), st.integers(2, 9), st.booleans())
def test_every_window_matrix_is_read_back(
    taps: int, dilation: int, step: int, offset: int, count: int, taps_first: bool
) -> None:
    values = offset + dilation * np.arange(taps)[:, None] + step * np.arange(count)
    found = matrix(values if taps_first else values.T, taps_first=taps_first)
    assert found == Windows(taps, dilation, step, offset, Size.number(count * step), taps_first)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[0, 1, 2], [1, 2, 4]], "its index is not the sum of a row and a column"),
        ([[0, 1, 3], [1, 2, 4]], "its index does not rise evenly"),
        ([[2, 1, 0], [3, 2, 1]], "its index does not rise evenly"),
        ([[0, 0, 0], [1, 1, 1]], "its index does not rise evenly"),
        ([[-1, 0, 1], [0, 1, 2]], "its index does not rise evenly"),
        ([0, 1, 2], "its index is not a matrix"),
    ],
)
def test_any_other_index_is_refused_with_its_reason(values: list[object], reason: str) -> None:
    assert matrix(np.array(values)) == reason


@pytest.mark.parametrize(
    ("length", "step", "count", "fills"),
    [(12, 1, 10, True), (12, 1, 9, False), (12, 1, 11, False), (12, 2, 5, True), (13, 2, 6, True), (13, 2, 5, False)],
)
def test_windows_fill_an_axis_or_do_not(length: int, step: int, count: int, fills: bool) -> None:
    windows = Windows(3, 1, step, 0, Size.number(count * step), True)
    assert windows.fill(Size.number(length)) is fills


def test_free_sizes_are_equal_only_as_expressions() -> None:
    high = Size.symbol("H")
    assert Windows(3, 2, 2, 0, high - Size.number(4), True).fill(high)
    assert not Windows(3, 2, 2, 0, high - Size.number(3), True).fill(high)
    assert not Windows(3, 2, 2, 0, Size.symbol("W") - Size.number(4), True).fill(high)
