"""Run the bundle's models on one golden case, for the page's samples."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np

from ...errors import AttnexportError
from ...runtime.bundle.golden import read_golden
from ...runtime.sessions.open import open_session
from ..verify.shown import GOLDEN, GoldenOutputs, VariantOutputs, choose_case, cpu_stages, run_variant
from .graphs import Graph


def run_here(graph: Graph) -> GoldenOutputs | None:
    """Run a graph's models. Return None without golden cases; raise BundleError for a damaged file."""
    path = graph.folder / GOLDEN
    if not path.is_file():
        return None
    case = choose_case(read_golden(path))
    dtypes = {spec.name: spec.dtype for spec in graph.manifest.outputs}
    files = {record.stage: record.file for record in graph.manifest.parity}
    found = []
    for stage in cpu_stages(files):
        backend = "emulated" if stage.startswith("emulated") else "onnxruntime"
        try:
            with closing(open_session(graph.folder / files[stage], backend, dtypes, spin=False)) as session:
                found.append(run_variant(stage, session, case))
        except AttnexportError as error:
            found.append(VariantOutputs(stage, {}, error.problem))
    return GoldenOutputs(case, tuple(found))


def pixels(graph: Graph, value: np.ndarray) -> np.ndarray:
    """Convert an input (C, H, W) to (H, W, 3) in [0, 1], with the bundle's mean and std, else with the range of its values."""
    image = value.astype(np.float64).transpose(1, 2, 0)
    how: dict[str, Any] = graph.manifest.samples.images if graph.manifest.samples is not None else {}
    if "mean" in how and "std" in how:
        image = image * np.array(how["std"]) + np.array(how["mean"])
    else:
        low, high = float(image.min()), float(image.max())
        image = (image - low) / (high - low if high > low else 1.0)
    return np.asarray(np.clip(np.broadcast_to(image, (*image.shape[:2], 3)), 0, 1))
