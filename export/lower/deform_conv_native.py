"""DeformConv by the standard operator, which came with opset 19, if the operator matrix does not refuse it.

The standard operator takes the bias before the mask.
"""

from typing import Any

import onnx_graphsurgeon as gs

from ..graph.builder import GraphBuilder, Value
from ..graph.values import known
from ..targets import refusal
from .lowering import LAUNCH, Lowering, Where


def _refuse(node: Any, where: Where) -> str | None:
    if where.opset < 19:
        return f"opset {where.opset} has no DeformConv: it came with 19"
    return refusal(where.targets, "DeformConv", opset=where.opset)


def _cost(node: Any) -> float:
    kh, kw = (int(known(node.inputs[1], axis) or 1) for axis in (2, 3))
    return 12.0 * kh * kw + LAUNCH


def _build(emit: GraphBuilder, node: Any) -> Value:
    x, weight, offset, *rest = node.inputs
    given = list(rest) + [gs.Variable.empty()] * (2 - len(rest))
    mask, bias = given
    attributes = {key: node.attrs[key] for key in ("group", "offset_group", "pads")}
    attributes |= {"dilations": node.attrs["dilation"], "strides": node.attrs["stride"]}
    return emit.op("DeformConv", x, weight, offset, bias, mask, **attributes)


LOWERING = Lowering("deform_conv_native", "DeformConv", _refuse, _cost, _build)
