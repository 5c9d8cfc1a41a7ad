"""Read tensors of a stage's graph, whose weights stay on disk: one run for each chunk of tensors.

The graph runs as it is written, since ONNX Runtime's optimisations would depend on the requested tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import numpy as np
import onnx
from onnx import ModelProto

from ...runtime.sessions.emulated import emulate
from ...runtime.sessions.large_model import on_disk
from ...runtime.sessions.open import CastSession
from ...runtime.sessions.ort import OrtSession
from ..verify.graphs import Flow, runnable

WEIGHTS = "weights"


class TensorReader:
    """The tensors of a model's main graph as ONNX Runtime computes them; ``typed`` models under emulation.

    ``light`` is the model with its large weights in ``folder``, which exists until the reader is closed; the full model is
    not kept.
    """

    def __init__(self, model: ModelProto, *, typed: bool = False) -> None:
        """Raises StageError if the emulation does not support the model."""
        self._temporary = TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.typed = typed
        self.light = on_disk(model, self.folder, WEIGHTS)
        self.flow = Flow(self.light.graph)
        prepared = emulate(model) if typed else runnable(model)
        self._run = self.light if prepared is model else on_disk(prepared, self.folder, "run")

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the values of these tensors. Raises StageError if ONNX Runtime cannot run the model."""
        return next(self.results([feeds], tensors))

    def results(
        self, cases: Iterable[Mapping[str, np.ndarray]], tensors: Sequence[str], *, optimize: bool = False
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield the values for each case; ``optimize``: of the graph that ONNX Runtime optimises."""
        declared = {value.name: value for value in self._run.graph.output}
        tapped = ModelProto()
        tapped.CopyFrom(self._run)
        del tapped.graph.output[:]
        # ONNX Runtime infers the type of an output that is declared only by its name.
        tapped.graph.output.extend(declared.get(name) or onnx.ValueInfoProto(name=name) for name in tensors)
        path = self.folder / "model.onnx"
        path.write_bytes(tapped.SerializeToString())
        with OrtSession(path, optimize=optimize, spin=False) as session:
            border = CastSession(session, session.input_dtypes, {})
            for feeds in cases:
                yield border.run(feeds)

    def close(self) -> None:
        """Remove the weights."""
        self._temporary.cleanup()

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
