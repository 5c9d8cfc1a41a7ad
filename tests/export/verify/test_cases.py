"""Which case a network is looked into with."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.verify.cases import FEW_BYTES, ParityCase, inspection_case


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
