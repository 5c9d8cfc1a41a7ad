"""The verify stage: every exported variant against the original module in FP64, beside PyTorch's error at the same precision."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from .attribution import Fault, MeasuredCase, StageModels, attribute, invalid_output, measured_cases
from .cases import ParityCase
from .variant import Variant


@dataclass
class ParityResult:
    """What was found. ``failures`` is empty where every gate is passed; ``attribution`` says where each output's error comes in."""

    records: list[ParityRecord] = field(default_factory=list)
    golden: list[GoldenCase] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    attribution: list[Attribution] = field(default_factory=list)


@dataclass
class _Meters:
    """The errors of one variant, or of PyTorch itself, per output: over all cases, per origin of the cases, and over the golden ones."""

    every: dict[str, ErrorMeter] = field(default_factory=dict)
    parts: dict[tuple[str, str], ErrorMeter] = field(default_factory=dict)
    cases: dict[tuple[str, str], float] = field(default_factory=dict)
    """The rms error by case and output."""

    def add(self, case: ParityCase, name: str, got: np.ndarray, reference: np.ndarray) -> None:
        meter = ErrorMeter()
        meter.add(got, reference)
        self.every.setdefault(name, ErrorMeter()).merge(meter)
        for part in (case.kind, *(("golden",) if case.golden else ())):
            self.parts.setdefault((part, name), ErrorMeter()).merge(meter)
        if got.size:
            self.cases[case.name, name] = meter.figures().rms


@dataclass
class _Held:
    """One variant compared with the reference: its errors, metrics by output and kind of case, and its fault if it has one."""

    variant: Variant
    meters: _Meters = field(default_factory=_Meters)
    metrics: dict[tuple[str, str], list[Metric]] = field(default_factory=dict)
    fault: Fault | None = None


def verify(
    original: Original,
    variants: Sequence[Variant],
    cases: Sequence[ParityCase],
    outputs: Sequence[TensorSpec],
    task: str | None,
    factor: float,
    reporter: Reporter,
    made: StageModels | None = None,
    maps: Collection[str] = (),
) -> ParityResult:
    """Run every variant on every case.

    The error of each output may be at most ``factor`` times PyTorch's rms error. Random cases and samples are judged apart, so
    that neither hides the other. A classifier's top-1 may differ only if the reference is a tie. Failures are collected, not
    raised. ``made``: the models of the stages, to attribute each error to a stage; ``maps``: the outputs that are attention maps.
    """
    result = ParityResult()
    precisions: list[Precision] = sorted(
        {variant.precision for variant in variants} | ({"float32"} if made is not None else set())
    )
    own: dict[str, _Meters] = {p: _Meters() for p in precisions}
    held = [_Held(variant) for variant in variants]
    few = {case.name for case in measured_cases(cases)} if made is not None else set()
    measured: list[MeasuredCase] = []
    for number, case in enumerate(cases):
        reporter.progress(number / len(cases), f"{case.name} ({number + 1} of {len(cases)})")
        reference = original.run(case.feeds, "float64")
        _finite(reference, case)
        plain = {precision: original.run(case.feeds, precision) for precision in precisions}
        for precision, results in plain.items():
            for name, true in reference.items():
                own[precision].add(case, name, results[name], true)
        if case.golden:
            result.golden.append(GoldenCase(case.name, case.feeds, reference))
        ran = {}
        for i, one in enumerate(held):
            if one.fault is None or case.name in few:
                ran[i] = one.variant.session.run(case.feeds)
            if one.fault is None:
                _hold(i, one, case, ran[i], reference, plain[one.variant.precision], outputs, task, maps)
        if case.name in few:
            measured.append(MeasuredCase(case, reference, plain, ran))
    reporter.progress(1.0, "gates")
    faults: list[Fault] = []
    for i, one in enumerate(held):
        if one.fault is not None:
            faults.append(one.fault)
            continue
        for spec in outputs:
            record, found = _judge(i, one, spec, own[one.variant.precision], factor, cases)
            result.records.append(record)
            faults += found
    result.failures = [fault.text for fault in faults]
    if made is not None:
        reporter.progress(1.0, "attribution")
        result.attribution, result.failures = attribute(made, variants, original, outputs, measured, faults, factor)
    return result


