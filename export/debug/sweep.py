"""Compare every tensor of a stage with the original in FP64, one chunk of tensors at a time.

A chunk limits the memory of the stage's tensors. The original's tensors arrive one after the other, are compared and freed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.bundle.figures import Figures
from ...runtime.check.compare import ErrorMeter
from ..verify.sides import Side
from .taps import TensorReader

CHUNK_BYTES = 64 << 20
"""Memory of the stage's tensors in one chunk. A larger tensor has its own chunk."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Compared:
    """One tensor of a stage compared with the original in FP64. ``reference_rms``: of all finite values of the original."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    figures: Figures
    reference_rms: float

    @property
    def error(self) -> float:
        """Relative to the rms of the original; infinite if a value of either is not finite."""
        return self.figures.relative


def sweep(
    taps: TensorReader,
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


def _sizes(taps: TensorReader, reference: Side) -> dict[str, int]:
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
    taps: TensorReader, reference: Side, feeds: Mapping[str, np.ndarray], chunk: Sequence[str]
) -> dict[str, Compared]:
    results = taps.run(feeds, chunk)
    compared: dict[str, Compared] = {}

    def see(name: str, array: np.ndarray) -> None:
        figures = difference(results[name], array)
        # A module may output several tensors, or run twice: keep the most similar one.
        if figures is not None and (name not in compared or figures.relative < compared[name].error):
            compared[name] = Compared(name, results[name].shape, str(results[name].dtype), figures, _rms(array))

    reference.stream(chunk, see)
    return compared


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
