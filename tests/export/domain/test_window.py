"""The windows that the Local operators share are those of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.export.domain import window


def test_taps_are_torchs_windows(geometry) -> None:
    x = np.random.default_rng(0).standard_normal((2, 1, 3, *geometry.space))
    expected = geometry.windows(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(np.stack(list(window.taps(x, **geometry.attrs)), 3), expected)


def test_positions_are_counted_where_the_length_is_known(geometry) -> None:
    assert window.count(geometry.space, **geometry.attrs) == list(geometry.positions)
    assert window.count(["h", *geometry.space[1:]], **geometry.attrs) == [None, *geometry.positions[1:]]


def test_another_number_of_space_axes_is_refused(geometry) -> None:
    with pytest.raises(ValueError, match=r"of 7 axes does not have \d space axes"):
        next(window.taps(np.zeros((1,) * 7), **geometry.attrs))
