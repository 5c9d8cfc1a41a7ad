"""Outputs of every variant for one golden case, for the report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import AttnexportError
from ...runtime.bundle.golden import GoldenCase
from ...runtime.sessions import Session

GOLDEN = "golden.npz"
ENGINE_PREFIX = "engine-"
"""Prefix of the stages that run an engine."""
MAX_SAMPLES = 6
"""Most samples of a batch that the report shows."""


@dataclass(frozen=True)
class VariantOutputs:
    """The outputs of one variant, or the reason why it failed. ``stage``: ``onnx-fp32``, ``emulated-fp16`` ..."""

    stage: str
    outputs: Mapping[str, np.ndarray]
    failed: str = ""


@dataclass(frozen=True)
class GoldenOutputs:
    """A golden case with the outputs of the variants that ran on it."""

    case: GoldenCase
    variants: tuple[VariantOutputs, ...]


def choose_case(cases: Sequence[GoldenCase]) -> GoldenCase:
    """Return the case to show: samples, else random inputs at opt, else the first case. ``cases`` is not empty."""
    samples = next((case for case in cases if case.name.startswith("samples")), None)
    return samples or next((case for case in cases if "opt" in case.name), cases[0])


def run_golden(cases: Sequence[GoldenCase], variants: Iterable[tuple[str, Session]]) -> GoldenOutputs | None:
    """Run verification's open sessions, so that the page need not open the models again; None without golden cases."""
    if not cases:
        return None
    case = choose_case(cases)
    sessions = dict(variants)
    return GoldenOutputs(case, tuple(run_variant(stage, sessions[stage], case) for stage in cpu_stages(sessions)))


def cpu_stages(stages: Iterable[str]) -> list[str]:
    """Return the stages to run on a CPU: FP32 in ONNX Runtime, and the 16-bit model emulated if it can be."""
    models = [stage for stage in stages if not stage.startswith(ENGINE_PREFIX)]
    emulated = any(stage.startswith("emulated") for stage in models)
    return [stage for stage in models if stage == "onnx-fp32" or stage.startswith("emulated") == emulated]


def run_variant(stage: str, session: Session, case: GoldenCase) -> VariantOutputs:
    """Run one variant on a case; an AttnexportError becomes the reason why it has no outputs."""
    try:
        return VariantOutputs(stage, session.run(case.feeds))
    except AttnexportError as error:
        return VariantOutputs(stage, {}, error.problem)
