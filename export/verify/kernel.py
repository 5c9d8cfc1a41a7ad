"""An operator that ONNX Runtime's CPU kernel computes less exactly than PyTorch.

    Tanh    a ratio of polynomials in x, whose lowest coefficients have the quotient 1 - 1.28e-7: near
            zero each result is too small by that share; PyTorch's error is 2.5e-8 to either side

A bias adds up along a recurrence. For the memory of four LSTMs (128 wide, weights within 0.1) after
50 steps, the error is 2.5x PyTorch's, and 0.9x with Tanh in FP64. Exp, Erf, Sigmoid and Softplus are
as exact as PyTorch's (measured). TensorRT engines and other providers have other kernels.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...runtime.check.compare import ErrorMeter
from .graphs import run_once, runnable
from .sides import Feeds

INEXACT = "Tanh"


def without_kernel(model: onnx.ModelProto, output: str, feeds: Feeds, reference: np.ndarray) -> float | None:
    """Return the rms error of one output of an FP32 model with ``Tanh`` computed in FP64.

    Return None if the main graph has no ``Tanh``. Raise StageError if ONNX Runtime rejects the model.
    """
    prepared = runnable(model)
    widened = onnx.ModelProto()
    widened.CopyFrom(prepared)
    del widened.graph.node[:]
    for node in prepared.graph.node:
        if node.op_type != INEXACT or node.domain not in ("", "ai.onnx"):
            widened.graph.node.append(node)
            continue
        wide, result = f"{node.output[0]}::wide", f"{node.output[0]}::wide_result"
        widened.graph.node.extend(
            (
                helper.make_node("Cast", [node.input[0]], [wide], to=TensorProto.DOUBLE),
                helper.make_node(INEXACT, [wide], [result]),
                helper.make_node("Cast", [result], [node.output[0]], to=TensorProto.FLOAT),
            )
        )
    if len(widened.graph.node) == len(prepared.graph.node):
        return None
    meter = ErrorMeter()
    meter.add(run_once(widened, feeds, [output])[output], reference)
    return meter.figures().rms
