"""The range of the data of each layer on calibration samples.

    minmax        the largest magnitude
    percentile    a limit that 99.99 % of the values do not exceed

The histograms are ONNX Runtime's (``onnxruntime.quantization.calibrate``), as in its ``quantize_static``. The model runs
without graph optimisations.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from onnx import ModelProto, TensorProto, helper

from ...errors import InputError, StageError
from ...runtime.sessions.large_model import open_model
from ..quiet import quiet

Method = Literal["minmax", "percentile"]
METHODS: tuple[Method, ...] = ("minmax", "percentile")
_PERCENTILE = 99.99
_BINS = 2048
_STEPS = 128


def ranges(
    model: ModelProto, tensors: Sequence[str], feeds: Iterable[Mapping[str, np.ndarray]], method: Method
) -> dict[str, float]:
    """Return the largest magnitude that the 8-bit form of each tensor must hold; 0 for a tensor that is always zero.

    ``model`` is float32 with loaded weights and is not changed. Raises InputError for an unknown method or without feeds,
    StageError if a tensor is not finite.
    """
    if method not in METHODS:
        raise InputError(f"--calibration {method} is not known", f"use one of {', '.join(METHODS)}")
    names = list(dict.fromkeys(tensors))
    limits = dict.fromkeys(names, 0.0)
    histograms = None if method == "minmax" else _collector(method)
    runs = 0
    with open_model(_tapped(model, names), optimize=False) as session:
        for feed in feeds:
            runs += 1
            # A layer may read an input of the model, which is not among the outputs.
            values = {**session.run(feed), **feed} if names else {}
            for name in names:
                limits[name] = max(limits[name], _largest(name, values[name]))
            if histograms is not None:
                with quiet():
                    histograms.collect({name: [values[name]] for name in names if np.any(values[name])})
    if not runs:
        raise InputError("there are no inputs to calibrate on", "pass samples")
    if histograms is None or not any(limits.values()):
        return limits
    with quiet():
        cut = histograms.compute_collection_result()
    ends = {name: max(abs(float(np.asarray(end))) for end in result[:2]) for name, result in cut.items()}
    return {name: min(high, ends[name]) if name in ends else 0.0 for name, high in limits.items()}


def _largest(name: str, array: np.ndarray) -> float:
    largest = float(np.abs(array).max(initial=0.0))
    if not np.isfinite(largest):
        raise StageError("calibration", f"tensor {name!r} is not finite on a calibration sample", "check the samples")
    return largest


def _collector(method: Method) -> Any:
    from onnxruntime.quantization.calibrate import HistogramCollector

    return HistogramCollector(
        method=method,
        symmetric=True,
        num_bins=_BINS,
        num_quantized_bins=_STEPS,
        percentile=_PERCENTILE,
        scenario="same",
    )


def _tapped(model: ModelProto, tensors: Sequence[str]) -> ModelProto:
    """A copy of the model with these tensors as its outputs."""
    tapped = ModelProto()
    tapped.CopyFrom(model)
    inputs = {value.name for value in model.graph.input}
    shown = [name for name in tensors if name not in inputs]
    del tapped.graph.output[:]
    tapped.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in shown)
    if not shown:  # a model has an output
        tapped.graph.output.append(model.graph.output[0])
    return tapped
