"""Where a stage parts from the original: the verdict per output, the errors module by module, the place, and what reproduces it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .attribution import Blame
from .codec import encode_fields


@dataclass(frozen=True)
class OutputError:
    """One output of a stage on one case: its relative error, and that as a multiple of PyTorch's at ``precision``.

    ``fault`` says what is wrong with it; empty where it passes.
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
    """One module, by the nodes that are its own: the largest relative error among the tensors that come in and that go out.

    ``entering`` is None where nothing that comes in could be compared (the model's inputs are exact: 0), ``leaving``
    where nothing that goes out could. ``type``: what its nodes compute in.
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
        """Error out over error in; None where one is not known or nothing came in."""
        if self.entering is None or self.leaving is None:
            return None
        if self.entering == self.leaving:
            return 1.0
        return self.leaving / self.entering if self.entering > 0 and math.isfinite(self.entering) else None


@dataclass(frozen=True)
class Reproducer:
    """The folder of files that shows a fault alone: ``nodes`` of the stage's graph from the original's tensors ``feeds`` to ``tensor``.

    ``relative`` is its error there and ``allowed`` what it may be; ``command`` runs it.
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
    """What ``attnexport debug`` found in one stage, on one case. ``place`` is None where every output passes.

    ``reference``: what the tensors were held against; ``notes``: what the user should know.
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
        """Whether every output of every stage that was looked at passes."""
        return not any(output.fault for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, with the growth of each module."""
        content = encode_fields(self)
        for row, module in zip(content["modules"], self.modules, strict=True):
            row["growth"] = (
                module.growth if module.growth is None or math.isfinite(module.growth) else str(module.growth)
            )
        return {"passed": self.passed, **content}
