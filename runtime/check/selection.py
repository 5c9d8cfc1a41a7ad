"""Match the rows that a model selects (top-k, sort, NMS) with the reference's rows before they are compared.

Rounding can swap two rows with nearly equal scores, or exchange the last selected row for the first
that is not selected. Compared place by place, every value behind such a row would be an error. So

    equal    a row of the model that equals the reference's row at the same place
    moved    ... that equals a reference row at another place
    ties     reference rows without an equal row whose score is within ``margin`` of the last score
    lost     all other reference rows

A row has values of every output of the selection. Two rows are equal if every output differs by at
most ``tolerance`` times that output's rms, and integer values by less than 1/2.

Queries of a detector can resemble each other: then two rows that swapped places are still equal in
place, with an error far above rounding. So a row that is much farther from its place than most is
matched with its nearest row, unless fewer rows find a counterpart that way.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..bundle.figures import MatchCounts
from ..bundle.sections import Selection
from .interval import Squares

AT_ONCE = 4_000_000
"""Distances in memory at once ..."""
NEAREST = 8
"""... and the equal rows that are considered for each row."""
FAR = 4.0
"""A row is far from its place beyond this many times the median distance of equal rows in place."""
Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MatchedRows:
    """By output, the matched rows (rows, values) of the model and of the reference, in the same order; and their counts.

    ``matched``: how many of the ``count`` rows of each group (an image of the batch) have a counterpart.
    """

    outputs: dict[str, Array]
    reference: dict[str, Array]
    agreement: MatchCounts
    matched: Indices
    count: int

    def squares(self, name: str) -> Squares:
        """The squared errors of one output by group, for :mod:`.interval`: (groups, 2), scaled up to ``count`` rows.

        A group without a matched row has no error: its rows are counted as lost.
        """
        values = self.outputs[name].shape[1]
        errors = ((self.outputs[name] - self.reference[name]) ** 2).sum(1)
        sums = np.bincount(np.repeat(np.arange(len(self.matched)), self.matched), errors, len(self.matched))
        scaled = sums * self.count / np.maximum(self.matched, 1)
        return np.stack([scaled, np.full(len(sums), float(self.count * values))], axis=1)


def match_rows(
    outputs: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    selection: Selection,
    tolerance: float,
    margin: float = 0.0,
) -> MatchedRows:
    """Match the rows of one case. The numbers of selected rows may differ; the other axes are equal.

    ``margin``: rows whose scores are within it of the reference's last score are ties.
    """
    model = {name: _rows(outputs[name], axis) for name, axis in selection.outputs.items()}
    expected = {name: _rows(reference[name], axis) for name, axis in selection.outputs.items()}
    scales = {name: _scale(array, tolerance) for name, array in expected.items()}
    groups, count, rows = *next(iter(expected.values())).shape[:2], next(iter(model.values())).shape[1]
    chosen: list[tuple[Indices, Indices]] = []
    equal = moved = ties = 0
    for group in range(groups):
        model_group = {name: array[group] for name, array in model.items()}
        expected_group = {name: array[group] for name, array in expected.items()}
        left, right = _match(model_group, expected_group, scales)
        chosen.append((left, right))
        stayed = int((left == right).sum())
        equal += stayed
        moved += len(left) - stayed
        if selection.scores:
            ties += _ties(model_group[selection.scores], expected_group[selection.scores], left, right, margin)
    spare = max(0, rows - count) * groups  # rows that the reference does not have
    return MatchedRows(
        {name: _take(array, [left for left, _ in chosen]) for name, array in model.items()},
        {name: _take(array, [right for _, right in chosen]) for name, array in expected.items()},
        MatchCounts(count * groups + spare, equal, moved, min(ties, count * groups - equal - moved)),
        np.array([len(left) for left, _ in chosen], dtype=np.int64),
        count,
    )


def _rows(array: np.ndarray, axis: int) -> Array:
    """(groups, rows, values): the axes before ``axis`` are groups, those behind it one row's values."""
    shape = (int(np.prod(array.shape[:axis])), array.shape[axis], int(np.prod(array.shape[axis + 1 :])))
    return np.nan_to_num(array.reshape(shape).astype(np.float64))


