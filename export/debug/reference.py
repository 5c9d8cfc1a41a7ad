"""What a stage's tensors are held against: the original's own steps where they can be followed, its modules where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import StageError
from ...runtime.bundle.figures import rounding_floor
from ..reference.onnx_model import OnnxOriginal
from ..reference.torch_model import TorchOriginal
from ..source import CapturedModel
from ..verify.sides import ModuleSide, OnnxSide, Side
from .program import ProgramSide
from .sweep import difference

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Chosen:
    """A side of one case, in words, and what the user should know of it."""

    side: Side
    text: str
    notes: tuple[str, ...] = ()


class OriginalTensors:
    """Makes the side for a case; it knows the captured graph's names, and keeps no graph."""

    def __init__(self, entered: CapturedModel) -> None:
        self._original = entered.original
        self._program = entered.captured.program
        self._outputs = entered.output_names
        self._inputs = tuple(spec.name for spec in entered.inputs)
        self._modules = (
            ModuleSide(entered.original, entered.captured.model, entered.captured.origins, {})
            if isinstance(entered.original, TorchOriginal)
            else None
        )

    def of(self, feeds: Arrays, truth: Arrays) -> Chosen | None:
        """The finest side that is true: the traced program's steps give the outputs that the module itself gives.

        ``truth``: the original's outputs in FP64. None for an original that shows nothing but its outputs.
        """
        if isinstance(self._original, OnnxOriginal):
            return Chosen(OnnxSide(self._original, feeds), "the nodes of the file's own graph in FP64")
        note = ""
        if self._program is not None:
            side = ProgramSide(self._program, self._inputs, self._outputs, feeds)
            try:
                note = self._differs(side, truth)
            except StageError as error:
                note = f"{error.problem}; its modules are watched instead"
            if not note:
                return Chosen(side, "the steps of the traced program in FP64, whose outputs are the module's own")
        if self._modules is None:
            return None
        return Chosen(self._modules.on(feeds), "what the modules give in FP64", (note,) if note else ())

    def _differs(self, side: Side, truth: Arrays) -> str:
        worst: dict[str, float] = {}

        def see(name: str, array: np.ndarray) -> None:
            figures = difference(array, truth[name])
            worst[name] = figures.relative if figures is not None else float("inf")

        side.stream([name for name in truth if name in side.names], see)
        for name, relative in worst.items():
            if not relative <= rounding_floor("float32", 1.0):
                return (
                    f"tracing changed the network: output {name!r} of the traced program differs from the module's own by "
                    f"{relative:.1e} in FP64; its modules are watched instead"
                )
        return ""
