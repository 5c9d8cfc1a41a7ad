"""The result of ``attnexport debug``: the verdict per output, errors by module, the place, and a reproducer."""

import math
from dataclasses import dataclass
from typing import Any

from .attribution import Blame
from .codec import encode_fields


@dataclass(frozen=True)
class OutputError:
    """One output of a stage on one case: its relative error, and that as a multiple of PyTorch's at ``precision``.

    ``fault`` describes a failure; empty if the output passes.
    """

    stage: str
    precision: str
    output: str
    case: str
    relative: float
    ratio: float
    fault: str = ""


@dataclass(frozen=True)
class TensorError:
    """One tensor of the stage against the original in FP64; ``relative`` to the rms of the original's, ``reference_rms``."""

    name: str
    node: str
    op: str
    module: str
    kind: str
    source: str
    shape: tuple[int, ...]
    type: str
    relative: float
    max_abs: float
    reference_rms: float


@dataclass(frozen=True)
class ModuleDivergence:
    """The nodes of one module: the largest relative errors of the tensors that enter and leave it.

    ``entering`` is None if no entering tensor could be compared (the model's inputs are exact: 0),
    ``leaving`` likewise. ``type``: the element type in which its nodes compute.
    """

    module: str
    kind: str
    source: str
    nodes: int
    compared: int
    entering: float | None
    leaving: float | None
    type: str

    @property
    def growth(self) -> float | None:
        """Leaving error over entering error; None if one is unknown or no tensor enters."""
        if self.entering is None or self.leaving is None:
            return None
        if self.entering == self.leaving:
            return 1.0
        return self.leaving / self.entering if self.entering > 0 and math.isfinite(self.entering) else None


@dataclass(frozen=True)
class Reproducer:
    """A folder of files that reproduces a fault: ``nodes`` nodes of the stage, from ``feeds`` to ``tensor``.

    ``feeds`` are tensors of the original. ``relative`` is the error, ``allowed`` its limit;
    ``command`` runs it.
    """

    folder: str
    command: str
    tensor: str
    feeds: tuple[str, ...]
    nodes: int
    relative: float
    allowed: float


@dataclass(frozen=True)
class Divergence:
    """The comparison of one stage with the original, on one case. ``place`` is None if every output passes.

    ``reference``: with which values the tensors are compared; ``notes``: remarks for the user.
    """

    stage: str
    precision: str
    case: str
    reference: str
    outputs: tuple[OutputError, ...]
    modules: tuple[ModuleDivergence, ...]
    tensors: tuple[TensorError, ...]
    place: Blame | None = None
    tensor: str = ""
    reproducer: Reproducer | None = None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every output of every compared stage passes."""
        return not any(output.fault for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, with the growth of each module."""
        content = encode_fields(self)
        for row, module in zip(content["modules"], self.modules, strict=True):
            row["growth"] = (
                module.growth if module.growth is None or math.isfinite(module.growth) else str(module.growth)
            )
        return {"passed": self.passed, **content}
