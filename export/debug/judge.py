"""Which outputs of a stage err more than an export may, and the smallest case that shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...runtime.bundle.attribution import short_type
from ...runtime.bundle.divergence import OutputError
from ...runtime.bundle.figures import Gate
from ...runtime.check.compare import ErrorMeter
from ...runtime.spec import TensorSpec
from ..quantise import format_of
from ..quantise.torch_error import torch_eight_bits
from ..reference.original import Original, Precision
from ..reference.torch_model import TorchOriginal
from ..stages.files import EIGHT
from ..stages.stage_model import StageModel
from ..verify.cases import ParityCase
from ..verify.fault import invalid_output
from .memory import free
from .taps import TensorReader


def few(cases: Sequence[ParityCase]) -> list[ParityCase]:
    """Of an export's cases all draws of the smallest shape, the first of each other, and one batch of samples of each size.

    A stage that is wrong is wrong on these; a ratio close to the gate may fall on its other side.
    """
    smallest = min((_shapes(case) for case in cases if case.kind == "random"), key=_elements)
    taken: set[object] = set()
    found = []
    for case in cases:
        key = (case.kind, _shapes(case))
        if (case.kind == "random" and _shapes(case) == smallest) or key not in taken:
            found.append(case)
        taken.add(key)
    return found


def _shapes(case: ParityCase) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape for array in case.feeds.values())


def _elements(shapes: Sequence[Sequence[int]]) -> int:
    return sum(math.prod(shape) for shape in shapes)


@dataclass
class Truth:
    """The cases, what the original gives on them in FP64, and what PyTorch itself makes of them at each precision."""

    original: Original
    cases: Sequence[ParityCase]
    outputs: Sequence[TensorSpec]
    factor: float
    _results: dict[Precision, list[dict[str, np.ndarray]]] = field(default_factory=dict, repr=False)

    def at(self, precision: Precision) -> list[dict[str, np.ndarray]]:
        """The outputs of each case. Raises StageError where the original cannot be evaluated so."""
        if precision not in self._results:
            form = next((form for form, of in EIGHT.items() if of == precision), None)
            if form is not None and precision not in self.original.further:
                # Of a bundle's model it is not known which layers were left; all of them in 8 bits err more, so the gate is wider.
                feeds = [case.feeds for case in self.cases]
                evaluate = torch_eight_bits(self.original, format_of(form), feeds)
                self.original = self.original.with_precision(precision, evaluate)
            self._results[precision] = [self.original.run(case.feeds, precision) for case in self.cases]
            if isinstance(self.original, TorchOriginal):
                self.original.forget()
            free()
        return self._results[precision]

    def of(self, case: ParityCase, precision: Precision) -> dict[str, np.ndarray]:
        """The outputs of one of the cases."""
        return next(r for c, r in zip(self.cases, self.at(precision), strict=True) if c is case)


@dataclass(frozen=True)
class Judged:
    """A verdict for each output of a stage, and the case to look into."""

    outputs: tuple[OutputError, ...]
    case: ParityCase

    @property
    def failed(self) -> tuple[OutputError, ...]:
        """The outputs that do not pass."""
        return tuple(one for one in self.outputs if one.fault)


def judge(stage: StageModel, taps: TensorReader, truth: Truth, *, optimize: bool = False) -> Judged:
    """Hold a stage to the gate of the export: PyTorch's error at that precision, times the factor.

    Random inputs and samples are judged apart, as the export does. The case is the smallest on which a failing output
    errs too much, else the smallest of all. ``optimize``: with what ONNX Runtime makes of the graph before it runs it.
    """
    names = [spec.name for spec in truth.outputs]
    true, own = truth.at("float64"), truth.at(stage.precision)
    results = [
        _as_promised(got, truth.outputs)
        for got in taps.results((c.feeds for c in truth.cases), names, optimize=optimize)
    ]
    verdicts: list[OutputError] = []
    telling: list[ParityCase] = []
    for spec in truth.outputs:
        found = list(_of_output(stage, spec, truth, results, true, own))
        worst, case = max(found, key=lambda pair: (bool(pair[0].fault), pair[0].ratio))
        verdicts.append(worst)
        if worst.fault:
            telling.append(case)
    return Judged(tuple(verdicts), min(telling or truth.cases, key=_bytes))


def _of_output(
    stage: StageModel,
    spec: TensorSpec,
    truth: Truth,
    results: Sequence[Mapping[str, np.ndarray]],
    true: Sequence[Mapping[str, np.ndarray]],
    own: Sequence[Mapping[str, np.ndarray]],
) -> Iterator[tuple[OutputError, ParityCase]]:
    """A verdict for each origin of the cases, with the smallest case that shows it."""
    name = spec.name
    precision = stage.precision if spec.numpy_dtype.kind == "f" else spec.dtype
    for origin in dict.fromkeys(case.kind for case in truth.cases):
        mine = [i for i, case in enumerate(truth.cases) if case.kind == origin]
        for i in mine:
            wrong = invalid_output([spec], {name: results[i][name]}, true[i], stage.name)
            if wrong is not None:
                yield (
                    OutputError(stage.name, stage.precision, name, truth.cases[i].name, np.inf, np.inf, wrong[1]),
                    truth.cases[i],
                )
                break
        else:
            gate, relative = _gate(
                [(results[i][name], true[i][name], own[i][name]) for i in mine], precision, truth.factor
            )
            alone = {
                i: _gate([(results[i][name], true[i][name], own[i][name])], precision, truth.factor)[0] for i in mine
            }
            over = [i for i in mine if not alone[i].passed]
            case = truth.cases[min(over or mine, key=lambda i: _bytes(truth.cases[i]))]
            fault = "" if gate.passed else (
                f"output {name!r} of {stage.name}: error on {origin} inputs is {gate.ratio:.3g}x PyTorch's "
                f"{short_type(stage.precision).upper()} error; the limit is {truth.factor:g}x"
            )  # fmt: skip
            yield OutputError(stage.name, stage.precision, name, case.name, relative, gate.ratio, fault), case


def _gate(
    triples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], precision: str, factor: float
) -> tuple[Gate, float]:
    meter, own = ErrorMeter(), ErrorMeter()
    for got, true, plain in triples:
        meter.add(got, true)
        own.add(plain, true)
    figures = meter.figures()
    return Gate.judge(figures, torch_rms=own.figures().rms, precision=precision, factor=factor), figures.relative


def _as_promised(got: Mapping[str, np.ndarray], outputs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    """Floats in the types of the module's own outputs: a model with 16-bit outputs of its own gives others."""
    wanted: dict[str, Any] = {spec.name: spec.numpy_dtype for spec in outputs if spec.numpy_dtype.kind == "f"}
    return {n: a.astype(wanted[n]) if n in wanted and a.dtype.kind == "f" else a for n, a in got.items()}


def _bytes(case: ParityCase) -> int:
    return sum(array.nbytes for array in case.feeds.values())
