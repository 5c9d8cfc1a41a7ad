"""Which sources go together, where batches are limited."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.decode.sequence import turns
from attnexport.runtime.spec import Axis

FREE = Axis(1, 2, 4, "batch")


@pytest.mark.parametrize(
    ("count", "encoder", "step", "width", "expected"),
    [
        (3, FREE, FREE, 1, [([0, 1, 2], 3)]),
        (9, FREE, FREE, 1, [([0, 1, 2, 3], 4), ([4, 5, 6, 7], 4), ([8], 1)]),
        (3, FREE, FREE, 2, [([0, 1], 2), ([2], 1)]),
        (2, FREE, FREE, 4, [([0], 1), ([1], 1)]),
        (5, FREE, Axis(1, 2, 16, "batch"), 4, [([0, 1, 2, 3], 4), ([4], 1)]),
        (2, Axis.fixed(3), Axis.fixed(3), 1, [([0, 1, 1], 2)]),
        (4, Axis.fixed(3), Axis.fixed(3), 1, [([0, 1, 2], 3), ([3, 3, 3], 1)]),
        (1, FREE, Axis(4, 4, 8, "batch"), 1, [([0, 0, 0, 0], 1)]),
    ],
)
def test_turns_fill_the_batch_and_the_last_repeats_its_last(count, encoder, step, width, expected) -> None:
    assert [(indices.tolist(), taken) for indices, taken in turns(count, encoder, step, width)] == expected


@pytest.mark.parametrize("count", [1, 7, 20])
def test_every_source_counts_once(count) -> None:
    counted = np.concatenate([indices[:taken] for indices, taken in turns(count, FREE, Axis(1, 1, 6, "batch"), 2)])
    assert counted.tolist() == list(range(count))


@pytest.mark.parametrize(
    ("encoder", "step", "width", "least"), [(FREE, FREE, 5, 5), (Axis.fixed(4), Axis.fixed(4), 4, 16)]
)
def test_a_beam_that_no_batch_holds_is_refused_with_the_option_that_helps(encoder, step, width, least) -> None:
    with pytest.raises(InputError, match=rf"a beam of {width} runs the step on {least} rows .*--beam-width {width}"):
        next(turns(1, encoder, step, width))
