"""Where the windows of adaptive pooling begin and end."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.domain.adaptive_windows import windows


@pytest.mark.parametrize(
    ("size", "count", "starts", "ends"),
    [
        (6, 3, [0, 2, 4], [2, 4, 6]),
        (5, 3, [0, 1, 3], [2, 4, 5]),
        (10, 7, [0, 1, 2, 4, 5, 7, 8], [2, 3, 5, 6, 8, 9, 10]),
        (2, 3, [0, 0, 1], [1, 2, 2]),
        (4, 1, [0], [4]),
    ],
)
def test_bounds(size, count, starts, ends) -> None:
    first, end = windows(size, count)
    assert (first.tolist(), end.tolist()) == (starts, ends)


@pytest.mark.parametrize("size", range(1, 40))
def test_every_value_is_in_a_window_and_none_is_in_more_than_it_must(size) -> None:
    for count in range(1, size + 1):
        first, end = windows(size, count)
        assert first[0] == 0 and end[-1] == size
        assert np.all(end[:-1] >= first[1:]) and np.all(end[:-1] - first[1:] <= 1)
