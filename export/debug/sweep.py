"""Every tensor of a stage against the original in FP64, a chunk at a time.

A chunk is what the stage's tensors may take in memory at once. The original's come one after the other as it computes
them, are compared on arrival and let go.
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
"""The stage's tensors that are held at once. A larger one is looked at alone."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Compared:
    """One tensor of a stage held against the original in FP64."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    figures: Figures
    reference_rms: float
    """Of all finite values of the original's, also where the stage's are not."""

    @property
    def error(self) -> float:
        """Relative to the rms of the original's; infinite where one of the two is not finite."""
        return self.figures.relative


def sweep(
    taps: TensorReader, truth: Side, feeds: Mapping[str, np.ndarray], progress: Progress, chunk_bytes: int | None = None
) -> dict[str, Compared]:
    """All tensors that both sides have, of one shape, in the order of the stage's graph."""
    found: dict[str, Compared] = {}
    sizes = _sizes(taps, truth)
    chunks = list(_chunks(sizes, chunk_bytes or CHUNK_BYTES))
    for i, chunk in enumerate(chunks):
        progress(
            i / len(chunks), f"tensors {sum(map(len, chunks[:i]))} to {sum(map(len, chunks[: i + 1]))} of {len(sizes)}"
        )
        found.update(_compare(taps, truth, feeds, chunk))
    return {name: found[name] for name in taps.flow.maker if name in found}


def _sizes(taps: TensorReader, truth: Side) -> dict[str, int]:
    """Bytes that each shared tensor takes in FP32, in the order of the graph; one run of the original."""
    elements: dict[str, int] = {}

    def see(name: str, array: np.ndarray) -> None:
        elements[name] = max(elements.get(name, 0), array.size)

    truth.stream([name for name in taps.flow.maker if name in truth.names], see)
    return {name: 4 * elements[name] for name in taps.flow.maker if name in elements}


def _chunks(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    held = 0
    for name, size in sizes.items():
        if chunk and held + size > most:
            yield chunk
            chunk, held = [], 0
        chunk.append(name)
        held += size
    if chunk:
        yield chunk


def _compare(
    taps: TensorReader, truth: Side, feeds: Mapping[str, np.ndarray], chunk: Sequence[str]
) -> dict[str, Compared]:
    got = taps.run(feeds, chunk)
    found: dict[str, Compared] = {}

    def see(name: str, array: np.ndarray) -> None:
        figures = difference(got[name], array)
        # Of a module that gives several tensors, or is called twice, the one that it is.
        if figures is not None and (name not in found or figures.relative < found[name].error):
            found[name] = Compared(name, got[name].shape, str(got[name].dtype), figures, _rms(array))

    truth.stream(chunk, see)
    return found


def _rms(array: np.ndarray) -> float:
    finite = array[np.isfinite(array)].astype(np.float64)
    return float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0


def difference(got: np.ndarray, true: np.ndarray) -> Figures | None:
    """What differs, of floats, integers or truth values; None for what is of another shape or kind, or is empty."""
    if got.shape != true.shape or not got.size or (got.dtype.kind == "f") != (true.dtype.kind == "f"):
        return None
    if got.dtype.kind not in "fiub" or true.dtype.kind not in "fiub":
        return None
    meter = ErrorMeter()
    meter.add(got, true)
    return meter.figures()
