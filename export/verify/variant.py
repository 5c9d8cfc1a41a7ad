"""One exported variant of the model with its session."""

from dataclasses import dataclass

from ...runtime.bundle.stage import Stage
from ...runtime.sessions import Session
from ..reference.original import Precision


@dataclass(frozen=True)
class Variant:
    """One exported variant of the model.

    ``stage``: its name in the report; ``precision``: that of PyTorch's error in its gate; ``step``: the
    stage whose result it is (lower, typed, engine), or None if it is not the result of a stage.
    """

    stage: str
    file: str
    precision: Precision
    session: Session
    step: Stage | None = None
