"""Warm-up with golden inputs: Triton runs them before a model is ready, so that no client waits for the first run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..spec import POINTS, TensorSpec
from .config import Config, schema
from .lint import WARMUP
from .model_tensors import TYPES


def add_warmup(
    config: Config, folder: Path, inputs: Sequence[TensorSpec], golden: Sequence[Mapping[str, np.ndarray]]
) -> None:
    """Write golden feeds as raw files to ``folder``/warmup, and make a model run them before it is ready.

    There is a sample for every point of the profile with a golden case of its shapes, with as many
    rows as ``max_batch_size`` allows, and one of a single row. For a model that groups requests the
    first row is taken: Triton sends it ``batch_size`` times as separate requests. Files are named
    by their content, so the versions of a model share them and none is overwritten.
    """
    most = config.max_batch_size
    into = folder / WARMUP
    into.mkdir(exist_ok=True)
    samples: dict[tuple[tuple[tuple[int, ...], ...], int], dict[str, np.ndarray]] = {}
    for point in POINTS:
        shapes = tuple(spec.shape(point)[1:] if most else spec.shape(point) for spec in inputs)
        rows = min(inputs[0].axes[0].at(point), most) if most else 1
        feeds = next(
            (
                f
                for f in golden
                if all(_of(f[s.name], most).shape == shape for s, shape in zip(inputs, shapes, strict=True))
            ),
            None,
        )
        if feeds is not None:
            arrays = {spec.name: np.ascontiguousarray(_of(feeds[spec.name], most)) for spec in inputs}
            samples |= {(shapes, 1): arrays, (shapes, rows): arrays}
    kinds = len({shapes for shapes, _ in samples})
    for (shapes, rows), arrays in sorted(samples.items(), key=lambda item: item[0]):
        _add_sample(config, into, _name(shapes, rows if most else 0, kinds), rows, inputs, arrays)


def _of(array: np.ndarray, most: int) -> np.ndarray:
    """The part of a golden case that one request has: a row, if requests are grouped."""
    return np.asarray(array[0]) if most else array


def _name(shapes: Sequence[Sequence[int]], rows: int, kinds: int) -> str:
    """The name of the sample in Triton's log; ``rows`` is 0 if requests are not grouped."""
    name = f"golden, {rows} at once" if rows else "golden"
    return name if kinds == 1 else f"{name}, {' and '.join('x'.join(map(str, shape)) for shape in shapes)}"


def _add_sample(
    config: Config, into: Path, name: str, rows: int, inputs: Sequence[TensorSpec], arrays: Mapping[str, np.ndarray]
) -> None:
    sample = config.model_warmup.add(name=name, batch_size=rows)
    for spec in inputs:
        content = arrays[spec.name].tobytes()
        file = f"{_plain(spec.name)}-{hashlib.sha256(content).hexdigest()[:12]}"
        (into / file).write_bytes(content)
        value = sample.inputs[spec.name]
        value.data_type = schema().DataType.Value(TYPES[spec.dtype])
        value.dims.extend(arrays[spec.name].shape or (1,))
        value.input_data_file = file


def _plain(name: str) -> str:
    """A tensor's name as part of a file name."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
