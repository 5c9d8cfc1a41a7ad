"""Compare the outputs of a stage with the gates of an export, and choose the smallest case that fails."""

import ctypes
import gc
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
from ..stages.stage_model import EIGHT, StageModel
from ..verify.cases import ParityCase
from ..verify.fault import invalid_output
from .sweep import TensorReader


def few(cases: Sequence[ParityCase]) -> list[ParityCase]:
    """Return all draws of the smallest shape, the first of each other shape, and one batch of samples of each size.

    A wrong stage fails on these cases; a ratio close to the gate may pass on them and fail in the export, or the reverse.
    """
    smallest = min((_shapes(case) for case in cases if case.kind == "random"), key=_elements)
    first = {(case.kind, _shapes(case)): case for case in reversed(cases)}
    return [
        case
        for case in cases
        if (case.kind == "random" and _shapes(case) == smallest) or first[case.kind, _shapes(case)] is case
    ]


def _shapes(case: ParityCase) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape for array in case.feeds.values())


def _elements(shapes: Sequence[Sequence[int]]) -> int:
    return sum(math.prod(shape) for shape in shapes)


@dataclass
class Reference:
    """The cases, with the outputs of the original in FP64 and at each other precision."""

    original: Original
    cases: Sequence[ParityCase]
    outputs: Sequence[TensorSpec]
    factor: float
    _results: dict[Precision, list[dict[str, np.ndarray]]] = field(default_factory=dict, repr=False)

    def at(self, precision: Precision) -> list[dict[str, np.ndarray]]:
        """Return the outputs of each case. Raises StageError if the original cannot be evaluated at this precision."""
        if precision not in self._results:
            model_type = next((kind for kind, name in EIGHT.items() if name == precision), None)
            if model_type is not None and precision not in self.original.further:
                # A bundle does not record which layers stay; with all layers in 8 bits the error is larger and the gate wider.
                feeds = [case.feeds for case in self.cases]
                evaluate = torch_eight_bits(self.original, format_of(model_type), feeds)
                self.original = self.original.with_precision(precision, evaluate)
            self._results[precision] = [self.original.run(case.feeds, precision) for case in self.cases]
            if isinstance(self.original, TorchOriginal):
                self.original.forget()
            free()
        return self._results[precision]

    def of(self, case: ParityCase, precision: Precision) -> dict[str, np.ndarray]:
        """Return the outputs of one case."""
        return next(r for c, r in zip(self.cases, self.at(precision), strict=True) if c is case)


@dataclass(frozen=True)
class Judged:
    """A verdict for each output of a stage, and the case to debug."""

    outputs: tuple[OutputError, ...]
    case: ParityCase

    @property
    def failed(self) -> tuple[OutputError, ...]:
        """The outputs that fail."""
        return tuple(output for output in self.outputs if output.fault)


def judge(stage: StageModel, taps: TensorReader, reference: Reference, *, optimize: bool = False) -> Judged:
    """Compare a stage with the gate of the export: PyTorch's error at its precision, times the factor.

    Random inputs and samples have separate gates, as in the export. The case is the smallest one that exceeds the limit
    for a failing output, else the smallest of all. ``optimize``: run the graph as ONNX Runtime optimises it.
    """
    names = [spec.name for spec in reference.outputs]
    expected, torch = reference.at("float64"), reference.at(stage.precision)
    results = [
        _declared_types(results, reference.outputs)
        for results in taps.results((c.feeds for c in reference.cases), names, optimize=optimize)
    ]
    verdicts: list[OutputError] = []
    failing: list[ParityCase] = []
    for spec in reference.outputs:
        verdicts_of = list(_of_output(stage, spec, reference, results, expected, torch))
        worst, case = max(verdicts_of, key=lambda pair: (bool(pair[0].fault), pair[0].ratio))
        verdicts.append(worst)
        if worst.fault:
            failing.append(case)
    return Judged(tuple(verdicts), min(failing or reference.cases, key=_bytes))


def _of_output(
    stage: StageModel,
    spec: TensorSpec,
    reference: Reference,
    results: Sequence[Mapping[str, np.ndarray]],
    expected: Sequence[Mapping[str, np.ndarray]],
    torch: Sequence[Mapping[str, np.ndarray]],
) -> Iterator[tuple[OutputError, ParityCase]]:
    """Yield a verdict for each kind of case, with the smallest case that shows it."""
    name = spec.name
    precision = stage.precision if spec.numpy_dtype.kind == "f" else spec.dtype
    for kind in dict.fromkeys(case.kind for case in reference.cases):
        indices = [i for i, case in enumerate(reference.cases) if case.kind == kind]
        for i in indices:
            wrong = invalid_output([spec], {name: results[i][name]}, expected[i], stage.name)
            if wrong is not None:
                case = reference.cases[i]
                yield OutputError(stage.name, stage.precision, name, case.name, np.inf, np.inf, wrong[1]), case
                break
        else:
            values = {i: (results[i][name], expected[i][name], torch[i][name]) for i in indices}
            gate, relative = _gate(list(values.values()), precision, reference.factor)
            over = [i for i in indices if not _gate([values[i]], precision, reference.factor)[0].passed]
            case = reference.cases[min(over or indices, key=lambda i: _bytes(reference.cases[i]))]
            fault = "" if gate.passed else (
                f"output {name!r} of {stage.name}: error on {kind} inputs is {gate.ratio:.3g}x PyTorch's "
                f"{short_type(stage.precision).upper()} error; the limit is {reference.factor:g}x"
            )  # fmt: skip
            yield OutputError(stage.name, stage.precision, name, case.name, relative, gate.ratio, fault), case


def _gate(
    triples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], precision: str, factor: float
) -> tuple[Gate, float]:
    meter, torch_meter = ErrorMeter(), ErrorMeter()
    for output, expected, torch in triples:
        meter.add(output, expected)
        torch_meter.add(torch, expected)
    figures = meter.figures()
    gate = Gate.judge(figures, torch_rms=torch_meter.figures().rms, precision=precision, factor=factor)
    return gate, figures.relative


def _declared_types(arrays: Mapping[str, np.ndarray], outputs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    """Convert floats to the types of the module's outputs; a model may have 16-bit outputs."""
    dtypes: dict[str, Any] = {spec.name: spec.numpy_dtype for spec in outputs if spec.numpy_dtype.kind == "f"}
    return {n: a.astype(dtypes[n]) if n in dtypes and a.dtype.kind == "f" else a for n, a in arrays.items()}


def _bytes(case: ParityCase) -> int:
    return sum(array.nbytes for array in case.feeds.values())


def free() -> None:
    """Collect reference cycles, such as graphs of graphsurgeon, and return free pages to the system.

    glibc keeps freed blocks of up to 32 MB, which the next stage does not need.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
