"""Measure how much each step adds to the error of each output, on a few cases."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ...errors import AttnexportError, StageError
from ...runtime.bundle.attribution import StepFigures
from ...runtime.bundle.figures import Figures, rounding_floor
from ...runtime.bundle.sections import Selection
from ...runtime.bundle.stage import Stage
from ...runtime.check.case_errors import OutputErrors, compare_case
from ...runtime.spec import TensorSpec
from ..reference.original import Precision
from .cases import ParityCase
from .chains import Chain, same_computation
from .fault import invalid_output
from .graphs import open_model

ENOUGH_BYTES = 1 << 20
"""Most bytes of inputs of a case that is measured step by step; the first case may be larger."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class MeasuredCase:
    """One case with its outputs: the reference, PyTorch by precision, and the variants by index."""

    case: ParityCase
    reference: Arrays
    torch: Mapping[Precision, Arrays]
    variants: Mapping[int, Arrays]


def measured_cases(cases: Sequence[ParityCase]) -> list[ParityCase]:
    """Return the first random case of each shape, and the largest batch of samples within ``ENOUGH_BYTES``."""
    small = [c for i, c in enumerate(cases) if i == 0 or sum(a.nbytes for a in c.feeds.values()) <= ENOUGH_BYTES]
    by_shape: dict[tuple[object, ...], ParityCase] = {}
    for case in small:
        if case.kind == "random":
            by_shape.setdefault(tuple(a.shape for a in case.feeds.values()), case)
    samples = [c for c in small if c.kind == "samples"]
    largest = max(samples, key=lambda c: len(next(iter(c.feeds.values()))), default=None)
    return [*by_shape.values(), *((largest,) if largest is not None else ())]


class StepOutputs:
    """The outputs of every step of every chain on the measured cases; each model is opened once."""

    def __init__(
        self, chains: Sequence[Chain], measured: Sequence[MeasuredCase], selections: Sequence[Selection] = ()
    ) -> None:
        self.chains, self.measured, self.selections = tuple(chains), tuple(measured), tuple(selections)
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
            self._notes[stage] = f"{stage} could not be run separately: {error.problem}"
            return
        self._ran.append((model, outputs))
        self.results[chain, stage] = outputs

    @property
    def notes(self) -> tuple[str, ...]:
        """The steps that could not be run separately, with the reason."""
        return tuple(self._notes.values())

    def first_invalid(self, chain: Chain, outputs: Sequence[TensorSpec]) -> Stage | None:
        """Return the first stage with an invalid output on one of the cases, or None."""
        for step in chain.steps:
            for m, arrays in zip(self.measured, self.results.get((chain.name, step.stage), ()), strict=False):
                if invalid_output(outputs, arrays, m.reference, step.stage, self.selections) is not None:
                    return step.stage
        return None

    def figures(self, chain: Chain, spec: TensorSpec) -> tuple[StepFigures, ...]:
        """Return the figures of one output after each step of ``chain`` that ran. Raise StageError if no step ran."""
        reference = [m.reference for m in self.measured]
        before: Sequence[Arrays] = reference
        ratio, precision = 0.0, ""
        entries = []
        for step in chain.steps:
            results = self.results.get((chain.name, step.stage))
            if results is None:
                continue
            figures = self._figures(results, reference, spec.name, step.precision)
            torch = [m.torch[step.precision] for m in self.measured]
            torch_rms = self._figures(torch, reference, spec.name, step.precision).rms
            dtype = step.precision if spec.numpy_dtype.kind == "f" else spec.dtype
            unit = max(torch_rms, rounding_floor(dtype, figures.reference_rms))
            last_ratio, ratio = ratio, figures.rms / unit if unit > 0 else math.inf if figures.rms else 0.0
            growth = ratio - last_ratio if step.precision == precision and math.isfinite(last_ratio) else ratio
            added = self._figures(results, before, spec.name, step.precision).rms
            entries.append(StepFigures(step.stage, step.precision, figures, added, torch_rms, ratio, growth))
            precision = step.precision
            before = [{**b, **a} for a, b in zip(results, before, strict=True)]
        if not entries:
            raise StageError("verify", f"no stage of {chain.name} could be run")
        return tuple(entries)

    def _figures(
        self, outputs: Sequence[Arrays], references: Sequence[Arrays], name: str, precision: Precision
    ) -> Figures:
        """The error of one output over all cases; it is NaN for an output that is missing or has another shape."""
        errors = OutputErrors()
        for arrays, expected in zip(outputs, references, strict=True):
            selections = [s for s in self.selections if name in s.outputs and s.outputs.keys() <= arrays.keys()]
            if not selections and (name not in arrays or arrays[name].shape != expected[name].shape):
                errors.add(np.full(expected[name].shape, np.nan), np.zeros(expected[name].shape), None)
                continue
            names = (name, *(other for s in selections for other in s.outputs if other != name))
            of_case = compare_case({n: arrays[n] for n in names}, expected, selections, precision, {})
            errors.merge(of_case[name])
        return errors.figures()
