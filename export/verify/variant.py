"""One exported variant of the model, and what runs it."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.bundle.stage import Stage
from ...runtime.sessions import Session
from ..reference.original import Precision


@dataclass(frozen=True)
class Variant:
    """One exported variant of the model. ``stage``: its name in the report; ``precision``: whose own PyTorch error it is held to.

    ``step``: the stage whose result it is (lower, typed, engine); None for a variant that does not show what a stage computes.
    """

    stage: str
    file: str
    precision: Precision
    session: Session
    step: Stage | None = None
