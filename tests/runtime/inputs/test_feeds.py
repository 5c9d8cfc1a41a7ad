"""Random inputs follow the specs exactly, and batches lose no sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.inputs.feeds import batches, profile_points, random_feeds
from attnexport.runtime.spec import DTYPES, Axis, TensorSpec, check_feeds

BATCH, HEIGHT = Axis(1, 4, 16, "batch"), Axis(8, 16, 32, "h")
SPECS = (
    TensorSpec("x", "float32", (BATCH, Axis.fixed(3), HEIGHT)),
    TensorSpec("mask", "bool", (BATCH, HEIGHT)),
    TensorSpec("scale", "float32", ()),
)


@pytest.mark.parametrize(("point", "sizes"), [("min", (1, 8)), ("opt", (4, 16)), ("max", (16, 32))])
def test_shared_symbols_have_one_size_at_each_point(point: Any, sizes: tuple[int, int]) -> None:
    feeds = random_feeds(SPECS, point)
    b, h = sizes
    assert {n: a.shape for n, a in feeds.items()} == {"x": (b, 3, h), "mask": (b, h), "scale": ()}
    check_feeds(SPECS, feeds)


def test_sizes_may_be_given_per_symbol() -> None:
    assert random_feeds(SPECS, {"batch": 7, "h": 9})["x"].shape == (7, 3, 9)


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ({"batch": 7}, "symbol 'h' has no size"),
        ({"batch": 17, "h": 8}, "size 17 of 'batch' is out of range"),
        ({"batch": 0, "h": 8}, "size 0 of 'batch' is out of range"),
        ({"batch": 1, "h": 8, "w": 8}, "symbol 'w' is not known"),
    ],
)
def test_sizes_that_do_not_fit_are_named(sizes: dict[str, int], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        random_feeds(SPECS, sizes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_drawn_as_itself(dtype: str) -> None:
    (array,) = random_feeds([TensorSpec("x", dtype, (Axis.fixed(1000),))]).values()
    assert array.dtype == np.dtype(dtype)
    if array.dtype.kind == "f":
        assert abs(array.astype(np.float64).mean()) < 0.15
        assert abs(array.astype(np.float64).std() - 1) < 0.1
    else:
        assert set(array.astype(int).tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [(5, 8, {5, 6, 7}), (None, 3, {0, 1, 2}), (-3, None, {-3, -2}), (127, 128, {127})],
)
def test_integers_keep_to_low_and_the_exclusive_high(low: int | None, high: int | None, values: set[int]) -> None:
    (array,) = random_feeds([TensorSpec("ids", "int8", (Axis.fixed(500),), low, high)]).values()
    assert set(array.tolist()) == values


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_between_bounds_fill_the_interval(dtype: str) -> None:
    (array,) = random_feeds([TensorSpec("x", dtype, (Axis.fixed(4000),), -0.25, 1.5)]).values()
    assert array.dtype == dtype
    assert -0.25 <= array.min() < -0.2 and 1.45 < array.max() <= 1.5
    np.testing.assert_allclose(array.astype(float).mean(), 0.625, atol=0.05)


@pytest.mark.parametrize(("low", "high"), [(3, 3), (4, 3), (0, 129), (-129, 0), (None, 0)])
def test_an_integer_range_that_holds_nothing_is_refused(low: int | None, high: int | None) -> None:
    with pytest.raises(InputError, match="of 'ids' holds no int8"):
        random_feeds([TensorSpec("ids", "int8", (Axis.fixed(1),), low, high)])


def test_the_seed_decides_and_each_input_differs() -> None:
    specs = [TensorSpec(n, "float32", (Axis.fixed(9),)) for n in "ab"]
    one, same, other = (random_feeds(specs, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one["a"], same["a"])
    assert not np.array_equal(one["a"], other["a"])
    assert not np.array_equal(one["a"], one["b"])


@pytest.mark.parametrize(
    ("axes", "points"),
    [
        ((Axis.fixed(3),), [("fixed", {})]),
        (
            (BATCH, HEIGHT),
            [("min", {"batch": 1, "h": 8}), ("opt", {"batch": 4, "h": 16}), ("max", {"batch": 16, "h": 32})],
        ),
        ((Axis(1, 1, 4, "n"),), [("min=opt", {"n": 1}), ("max", {"n": 4})]),
        ((Axis(1, 4, 4, "n"),), [("min", {"n": 1}), ("opt=max", {"n": 4})]),
        ((Axis(2, 2, 2, "n"),), [("min=opt=max", {"n": 2})]),
    ],
)
def test_profile_points_are_distinct(axes: tuple[Axis, ...], points: Any) -> None:
    assert profile_points([TensorSpec("x", "float32", axes)]) == points


def test_a_symbol_of_two_ranges_is_refused() -> None:
    specs = [TensorSpec(n, "float32", (Axis(1, 2, m, "n"),)) for n, m in (("a", 4), ("b", 8))]
    with pytest.raises(InputError, match="symbol 'n' has range 1:2:8 in 'b' and 1:2:4 elsewhere"):
        profile_points(specs)


@pytest.mark.parametrize(
    ("count", "size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 7, [3]), (3, 1, [1, 1, 1])]
)
def test_batches_hold_every_sample_once_in_order(count: int, size: int, sizes: list[int]) -> None:
    x = np.arange(count * 2).reshape(count, 2)
    parts = list(batches({"x": x, "i": np.arange(count)}, size))
    assert [len(p["x"]) for p in parts] == sizes
    np.testing.assert_array_equal(np.concatenate([p["x"] for p in parts]), x)
    np.testing.assert_array_equal(np.concatenate([p["i"] for p in parts]), np.arange(count))


def test_batches_refuse_unequal_counts_and_sizes_below_one() -> None:
    with pytest.raises(InputError, match="different sample counts"):
        list(batches({"a": np.zeros(3), "b": np.zeros(4)}, 2))
    with pytest.raises(InputError, match="batch size 0 is below 1"):
        list(batches({"a": np.zeros(3)}, 0))
