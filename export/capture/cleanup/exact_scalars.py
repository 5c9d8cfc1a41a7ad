"""Python numbers in float64 modules keep all their digits.

torch.onnx writes a Python float as a float32 constant wherever the signature of the ONNX operator does not say otherwise, and that is
before the ``Cast`` to double that follows: ``x * 6**-0.5`` is off by 1e-8. The number itself is still among the arguments of the traced
node, or in the attribute that an inlined function made of it. Only constants on their way to double are touched. Numbers that ONNX has as
float attributes (the slope of LeakyRelu, alpha of Gemm) and those inside torchlib (the logarithm of 2) stay float32.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
import torch


def restore_float64_scalars(model: ir.Model) -> ir.Model:
    """Give every float32 scalar that is cast to double the digits of the Python number it was; in place, also returned.

    Needs the traced node that torch.onnx leaves in ``meta["node"]``, hence runs right after it.
    """
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        if _to_double(node) and (exact := _exact(node)) is not None:
            constant = ir.node("Constant", [], {"value": ir.tensor(exact)})
            constant.metadata_props.update(node.metadata_props)
            node.prepend(constant)
            node.replace_input_with(0, constant.outputs[0])
    return model


def _to_double(node: ir.Node) -> bool:
    if node.op_type == "Cast":
        return node.attributes["to"].as_int() == ir.DataType.DOUBLE
    return node.op_type == "CastLike" and node.inputs[1] is not None and node.inputs[1].dtype == ir.DataType.DOUBLE


def _exact(cast: ir.Node) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """What ``cast`` would give, had its constant not been rounded; None where it takes no constant, or its number is not known."""
    constant = cast.inputs[0].producer() if cast.inputs[0] is not None else None
    if constant is None or constant.op_type != "Constant":
        return None
    if "value_float" in constant.attributes:  # still a Python number until the model is serialised
        return np.asarray(constant.attributes["value_float"].as_float(), np.float64)
    if "value" not in constant.attributes:
        return None
    rounded = constant.attributes["value"].as_tensor()
    if rounded.dtype != ir.DataType.FLOAT or rounded.size != 1:
        return None
    numbers = {number for number in _numbers(cast.meta.get("node")) if np.float32(number) == rounded.numpy().item()}
    return np.full(rounded.numpy().shape, numbers.pop(), np.float64) if len(numbers) == 1 else None


def _numbers(traced: Any) -> Iterator[float]:
    """The Python floats among the arguments of a traced node, also those inside lists."""
    if isinstance(traced, torch.fx.Node):
        leaves = torch.utils._pytree.tree_leaves((traced.args, traced.kwargs))
        yield from (leaf for leaf in leaves if isinstance(leaf, float))
