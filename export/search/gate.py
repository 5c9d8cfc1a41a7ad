"""The gate: run a typed model under emulation, as the bundle would contain it, and score it."""

from __future__ import annotations

from onnx import ModelProto

from ...runtime.sessions.emulated import EmulatedSession
from .evidence import Evidence, Score


def judge(typed: ModelProto, evidence: Evidence) -> Score:
    """Return the score of a typed FP16 model, emulated as hardware stores it. Raises StageError if it cannot run."""
    session = EmulatedSession(typed)
    try:
        feeds = [{name: run.feeds[name] for name in session.input_names} for run in evidence.runs]
        return evidence.score([session.run(feed) for feed in feeds])
    finally:
        session.close()
