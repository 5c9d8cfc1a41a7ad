"""The inputs of a search: calibration inputs to decide on, held-out inputs to validate with.

Both parts contain random inputs, because the export is verified on random inputs too. If there are samples, both parts
get some of them, spread evenly over the file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.inputs.feeds import batches, profile_points, random_feeds, symbol_axes
from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec

BATCH = 4
"""Largest batch; 1 if a single input has enough elements. A larger batch gives no further information."""
ENOUGH = 2000
"""Elements of an output that its rms error needs to be reliable."""
LEAST_DRAWS, MOST_DRAWS = 2, 4
SAMPLES = 32
"""Samples to decide on; twice as many validate."""
_CALIBRATION, _HELD_OUT = 100_000, 200_000  # seeds that the verification does not use

Feed = tuple[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Inputs:
    """Pairs ``(part, feeds)`` to decide on, and to validate with."""

    calibration: tuple[Feed, ...]
    held_out: tuple[Feed, ...]


def build_inputs(
    specs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], samples: Samples | None, seed: int
) -> Inputs:
    """Return inputs for these specs: at the optimum to decide on, at each point of the profile to validate with.

    Raises InputError for a spec without valid random inputs.
    """
    opt = {symbol: axis.opt for symbol, axis in symbol_axes(specs).items()}
    per_input = _elements(outputs, _small(specs, opt, 1))
    batch = min(BATCH, math.ceil(ENOUGH / LEAST_DRAWS / per_input))
    sizes = [_small(specs, point, batch) for _, point in profile_points(specs)]
    opt = _small(specs, opt, batch)
    draws = min(MOST_DRAWS, max(LEAST_DRAWS, math.ceil(ENOUGH / _elements(outputs, opt))))
    calibration: list[Feed] = [
        ("random", random_feeds(specs, opt, seed=seed + _CALIBRATION + draw)) for draw in range(draws)
    ]
    distinct = [dict(items) for items in dict.fromkeys(tuple(size.items()) for size in sizes)]
    held_out: list[Feed] = [
        ("random", random_feeds(specs, size, seed=seed + _HELD_OUT + 100 * place + draw))
        for place, size in enumerate(distinct)
        for draw in range(draws)
    ]
    if samples is not None:
        calibration_samples, held_out_samples = _dealt(specs, samples)
        calibration += calibration_samples
        held_out += held_out_samples
    return Inputs(tuple(calibration), tuple(held_out))


def _small(specs: Sequence[TensorSpec], point: Mapping[str, int], batch: int) -> dict[str, int]:
    """A point of the profile with at most this batch."""
    first = specs[0].axes[0] if specs and specs[0].axes else None
    sizes = dict(point)
    if first is not None and first.symbol is not None:
        sizes[first.symbol] = max(first.min, min(sizes[first.symbol], batch))
    return sizes


def _elements(outputs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> int:
    """The elements of the smallest output, at least 1."""

    def count(spec: TensorSpec) -> int:
        return math.prod(a.opt if a.symbol is None else sizes.get(a.symbol, a.opt) for a in spec.axes)

    return max(1, min(map(count, outputs), default=ENOUGH))


def _dealt(specs: Sequence[TensorSpec], samples: Samples) -> tuple[list[Feed], list[Feed]]:
    """Samples to decide on, spread over the file, and other samples to validate with; whole batches only."""
    axis = specs[0].axes[0]
    size = max(axis.min, min(axis.opt, BATCH)) if axis.symbol is not None else axis.opt
    chosen = np.unique(np.linspace(0, samples.count - 1, min(samples.count, max(SAMPLES, size))).astype(int))
    rest = np.setdiff1d(np.arange(samples.count), chosen)
    rest = (
        rest[np.unique(np.linspace(0, len(rest) - 1, min(len(rest), 2 * SAMPLES)).astype(int))] if len(rest) else rest
    )
    return tuple(  # type: ignore[return-value]
        [
            ("samples", feeds)
            for feeds in batches({name: array[rows] for name, array in samples.arrays.items()}, size)
            if len(feeds[specs[0].name]) in range(axis.min, axis.max + 1)
        ]
        for rows in (chosen, rest)
    )
