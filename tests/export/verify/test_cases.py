"""Which cases are built from samples, and which case a network is looked into with."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.verify.cases import FEW_BYTES, ParityCase, build_cases, inspection_case
from attnexport.runtime.inputs.samples import Samples
from attnexport.runtime.spec import Axis, TensorSpec


def case(name: str, origin: str, count: int) -> ParityCase:
    return ParityCase(name, origin, {"x": np.zeros((count, FEW_BYTES // 16), np.float32)}, None, False)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ([("r1", "random", 1), ("r4", "random", 4), ("r5", "random", 5)], "r4"),
        ([("r4", "random", 4), ("s1", "samples", 1), ("s3", "samples", 3), ("s9", "samples", 9)], "s3"),
        ([("r1", "random", 1), ("s9", "samples", 9), ("s6", "samples", 6)], "s6"),
        ([("r9", "random", 9)], "r9"),
    ],
    ids=["as many as are not large", "real ones first", "the least where all are large", "what there is"],
)
def test_a_network_is_looked_into_with_few_samples(given: list[tuple[str, str, int]], chosen: str) -> None:
    assert inspection_case([case(*one) for one in given]).name == chosen


def test_samples_run_at_each_batch_size_of_the_profile_and_one_batch_of_the_largest_is_golden() -> None:
    specs = (TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), Axis.fixed(3))),)
    samples = Samples({"x": np.arange(15, dtype=np.float32).reshape(5, 3)}, np.arange(5))
    cases = [case for case in build_cases(specs, samples, seed=0) if case.kind == "samples"]
    sizes = {size: [len(c.feeds["x"]) for c in cases if c.name.startswith(f"samples-{size}-")] for size in (1, 2, 4)}
    assert sizes == {1: [1] * 5, 2: [2, 2, 1], 4: [4, 1]}
    assert [case.name for case in cases if case.golden] == ["samples-4-0"]
    assert all(
        case.labels is not None and case.labels.tolist() == (case.feeds["x"][:, 0] / 3).tolist() for case in cases
    )
