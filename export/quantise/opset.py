"""The opset that 8-bit models need."""

from __future__ import annotations

from onnx import ModelProto, version_converter

from ...errors import StageError, first_line
from ..graph.skeleton import skeleton, with_weights
from ..precision.graph import GraphIndex, normalise, opset_of
from .formats import OPSET


def quantisable(model: ModelProto) -> GraphIndex:
    """A float32 model normalised, at opset 19 at least: FP16 scales and FP8 codes came with it.

    Raises StageError where ONNX's version converter fails, and what ``normalise`` raises.
    """
    if opset_of(model) < OPSET:
        try:
            raised = version_converter.convert_version(skeleton(model), OPSET)
        except Exception as error:  # the converter raises RuntimeError and its own classes
            raise StageError(
                "quantise", f"the model cannot be brought to opset {OPSET}: {first_line(error)}"
            ) from error
        model = with_weights(raised, model)
    return GraphIndex(normalise(model))