def _hold(
    index: int,
    one: _Held,
    case: ParityCase,
    got: dict[str, np.ndarray],
    reference: dict[str, np.ndarray],
    plain: dict[str, np.ndarray],
    outputs: Sequence[TensorSpec],
    task: str | None,
    maps: Collection[str],
) -> None:
    wrong = invalid_output(outputs, got, reference, one.variant.stage)
    if wrong is not None:
        output, text = wrong
        one.fault = Fault(index, output, f"{text} [{case.name}]", case)
        return
    for spec in outputs:
        name = spec.name
        one.meters.add(case, name, got[name], reference[name])
        metrics = one.metrics.setdefault(
            (case.kind, name), metrics_for(task, spec, first=spec is outputs[0], is_map=name in maps)
        )
        for metric in metrics:
            metric.add(got[name], reference[name], plain[name], case.labels)


def _finite(reference: dict[str, np.ndarray], case: ParityCase) -> None:
    for name, array in reference.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StageError(
                "verify",
                f"the original model returns NaN or Inf in {name!r} on {case.name} in FP64",
                "check its weights and inputs",
            )


def _judge(
    index: int, one: _Held, spec: TensorSpec, own: _Meters, factor: float, cases: Sequence[ParityCase]
) -> tuple[ParityRecord, list[Fault]]:
    """The record of one output, and what is wrong with it. Its gate is the worst of the parts, each of which is in the detail."""
    variant, name = one.variant, spec.name
    precision = variant.precision if spec.numpy_dtype.kind == "f" else spec.dtype
    faults: list[Fault] = []
    gates: dict[str, Gate] = {}
    for (part, output), meter in one.meters.parts.items():
        if output != name:
            continue
        torch_rms = own.parts[(part, name)].figures().rms
        gates[part] = Gate.judge(meter.figures(), torch_rms=torch_rms, precision=precision, factor=factor)
    worst = max(gates, key=lambda part: gates[part].ratio)
    gate = gates[worst]
    if not gate.passed:
        text = (
            f"output {name!r} of {variant.stage}: error on {worst} inputs is {gate.ratio:.3g}x PyTorch's "
            f"{short_type(variant.precision).upper()} error; the limit is {factor:g}x"
        )
        faults.append(Fault(index, name, text, _telling(one, own, name, factor, worst, cases)))
    # Random inputs have no class: metrics are over the samples where there are any.
    origin = "samples" if ("samples", name) in one.metrics else "random"
    metrics = one.metrics.get((origin, name), [])
    detail: dict[str, Any] = {key: {**value, "of": origin} for key, value in combined(metrics).items()}
    for metric in metrics:
        if isinstance(metric, Top) and metric.k == 1 and (changed := metric.changed()):
            count = metric.result().count
            text = f"{variant.stage} predicts another class than the original for {changed} of {count} inputs that are not ties"
            faults.append(Fault(index, name, text, _telling(one, own, name, factor, origin, cases)))
    golden = own.parts.get(("golden", name))
    detail["parts"] = {part: g.to_json() for part, g in gates.items()}
    record = ParityRecord(
        stage=variant.stage,
        file=variant.file,
        precision=variant.precision,
        output=name,
        figures=one.meters.every[name].figures(),
        gate=gate,
        torch_rms=golden.figures().rms if golden is not None else own.every[name].figures().rms,
        detail=detail,
    )
    return record, faults


def _telling(one: _Held, own: _Meters, name: str, factor: float, part: str, cases: Sequence[ParityCase]) -> ParityCase:
    """The smallest case of ``part`` on which the output errs more than is allowed; else the one on which it errs most."""
    candidates = [
        c for c in cases if (c.kind == part or (part == "golden" and c.golden)) and (c.name, name) in one.meters.cases
    ]
    ratios = {
        c.name: one.meters.cases[c.name, name] / max(own.cases[c.name, name], np.finfo(float).tiny) for c in candidates
    }
    over = [c for c in candidates if ratios[c.name] > factor]
    if over:
        return min(over, key=lambda c: sum(a.nbytes for a in c.feeds.values()))
    return max(candidates, key=lambda c: ratios[c.name])
