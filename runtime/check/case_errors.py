"""The errors of all outputs of a model on one case: rows of selections are matched, discrete values are counted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from ...errors import BundleError
from ..bundle.figures import Figures, MatchCounts, ParityRecord, spare_share, stable_limit
from ..bundle.golden import Tie
from ..bundle.sections import Selection
from .compare import ErrorMeter
from .interval import Squares, row_squares
from .selection import match_rows

TIE = 4.0
"""A tie is closer than this many times PyTorch's largest error: each of two scores may change by one error, and a factor of 2 to spare."""

LARGEST_TOLERANCE = 0.25
"""Rows that differ by more of the output's rms are never equal, whatever the precision."""


class OutputErrors:
    """The error of one output, and its agreement if it is discrete or selected; accumulated over cases."""

    def __init__(self) -> None:
        self.meter = ErrorMeter()
        self.agreement: MatchCounts | None = None
        self.rows: list[Squares] = []

    """Squared errors by row of the batch (of a selection: by group), case by case; none of discrete values."""

    def add(
        self,
        got: np.ndarray,
        reference: np.ndarray,
        agreement: MatchCounts | None,
        squares: Squares | None = None,
    ) -> None:
        """Add the values of one case. ``squares``: squared errors by group of a selection."""
        self.meter.add(got, reference)
        self._count(agreement)
        if squares is not None:
            self.rows.append(squares)
        elif agreement is None:
            self.rows.append(row_squares(got, reference))

    def merge(self, other: "OutputErrors") -> None:
        """Add everything that ``other`` has."""
        self.meter.merge(other.meter)
        self._count(other.agreement)
        self.rows += other.rows

    def _count(self, agreement: MatchCounts | None) -> None:
        if agreement is not None:
            self.agreement = agreement if self.agreement is None else self.agreement.plus(agreement)

    def figures(self) -> Figures:
        """The figures over all cases. If no row of a selection agrees, the error is infinite; raise ParityError without any value."""
        if self.agreement is not None and not self.meter.count and self.agreement.count:
            return Figures(np.inf, np.inf, np.inf, 0.0, 0.0, 0)
        return self.meter.figures()


def compare_case(
    outputs: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    selections: Sequence[Selection],
    precision: str,
    margins: Mapping[str, float],
    ties: Mapping[str, Tie] = MappingProxyType({}),
) -> dict[str, OutputErrors]:
    """Compare the outputs of one case.

    ``margins``: the tie margin by the name of a selection's scores (see :func:`tie_margins`) or of an output in ``ties``:
    there the second best place is a tie if its score is that near.
    """
    errors = {name: OutputErrors() for name in outputs}
    spare = spare_share(precision)
    for selection in selections:
        tolerance = min(stable_limit(precision), LARGEST_TOLERANCE)
        rows = match_rows(outputs, reference, selection, tolerance, margins.get(selection.scores, 0.0))
        agreement = replace(rows.agreement, spare=spare * rows.agreement.count)
        for name in selection.outputs:
            errors[name].add(rows.outputs[name], rows.reference[name], agreement, rows.squares(name))
    selected = {name for selection in selections for name in selection.outputs}
    for name, array in outputs.items():
        if name in selected:
            continue
        counts = None
        if array.dtype.kind in "iub" and array.shape == reference[name].shape:
            same = array == reference[name]
            tied = 0
            if name in ties and ties[name].other.shape == array.shape:
                near = ties[name].gap <= margins.get(name, 0.0)
                tied = int(np.count_nonzero(~same & near & (array == ties[name].other)))
            counts = MatchCounts(array.size, int(np.count_nonzero(same)), ties=tied, spare=spare * array.size)
        errors[name].add(array, reference[name], counts)
    return errors


def tie_margins(
    torch_outputs: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], selections: Sequence[Selection]
) -> dict[str, float]:
    """For the scores of each selection, the difference that is a tie: ``TIE`` times PyTorch's largest error.

    Scores are sorted, and sorting does not enlarge the largest error, so places may be compared.
    """
    margins = {}
    for selection in selections:
        scores = selection.scores
        if scores and torch_outputs[scores].shape == reference[scores].shape:
            difference = np.abs(torch_outputs[scores].astype(np.float64) - reference[scores])
            margins[scores] = TIE * float(np.nan_to_num(difference, nan=0.0, posinf=0.0).max(initial=0.0))
    return margins


def stored_margins(records: Sequence[ParityRecord], selections: Sequence[Selection]) -> dict[str, float]:
    """The margins of :func:`compare_case` from the records of one stage."""
    margins = {record.output: record.margin for record in records}
    return {**margins, **{s.scores: max(margins.get(name, 0.0) for name in s.outputs) for s in selections}}


def free_rows(selections: Collection[Selection]) -> dict[str, int]:
    """By output, the axis whose size is the number of selected rows, which may differ from the reference's."""
    axes: dict[str, int] = {}
    for selection in selections:
        axes.update(selection.outputs)
    return axes


def require_outputs(names: Collection[str], selections: Sequence[Selection]) -> None:
    """Raise BundleError if a selection names an output that the model does not have."""
    for selection in selections:
        for name in (*selection.outputs, *((selection.scores,) if selection.scores else ())):
            if name not in names:
                raise BundleError(f"a selection names an unknown output {name!r}")
