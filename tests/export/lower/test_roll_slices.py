"""roll_slices: any shift, also beyond the axis, along axes known or not."""

from __future__ import annotations

import numpy as np
import pytest


def inputs(shift: int, shape=(2, 7, 3), dtype=np.float32) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).standard_normal(shape).astype(dtype), "shift": np.array([shift])}


@pytest.mark.pairwise
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [-15, -7, -1, 0, 1, 3, 7, 100])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("constants", [(), ("shift",)], ids=["given", "constant"])
def test_every_shift(axis, shift, dynamic, constants, lowered) -> None:
    form = lowered("Roll", inputs(shift), {"axis": axis}, dynamic=dynamic, constants=constants)
    form.check(inputs(shift))
    if dynamic:
        form.check(inputs(shift, (5, 4, 8)))


@pytest.mark.parametrize("constants", [(), ("shift",)], ids=["given", "constant"])
def test_an_empty_axis(constants, lowered) -> None:
    given = inputs(3, (2, 0, 3))
    lowered("Roll", given, {"axis": 1}, dynamic={"x0"}, constants=constants).check(given)


def test_a_known_cut_costs_no_arithmetic(lowered) -> None:
    form = lowered("Roll", inputs(3), {"axis": 1}, dynamic={"x0"}, constants=("shift",))
    assert form.op_types() == {"Slice", "Concat"}
    whole = lowered("Roll", inputs(14), {"axis": 1}, dynamic={"x0"}, constants=("shift",))
    assert whole.op_types() == {"Identity"}


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.bool_])
def test_any_type(dtype, lowered) -> None:
    lowered("Roll", inputs(2, dtype=dtype), {"axis": 1}).check(inputs(2, dtype=dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("constants", [(), ("shift",)], ids=["given", "constant"])
def test_tensorrt(dtype, constants, lowered, builds) -> None:
    given = inputs(-3, (2, 3, 8, 9), dtype)
    builds(lowered("Roll", given, {"axis": 2}, dynamic={"x0", "x2", "x3"}, constants=constants), given)
