"""Compare every tensor of a stage with the original in FP64, one chunk of tensors at a time.

A chunk limits the memory of the stage's tensors. The original's tensors arrive one after the other, are compared and freed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import ModelProto

from ...runtime.bundle.figures import Figures
from ...runtime.check.compare import ErrorMeter
from ...runtime.closing import Closing
from ...runtime.sessions.emulated import emulate
from ...runtime.sessions.large_model import on_disk
from ...runtime.sessions.open import CastSession
from ...runtime.sessions.ort import OrtSession
from ..verify.graphs import Flow, runnable
from ..verify.sides import Side

CHUNK_BYTES = 64 << 20
"""Memory of the stage's tensors in one chunk. A larger tensor has its own chunk."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Compared:
    """One tensor of a stage compared with the original in FP64. ``reference_rms``: of all finite values of the original."""

    shape: tuple[int, ...]
    dtype: str
    figures: Figures
    reference_rms: float

    @property
    def error(self) -> float:
        """Relative to the rms of the original; infinite if a value of either is not finite."""
        return self.figures.relative


def sweep(
    taps: "TensorReader",
    reference: Side,
    feeds: Mapping[str, np.ndarray],
    progress: Progress,
    chunk_bytes: int | None = None,
) -> dict[str, Compared]:
    """Return all tensors that both sides have with the same shape, in the order of the stage's graph."""
    compared: dict[str, Compared] = {}
    sizes = _sizes(taps, reference)
    chunks = list(_chunks(sizes, chunk_bytes or CHUNK_BYTES))
    for i, chunk in enumerate(chunks):
        progress(
            i / len(chunks), f"tensors {sum(map(len, chunks[:i]))} to {sum(map(len, chunks[: i + 1]))} of {len(sizes)}"
        )
        compared.update(_compare(taps, reference, feeds, chunk))
    return {name: compared[name] for name in taps.flow.maker if name in compared}


def _sizes(taps: "TensorReader", reference: Side) -> dict[str, int]:
    """Return the bytes of each shared tensor in FP32, in the order of the graph; it runs the original once."""
    elements: dict[str, int] = {}

    def see(name: str, array: np.ndarray) -> None:
        elements[name] = max(elements.get(name, 0), array.size)

    reference.stream([name for name in taps.flow.maker if name in reference.names], see)
    return {name: 4 * elements[name] for name in taps.flow.maker if name in elements}


def _chunks(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    used = 0
    for name, size in sizes.items():
        if chunk and used + size > most:
            yield chunk
            chunk, used = [], 0
        chunk.append(name)
        used += size
    if chunk:
        yield chunk


def _compare(
    taps: "TensorReader", reference: Side, feeds: Mapping[str, np.ndarray], chunk: Sequence[str]
) -> dict[str, Compared]:
    results = taps.run(feeds, chunk)
    compared: dict[str, Compared] = {}

    def keep(name: str, figures: Figures, array: np.ndarray) -> None:
        compared[name] = Compared(results[name].shape, str(results[name].dtype), figures, _rms(array))

    most_similar(reference, results, keep)
    return compared


def most_similar(
    reference: Side, results: Mapping[str, np.ndarray], keep: Callable[[str, Figures, np.ndarray], None]
) -> None:
    """Call ``keep`` with the name, the difference and the value of each tensor of the original that is most similar so far.

    A module may output several tensors, or run twice.
    """
    least: dict[str, float] = {}

    def see(name: str, array: np.ndarray) -> None:
        figures = difference(results[name], array)
        if figures is not None and (name not in least or figures.relative < least[name]):
            least[name] = figures.relative
            keep(name, figures, array)

    reference.stream([name for name in results if name in reference.names], see)


def _rms(array: np.ndarray) -> float:
    finite = array[np.isfinite(array)].astype(np.float64)
    return float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0


def difference(output: np.ndarray, expected: np.ndarray) -> Figures | None:
    """Return the difference of floats, integers or booleans; None for another shape or kind, and for empty arrays."""
    if output.shape != expected.shape or not output.size or (output.dtype.kind == "f") != (expected.dtype.kind == "f"):
        return None
    if output.dtype.kind not in "fiub" or expected.dtype.kind not in "fiub":
        return None
    meter = ErrorMeter()
    meter.add(output, expected)
    return meter.figures()


class TensorReader(Closing):
    """The tensors of a model's main graph as ONNX Runtime computes them; ``typed`` models under emulation.

    ``light`` is the model with its large weights in ``folder``, which exists until the reader is closed; the full model is
    not kept. The graph runs as it is written, since ONNX Runtime's optimisations would depend on the requested tensors.
    """

    def __init__(self, model: ModelProto, *, typed: bool = False) -> None:
        """Raises StageError if the emulation does not support the model."""
        self._temporary = TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.typed = typed
        self.light = on_disk(model, self.folder, "weights")
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
