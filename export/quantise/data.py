"""Which inputs calibrate, which the search measures on, and which prove the result: held out from both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...runtime.inputs.feeds import batches, random_feeds
from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec

MOST = 512
"""Samples that calibrate, at the most."""
MEASURED = 64
"""Of those, the ones that the search measures each layer on."""
MOST_HELD_OUT = 512
_RANDOM = 8
"""Random inputs of either kind where there are no samples."""

Feeds = list[dict[str, np.ndarray]]


@dataclass(frozen=True)
class Split:
    """``calibration`` and ``held_out`` have no sample in common; ``search`` is the start of the former."""

    calibration: Feeds
    search: Feeds
    held_out: Feeds
    real: bool

    def counts(self) -> tuple[int, int]:
        """How many samples calibrate, and how many are held out."""
        return _count(self.calibration), _count(self.held_out)


def split(inputs: Sequence[TensorSpec], samples: Samples | None, seed: int) -> Split:
    """Half of the samples for either part, in an order drawn by ``seed``; random inputs at opt where there are none.

    Raises InputError for samples that do not fill two batches.
    """
    if samples is None:
        feeds = [random_feeds(inputs, "opt", seed=seed + 7919 * (i + 1)) for i in range(2 * _RANDOM)]
        return Split(feeds[:_RANDOM], feeds[:_RANDOM], feeds[_RANDOM:], False)
    axis = inputs[0].axes[0]
    if samples.count < 2 * axis.min:
        raise InputError(
            f"{samples.count} samples do not fill two batches of {axis.min}: one to calibrate on, one to prove the result",
            "give more samples",
        )
    order = np.random.default_rng(seed).permutation(samples.count)
    half = max(axis.min, samples.count // 2)
    parts = order[: min(half, MOST)], order[half : half + MOST_HELD_OUT]
    calibration, held_out = (_batches(samples.arrays, part, axis.opt, axis.min) for part in parts)
    return Split(calibration, calibration[: max(1, MEASURED // axis.opt)], held_out, True)


def _batches(arrays: Mapping[str, np.ndarray], chosen: np.ndarray, size: int, least: int) -> Feeds:
    """Batches of ``size``, of ``least`` where no whole one is there; a rest that is smaller than ``least`` is left out."""
    size = size if len(chosen) >= size else least
    found = list(batches({name: array[chosen] for name, array in arrays.items()}, size))
    return [feed for feed in found if len(next(iter(feed.values()))) >= least]


def _count(feeds: Feeds) -> int:
    return sum(len(next(iter(feed.values()))) for feed in feeds)
