"""Outputs of every variant for one golden case, for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import AttnexportError
from ...runtime.bundle.golden import GoldenCase
from ...runtime.sessions import Session

GOLDEN = "golden.npz"
ENGINE_PREFIX = "engine-"
"""How the stages that run an engine begin."""


MAX_SAMPLES = 6
"""Samples of a batch that are shown at the most."""


@dataclass(frozen=True)
class VariantOutputs:
    """One variant's outputs, or why there are none. ``stage``: ``onnx-fp32``, ``emulated-fp16`` ..."""

    stage: str
    outputs: Mapping[str, np.ndarray]
    failed: str = ""


@dataclass(frozen=True)
class GoldenOutputs:
    """A golden case with all that ran on it."""

    case: GoldenCase
    variants: tuple[VariantOutputs, ...]


def choose_case(cases: Sequence[GoldenCase]) -> GoldenCase:
    """The case that says most: real samples, else random ones of the usual size. ``cases`` is not empty."""
    real = next((case for case in cases if case.name.startswith("samples")), None)
    return real or next((case for case in cases if "opt" in case.name), cases[0])


def run_golden(cases: Sequence[GoldenCase], variants: Iterable[tuple[str, Session]]) -> GoldenOutputs | None:
    """What verification's sessions give, so that the page need not open the models again; None without golden cases."""
    if not cases:
        return None
    case = choose_case(cases)
    known = dict(variants)
    return GoldenOutputs(case, tuple(run_variant(stage, known[stage], case) for stage in cpu_stages(known)))


def cpu_stages(stages: Iterable[str]) -> list[str]:
    """What runs on a CPU: ONNX Runtime for FP32, and the 16-bit model as hardware rounds it, else as ONNX Runtime does."""
    found = [stage for stage in stages if not stage.startswith(ENGINE_PREFIX)]
    emulated = any(stage.startswith("emulated") for stage in found)
    return [stage for stage in found if stage == "onnx-fp32" or stage.startswith("emulated") == emulated]


def run_variant(stage: str, session: Session, case: GoldenCase) -> VariantOutputs:
    """Run one variant on a case; an AttnexportError becomes the reason why it has no outputs."""
    try:
        return VariantOutputs(stage, session.run(case.feeds))
    except AttnexportError as error:
        return VariantOutputs(stage, {}, error.problem)
