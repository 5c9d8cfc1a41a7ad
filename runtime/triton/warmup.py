"""Warm-up with golden inputs: Triton runs them before a model is ready, so that no client waits for the first run.

The model rehearses them while it is opened: Triton 2.51 can crash on a failing warm-up (signal 11
when the answer is an error), together with the versions that serve. A failure of the rehearsal
raises, so the version is not served, and nothing else happens.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AttnexportError, InputError
from ..spec import POINTS, TensorSpec
from .config import TYPES, Config, schema
from .grouping import Grouping
from .lint import WARMUP


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
    requests = [{spec.name: _of(feeds[spec.name], most) for spec in inputs} for feeds in golden]
    for point in POINTS:
        shapes = tuple(spec.shape(point)[1:] if most else spec.shape(point) for spec in inputs)
        rows = min(inputs[0].axes[0].at(point), most) if most else 1
        arrays = next((r for r in requests if tuple(array.shape for array in r.values()) == shapes), None)
        if arrays is not None:
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


def rehearse(group: Grouping, inputs: Sequence[TensorSpec], config: Mapping[str, Any], folder: Path) -> None:
    """Run every sample that is read from files of ``folder``/warmup; ``config`` is the model's configuration as JSON.

    Raise the model's error, InputError for more rows than the model takes, and OSError for a file
    that cannot be read.
    """
    for sample in config.get("model_warmup", ()):
        values = sample["inputs"]
        if not all(spec.name in values and values[spec.name].get("input_data_file") for spec in inputs):
            continue
        rows, most = int(sample["batch_size"]), max(int(config["max_batch_size"]), 1)
        if rows > most:
            raise InputError(f"warm-up {sample['name']!r} has batch_size {rows}, not in 1..{most}", "mend config.pbtxt")
        feeds = {}
        for spec in inputs:
            value = values[spec.name]
            sizes = [int(size) for size in value["dims"]]
            shape = [1, *sizes] if config["max_batch_size"] else sizes
            array = np.fromfile(folder / WARMUP / value["input_data_file"], spec.numpy_dtype)
            feeds[spec.name] = array.reshape(shape[: len(spec.axes)])  # one number if there are no other axes
        for answer in group([feeds] * rows):
            if isinstance(answer, AttnexportError):
                raise answer
