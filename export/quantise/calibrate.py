"""How far the data of each layer goes on calibration samples.

    minmax        the largest magnitude
    percentile    what 99.99 % of the values stay within

The histograms and cut-offs are ONNX Runtime's (``onnxruntime.quantization.calibrate``), the tools that its
``quantize_static`` uses; the model is run as it is written, without graph optimisations.
"""

from __future__ import annotations

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
    """The largest magnitude that each tensor should be able to hold; 0 for one that was zero throughout.

    ``model`` is float32 with loaded weights and is not changed. Raises InputError for another method or without feeds,
    StageError where a tensor is not finite.
    """
    if method not in METHODS:
        raise InputError(f"--calibration {method} is not known", f"use one of {', '.join(METHODS)}")
    wanted = list(dict.fromkeys(tensors))
    found = dict.fromkeys(wanted, 0.0)
    histograms = None if method == "minmax" else _collector(method)
    session = open_model(_tapped(model, wanted), optimize=False)
    runs = 0
    try:
        for feed in feeds:
            runs += 1
            # An input that a layer reads is fed, not given back.
            held = {**session.run(feed), **feed} if wanted else {}
            for name in wanted:
                found[name] = max(found[name], _largest(name, held[name]))
            if histograms is not None:
                with quiet():
                    histograms.collect({name: [held[name]] for name in wanted if np.any(held[name])})
    finally:
        session.close()
    if not runs:
        raise InputError("there are no inputs to calibrate on", "give samples")
    if histograms is None or not any(found.values()):
        return found
    with quiet():
        cut = histograms.compute_collection_result()
    return {name: min(high, _cut(cut[name])) if name in cut else 0.0 for name, high in found.items()}


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


def _cut(result: tuple[Any, ...]) -> float:
    return max(abs(float(np.asarray(end))) for end in result[:2])


def _tapped(model: ModelProto, tensors: Sequence[str]) -> ModelProto:
    """The model with these tensors as its outputs."""
    tapped = ModelProto()
    tapped.CopyFrom(model)
    inputs = {value.name for value in model.graph.input}
    shown = [name for name in tensors if name not in inputs]
    del tapped.graph.output[:]
    tapped.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in shown)
    if not shown:  # a model has an output
        tapped.graph.output.append(model.graph.output[0])
    return tapped