def _scale(array: Array, tolerance: float) -> float:
    """The largest rms difference of equal rows."""
    if (array == np.rint(array)).all():
        return 0.5 / float(np.sqrt(max(1, array.shape[2])))
    return tolerance * float(np.sqrt((array**2).mean()))


def _match(
    model: Mapping[str, Array], expected: Mapping[str, Array], scales: Mapping[str, float]
) -> tuple[Indices, Indices]:
    """Pairs of equal rows, each row once. Rows that are not far from their place stay there."""
    distance = _distance_in_place(model, expected, scales)
    equal = distance <= 1.0
    all_stay = _match_others(model, expected, scales, np.flatnonzero(equal))
    near = equal & (distance <= FAR * np.median(distance[equal])) if equal.any() else equal
    if near.sum() == equal.sum():
        return all_stay
    nearest = _match_others(model, expected, scales, np.flatnonzero(near))
    return nearest if len(nearest[0]) >= len(all_stay[0]) else all_stay


def _distance_in_place(model: Mapping[str, Array], expected: Mapping[str, Array], scales: Mapping[str, float]) -> Array:
    """For each place that both have, the distance of the two rows; equal ones are within 1."""
    places = min(len(next(iter(model.values()))), len(next(iter(expected.values()))))
    worst = np.zeros(places)
    for name, scale in scales.items():
        difference = ((model[name][:places] - expected[name][:places]) ** 2).mean(1)
        worst = np.maximum(worst, np.sqrt(difference) / max(scale, np.finfo(float).tiny))
    return worst


def _match_others(
    model: Mapping[str, Array], expected: Mapping[str, Array], scales: Mapping[str, float], same: Indices
) -> tuple[Indices, Indices]:
    """Pairs of equal rows: ``same`` in place, then the nearest of the others, each row once."""
    left = np.setdiff1d(np.arange(len(next(iter(model.values())))), same)
    right = np.setdiff1d(np.arange(len(next(iter(expected.values())))), same)
    if not len(left) or not len(right):
        return same, same
    rows, columns, distances = _candidates(model, expected, scales, left, right)
    pairs: list[tuple[int, int]] = []
    used_left, used_right = set[int](), set[int]()
    for i in np.argsort(distances, kind="stable"):
        row, column = int(rows[i]), int(columns[i])
        if row not in used_left and column not in used_right:
            used_left.add(row)
            used_right.add(column)
            pairs.append((int(left[row]), int(right[column])))
    more = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return np.concatenate([same, more[:, 0]]), np.concatenate([same, more[:, 1]])


def _candidates(
    model: Mapping[str, Array],
    expected: Mapping[str, Array],
    scales: Mapping[str, float],
    left: Indices,
    right: Indices,
) -> tuple[Indices, Indices, Array]:
    """Equal rows as positions in ``left`` and ``right``, with their distance; of each row at most the ``NEAREST``."""
    nearest = min(NEAREST, len(right))
    rows, columns, distances = [], [], []
    step = max(1, AT_ONCE // len(right))
    for start in range(0, len(left), step):
        block = left[start : start + step]
        distance = np.zeros((len(block), len(right)))
        for name, scale in scales.items():
            a, b = model[name][block], expected[name][right]
            square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
            root = np.sqrt(np.maximum(square, 0.0) / a.shape[1])
            distance = np.maximum(distance, root / max(scale, np.finfo(float).tiny))
        places = np.argpartition(distance, nearest - 1, axis=1)[:, :nearest]
        values = np.take_along_axis(distance, places, axis=1)
        row, column = np.nonzero(values <= 1.0)
        rows.append(row + start)
        columns.append(places[row, column])
        distances.append(values[row, column])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(distances)


def _ties(model: Array, expected: Array, left: Indices, right: Indices, margin: float) -> int:
    """Unmatched reference rows that are ties; as many of the model's unmatched rows must be ties, too."""
    last = expected[-1, 0] if len(expected) else 0.0
    spare_model = np.setdiff1d(np.arange(len(model)), left)
    spare_expected = np.setdiff1d(np.arange(len(expected)), right)
    near = [
        int((np.abs(a[i, 0] - last) <= margin).sum()) for a, i in ((model, spare_model), (expected, spare_expected))
    ]
    return min(near)


def _take(array: Array, rows: list[Indices]) -> Array:
    return np.concatenate([array[group][index] for group, index in enumerate(rows)] or [array[:0, 0]])
