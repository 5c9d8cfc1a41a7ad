"""Roll is torch.roll along one axis."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.export.domain import roll


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [-15, -7, -1, 0, 1, 3, 7, 100])
def test_reference_and_body_are_torch_roll(axis, shift, run_body) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 3))
    expected = torch.roll(torch.from_numpy(x), shift, axis).numpy()
    np.testing.assert_array_equal(roll.reference(x, np.array([shift]), axis=axis), expected)
    inputs = {"x": x.astype(np.float32), "shift": np.array([shift])}
    np.testing.assert_array_equal(run_body("Roll", inputs, {"axis": axis}, 3), expected.astype(np.float32))


def test_inference(inferred_shape) -> None:
    assert inferred_shape("Roll", {"x": ["n", 9, 4]}, {"axis": 1}, {"shift": [3]}) == ["n", 9, 4]
