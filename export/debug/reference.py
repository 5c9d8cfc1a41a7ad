"""The reference tensors of a stage: the steps of the traced program, or the outputs of the modules."""

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
class ReferenceTensors:
    """The reference side of one case with its description and notes."""

    side: Side
    text: str
    notes: tuple[str, ...] = ()


class OriginalTensors:
    """Choose the reference side of a case. The captured graph is not kept."""

    def __init__(self, captured_model: CapturedModel) -> None:
        self._original = captured_model.original
        self._program = captured_model.captured.program
        self._outputs = captured_model.output_names
        self._inputs = tuple(spec.name for spec in captured_model.inputs)
        self._modules = (
            ModuleSide(captured_model.original, captured_model.captured.model, captured_model.captured.origins, {})
            if isinstance(captured_model.original, TorchOriginal)
            else None
        )

    def of(self, feeds: Arrays, reference: Arrays) -> ReferenceTensors | None:
        """Return the traced program's steps if they give the module's outputs, else the outputs of the modules.

        ``reference``: the original's outputs in FP64. None for an original with only its outputs.
        """
        if isinstance(self._original, OnnxOriginal):
            return ReferenceTensors(OnnxSide(self._original, feeds), "the nodes of the file's graph in FP64")
        note = ""
        if self._program is not None:
            side = ProgramSide(self._program, self._inputs, self._outputs, feeds)
            try:
                note = self._differs(side, reference)
            except StageError as error:
                note = f"{error.problem}; the outputs of its modules are compared instead"
            if not note:
                return ReferenceTensors(
                    side, "the steps of the traced program in FP64, whose outputs equal the module's"
                )
        if self._modules is None:
            return None
        return ReferenceTensors(self._modules.on(feeds), "the outputs of the modules in FP64", (note,) if note else ())

    def _differs(self, side: Side, reference: Arrays) -> str:
        worst: dict[str, float] = {}

        def see(name: str, array: np.ndarray) -> None:
            figures = difference(array, reference[name])
            worst[name] = figures.relative if figures is not None else float("inf")

        side.stream([name for name in reference if name in side.names], see)
        for name, relative in worst.items():
            if not relative <= rounding_floor("float32", 1.0):
                return (
                    f"tracing changed the network: output {name!r} of the traced program differs from the module's by "
                    f"{relative:.1e} in FP64; the outputs of its modules are compared instead"
                )
        return ""
