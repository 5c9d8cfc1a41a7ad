"""Relative position biases: every pair of places reads the table at its own offset, counted in loops."""

from __future__ import annotations

import pytest
import torch

from attnexport.models.attention.relative_bias import RelativeBias1d, RelativeBias2d


@pytest.mark.parametrize(("heads", "length"), [(1, 1), (2, 5), (3, 8)])
def test_one_dimension_reads_the_offset(heads, length, randomised):
    module = randomised(RelativeBias1d(heads, length))
    assert module.table.shape == (heads, 2 * length - 1)
    bias = module()
    assert bias.shape == (heads, length, length)
    for i in range(length):
        for j in range(length):
            assert torch.equal(bias[:, i, j], module.table[:, i - j + length - 1])


@pytest.mark.parametrize(("heads", "height", "width"), [(1, 1, 1), (2, 3, 2), (3, 2, 5)])
def test_two_dimensions_read_the_offsets_of_row_and_column(heads, height, width, randomised):
    module = randomised(RelativeBias2d(heads, height, width))
    assert module.table.shape == (heads, (2 * height - 1) * (2 * width - 1))
    table = module.table.unflatten(1, (2 * height - 1, 2 * width - 1))
    bias = module()
    assert bias.shape == (heads, height * width, height * width)
    for i in range(height * width):
        for j in range(height * width):
            (y_i, x_i), (y_j, x_j) = divmod(i, width), divmod(j, width)
            expected = table[:, y_i - y_j + height - 1, x_i - x_j + width - 1]
            assert torch.equal(bias[:, i, j], expected)


def test_the_index_is_not_part_of_a_checkpoint():
    assert list(RelativeBias2d(2, 3, 3).state_dict()) == ["table"]
