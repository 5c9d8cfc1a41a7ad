"""The errors and metrics of one variant, collected case by case, and its verdict on each output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...runtime.bundle.attribution import short_type
from ...runtime.bundle.figures import Gate, ParityRecord, rounding_floor
from ...runtime.bundle.golden import Tie
from ...runtime.bundle.sections import Selection
from ...runtime.check.case_errors import OutputErrors, compare_case, free_rows
from ...runtime.check.interval import ratio_interval
from ...runtime.metrics import Metric, Top, combined, metrics_for
from ...runtime.spec import TensorSpec
from .cases import ParityCase
from .fault import Fault, invalid_output
from .variant import Variant

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Criteria:
    """How outputs are judged: ``factor`` is the gate, ``task`` selects the metrics, ``maps`` names the attention maps.

    ``selections``: the outputs whose rows the model selects; they are matched before they are compared.
    ``allow_unstable``: an output on which PyTorch is far off, too, does not fail.
    """

    outputs: tuple[TensorSpec, ...]
    task: str | None
    factor: float
    maps: frozenset[str] = frozenset()
    selections: tuple[Selection, ...] = ()
    allow_unstable: bool = False


@dataclass
class CollectedErrors:
    """Errors of one variant, or of PyTorch, by output: over all cases, by kind of case, and over the golden cases."""

    total: dict[str, OutputErrors] = field(default_factory=dict)
    parts: dict[tuple[str, str], OutputErrors] = field(default_factory=dict)
    cases: dict[tuple[str, str], float] = field(default_factory=dict)
    """The rms error by case and output."""

    margins: dict[str, float] = field(default_factory=dict)
    """The largest tie margin over the golden cases by scores or output; see :func:`...runtime.check.case_errors.compare_case`."""

    def add(self, case: ParityCase, errors: Mapping[str, OutputErrors], margins: Mapping[str, float]) -> None:
        """Add the errors of one case."""
        for name, of_case in errors.items():
            self.total.setdefault(name, OutputErrors()).merge(of_case)
            for part in (case.kind, *(("golden",) if case.golden else ())):
                self.parts.setdefault((part, name), OutputErrors()).merge(of_case)
            if of_case.meter.count or of_case.agreement is not None:
                self.cases[case.name, name] = of_case.figures().rms
        if case.golden:
            for name, margin in margins.items():
                self.margins[name] = max(self.margins.get(name, 0.0), margin)

    def golden(self, name: str) -> OutputErrors:
        """The errors of one output over the golden cases, or over all cases without one."""
        return self.parts.get(("golden", name), self.total[name])


def _rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array)))) if array.size else 0.0


class VariantErrors:
    """The errors, metrics and fault of one variant (number ``index``), collected case by case."""

    def __init__(self, index: int, variant: Variant, criteria: Criteria) -> None:
        self.index, self.variant, self.criteria = index, variant, criteria
        self.fault: Fault | None = None
        """The first output with a wrong shape or dtype, NaN, Inf or only zeros; later cases are not compared."""
        self._errors = CollectedErrors()
        self._metrics: dict[tuple[str, str], list[Metric]] = {}

    def add(
        self,
        case: ParityCase,
        outputs: Arrays,
        reference: Arrays,
        torch_outputs: Arrays,
        margins: Mapping[str, float],
        ties: Mapping[str, Tie],
    ) -> None:
        """Compare the outputs of one case, unless an earlier case has a fault."""
        if self.fault is not None:
            return
        specs, selections = self.criteria.outputs, self.criteria.selections
        noise = {
            name: _rms(torch_outputs[name] - array)
            for name, array in reference.items()
            if array.dtype.kind == "f" and torch_outputs[name].shape == array.shape
        }
        invalid = invalid_output(specs, outputs, reference, self.variant.stage, selections, noise)
        if invalid is not None:
            output, text = invalid
            self.fault = Fault(self.index, output, f"{text} [{case.name}]", case)
            return
        errors = compare_case(outputs, reference, selections, self.variant.precision, margins, ties)
        self._errors.add(case, errors, margins)
        selected = free_rows(selections)
        for spec in specs:
            name = spec.name
            if name in selected:
                continue
            metrics = self._metrics.get((case.kind, name))
            if metrics is None:
                is_map = name in self.criteria.maps
                metrics = metrics_for(self.criteria.task, spec, first=spec is specs[0], is_map=is_map)
                self._metrics[case.kind, name] = metrics
            for metric in metrics:
                metric.add(outputs[name], reference[name], torch_outputs[name], case.labels)

    def judge(self, torch: CollectedErrors, cases: Sequence[ParityCase]) -> tuple[list[ParityRecord], list[Fault]]:
        """Return a record for each output, and the faults; a variant with an invalid output has no records."""
        if self.fault is not None:
            return [], [self.fault]
        judged = [self._judge_output(spec, torch, cases) for spec in self.criteria.outputs]
        return [record for record, _ in judged], [fault for _, faults in judged for fault in faults]

    def _judge_output(
        self, spec: TensorSpec, torch: CollectedErrors, cases: Sequence[ParityCase]
    ) -> tuple[ParityRecord, list[Fault]]:
        """The record of one output and its faults. Its gate is the worst of its parts, which are all in ``detail``."""
        name, variant = spec.name, self.variant
        gates = self._gates(spec, torch)
        worst = max(gates, key=lambda part: gates[part].ratio)
        gate = gates[worst]
        failed: list[tuple[str, str]] = []
        if not gate.passed:
            failed.append((worst, f"output {name!r} of {variant.stage}: {self._failure(gate, worst, name, torch)}"))
        # Random inputs have no class: metrics are over the samples if there are any.
        kind = "samples" if ("samples", name) in self._metrics else "random"
        metrics = self._metrics.get((kind, name), [])
        for metric in metrics:
            if isinstance(metric, Top) and metric.k == 1 and (changed := metric.changed()):
                inputs = f"{changed} of {metric.result().count} inputs that are not ties"
                failed.append((kind, f"{variant.stage} predicts another class than the original for {inputs}"))
        detail: dict[str, Any] = {key: {**value, "of": kind} for key, value in combined(metrics).items()}
        detail["parts"] = {part: gate.to_json() for part, gate in gates.items()}
        total, golden = self._errors.total[name], torch.golden(name)
        record = ParityRecord(
            stage=variant.stage,
            file=variant.file,
            precision=variant.precision,
            output=name,
            figures=total.figures(),
            gate=gate,
            torch_rms=golden.figures().rms,
            detail=detail,
            agreement=total.agreement,
            torch_agreement=golden.agreement,
            margin=torch.margins.get(self._scores_of(name), 0.0),
        )
        faults = [Fault(self.index, name, text, self._worst_case(name, torch, part, cases)) for part, text in failed]
        return record, faults

    def _scores_of(self, name: str) -> str:
        """The scores by which an output is selected, or the output."""
        return next((s.scores for s in self.criteria.selections if name in s.outputs), name)

    def _gates(self, spec: TensorSpec, torch: CollectedErrors) -> dict[str, Gate]:
        """The gate of one output by part: random inputs, samples, golden cases."""
        precision = self.variant.precision if spec.numpy_dtype.kind == "f" else spec.dtype
        gates = {}
        for (part, output), errors in self._errors.parts.items():
            if output == spec.name:
                by_torch, figures = torch.parts[part, output], errors.figures()
                interval = None
                if errors.rows:
                    interval = ratio_interval(
                        errors.rows, by_torch.rows, rounding_floor(precision, figures.reference_rms)
                    )
                gates[part] = Gate.judge(
                    figures,
                    interval=interval,
                    torch_rms=by_torch.figures().rms,
                    precision=precision,
                    factor=self.criteria.factor,
                    agreement=errors.agreement,
                    torch_agreement=by_torch.agreement,
                )
        return gates

    def _failure(self, gate: Gate, part: str, name: str, torch: CollectedErrors) -> str:
        """The reason why a gate fails: the error, or what was selected."""
        kind = short_type(self.variant.precision).upper()
        mine, theirs = self._errors.parts[part, name].agreement, torch.parts[part, name].agreement
        if mine is not None and theirs is not None and mine.ratio(theirs, gate.factor) > gate.factor:
            return f"on {part} inputs {mine.describe()}, and PyTorch in {kind} {theirs.describe()}"
        near = gate.low is not None and gate.ratio <= 2 * gate.factor
        interval = f" (at least {gate.low:.3g}x with 97.5 % confidence)" if near else ""
        return f"error on {part} inputs is {gate.ratio:.3g}x PyTorch's {kind} error{interval}; the limit is {gate.factor:g}x"

    def _worst_case(self, name: str, torch: CollectedErrors, part: str, cases: Sequence[ParityCase]) -> ParityCase:
        """The smallest case of ``part`` whose error is above the limit; without one, the case with the largest error."""
        errors = self._errors.cases
        ratios = {
            case.name: errors[case.name, name] / max(torch.cases[case.name, name], np.finfo(float).tiny)
            for case in cases
            if (case.kind == part or (part == "golden" and case.golden)) and (case.name, name) in errors
        }
        candidates = [case for case in cases if case.name in ratios]
        above = [case for case in candidates if ratios[case.name] > self.criteria.factor]
        if above:
            return min(above, key=lambda case: sum(array.nbytes for array in case.feeds.values()))
        return max(candidates, key=lambda case: ratios[case.name])
