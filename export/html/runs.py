"""The bundle's models on one golden case, for the page's samples: what PyTorch gives, and what each form gives here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import AttnexportError
from ...runtime.golden import GoldenCase, read_golden
from ...runtime.sessions.open import open_session
from .content import ENGINE, Graph

GOLDEN = "golden.npz"
SHOWN = 6
"""Samples of a batch that are shown at the most."""


@dataclass(frozen=True)
class Ran:
    """One form's outputs, or why there are none. ``stage``: ``onnx-fp32``, ``emulated-fp16`` ..."""

    stage: str
    outputs: Mapping[str, np.ndarray]
    failed: str = ""


@dataclass(frozen=True)
class Shown:
    """A golden case with all that ran on it. ``rows``: how many samples are shown, 0 where a case is one sample alone."""

    case: GoldenCase
    forms: tuple[Ran, ...]
    rows: int

    def sample(self, array: np.ndarray, index: int, batched: bool) -> np.ndarray:
        """One sample of an array, which stands for all of them where it has no batch."""
        return array[index] if batched and self.rows else array


def show(graph: Graph) -> Shown | None:
    """Run a graph's forms on the golden case that says most: real samples, else random ones. None without golden cases."""
    path = graph.folder / GOLDEN
    if not path.is_file():
        return None
    cases = read_golden(path)
    case = next((c for c in cases if c.name.startswith("samples")), None)
    case = case or next((c for c in cases if "opt" in c.name), cases[0])
    first = graph.manifest.inputs[0]
    batched = bool(first.axes) and first.axes[0].symbol is not None
    rows = min(SHOWN, len(case.feeds[first.name])) if batched else 0
    return Shown(case, tuple(_run(graph, stage, file, case) for stage, file in _forms(graph).items()), rows)


def pixels(graph: Graph, value: np.ndarray) -> np.ndarray:
    """(C, H, W) as a model takes it to (H, W, 3) in [0, 1]: scaled back where the bundle says how, else from least to greatest."""
    image = value.astype(np.float64).transpose(1, 2, 0)
    how: dict[str, Any] = graph.manifest.samples.images if graph.manifest.samples is not None else {}
    if "mean" in how and "std" in how:
        image = image * np.array(how["std"]) + np.array(how["mean"])
    else:
        low, high = float(image.min()), float(image.max())
        image = (image - low) / (high - low if high > low else 1.0)
    return np.clip(np.broadcast_to(image, (*image.shape[:2], 3)), 0, 1)


def _forms(graph: Graph) -> dict[str, str]:
    """What runs on a CPU: ONNX Runtime for FP32, and the 16-bit model as hardware rounds it, else as ONNX Runtime does."""
    found = {r.stage: r.file for r in graph.manifest.parity if not r.stage.startswith(ENGINE)}
    emulated = {file for stage, file in found.items() if stage.startswith("emulated")}
    return {stage: file for stage, file in found.items() if stage.startswith("emulated") or file not in emulated}


def _run(graph: Graph, stage: str, file: str, case: GoldenCase) -> Ran:
    wanted = {spec.name: spec.dtype for spec in graph.manifest.outputs}
    backend = "emulated" if stage.startswith("emulated") else "onnxruntime"
    try:
        with closing(open_session(graph.folder / file, backend, wanted, spin=False)) as session:
            return Ran(stage, session.run(case.feeds))
    except AttnexportError as error:
        return Ran(stage, {}, error.problem)
