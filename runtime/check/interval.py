"""The interval of an error ratio: how far it may be from the ratio over infinitely many inputs.

    ratio = sqrt(sum of e_i / sum of t_i)       e_i, t_i: squared errors of the export and of PyTorch in unit i

A unit is one row of the batch of one case: errors inside a row are correlated, those of two rows hardly. The units are
drawn again with replacement (bootstrap, Efron 1979), and the interval is the middle 95 % of the ratios.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FEWEST = 16
"""With fewer units there is no interval."""
MOST = 512
"""Units beyond it are joined, neighbours first."""
DRAWS = 500
_TAIL = 2.5

Squares = npt.NDArray[np.float64]


def row_squares(got: np.ndarray, reference: np.ndarray) -> Squares:
    """The sum of squared differences and the number of values for each row of axis 0: (rows, 2). Arrays have one shape."""
    if got.ndim == 0 or not got.size:
        return np.array([[float(np.sum((got.astype(np.float64) - reference) ** 2)), float(got.size)]])
    difference = (got.astype(np.float64) - reference).reshape(len(got), -1)
    squares = np.nan_to_num(np.einsum("ij,ij->i", difference, difference), nan=np.inf)
    return np.stack([squares, np.full(len(got), float(difference.shape[1]))], axis=1)


def ratio_interval(mine: Sequence[Squares], torch: Sequence[Squares], floor: float) -> tuple[float, float] | None:
    """The interval of the ratio with PyTorch's error, which counts at least ``floor`` (rms); None with too few units.

    ``mine`` and ``torch`` hold the squares of the same rows, case by case.
    """
    left, right = np.concatenate(list(mine)), np.concatenate(list(torch))
    if len(left) < FEWEST or left.shape != right.shape or not (np.isfinite(left).all() and np.isfinite(right).all()):
        return None
    joined = np.stack([left[:, 0], right[:, 0], left[:, 1]], axis=1)
    if len(joined) > MOST:
        joined = np.stack([part.sum(0) for part in np.array_split(joined, MOST)])
    picks = np.random.default_rng(0).integers(0, len(joined), (DRAWS, len(joined)))
    sums = joined[picks].sum(1)
    allowed = np.maximum(sums[:, 1], floor**2 * sums[:, 2])
    if not (allowed > 0).all():
        return None
    low, high = np.percentile(np.sqrt(sums[:, 0] / allowed), [_TAIL, 100 - _TAIL])
    return float(low), float(high)
