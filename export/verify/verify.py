"""The verify stage: compare every model with the original in FP64, beside PyTorch's error at the same precision."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import StageError
from ...runtime.bundle.attribution import Attribution, short_type
from ...runtime.bundle.figures import ParityRecord, stable_limit
from ...runtime.bundle.golden import GoldenCase, Tie
from ...runtime.check.case_errors import TIE, compare_case, tie_margins
from ..progress import Reporter
from ..reference.choices import find_ties, run_scored
from ..reference.original import Original, Precision
from .attribution import Attributor
from .cases import ParityCase
from .chains import StageModels
from .fault import Fault
from .instability import unstable_place
from .measure import MeasuredCase, measured_cases
from .variant import Variant
from .variant_errors import CollectedErrors, Criteria, VariantErrors

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ParityResult:
    """``failures`` is empty if every gate passes; ``attribution`` says which stage adds the error of each output."""

    records: tuple[ParityRecord, ...]
    golden: tuple[GoldenCase, ...]
    failures: tuple[str, ...]
    attribution: tuple[Attribution, ...] = ()


MORE_ROUNDS = 3
"""Rounds of further inputs while the limit lies in the interval of a ratio."""


def verify(
    original: Original,
    variants: Sequence[Variant],
    cases: Sequence[ParityCase],
    criteria: Criteria,
    reporter: Reporter,
    models: StageModels | None = None,
    more: Callable[[int], Sequence[ParityCase]] = lambda _: (),
) -> ParityResult:
    """Run every variant on every case.

    The error of each output may be at most ``criteria.factor`` times PyTorch's rms error. Random
    cases and samples are judged apart, so that neither hides the other. While the limit lies in the
    interval of a ratio, ``more(round)`` returns further cases, which are not stored. A classifier's
    top-1 may differ only if the reference is a tie. An output on which PyTorch is far off, too, fails
    unless ``criteria.allow_unstable``. Failures are collected, not raised; StageError is raised if
    the original returns NaN or Inf. With ``models``, each error is attributed to a stage.
    """
    precisions: set[Precision] = {v.precision for v in variants} | ({"float32"} if models is not None else set())
    runs = _Runs(original, variants, criteria, sorted(precisions))
    attributed = {case.name for case in measured_cases(cases)} if models is not None else set()
    runs.add(cases, reporter, attributed)
    records, faults = runs.judge(cases)
    for number in range(MORE_ROUNDS):
        if not any(record.gate.straddles for record in records) or not (further := more(number)):
            break
        runs.add(further, reporter)
        cases = (*cases, *further)
        records, faults = runs.judge(cases)
    failures = [fault.text for fault in faults]
    attribution: list[Attribution] = []
    if models is not None:
        reporter.progress(1.0, "attribution")
        attributor = Attributor(models, variants, original, criteria.outputs, criteria.factor, criteria.selections)
        attribution, failures = attributor.attribute(runs.measured, faults)
    if not criteria.allow_unstable:
        failures += _unstable(original, records, cases, models)
    return ParityResult(tuple(records), tuple(runs.golden), tuple(failures), tuple(attribution))


@dataclass(frozen=True)
class _OriginalRun:
    """One case: the reference, PyTorch's outputs by precision, the ties of the reference, and by precision their margins."""

    reference: dict[str, np.ndarray]
    torch: dict[Precision, dict[str, np.ndarray]]
    ties: dict[str, Tie]
    margins: dict[Precision, dict[str, float]]


class _Runs:
    """The original and all variants on the same cases, with the errors so far."""

    def __init__(
        self, original: Original, variants: Sequence[Variant], criteria: Criteria, precisions: Sequence[Precision]
    ) -> None:
        self._original, self._criteria = original, criteria
        self._torch = {precision: CollectedErrors() for precision in precisions}
        self._results = [VariantErrors(i, variant, criteria) for i, variant in enumerate(variants)]
        self.golden: list[GoldenCase] = []
        self.measured: list[MeasuredCase] = []

    def add(self, cases: Sequence[ParityCase], reporter: Reporter, attributed: Collection[str] = ()) -> None:
        """Run everything on ``cases``; the results of those in ``attributed`` are kept whole."""
        for number, case in enumerate(cases):
            reporter.progress(number / len(cases), f"{case.name} ({number + 1} of {len(cases)})")
            self._run(case, keep=case.name in attributed)
        reporter.progress(1.0, "gates")

    def _run(self, case: ParityCase, *, keep: bool) -> None:
        original = self._run_original(case)
        reference, torch_outputs, ties, margins = original.reference, original.torch, original.ties, original.margins
        for p, outputs in torch_outputs.items():
            errors = compare_case(outputs, reference, self._criteria.selections, p, margins[p], ties)
            self._torch[p].add(case, errors, margins[p])
        if case.golden:
            self.golden.append(GoldenCase(case.name, case.feeds, reference, ties))
        variant_outputs = {}
        for i, result in enumerate(self._results):
            if result.fault is None or keep:
                variant_outputs[i] = result.variant.session.run(case.feeds)
                p = result.variant.precision
                result.add(case, variant_outputs[i], reference, torch_outputs[p], margins[p], ties)
        if keep:
            self.measured.append(MeasuredCase(case, reference, torch_outputs, variant_outputs))

    def _run_original(self, case: ParityCase) -> "_OriginalRun":
        reference, truth = run_scored(self._original, case.feeds, "float64")
        _require_finite(reference, case)
        runs = {p: run_scored(self._original, case.feeds, p) for p in self._torch}
        outputs = {p: of_run for p, (of_run, _) in runs.items()}
        ties, errors = find_ties(reference, truth, {p: scores for p, (_, scores) in runs.items()})
        margins = {
            p: {
                **tie_margins(outputs[p], reference, self._criteria.selections),
                **{name: TIE * error for name, error in errors[p].items()},
            }
            for p in runs
        }
        return _OriginalRun(reference, outputs, ties, margins)

    def judge(self, cases: Sequence[ParityCase]) -> tuple[list[ParityRecord], list[Fault]]:
        """The records and faults of all variants over the ``cases`` so far."""
        judged = [result.judge(self._torch[result.variant.precision], cases) for result in self._results]
        return [record for records, _ in judged for record in records], [
            fault for _, faults in judged for fault in faults
        ]


def _unstable(
    original: Original, records: Sequence[ParityRecord], cases: Sequence[ParityCase], models: StageModels | None
) -> list[str]:
    """A message for each output and precision at which PyTorch's error is too large for a verdict."""
    smallest = min(cases, key=lambda case: sum(array.nbytes for array in case.feeds.values()))
    places: dict[str, str] = {}
    messages: dict[tuple[str, str], str] = {}
    for record in records:
        if record.gate.verdict != "unstable" or (record.output, record.precision) in messages:
            continue
        precision: Precision = record.precision  # type: ignore[assignment]
        if precision not in places:
            origins = models.captured.origins if models is not None else {}
            places[precision] = unstable_place(original, origins, smallest.feeds, precision)
        kind = short_type(precision).upper()
        place = f"; it begins in {places[precision]}" if places[precision] else ""
        messages[record.output, precision] = (
            f"output {record.output!r} is unstable in {kind}: PyTorch's {kind} error is {record.gate.torch_relative:.2g} of "
            f"the output's rms, and above {stable_limit(precision):g} no export can be judged{place}; accept it with "
            "--allow-unstable"
        )
    return list(messages.values())


def _require_finite(reference: Arrays, case: ParityCase) -> None:
    for name, array in reference.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StageError(
                "verify",
                f"the original model returns NaN or Inf in {name!r} on {case.name} in FP64",
                "check its weights and inputs",
            )
