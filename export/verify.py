"""The verify stage: every exported form against the original module in FP64, beside PyTorch's own error at the same precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ParityError, StageError
from ..runtime.compare import ErrorMeter, Top1, check_outputs, top1
from ..runtime.figures import Gate, ParityRecord
from ..runtime.golden import GoldenCase
from ..runtime.sessions import Session
from ..runtime.spec import TensorSpec
from .cases import Case
from .report import Reporter
from .truth import Original, Precision


@dataclass(frozen=True)
class Form:
    """One exported form of the model. ``stage``: its name in the report; ``precision``: whose own PyTorch error it is held to."""

    stage: str
    file: str
    precision: Precision
    session: Session


@dataclass
class Verification:
    """What was found. ``failures`` is empty where every gate is passed."""

    records: list[ParityRecord] = field(default_factory=list)
    golden: list[GoldenCase] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass
class _Meters:
    """The errors of one form, or of PyTorch itself, per output: over all cases, per origin of the cases, and over the golden ones."""

    every: dict[str, ErrorMeter] = field(default_factory=dict)
    parts: dict[tuple[str, str], ErrorMeter] = field(default_factory=dict)

    def add(self, case: Case, name: str, got: np.ndarray, truth: np.ndarray) -> None:
        self.every.setdefault(name, ErrorMeter()).add(got, truth)
        for part in (case.origin, *(("golden",) if case.golden else ())):
            self.parts.setdefault((part, name), ErrorMeter()).add(got, truth)


def verify(
    original: Original,
    forms: Sequence[Form],
    cases: Sequence[Case],
    outputs: Sequence[TensorSpec],
    task: str | None,
    factor: float,
    reporter: Reporter,
) -> Verification:
    """Run every form on every case.

    Each output of each form is held to ``factor`` times PyTorch's own rms error, over the random cases and over the samples apart, so that
    neither hides the other; a classifier's top-1 may differ only where the truth is a tie. Failures are collected, not raised.
    """
    result = Verification()
    precisions: list[Precision] = sorted({form.precision for form in forms})
    own: dict[str, _Meters] = {p: _Meters() for p in precisions}
    mine = [_Meters() for _ in forms]
    classes: list[list[_Run]] = [[] for _ in forms]
    broken: dict[int, str] = {}
    for number, case in enumerate(cases):
        reporter.progress(number / len(cases), f"{case.name} ({number + 1} of {len(cases)})")
        truth = original.run(case.feeds, "float64")
        _finite(truth, case)
        plain = {precision: original.run(case.feeds, precision) for precision in precisions}
        for precision, results in plain.items():
            for name, true in truth.items():
                own[precision].add(case, name, results[name], true)
        if case.golden:
            result.golden.append(GoldenCase(case.name, case.feeds, truth))
        for i, form in enumerate(forms):
            if i in broken:
                continue
            got = form.session.run(case.feeds)
            try:
                check_outputs(outputs, got, truth=truth, of=form.stage)
            except ParityError as error:
                broken[i] = f"{error} [{case.name}]"
                continue
            for name, true in truth.items():
                mine[i].add(case, name, got[name], true)
            if task == "classification":
                logits = outputs[0].name
                classes[i].append(_Run(case, truth[logits], got[logits], plain[form.precision][logits]))
    reporter.progress(1.0, "gates")
    for i, form in enumerate(forms):
        if i in broken:
            result.failures.append(broken[i])
            continue
        for spec in outputs:
            detail: dict[str, Any] = {}
            if classes[i] and spec is outputs[0]:
                detail["top1"] = _top1(classes[i], form, result)
            result.records.append(_judge(form, spec, mine[i], own[form.precision], factor, detail, result))
    return result


def _finite(truth: dict[str, np.ndarray], case: Case) -> None:
    for name, array in truth.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StageError(
                "verify",
                f"the original model itself gives NaN or Inf in {name!r} on {case.name}, in FP64",
                "check its weights and inputs",
            )


def _judge(
    form: Form,
    spec: TensorSpec,
    mine: _Meters,
    own: _Meters,
    factor: float,
    detail: dict[str, Any],
    result: Verification,
) -> ParityRecord:
    """The record of one output: its gate is the worst of the parts, each of which is in the detail."""
    precision = form.precision if spec.numpy_dtype.kind == "f" else spec.dtype
    gates: dict[str, Gate] = {}
    for (part, name), meter in mine.parts.items():
        if name != spec.name:
            continue
        own_rms = own.parts[(part, name)].figures().rms
        gates[part] = Gate.judge(meter.figures(), own_rms=own_rms, precision=precision, factor=factor)
    worst = max(gates, key=lambda part: gates[part].ratio)
    gate = gates[worst]
    if not gate.passed:
        result.failures.append(
            f"output {spec.name!r} of {form.stage} errs {gate.ratio:.3g} times as much as PyTorch's own {form.precision} "
            f"on {worst} inputs, and {factor:g} is allowed"
        )
    golden = own.parts.get(("golden", spec.name))
    detail["parts"] = {part: g.to_json() for part, g in gates.items()}
    return ParityRecord(
        stage=form.stage,
        file=form.file,
        precision=form.precision,
        output=spec.name,
        figures=mine.every[spec.name].figures(),
        gate=gate,
        own_rms=golden.figures().rms if golden is not None else own.every[spec.name].figures().rms,
        detail=detail,
    )


@dataclass(frozen=True)
class _Run:
    """The logits (N, classes) of one case: the truth's, the form's, and PyTorch's own at the form's precision."""

    case: Case
    truth: np.ndarray
    got: np.ndarray
    own: np.ndarray


def _top1(runs: Sequence[_Run], form: Form, result: Verification) -> dict[str, Any]:
    """Top-1 over the samples where there are any (random inputs have no class), with the accuracy where there are labels."""
    origin = "samples" if any(run.case.origin == "samples" for run in runs) else "random"
    chosen = [run for run in runs if run.case.origin == origin]
    truth, got, own = (np.concatenate([getattr(run, name) for run in chosen]) for name in ("truth", "got", "own"))
    own_max_error = float(np.abs(own.astype(np.float64) - truth).max())
    agreement: Top1 = top1(truth, got, own_max_error=own_max_error)
    if agreement.disagreements > agreement.within_margin:
        result.failures.append(
            f"{form.stage} chooses another class than the original for "
            f"{agreement.disagreements - agreement.within_margin} of {agreement.count} inputs that are no ties"
        )
    detail = {**agreement.to_json(), "of": origin}
    if all(run.case.labels is not None for run in chosen):
        labels = np.concatenate([run.case.labels for run in chosen if run.case.labels is not None])
        detail["accuracy"] = float((got.argmax(1) == labels).mean())
        detail["original_accuracy"] = float((truth.argmax(1) == labels).mean())
    return detail
