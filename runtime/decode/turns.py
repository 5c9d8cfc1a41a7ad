"""Split sources into turns, if encoder and step take batches of limited sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...errors import InputError
from ..spec import Axis


def turns(count: int, encoder: Axis, step: Axis, width: int = 1) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the indices of the sources of each turn, and how many of them count.

    ``encoder`` and ``step`` are the batches of the two, ``width`` the rows of the step per source
    (the beam width). Turns are as large as both allow; a turn that is too small repeats its last
    source, which does not count. Raise InputError if no number of sources fits.
    """
    least = max(encoder.min, -(-step.min // width))
    most = min(encoder.max, step.max // width)
    if least > most:
        raise InputError(
            f"a beam of {width} runs the step on {least * width} rows at least, and it takes {step.min} to {step.max}",
            f"export with --beam-width {width}, or search with a smaller beam",
        )
    for first in range(0, count, most):
        taken = min(most, count - first)
        indices = np.minimum(np.arange(first, first + max(taken, least)), first + taken - 1)
        yield indices, taken
