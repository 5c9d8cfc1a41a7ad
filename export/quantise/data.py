"""The inputs that calibrate, those that the search uses, and the held-out inputs that verify the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...runtime.inputs.feeds import batches, random_feeds
from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec

MOST = 512
"""Most samples that calibrate."""
MEASURED = 64
"""The number of these that the search measures each layer on."""
MOST_HELD_OUT = 512
_RANDOM = 8
"""Random inputs of each kind if there are no samples."""

Feeds = list[dict[str, np.ndarray]]


@dataclass(frozen=True)
class Split:
    """``calibration`` and ``held_out`` share no sample; ``search`` is the start of ``calibration``."""

    calibration: Feeds
    search: Feeds
    held_out: Feeds
    real: bool

    def counts(self) -> tuple[int, int]:
        """The numbers of calibration samples and of held-out samples."""
        return _count(self.calibration), _count(self.held_out)


def split(inputs: Sequence[TensorSpec], samples: Samples | None, seed: int) -> Split:
    """Return half of the samples for each part, in an order drawn by ``seed``; without samples, random inputs at opt.

    Raises InputError if the samples do not fill two batches.
    """
    if samples is None:
        feeds = [random_feeds(inputs, "opt", seed=seed + 7919 * (i + 1)) for i in range(2 * _RANDOM)]
        return Split(feeds[:_RANDOM], feeds[:_RANDOM], feeds[_RANDOM:], False)
    axis = inputs[0].axes[0]
    if samples.count < 2 * axis.min:
        raise InputError(
            f"{samples.count} samples do not fill two batches of {axis.min}: one to calibrate, one to verify the result",
            "pass more samples",
        )
    order = np.random.default_rng(seed).permutation(samples.count)
    half = max(axis.min, samples.count // 2)
    parts = order[: min(half, MOST)], order[half : half + MOST_HELD_OUT]
    calibration, held_out = (_batches(samples.arrays, part, axis.opt, axis.min) for part in parts)
    return Split(calibration, calibration[: max(1, MEASURED // axis.opt)], held_out, True)


def _batches(arrays: Mapping[str, np.ndarray], chosen: np.ndarray, size: int, least: int) -> Feeds:
    """Batches of ``size``, or of ``least`` if there are too few samples; a rest smaller than ``least`` is left out."""
    size = size if len(chosen) >= size else least
    feeds = list(batches({name: array[chosen] for name, array in arrays.items()}, size))
    return [feed for feed in feeds if len(next(iter(feed.values()))) >= least]


def _count(feeds: Feeds) -> int:
    return sum(len(next(iter(feed.values()))) for feed in feeds)
