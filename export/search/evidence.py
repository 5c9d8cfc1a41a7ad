"""The basis of a precision decision: inputs, the FP64 reference of each, and PyTorch's FP16 result.

    ratio(part, output) = rms(result - reference) / max(rms(torch fp16 - reference), floor)      over all runs of the part

Each part (random inputs, samples) is judged alone, so that it cannot hide the error of the other. A model is as good as
its worst ratio. ``floor`` is half an ulp of FP16 (:mod:`runtime.bundle.figures`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from ...runtime.bundle.figures import Figures, rounding_floor
from ...runtime.check.compare import ErrorMeter
from ...runtime.inputs.samples import Samples
from ...runtime.metrics import top_k
from ...runtime.sessions.emulated import open_emulated
from ...runtime.spec import TensorSpec
from ..reference.original import Original

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ReferenceRun:
    """One run of the model: ``part`` is ``random`` or ``samples``; ``torch`` is PyTorch's FP16 result."""

    part: str
    feeds: Arrays
    reference: Arrays
    torch: Arrays


@dataclass(frozen=True)
class Score:
    """The error of a typed model: ``{"part/output": ratio}``, and the number of changed classes that are not ties."""

    ratios: dict[str, float]
    flips: int = 0

    @property
    def worst(self) -> float:
        """The largest ratio; infinite if a value is not finite."""
        return max((math.inf if math.isnan(r) else r for r in self.ratios.values()), default=0.0)

    @property
    def finite(self) -> bool:
        """Whether each value is finite if its reference is."""
        return math.isfinite(self.worst)

    def within(self, allowed: float) -> bool:
        """Whether each ratio is at most ``allowed`` and no class changed."""
        return self.worst <= allowed and not self.flips

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary; a ratio that is not finite is null."""
        ratios = {k: v if math.isfinite(v) else None for k, v in self.ratios.items()}
        return {"ratios": ratios, "flips": self.flips}

    @classmethod
    def from_json(cls, value: Any) -> "Score":
        """The inverse of :meth:`to_json`. Raises KeyError, TypeError or AttributeError for anything else."""
        ratios = {str(k): math.inf if v is None else float(v) for k, v in value["ratios"].items()}
        return cls(ratios, int(value["flips"]))


class Evidence:
    """Runs with their references, and PyTorch's error of each output: every variant of the model is scored on them.

    ``logits`` names a classifier's output, whose largest element is the answer; None for other models.
    """

    def __init__(self, runs: Sequence[ReferenceRun], logits: str | None = None) -> None:
        self.runs = tuple(runs)
        self.logits = logits
        self.unit = self._unit()

    @classmethod
    def of(cls, original: Original, feeds: Iterable[tuple[str, Arrays]], logits: str | None = None) -> "Evidence":
        """Evaluate the original model on ``(part, feeds)`` in FP64 and in FP16. Raises StageError if it fails."""
        runs = [ReferenceRun(part, f, original.run(f, "float64"), original.run(f, "float16")) for part, f in feeds]
        return cls(runs, logits)

    def half(self) -> "Evidence":
        """Return every second run of each part, at least one: enough to compare roundings with each other."""
        parts = {run.part: [other for other in self.runs if other.part == run.part] for run in self.runs}
        return Evidence([run for runs in parts.values() for run in runs[::2]], self.logits)

    def _unit(self) -> dict[str, float]:
        dtypes = {f"{run.part}/{name}": array.dtype for run in self.runs for name, array in run.reference.items()}
        figures = self._figures([run.torch for run in self.runs])
        names = {key: "float16" if dtype.kind == "f" else str(dtype) for key, dtype in dtypes.items()}
        return {key: max(f.rms, rounding_floor(names[key], f.reference_rms)) for key, f in figures.items()}

    def _figures(self, results: Sequence[Arrays]) -> dict[str, Figures]:
        """The error of each output, by ``part/output``, over one result per run."""
        meters: dict[str, ErrorMeter] = {}
        for run, result in zip(self.runs, results, strict=True):
            for name, reference in run.reference.items():
                meters.setdefault(f"{run.part}/{name}", ErrorMeter()).add(result[name], reference)
        return {key: meter.figures() for key, meter in meters.items()}

    def score(self, results: Sequence[Arrays]) -> Score:
        """Compare one result per run with the reference."""
        ratios = {}
        for key, figures in self._figures(results).items():
            unit = self.unit[key]
            ratios[key] = figures.rms / unit if unit > 0.0 else math.inf if figures.rms else 0.0
        return Score(ratios, self._flips(results))

    def _flips(self, results: Sequence[Arrays]) -> int:
        if self.logits is None:
            return 0
        name = self.logits
        reference = np.concatenate([run.reference[name] for run in self.runs])
        torch = np.concatenate([run.torch[name] for run in self.runs])
        results_of_all = np.concatenate([result[name] for result in results])
        margin = float(np.abs(torch.astype(np.float64) - reference).max())
        top = top_k(reference, results_of_all, 1, torch_max_error=margin)
        return top.disagreements - top.within_margin


def judge(typed: ModelProto, evidence: Evidence) -> Score:
    """Return the score of a typed FP16 model, emulated as hardware stores it. Raises StageError if it cannot run."""
    with open_emulated(typed) as session:
        feeds = [{name: run.feeds[name] for name in session.input_names} for run in evidence.runs]
        return evidence.score([session.run(feed) for feed in feeds])


@dataclass(frozen=True)
class ConversionSubject:
    """The original model with its input specs and the user's samples, if any.

    ``logits`` names a classifier's output, whose largest element is the answer. ``seed`` draws random inputs and the
    order of samples.
    """

    original: Original
    inputs: Sequence[TensorSpec]
    samples: Samples | None = None
    logits: str | None = None
    seed: int = 0
