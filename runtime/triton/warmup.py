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
    config: Config, folder: Path, inputs: Sequence[Tensor], feeds: Mapping[str, np.ndarray], batches: Sequence[int]
) -> None:
    """Write one golden case as raw files to ``folder``/warmup, and have a model run it at each of the batch sizes.

    Of a model that groups requests the first row is taken: Triton sends it as many times as ``batch_size`` says, as requests of
    one row. Files are named by their content, so that the versions of a model share them and none is overwritten.
    """
    grouped = config.max_batch_size > 0
    into = folder / WARMUP
    into.mkdir(exist_ok=True)
    files: dict[str, tuple[str, tuple[int, ...]]] = {}
    for tensor in inputs:
        array = np.ascontiguousarray(feeds[tensor.name][0] if grouped else feeds[tensor.name])
        content = array.tobytes()
        file = f"{_plain(tensor.name)}-{hashlib.sha256(content).hexdigest()[:12]}"
        (into / file).write_bytes(content)
        files[tensor.name] = file, array.shape or (1,)
    for batch in sorted(set(batches)) if grouped else (1,):
        sample = config.model_warmup.add(name=f"golden, {batch} at once" if grouped else "golden", batch_size=batch)
        for tensor in inputs:
            file, dims = files[tensor.name]
            value = sample.inputs[tensor.name]
            value.data_type = schema().DataType.Value(tensor.type)
            value.dims.extend(dims)
            value.input_data_file = file


def _plain(name: str) -> str:
    """A tensor's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
