"""adaptive_max_gather: exact maxima for any pair of lengths, known or free, along any axis."""

from __future__ import annotations

import numpy as np
import pytest

LENGTHS = [(10, 7), (10, 5), (4, 7), (13, 6), (7, 7)]


def inputs(axis: int, size: int, count: int, dtype=np.float32, rank=4, other=3) -> dict[str, np.ndarray]:
    shape = [other, 3, 4, 5][:rank]
    shape[axis] = size
    x = np.random.default_rng(0).standard_normal(shape)
    return {"x": x.astype(dtype), "output_size": np.array([count])}


@pytest.mark.pairwise
@pytest.mark.parametrize(("size", "count"), LENGTHS)
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("constants", [(), ("output_size",)], ids=["given", "constant"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_axis(size, count, axis, constants, dynamic, lowered) -> None:
    given = inputs(axis, size, count)
    form = lowered(
        "AdaptiveMax", given, {"axis": axis}, dynamic=dynamic, constants=constants, only="adaptive_max_gather"
    )
    form.check(given, atol=0)
    if constants and not dynamic:
        assert not form.op_types() & {"Range", "Shape"}


@pytest.mark.parametrize("axis", [2, 3])
def test_one_model_for_many_lengths(axis, lowered) -> None:
    form = lowered("AdaptiveMax", inputs(axis, 10, 7), {"axis": axis})
    assert form.applied.lowering == "adaptive_max_gather"
    assert form.applied.refused == {
        "adaptive_max_blocks": "whether the windows tile the axis is not known: a length is free"
    }
    for size, count in [*LENGTHS, (224, 13), (1, 3), (9, 1)]:
        form.check(inputs(axis, size, count), atol=0)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_types(dtype, lowered) -> None:
    given = inputs(3, 13, 6, dtype)
    for dynamic in (False, {"x0", "x3"}):
        form = lowered("AdaptiveMax", given, {"axis": 3}, dynamic=dynamic, constants=("output_size",))
        form.check(given, atol=0)


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("dynamic", [{"x0"}, {"x0", "x2", "x3"}], ids=["batch", "space"])
def test_tensorrt(dtype, axis, dynamic, lowered, builds) -> None:
    given = inputs(axis, 10, 7, dtype)
    builds(lowered("AdaptiveMax", given, {"axis": axis}, dynamic=dynamic, constants=("output_size",)), given)
