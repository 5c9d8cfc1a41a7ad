"""The bundle's models on one golden case, for the page's samples: what PyTorch gives, and what each form gives here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import AttnexportError
from ...runtime.bundle.golden import GoldenCase, read_golden
from ...runtime.sessions import Session
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
    """A golden case with all that ran on it."""

    case: GoldenCase
    forms: tuple[Ran, ...]


def choose(cases: Sequence[GoldenCase]) -> GoldenCase:
    """The case that says most: real samples, else random ones of the usual size. ``cases`` is not empty."""
    real = next((case for case in cases if case.name.startswith("samples")), None)
    return real or next((case for case in cases if "opt" in case.name), cases[0])


def ran_at_export(cases: Sequence[GoldenCase], forms: Iterable[tuple[str, Session]]) -> Shown | None:
    """What verification's sessions give, so that the page need not open the models again; None without golden cases."""
    if not cases:
        return None
    case = choose(cases)
    known = dict(forms)
    return Shown(case, tuple(_run(stage, known[stage], case) for stage in _wanted(known)))


def run_here(graph: Graph) -> Shown | None:
    """Open a graph's models and run them. None without golden cases; raises BundleError for damaged ones."""
    path = graph.folder / GOLDEN
    if not path.is_file():
        return None
    case = choose(read_golden(path))
    dtypes = {spec.name: spec.dtype for spec in graph.manifest.outputs}
    files = {record.stage: record.file for record in graph.manifest.parity}
    found = []
    for stage in _wanted(files):
        backend = "emulated" if stage.startswith("emulated") else "onnxruntime"
        try:
            with closing(open_session(graph.folder / files[stage], backend, dtypes, spin=False)) as session:
                found.append(_run(stage, session, case))
        except AttnexportError as error:
            found.append(Ran(stage, {}, error.problem))
    return Shown(case, tuple(found))


def _wanted(stages: Iterable[str]) -> list[str]:
    """What runs on a CPU: ONNX Runtime for FP32, and the 16-bit model as hardware rounds it, else as ONNX Runtime does."""
    found = [stage for stage in stages if not stage.startswith(ENGINE)]
    emulated = any(stage.startswith("emulated") for stage in found)
    return [stage for stage in found if stage == "onnx-fp32" or stage.startswith("emulated") == emulated]


def _run(stage: str, session: Session, case: GoldenCase) -> Ran:
    try:
        return Ran(stage, session.run(case.feeds))
    except AttnexportError as error:
        return Ran(stage, {}, error.problem)


def pixels(graph: Graph, value: np.ndarray) -> np.ndarray:
    """(C, H, W) as a model takes it to (H, W, 3) in [0, 1]: scaled back where the bundle says how, else from least to greatest."""
    image = value.astype(np.float64).transpose(1, 2, 0)
    how: dict[str, Any] = graph.manifest.samples.images if graph.manifest.samples is not None else {}
    if "mean" in how and "std" in how:
        image = image * np.array(how["std"]) + np.array(how["mean"])
    else:
        low, high = float(image.min()), float(image.max())
        image = (image - low) / (high - low if high > low else 1.0)
    return np.asarray(np.clip(np.broadcast_to(image, (*image.shape[:2], 3)), 0, 1))
