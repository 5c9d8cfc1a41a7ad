"""What a search is measured on: few inputs, apart from those that validate it and those of the verification."""

from __future__ import annotations

import numpy as np

from attnexport.export.search.feeds import SAMPLES, build_inputs
from attnexport.export.verify.cases import build_cases
from attnexport.runtime.inputs.samples import Samples
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 8, 16, "batch")
X = TensorSpec("x", "float32", (BATCH, Axis.fixed(3)))


def output(*sizes: int) -> TensorSpec:
    return TensorSpec("y", "float32", (BATCH, *map(Axis.fixed, sizes)))


def shapes(feeds: object) -> list[tuple[str, int]]:
    return [(part, len(arrays["x"])) for part, arrays in feeds]  # type: ignore[attr-defined]


def test_a_large_output_needs_two_inputs_apart_and_a_small_one_more() -> None:
    assert shapes(build_inputs((X,), (output(1000),), None, 0).calibration) == [("random", 1)] * 2
    assert shapes(build_inputs((X,), (output(10),), None, 0).calibration) == [("random", 4)] * 4


def test_validation_takes_every_point_of_the_profile() -> None:
    assert shapes(build_inputs((X,), (output(1000),), None, 0).held_out) == [("random", 1)] * 2
    wide = build_inputs((X,), (output(200),), None, 0).held_out
    assert shapes(wide) == [("random", 1)] * 3 + [("random", 4)] * 3


def test_no_input_is_seen_twice() -> None:
    drawn = build_inputs((X,), (output(10),), None, 0)
    verified = build_cases((X,), None, 0, 8)
    rows = [arrays["x"] for _, arrays in (*drawn.calibration, *drawn.held_out)] + [case.feeds["x"] for case in verified]
    every = np.concatenate(rows)
    assert len(np.unique(every, axis=0)) == len(every)


def test_samples_are_dealt_out_beside_random_inputs() -> None:
    arrays = np.arange(300, dtype=np.float32).reshape(100, 3)
    drawn = build_inputs((X,), (output(1000),), Samples({"x": arrays}), 0)
    some, others = (
        np.concatenate([f["x"] for part, f in feeds if part == "samples"])
        for feeds in (drawn.calibration, drawn.held_out)
    )
    assert len(some) == SAMPLES and len(others) == 2 * SAMPLES
    assert not set(some[:, 0]) & set(others[:, 0])
    assert some[0, 0] == 0 and some[-1, 0] == 297  # over the whole file
    assert shapes(drawn.calibration)[:2] == [("random", 1)] * 2


def test_a_fixed_batch_takes_whole_batches_only() -> None:
    fixed = TensorSpec("x", "float32", (Axis.fixed(8), Axis.fixed(3)))
    drawn = build_inputs((fixed,), (output(1000),), Samples({"x": np.zeros((50, 3), np.float32)}), 0)
    assert {size for _, size in shapes((*drawn.calibration, *drawn.held_out))} == {8}
