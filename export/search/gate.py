"""The gate: a typed model as it would be shipped, run under emulation and held to the evidence."""

from __future__ import annotations

from onnx import ModelProto

from ...runtime.sessions.emulated import EmulatedSession
from .evidence import Evidence, Score


def judge(typed: ModelProto, evidence: Evidence) -> Score:
    """Score a typed FP16 model as hardware would store it. Raises StageError where it cannot be run."""
    session = EmulatedSession(typed)
    try:
        feeds = [{name: run.feeds[name] for name in session.input_names} for run in evidence.runs]
        return evidence.score([session.run(feed) for feed in feeds])
    finally:
        session.close()
