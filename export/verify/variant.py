"""One exported variant of the model, and what runs it."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.sessions import Session
from ..reference.original import Precision


@dataclass(frozen=True)
class Form:
    """One exported form of the model. ``stage``: its name in the report; ``precision``: whose own PyTorch error it is held to.

    ``step``: which stage's result it is (lower, cast, engine), as far as it shows what that stage computes.
    """

    stage: str
    file: str
    precision: Precision
    session: Session
    step: str = ""
