"""Warm-up with golden inputs: Triton runs them before it calls a model ready, so that no client pays for the first run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .border import Tensor
from .config import Config, schema
from .lint import WARMUP


def add_warmup(
    config: Config, folder: Path, inputs: Sequence[Tensor], golden: Sequence[Mapping[str, np.ndarray]]
) -> None:
    """Write golden feeds as raw files to ``folder``/warmup, and have a model run them before it is ready.

    One sample for every shape and number of rows among ``golden``, as much as fits into ``max_batch_size``, and one row alone: the
    points of the bundle's profile. Of a model that groups requests the first row of a shape is taken: Triton sends it as often
    as ``batch_size`` says, each a request of its own. Files are named by their content, so that the versions of a model share
    them and none is overwritten.
    """
    most = config.max_batch_size
    into = folder / WARMUP
    into.mkdir(exist_ok=True)
    first: dict[tuple[tuple[int, ...], ...], Mapping[str, np.ndarray]] = {}
    points: set[tuple[tuple[tuple[int, ...], ...], int]] = set()
    for feeds in golden:
        one = {tensor.name: feeds[tensor.name][0] if most else feeds[tensor.name] for tensor in inputs}
        shapes = tuple(array.shape for array in one.values())
        first.setdefault(shapes, one)
        rows = min(len(feeds[inputs[0].name]), most) if most else 1
        points |= {(shapes, rows), (shapes, 1)}
    for shapes, rows in sorted(points):
        arrays = {name: np.ascontiguousarray(array) for name, array in first[shapes].items()}
        _add_sample(config, into, _name(shapes, rows if most else 0, len(first)), rows, inputs, arrays)


def _name(shapes: Sequence[Sequence[int]], rows: int, kinds: int) -> str:
    """What the sample is called in Triton's log; ``rows`` is 0 where requests are not grouped."""
    name = f"golden, {rows} at once" if rows else "golden"
    return name if kinds == 1 else f"{name}, {' and '.join('x'.join(map(str, shape)) for shape in shapes)}"


def _add_sample(
    config: Config, into: Path, name: str, rows: int, inputs: Sequence[Tensor], arrays: Mapping[str, np.ndarray]
) -> None:
    sample = config.model_warmup.add(name=name, batch_size=rows)
    for tensor in inputs:
        content = arrays[tensor.name].tobytes()
        file = f"{_plain(tensor.name)}-{hashlib.sha256(content).hexdigest()[:12]}"
        (into / file).write_bytes(content)
        value = sample.inputs[tensor.name]
        value.data_type = schema().DataType.Value(tensor.type)
        value.dims.extend(arrays[tensor.name].shape or (1,))
        value.input_data_file = file


def _plain(name: str) -> str:
    """A tensor's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
