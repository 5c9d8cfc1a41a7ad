"""The truth of a model that came as ONNX: its own graph in FP64 (:mod:`.onnx`).

FP32: the graph as it came, on ONNX Runtime without optimizations. FP16 and BF16: the graph with every float rounded and nothing kept,
under emulation: what a plain conversion would give.
"""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx

from ...runtime.sessions import Session
from ...runtime.sessions.emulated import open_emulated
from ...runtime.sessions.large_model import open_model
from ..graph.older_opsets import brought_to
from ..precision.casts import to_half_model
from .onnx.evaluator import Evaluator
from .original import Arrays, Precision

_OPSET = 18
"""Of the 16-bit original of a file of an older opset; 16-bit casts need the later standard."""


class OnnxOriginal:
    """See :class:`~.original.Original`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._names = [output.name for output in model.graph.output]
        self._double = Evaluator(model)
        self._sessions: dict[Precision, Session] = {}
        self.notes: list[str] = []
        self.further: Mapping[str, Callable[[Arrays], dict[str, np.ndarray]]] = {}

    def run(self, feeds: Arrays, precision: Precision) -> dict[str, np.ndarray]:
        """FP64 results come as float64. Raises StageError for an operator that ONNX Runtime does not run either."""
        if precision in self.further:
            return self.further[precision](feeds)
        if precision != "float64":
            if self._double.loops:  # ONNX Runtime has no limit
                self.tensors(feeds, self._names)
            return self._session(precision).run(feeds)
        return self.tensors(feeds, self._names)

    def with_precision(
        self, precision: Precision, evaluate: Callable[[Arrays], dict[str, np.ndarray]]
    ) -> "OnnxOriginal":
        """See :class:`~.original.Original`."""
        other = copy.copy(self)
        other.further = {**self.further, precision: evaluate}
        return other

    @property
    def model(self) -> onnx.ModelProto:
        """The graph as it came."""
        return self._model

    def tensor_names(self) -> frozenset[str]:
        """All tensors that nodes of the main graph make."""
        return frozenset(name for node in self._model.graph.node for name in node.output if name)

    def tensors(self, feeds: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Tensors of the main graph in FP64; a sequence is a list. Raises StageError as :meth:`run` does."""
        results = self._double.run(feeds, names)
        self.notes += [note for note in self._double.notes if note not in self.notes]
        return results

    def _session(self, precision: Precision) -> Session:
        if precision not in self._sessions:
            if precision == "float32":
                self._sessions[precision] = open_model(self._model, optimize=False)
            else:
                typed = to_half_model(
                    brought_to(self._model, _OPSET), (), "bf16" if precision == "bfloat16" else "fp16"
                )
                self._sessions[precision] = open_emulated(typed)
        return self._sessions[precision]
