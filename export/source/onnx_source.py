"""ONNX files as sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from ...errors import InputError
from ..capture.from_onnx import from_onnx
from ..options import SourceOptions
from ..reference.onnx_model import OnnxOriginal
from .base import CapturedModel, Reader, Source
from .graph import read_graph
from .graph_inputs import onnx_inputs
from .sniff import ONNX


@dataclass(frozen=True, kw_only=True)
class OnnxSource(Source):
    """An ONNX graph with its weights loaded; its inputs have the sizes and symbols of :attr:`inputs`."""

    model: onnx.ModelProto

    def capture(self, outputs: Sequence[str], seed: int, *, attention: bool = False) -> CapturedModel:
        """See :meth:`Source.capture`. The outputs keep the names that the graph gives them."""
        if attention:
            raise InputError(
                f"{self.name} is an ONNX graph and has no modules with attention maps", "leave out --outputs attention"
            )
        return CapturedModel(from_onnx(self.model), OnnxOriginal(self.model), self.inputs, self.outputs)


def read_onnx(path: Path, options: SourceOptions) -> OnnxSource:
    """Read and check an ONNX file. Raises InputError if it is damaged or does not fit ``options``."""
    model, notes = read_graph(path)
    inputs, explicit = onnx_inputs(model, options, path)
    return OnnxSource(
        kind="onnx", name=path.stem, path=path, model=model, inputs=inputs, explicit_dynamic=explicit,
        outputs=tuple(output.name for output in model.graph.output), notes=notes,
    )  # fmt: skip


READER = Reader(ONNX, read_onnx, has_architecture=True)
