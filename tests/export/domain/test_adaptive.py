"""AdaptiveAverage and AdaptiveMax are torch's adaptive pooling, one axis after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.export.domain import adaptive_average, adaptive_max

POOLS = {
    "adaptive_average": (adaptive_average, F.adaptive_avg_pool1d, F.adaptive_avg_pool3d),
    "adaptive_max": (adaptive_max, F.adaptive_max_pool1d, F.adaptive_max_pool3d),
}
OPS = {"adaptive_average": "AdaptiveAverage", "adaptive_max": "AdaptiveMax"}
LENGTHS = [(10, 7), (10, 5), (10, 1), (7, 7), (4, 7), (13, 6), (1, 3)]


@pytest.mark.parametrize("rule", POOLS)
@pytest.mark.parametrize(("size", "count"), LENGTHS)
def test_reference_is_torch(rule, size, count) -> None:
    pool, line, _ = POOLS[rule]
    x = np.random.default_rng(0).standard_normal((2, 3, size))
    y = pool.reference(x, np.array([count]), axis=2)
    expected = line(torch.from_numpy(x), count).numpy()
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rule", POOLS)
def test_axes_one_after_the_other_are_the_pooling_of_a_volume(rule) -> None:
    pool, _, volume = POOLS[rule]
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 10, 5))
    y = x
    for axis, count in ((2, 3), (3, 4), (4, 8)):
        y = pool.reference(y, np.array([count]), axis=axis)
    expected = volume(torch.from_numpy(x), (3, 4, 8)).numpy()
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)


@pytest.mark.pairwise
@pytest.mark.parametrize("rule", POOLS)
@pytest.mark.parametrize(("size", "count"), LENGTHS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_body_is_the_reference(rule, size, count, axis, run_body) -> None:
    shape = [2, 3, 4]
    shape[axis] = size
    given = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32), "output_size": np.array([count])}
    y = run_body(OPS[rule], given, {"axis": axis}, 3)
    expected = POOLS[rule][0].reference(given["x"].astype(np.float64), given["output_size"], axis=axis)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", POOLS)
def test_inference(rule, inferred_shape) -> None:
    assert inferred_shape(OPS[rule], {"x": ["n", 3, "h"]}, {"axis": 2}, {"output_size": [5]}) == ["n", 3, 5]
