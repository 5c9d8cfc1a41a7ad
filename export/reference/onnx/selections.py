"""Operators that pick elements by coordinates of the file's types: which they pick is ONNX Runtime's choice in FP32.

The node runs on the numbers of the elements, in integers or FP32; the FP64 values are gathered by the result. So 0.6
stays the FP32 number that the file stores, and picks the pixels that it picks there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .call import Array, Call, NotCovered, Value

RunNode = Callable[[Call], Sequence[Value]]
"""Runs a call in ONNX Runtime, floats in FP32."""


def nearest_resize(call: Call, run: RunNode) -> list[Array]:
    """Resize or Upsample with mode nearest, of any type. Raises NotCovered for other modes."""
    x = call.array(0)
    if call.text("mode", "nearest") != "nearest" or x.size >= 2**31:
        raise NotCovered
    numbers = np.arange(x.size, dtype=np.int32).reshape(x.shape)
    node = onnx.NodeProto()
    node.CopyFrom(call.node)
    replaced: dict[str, Any] = {"extrapolation_value": -1.0} if call.opset >= 11 else {}
    if axes := call.integers("axes"):  # ONNX Runtime does not count negative ones from the end
        replaced["axes"] = [axis % x.ndim for axis in axes]
    kept = [a for a in node.attribute if a.name not in replaced]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in replaced.items())])
    picked = np.asarray(run(Call(node, call.opset, (numbers, *call.inputs[1:]), call.attributes))[0])
    values = x.reshape(-1)[np.maximum(picked, 0)]
    return [np.where(picked < 0, np.asarray(call.number("extrapolation_value", 0.0), x.dtype), values)]


SELECTIONS: dict[str, Callable[[Call, RunNode], list[Array]]] = {"Resize": nearest_resize, "Upsample": nearest_resize}
"""By operator of the standard domain."""
