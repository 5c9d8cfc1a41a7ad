"""What a precision decision is measured on: inputs, the truth of each in FP64, and what PyTorch makes of it in FP16.

    ratio(part, output) = rms(got - truth) / max(rms(torch fp16 - truth), floor)        over all runs of the part

The parts (random inputs, samples) are judged apart, so that neither hides the other; a model is as good as its worst
ratio. ``floor`` is that of :mod:`runtime.figures`: half an ulp of FP16.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.bundle.figures import rounding_floor
from ...runtime.check.compare import ErrorMeter
from ...runtime.metrics.top import top_k
from ..reference.original import Original

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """One run of the model: ``part`` is ``random`` or ``samples``; ``own`` is what PyTorch gives in FP16."""

    part: str
    feeds: Arrays
    truth: Arrays
    own: Arrays


@dataclass(frozen=True)
class Score:
    """How far a typed model is off: ``{"part/output": ratio}``, and how many classes it changed that are no ties."""

    ratios: dict[str, float]
    flips: int = 0

    @property
    def worst(self) -> float:
        """The largest ratio; infinite where a value is not finite."""
        return max((math.inf if math.isnan(r) else r for r in self.ratios.values()), default=0.0)

    @property
    def finite(self) -> bool:
        """Whether every value is finite where the truth is."""
        return math.isfinite(self.worst)

    def within(self, allowed: float) -> bool:
        """Whether no output errs more than ``allowed`` times as much as PyTorch, and no class was changed."""
        return self.worst <= allowed and not self.flips

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; a ratio that is not finite is null."""
        ratios = {k: v if math.isfinite(v) else None for k, v in self.ratios.items()}
        return {"ratios": ratios, "flips": self.flips}

    @classmethod
    def from_json(cls, value: Any) -> Score:
        """The inverse of :meth:`to_json`. Raises KeyError, TypeError or AttributeError for anything else."""
        ratios = {str(k): math.inf if v is None else float(v) for k, v in value["ratios"].items()}
        return cls(ratios, int(value["flips"]))


class Evidence:
    """Runs with their truth, and the error that is allowed to each output: what any form of the model is scored on.

    ``logits`` names the output whose largest element is the answer (a classifier's), None where there is none.
    """

    def __init__(self, runs: Sequence[Run], logits: str | None = None) -> None:
        self.runs = tuple(runs)
        self.logits = logits
        self.unit = self._unit()

    @classmethod
    def of(cls, original: Original, feeds: Iterable[tuple[str, Arrays]], logits: str | None = None) -> Evidence:
        """Evaluate the original model on ``(part, feeds)`` in FP64 and in FP16. Raises StageError where it fails."""
        runs = [Run(part, f, original.run(f, "float64"), original.run(f, "float16")) for part, f in feeds]
        return cls(runs, logits)

    def half(self) -> Evidence:
        """Every second run of each part, at least one: enough to compare roundings with each other."""
        parts = {run.part: [other for other in self.runs if other.part == run.part] for run in self.runs}
        return Evidence([run for runs in parts.values() for run in runs[::2]], self.logits)

    def _unit(self) -> dict[str, float]:
        meters: dict[str, ErrorMeter] = {}
        dtypes: dict[str, str] = {}
        for run in self.runs:
            for name, truth in run.truth.items():
                key = f"{run.part}/{name}"
                meters.setdefault(key, ErrorMeter()).add(run.own[name], truth)
                dtypes[key] = "float16" if truth.dtype.kind == "f" else str(truth.dtype)
        figures = {key: meter.figures() for key, meter in meters.items()}
        return {key: max(f.rms, rounding_floor(dtypes[key], f.truth_rms)) for key, f in figures.items()}

    def score(self, results: Sequence[Arrays]) -> Score:
        """Hold one result per run to the truth."""
        meters: dict[str, ErrorMeter] = {}
        for run, result in zip(self.runs, results, strict=True):
            for name, truth in run.truth.items():
                meters.setdefault(f"{run.part}/{name}", ErrorMeter()).add(result[name], truth)
        ratios = {}
        for key, meter in meters.items():
            error = meter.figures().rms
            ratios[key] = error / self.unit[key] if self.unit[key] > 0.0 else math.inf if error else 0.0
        return Score(ratios, self._flips(results))

    def _flips(self, results: Sequence[Arrays]) -> int:
        if self.logits is None:
            return 0
        name = self.logits
        truth = np.concatenate([run.truth[name] for run in self.runs])
        own = np.concatenate([run.own[name] for run in self.runs])
        got = np.concatenate([result[name] for result in results])
        margin = float(np.abs(own.astype(np.float64) - truth).max())
        found = top_k(truth, got, 1, own_max_error=margin)
        return found.disagreements - found.within_margin
