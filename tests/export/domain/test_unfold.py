"""Unfold is torch.Tensor.unfold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.export.domain import unfold

SHAPE = (3, 7, 5, 8)
CASES = [(axis, size, step) for axis in range(4) for size, step in ((1, 1), (3, 1), (3, 2), (2, 2), (2, 3))]


@pytest.mark.parametrize(("axis", "size", "step"), CASES)
def test_reference_and_body_are_torch_unfold(axis, size, step, run_body) -> None:
    x = np.random.default_rng(0).standard_normal(SHAPE)
    expected = torch.from_numpy(x).unfold(axis, size, step).numpy()
    attrs = {"axis": axis, "size": size, "step": step}
    np.testing.assert_array_equal(unfold.reference(x, **attrs), expected)
    half = x.astype(np.float32)
    np.testing.assert_array_equal(run_body("Unfold", {"x": half}, attrs, 5), expected.astype(np.float32))


def test_any_rank_and_type(run_body) -> None:
    x = np.arange(10).reshape(1, 10)
    expected = torch.from_numpy(x).unfold(1, 4, 3).numpy()
    np.testing.assert_array_equal(run_body("Unfold", {"x": x}, {"axis": 1, "size": 4, "step": 3}, 3), expected)


def test_inference(inferred_shape) -> None:
    assert inferred_shape("Unfold", {"x": ["n", 9, 4]}, {"axis": 1, "size": 3, "step": 2}) == ["n", 4, 4, 3]
    assert inferred_shape("Unfold", {"x": ["n", 9, 4]}, {"axis": 0, "size": 3, "step": 2}) == ["", 9, 4, 3]
