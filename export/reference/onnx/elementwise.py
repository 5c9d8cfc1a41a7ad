"""Arithmetic and comparisons of float tensors, one element at a time."""

from collections.abc import Callable
from functools import reduce

import numpy as np
import torch

from .call import Array, Call, Kernel, NotCovered, as_array, as_torch

_LARGEST = float(np.finfo(np.float32).max)

_UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Abs": torch.abs, "Acos": torch.acos, "Acosh": torch.acosh, "Asin": torch.asin, "Asinh": torch.asinh,
    "Atan": torch.atan, "Atanh": torch.atanh, "Ceil": torch.ceil, "Cos": torch.cos, "Cosh": torch.cosh,
    "Erf": torch.special.erf, "Exp": torch.exp, "Floor": torch.floor, "IsNaN": torch.isnan, "Log": torch.log,
    "Neg": torch.neg, "Reciprocal": torch.reciprocal, "Round": torch.round, "Sin": torch.sin,
    "Sinh": torch.sinh, "Sqrt": torch.sqrt, "Tan": torch.tan, "Tanh": torch.tanh,
}  # fmt: skip

_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Div": np.divide, "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Less": np.less, "LessOrEqual": np.less_equal, "Mul": np.multiply, "Sub": np.subtract,
}  # fmt: skip


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Kernel:
    return lambda call: [as_array(function(as_torch(call.real(0))))]


def _binary(function: Callable[[Array, Array], Array]) -> Kernel:
    return lambda call: [np.asarray(function(call.real(0), call.real(1)))]


def _variadic(function: Callable[[Array, Array], Array]) -> Kernel:
    return lambda call: [np.asarray(reduce(function, [call.real(n) for n in range(len(call.inputs))]))]


def _mean(call: Call) -> list[Array]:
    total = reduce(np.add, [call.real(n) for n in range(len(call.inputs))])
    return [np.asarray(total / len(call.inputs))]


def _pow(call: Call) -> list[Array]:
    """The result has the type of the base; an exponent may be an integer."""
    return [np.asarray(np.power(call.real(0), call.array(1).astype(np.float64)))]


def _mod(call: Call) -> list[Array]:
    """fmod keeps the sign of the dividend; without it the standard takes integers only."""
    if not call.flag("fmod"):
        raise NotCovered
    return [np.asarray(np.fmod(call.real(0), call.real(1)))]


def _is_inf(call: Call) -> list[Array]:
    x = call.real(0)
    positive, negative = call.flag("detect_positive", 1), call.flag("detect_negative", 1)
    return [np.asarray(((x == np.inf) & positive) | ((x == -np.inf) & negative))]


def _where(call: Call) -> list[Array]:
    return [np.where(call.array(0), call.real(1), call.real(2))]


def _clip(call: Call) -> list[Array]:
    """Bounds are attributes up to opset 10, inputs from 11 on; the upper one decides when they cross.

    A bound that is left out is the largest finite number of the type, here of FP32: an infinity is clipped to it.
    """
    low, high = -_LARGEST, _LARGEST
    if call.opset < 11:
        low, high = call.number("min", low), call.number("max", high)
    else:
        low, high = (call.real(n).item() if call.present(n) else b for n, b in ((1, low), (2, high)))
    return [np.asarray(np.minimum(np.maximum(call.real(0), low), high))]


KERNELS: dict[str, Kernel] = {
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _binary(function) for name, function in _BINARY.items()},
    "Sign": lambda call: [np.sign(call.real(0))],
    "Max": _variadic(np.maximum),
    "Min": _variadic(np.minimum),
    "Sum": _variadic(np.add),
    "Mean": _mean,
    "Pow": _pow,
    "Mod": _mod,
    "IsInf": _is_inf,
    "Where": _where,
    "Clip": _clip,
}
"""By operator of the standard domain."""
