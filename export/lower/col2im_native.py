"""Col2Im by the standard operator of opset 18, if the operator matrix has it for every target (today ONNX Runtime's CPU)."""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.values import rank_refusal
from ..targets import refusal
from .lowering import LAUNCH, Lowering, Where


def _refuse(node: Any, where: Where) -> str | None:
    unmeasured = refusal(where.targets, "Col2Im", opset=where.opset, proven=True)
    return unmeasured or rank_refusal(node.inputs[0], 3, "cols")


def _cost(node: Any) -> float:
    (kh, kw), (sh, sw) = (node.attrs[key] for key in ("kernel", "stride"))
    return float(2.0 + kh * kw / (sh * sw)) + LAUNCH


def _build(emit: GraphBuilder, node: Any) -> Value:
    cols, size = node.inputs
    kernel, dilation, pads, stride = (list(node.attrs[key]) for key in ("kernel", "dilation", "pads", "stride"))
    return emit.op("Col2Im", cols, size, emit.ints(kernel), dilations=dilation, pads=pads, strides=stride)


LOWERING = Lowering("col2im_native", "Col2Im", _refuse, _cost, _build)
