"""Run the warm-up of a configuration inside the model before Triton does.

Triton 2.51 can crash on a failing warm-up (signal 11 when the answer is an error), together with
the versions that serve. A failure here raises while the model is opened, so the version is not
served, and nothing else happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AttnexportError, InputError
from ..spec import TensorSpec
from .grouping import Grouping
from .lint import WARMUP


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
