"""The names, dtypes and shapes of a model's outputs."""

from __future__ import annotations

import onnx

from ...runtime.inputs.feeds import random_feeds
from ...runtime.spec import POINTS, Axis, TensorSpec
from ..source import CapturedModel


def output_specs(captured: CapturedModel, model: onnx.ModelProto, seed: int) -> tuple[TensorSpec, ...]:
    """Return the specs of the outputs: sizes measured on the original at the min, opt and max shapes, symbols from ``model``."""
    measured = []
    for point in POINTS:
        results = captured.original.run(random_feeds(captured.inputs, point, seed=seed), "float32")
        measured.append({name: (array.shape, str(array.dtype)) for name, array in results.items()})
    symbols = {a.symbol for s in captured.inputs for a in s.axes if a.symbol is not None}
    specs = []
    for value, name in zip(model.graph.output, captured.output_names, strict=True):
        axes = []
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            low, opt, high = (sizes[name][0][i] for sizes in measured)
            if dim.HasField("dim_value") or (low == high and dim.dim_param not in symbols):
                axes.append(Axis.fixed(opt))
            else:
                axes.append(Axis(min(low, opt, high), opt, max(low, opt, high), dim.dim_param or f"{name}_{i}"))
        specs.append(TensorSpec(name, measured[1][name][1], tuple(axes)))
    return tuple(specs)
