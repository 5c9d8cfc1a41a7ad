"""Name the operator whose kernel in ONNX Runtime is the cause of a failed FP32 output, with FP64 as the evidence.

All nodes of one operator are computed in FP64, and everything else stays FP32. If the output then passes, the kernel of
that operator is the cause, and not the export. For example

    Tanh    a ratio of polynomials in x, whose lowest coefficients have the quotient 1 - 1.28e-7: near
            zero each result is too small by that share; PyTorch's error is 2.5e-8 to either side

A bias adds up along a recurrence: for the memory of four LSTMs (128 wide, weights within 0.1) after 50 steps, the error
is 2.5x PyTorch's, and 0.9x with Tanh in FP64. TensorRT engines and other providers have other kernels.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...errors import AttnexportError
from ...runtime.check.compare import ErrorMeter
from .graphs import run_once, runnable
from .sides import Feeds

_FUNCTIONS = ("Tanh", "Sigmoid", "Exp", "Log", "Softplus", "Sin", "Cos", "Sqrt", "Pow", "Div", "Reciprocal")
_NORMALISATIONS = ("Softmax", "LogSoftmax", "LayerNormalization")
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceL2", "ReduceL1", "ReduceLogSumExp", "CumSum")
_PRODUCTS = ("MatMul", "Gemm", "Einsum", "Mul", "Add", "Sub")
_SAMPLING = ("GridSample",)
_MODES = {b"bilinear": b"linear", b"bicubic": b"cubic"}
"""GridSample's modes by their names in opset 20, from which on ONNX Runtime has it in FP64."""
CANDIDATES = (*_FUNCTIONS, *_NORMALISATIONS, *_REDUCTIONS, *_PRODUCTS, *_SAMPLING)
"""Operators with a kernel for FP64 in ONNX Runtime, those that most often are the cause first."""


@dataclass(frozen=True)
class KernelCause:
    """An operator, and the rms error of the output with that operator in FP64."""

    operator: str
    rms: float


def inexact_kernel(
    model: onnx.ModelProto, output: str, feeds: Feeds, reference: np.ndarray, allowed: float
) -> KernelCause | None:
    """Return the first operator whose computation in FP64 brings the rms error of ``output`` down to ``allowed``, or None.

    ``model`` is in FP32. Raise StageError if ONNX Runtime rejects the model.
    """
    prepared = runnable(model)
    present = {node.op_type for node in prepared.graph.node if node.domain in ("", "ai.onnx")}
    for operator in CANDIDATES:
        if operator in present:
            rms = _rms(_in_double(prepared, operator), output, feeds, reference)
            if rms is not None and rms <= allowed:
                return KernelCause(operator, rms)
    return None


def _in_double(model: onnx.ModelProto, operator: str) -> onnx.ModelProto:
    """``model`` with all nodes of ``operator`` in its main graph in FP64, between casts."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    del wide.graph.node[:]
    if operator in _SAMPLING:
        _name_as_opset_20(wide)
    for number, node in enumerate(model.graph.node):
        if node.op_type != operator or node.domain not in ("", "ai.onnx"):
            wide.graph.node.append(node)
            continue
        double = onnx.NodeProto()
        double.CopyFrom(node)
        for i, name in enumerate(node.input):
            if name and (i == 0 or operator not in _REDUCTIONS):  # a reduction's second input is its axes
                double.input[i] = f"{name}::wide{number}_{i}"
                wide.graph.node.append(helper.make_node("Cast", [name], [double.input[i]], to=TensorProto.DOUBLE))
        double.output[0] = f"{node.output[0]}::wide_result"
        for attribute in double.attribute:
            if operator in _SAMPLING and attribute.name == "mode":
                attribute.s = _MODES.get(attribute.s, attribute.s)
        wide.graph.node.append(double)
        wide.graph.node.append(helper.make_node("Cast", [double.output[0]], [node.output[0]], to=TensorProto.FLOAT))
    return wide


def _name_as_opset_20(model: onnx.ModelProto) -> None:
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, 20)


def _rms(model: onnx.ModelProto, output: str, feeds: Feeds, reference: np.ndarray) -> float | None:
    """The rms error of ``output``; None if ONNX Runtime rejects the FP64 nodes (integers, a kernel that it lacks)."""
    try:
        result = run_once(model, feeds, [output])[output]
    except AttnexportError:
        return None
    meter = ErrorMeter()
    meter.add(result, reference)
    return meter.figures().rms
