"""Which samples calibrate and which prove."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.export.quantise.data import MEASURED, MOST, MOST_HELD_OUT, split
from attnexport.runtime.inputs.samples import Samples
from attnexport.runtime.spec import Axis, TensorSpec

SPEC = (TensorSpec("x", "float32", (Axis(2, 4, 8, "batch"), Axis.fixed(3))),)


def numbered(count: int) -> Samples:
    return Samples({"x": np.repeat(np.arange(count, dtype="f4")[:, None], 3, axis=1)})


def drawn(feeds) -> set[int]:
    return {int(row[0]) for feed in feeds for row in feed["x"]}


def test_halves_have_nothing_in_common_and_are_drawn_from_the_whole_file() -> None:
    got = split(SPEC, numbered(40), seed=0)
    calibration, held_out = drawn(got.calibration), drawn(got.held_out)
    assert got.counts() == (20, 20)
    assert calibration | held_out == set(range(40))
    assert calibration != set(range(20)), "files are often sorted by class"
    assert drawn(got.search) <= calibration
    assert drawn(split(SPEC, numbered(40), seed=0).calibration) == calibration
    assert drawn(split(SPEC, numbered(40), seed=1).calibration) != calibration
    assert {len(feed["x"]) for feed in got.calibration} == {4}


def test_a_large_file_is_not_read_to_its_end() -> None:
    got = split(SPEC, numbered(5000), seed=0)
    assert got.counts() == (MOST, MOST_HELD_OUT)
    assert sum(len(feed["x"]) for feed in got.search) == MEASURED


def test_a_rest_below_the_smallest_batch_is_left_out_and_few_samples_make_small_batches() -> None:
    assert [len(f["x"]) for f in split(SPEC, numbered(10), seed=0).held_out] == [4]
    assert split(SPEC, numbered(5), seed=0).counts() == (2, 2)
    with pytest.raises(InputError, match="3 samples do not fill two batches of 2: one to calibrate, one to verify"):
        split(SPEC, numbered(3), seed=0)


def test_without_samples_both_parts_are_random_and_differ() -> None:
    got = split(SPEC, None, seed=0)
    assert not got.real
    assert {feed["x"].tobytes() for feed in got.calibration}.isdisjoint(feed["x"].tobytes() for feed in got.held_out)
