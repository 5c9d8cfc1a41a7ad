"""The verify stage: compare every model with the original in FP64, beside PyTorch's error at the same precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import StageError
from ...runtime.bundle.attribution import Attribution, short_type
from ...runtime.bundle.figures import Gate, ParityRecord
from ...runtime.bundle.golden import GoldenCase
from ...runtime.check.compare import ErrorMeter
from ...runtime.metrics import Metric, Top, combined, metrics_for
from ...runtime.spec import TensorSpec
from ..progress import Reporter
from ..reference.original import Original, Precision
from .attribution import Attributor
from .cases import ParityCase
from .chains import StageModels
from .fault import Fault, invalid_output
from .measure import MeasuredCase, measured_cases
from .variant import Variant

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Criteria:
    """How outputs are judged: ``factor`` is the gate, ``task`` selects the metrics, ``maps`` names the attention maps."""

    outputs: tuple[TensorSpec, ...]
    task: str | None
    factor: float
    maps: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ParityResult:
    """``failures`` is empty if every gate passes; ``attribution`` says which stage adds the error of each output."""

    records: tuple[ParityRecord, ...]
    golden: tuple[GoldenCase, ...]
    failures: tuple[str, ...]
    attribution: tuple[Attribution, ...] = ()


@dataclass
class _Meters:
    """Errors of one variant, or of PyTorch, by output: over all cases, by kind of case, and over the golden cases."""

    total: dict[str, ErrorMeter] = field(default_factory=dict)
    parts: dict[tuple[str, str], ErrorMeter] = field(default_factory=dict)
    cases: dict[tuple[str, str], float] = field(default_factory=dict)
    """The rms error by case and output."""

    def add(self, case: ParityCase, outputs: Arrays, reference: Arrays) -> None:
        for name, array in outputs.items():
            meter = ErrorMeter()
            meter.add(array, reference[name])
            self.total.setdefault(name, ErrorMeter()).merge(meter)
            for part in (case.kind, *(("golden",) if case.golden else ())):
                self.parts.setdefault((part, name), ErrorMeter()).merge(meter)
            if array.size:
                self.cases[case.name, name] = meter.figures().rms


def verify(
    original: Original,
    variants: Sequence[Variant],
    cases: Sequence[ParityCase],
    criteria: Criteria,
    reporter: Reporter,
    models: StageModels | None = None,
) -> ParityResult:
    """Run every variant on every case.

    The error of each output may be at most ``criteria.factor`` times PyTorch's rms error. Random
    cases and samples are judged apart, so that neither hides the other. A classifier's top-1 may
    differ only if the reference is a tie. Failures are collected, not raised; StageError is raised
    if the original returns NaN or Inf. With ``models``, each error is attributed to a stage.
    """
    precisions: list[Precision] = sorted(
        {v.precision for v in variants} | ({"float32"} if models is not None else set())
    )
    torch = {precision: _Meters() for precision in precisions}
    results = [_VariantResult(i, variant, criteria) for i, variant in enumerate(variants)]
    attributed = {case.name for case in measured_cases(cases)} if models is not None else set()
    golden: list[GoldenCase] = []
    measured: list[MeasuredCase] = []
    for number, case in enumerate(cases):
        reporter.progress(number / len(cases), f"{case.name} ({number + 1} of {len(cases)})")
        reference = original.run(case.feeds, "float64")
        _require_finite(reference, case)
        torch_outputs = {precision: original.run(case.feeds, precision) for precision in precisions}
        for precision, outputs in torch_outputs.items():
            torch[precision].add(case, outputs, reference)
        if case.golden:
            golden.append(GoldenCase(case.name, case.feeds, reference))
        variant_outputs = {}
        for i, result in enumerate(results):
            if result.fault is None or case.name in attributed:
                variant_outputs[i] = result.variant.session.run(case.feeds)
                result.add(case, variant_outputs[i], reference, torch_outputs[result.variant.precision])
        if case.name in attributed:
            measured.append(MeasuredCase(case, reference, torch_outputs, variant_outputs))
    reporter.progress(1.0, "gates")
    records: list[ParityRecord] = []
    faults: list[Fault] = []
    for result in results:
        variant_records, variant_faults = result.judge(torch[result.variant.precision], cases)
        records += variant_records
        faults += variant_faults
    failures = [fault.text for fault in faults]
    attribution: list[Attribution] = []
    if models is not None:
        reporter.progress(1.0, "attribution")
        attributor = Attributor(models, variants, original, criteria.outputs, criteria.factor)
        attribution, failures = attributor.attribute(measured, faults)
    return ParityResult(tuple(records), tuple(golden), tuple(failures), tuple(attribution))


def _require_finite(reference: Arrays, case: ParityCase) -> None:
    for name, array in reference.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StageError(
                "verify",
                f"the original model returns NaN or Inf in {name!r} on {case.name} in FP64",
                "check its weights and inputs",
            )


class _VariantResult:
    """The errors, metrics and fault of one variant (number ``index``), collected case by case."""

    def __init__(self, index: int, variant: Variant, criteria: Criteria) -> None:
        self.index, self.variant, self.criteria = index, variant, criteria
        self.fault: Fault | None = None
        """The first output with a wrong shape or dtype, NaN, Inf or only zeros; later cases are not compared."""
        self._meters = _Meters()
        self._metrics: dict[tuple[str, str], list[Metric]] = {}

    def add(self, case: ParityCase, outputs: Arrays, reference: Arrays, torch_outputs: Arrays) -> None:
        """Compare the outputs of one case, unless an earlier case has a fault."""
        if self.fault is not None:
            return
        specs = self.criteria.outputs
        invalid = invalid_output(specs, outputs, reference, self.variant.stage)
        if invalid is not None:
            output, text = invalid
            self.fault = Fault(self.index, output, f"{text} [{case.name}]", case)
            return
        self._meters.add(case, outputs, reference)
        for spec in specs:
            name = spec.name
            metrics = self._metrics.get((case.kind, name))
            if metrics is None:
                is_map = name in self.criteria.maps
                metrics = metrics_for(self.criteria.task, spec, first=spec is specs[0], is_map=is_map)
                self._metrics[case.kind, name] = metrics
            for metric in metrics:
                metric.add(outputs[name], reference[name], torch_outputs[name], case.labels)

    def judge(self, torch: _Meters, cases: Sequence[ParityCase]) -> tuple[list[ParityRecord], list[Fault]]:
        """Return a record for each output, and the faults; a variant with an invalid output has no records."""
        if self.fault is not None:
            return [], [self.fault]
        judged = [self._judge_output(spec, torch, cases) for spec in self.criteria.outputs]
        return [record for record, _ in judged], [fault for _, faults in judged for fault in faults]

    def _judge_output(
        self, spec: TensorSpec, torch: _Meters, cases: Sequence[ParityCase]
    ) -> tuple[ParityRecord, list[Fault]]:
        """The record of one output and its faults. Its gate is the worst of its parts, which are all in ``detail``."""
        name, variant = spec.name, self.variant
        gates = self._gates(spec, torch)
        worst = max(gates, key=lambda part: gates[part].ratio)
        gate = gates[worst]
        failed: list[tuple[str, str]] = []
        if not gate.passed:
            text = (
                f"output {name!r} of {variant.stage}: error on {worst} inputs is {gate.ratio:.3g}x PyTorch's "
                f"{short_type(variant.precision).upper()} error; the limit is {gate.factor:g}x"
            )
            failed.append((worst, text))
        # Random inputs have no class: metrics are over the samples if there are any.
        kind = "samples" if ("samples", name) in self._metrics else "random"
        metrics = self._metrics.get((kind, name), [])
        for metric in metrics:
            if isinstance(metric, Top) and metric.k == 1 and (changed := metric.changed()):
                inputs = f"{changed} of {metric.result().count} inputs that are not ties"
                failed.append((kind, f"{variant.stage} predicts another class than the original for {inputs}"))
        detail: dict[str, Any] = {key: {**value, "of": kind} for key, value in combined(metrics).items()}
        detail["parts"] = {part: gate.to_json() for part, gate in gates.items()}
        record = ParityRecord(
            stage=variant.stage,
            file=variant.file,
            precision=variant.precision,
            output=name,
            figures=self._meters.total[name].figures(),
            gate=gate,
            torch_rms=torch.parts.get(("golden", name), torch.total[name]).figures().rms,
            detail=detail,
        )
        faults = [Fault(self.index, name, text, self._worst_case(name, torch, part, cases)) for part, text in failed]
        return record, faults

    def _gates(self, spec: TensorSpec, torch: _Meters) -> dict[str, Gate]:
        """The gate of one output by part: random inputs, samples, golden cases."""
        precision = self.variant.precision if spec.numpy_dtype.kind == "f" else spec.dtype
        factor = self.criteria.factor
        gates = {}
        for (part, output), meter in self._meters.parts.items():
            if output == spec.name:
                rms = torch.parts[part, output].figures().rms
                gates[part] = Gate.judge(meter.figures(), torch_rms=rms, precision=precision, factor=factor)
        return gates

    def _worst_case(self, name: str, torch: _Meters, part: str, cases: Sequence[ParityCase]) -> ParityCase:
        """The smallest case of ``part`` whose error is above the limit; without one, the case with the largest error."""
        errors = self._meters.cases
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
