"""What each step adds to the error of each output, on a few cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ...errors import AttnexportError, StageError
from ...runtime.bundle.attribution import StepFigures
from ...runtime.bundle.figures import rounding_floor
from ...runtime.bundle.stage import Stage
from ...runtime.check.compare import ErrorMeter
from ...runtime.spec import TensorSpec
from ..reference.original import Precision
from .cases import ParityCase
from .chains import Chain, same_computation
from .fault import invalid_output
from .graphs import open_model

ENOUGH_BYTES = 1 << 20
"""Inputs of a case that is measured step by step; a larger one only where it is the first."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class MeasuredCase:
    """One case as verification ran it: the reference, PyTorch's results by precision, and the variants' by index."""

    case: ParityCase
    reference: Arrays
    own: Mapping[Precision, Arrays]
    variants: Mapping[int, Arrays]


def measured_cases(cases: Sequence[ParityCase]) -> list[ParityCase]:
    """The first random case of each shape, and one batch of samples: the largest that is not large."""
    small = [c for i, c in enumerate(cases) if i == 0 or sum(a.nbytes for a in c.feeds.values()) <= ENOUGH_BYTES]
    found: dict[tuple[object, ...], ParityCase] = {}
    for case in small:
        if case.kind == "random":
            found.setdefault(tuple(a.shape for a in case.feeds.values()), case)
    samples = [c for c in small if c.kind == "samples"]
    largest = max(samples, key=lambda c: len(next(iter(c.feeds.values()))), default=None)
    return [*found.values(), *((largest,) if largest is not None else ())]


class StepOutputs:
    """The outputs of every step of every chain on the measured cases; a model is opened once, run and closed."""

    def __init__(self, chains: Sequence[Chain], measured: Sequence[MeasuredCase]) -> None:
        self.chains, self.measured = tuple(chains), tuple(measured)
        self._ran: list[tuple[onnx.ModelProto, list[Arrays]]] = []
        self._notes: dict[Stage, str] = {}
        self.results: dict[tuple[str, Stage], list[Arrays]] = {}
        for chain in chains:
            for step in chain.steps:
                if step.variant is not None:
                    outputs = [m.variants[step.variant] for m in measured]
                    if step.model is not None and step.precision == "float32":
                        self._ran.append((step.model, outputs))
                    self.results[chain.name, step.stage] = outputs
        for chain in chains:
            for step in chain.steps:
                if step.variant is None and step.model is not None:
                    self._run(chain.name, step.stage, step.model)

    def _run(self, chain: str, stage: Stage, model: onnx.ModelProto) -> None:
        for known, outputs in self._ran:
            if same_computation(known, model):
                self.results[chain, stage] = outputs
                return
        try:
            with open_model(model) as session:
                outputs = [session.run(m.case.feeds) for m in self.measured]
        except AttnexportError as error:
            self._notes[stage] = f"{stage} could not be run apart: {error.problem}"
            return
        self._ran.append((model, outputs))
        self.results[chain, stage] = outputs

    @property
    def notes(self) -> tuple[str, ...]:
        """Which steps could not be run apart, and why."""
        return tuple(self._notes.values())

    def first_broken(self, chain: Chain, outputs: Sequence[TensorSpec]) -> Stage | None:
        """The first stage after which an output is wrong in kind on one of the cases; None where none is."""
        for step in chain.steps:
            for m, got in zip(self.measured, self.results.get((chain.name, step.stage), ()), strict=False):
                if invalid_output(outputs, got, m.reference, step.stage) is not None:
                    return step.stage
        return None

    def figures(self, chain: Chain, spec: TensorSpec) -> tuple[StepFigures, ...]:
        """One entry for each step of ``chain`` that ran, for one output."""
        reference = [m.reference[spec.name] for m in self.measured]
        before, ratio, precision = reference, 0.0, ""
        found = []
        for step in chain.steps:
            results = self.results.get((chain.name, step.stage))
            if results is None:
                continue
            got = [arrays.get(spec.name) for arrays in results]
            figures = _meter(got, reference).figures()
            own = _meter([m.own[step.precision][spec.name] for m in self.measured], reference).figures().rms
            held = step.precision if spec.numpy_dtype.kind == "f" else spec.dtype
            allowed = max(own, rounding_floor(held, figures.reference_rms))
            now = figures.rms / allowed if allowed > 0 else math.inf if figures.rms else 0.0
            growth = now - ratio if step.precision == precision and math.isfinite(ratio) else now
            added = _meter(got, before).figures().rms
            found.append(StepFigures(step.stage, step.precision, figures, added, own, now, growth))
            before, ratio, precision = (
                [g if g is not None else b for g, b in zip(got, before, strict=True)],
                now,
                step.precision,
            )
        if not found:
            raise StageError("verify", f"no step of {chain.name} could be run")
        return tuple(found)


def _meter(got: Sequence[np.ndarray | None], held: Sequence[np.ndarray]) -> ErrorMeter:
    """Over all cases; an output that is missing or of another shape errs without bound."""
    meter = ErrorMeter()
    for a, b in zip(got, held, strict=True):
        if a is None or a.shape != b.shape:
            meter.add(np.full(b.shape, np.nan), np.zeros(b.shape))
        else:
            meter.add(a, b)
    return meter
