"""Activation functions and the softmax family."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from .call import Array, Call, Kernel, as_array, as_torch

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def _x(call: Call) -> torch.Tensor:
    return as_torch(call.real(0))


def _relu(call: Call) -> list[Array]:
    return [np.maximum(call.real(0), 0.0)]


def _leaky_relu(call: Call) -> list[Array]:
    x = call.real(0)
    return [np.where(x < 0, x * call.number("alpha", 0.01), x)]


def _p_relu(call: Call) -> list[Array]:
    x = call.real(0)
    return [np.where(x < 0, x * call.real(1), x)]


def _elu(call: Call) -> list[Array]:
    x = call.real(0)
    return [np.where(x < 0, call.number("alpha", 1.0) * np.expm1(np.minimum(x, 0)), x)]


def _celu(call: Call) -> list[Array]:
    x, alpha = call.real(0), call.number("alpha", 1.0)
    return [np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha))]


def _selu(call: Call) -> list[Array]:
    x, alpha, gamma = call.real(0), call.number("alpha", _SELU_ALPHA), call.number("gamma", _SELU_GAMMA)
    return [gamma * np.where(x <= 0, alpha * np.expm1(np.minimum(x, 0)), x)]


def _thresholded_relu(call: Call) -> list[Array]:
    x = call.real(0)
    return [np.where(x > call.number("alpha", 1.0), x, 0.0)]


def _sigmoid(call: Call) -> list[Array]:
    return [as_array(torch.sigmoid(_x(call)))]


def _hard_sigmoid(call: Call) -> list[Array]:
    return [np.clip(call.number("alpha", 0.2) * call.real(0) + call.number("beta", 0.5), 0, 1)]


def _hard_swish(call: Call) -> list[Array]:
    x = call.real(0)
    return [x * np.clip(x / 6 + 0.5, 0, 1)]


def _softplus(call: Call) -> list[Array]:
    return [np.logaddexp(call.real(0), 0.0)]


def _softsign(call: Call) -> list[Array]:
    x = call.real(0)
    return [x / (1 + np.abs(x))]


def _mish(call: Call) -> list[Array]:
    x = call.real(0)
    return [x * np.tanh(np.logaddexp(x, 0.0))]


def _shrink(call: Call) -> list[Array]:
    x, bias, limit = call.real(0), call.number("bias", 0.0), call.number("lambd", 0.5)
    return [np.where(x < -limit, x + bias, np.where(x > limit, x - bias, 0.0))]


def _gelu(call: Call) -> list[Array]:
    return [as_array(F.gelu(_x(call), approximate=call.text("approximate", "none")))]


def _bias_gelu(call: Call) -> list[Array]:
    return [as_array(F.gelu(_x(call) + as_torch(call.real(1))))]


def _fast_gelu(call: Call) -> list[Array]:
    x = _x(call) + (as_torch(call.real(1)) if call.present(1) else 0.0)
    return [as_array(F.gelu(x, approximate="tanh"))]


def _swish(call: Call) -> list[Array]:
    x = _x(call)
    return [as_array(x * torch.sigmoid(call.number("alpha", 1.0) * x))]


def _quick_gelu(call: Call) -> list[Array]:
    x = _x(call)
    return [as_array(x * torch.sigmoid(call.number("alpha", 1.702) * x))]


def _as_matrix(call: Call) -> tuple[torch.Tensor, int]:
    """The input and the axis to reduce: from opset 13 on one axis, before that all axes from ``axis`` on as one."""
    x = _x(call)
    if call.opset >= 13:
        return x, call.integer("axis", -1)
    axis = call.integer("axis", 1) % max(x.dim(), 1)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])), 1


def _softmax(call: Call) -> list[Array]:
    x, axis = _as_matrix(call)
    return [as_array(torch.softmax(x, axis)).reshape(call.real(0).shape)]


def _log_softmax(call: Call) -> list[Array]:
    x, axis = _as_matrix(call)
    return [as_array(torch.log_softmax(x, axis)).reshape(call.real(0).shape)]


def _hardmax(call: Call) -> list[Array]:
    """One at the first of the largest values."""
    x, axis = _as_matrix(call)
    values = as_array(x)
    result = np.zeros_like(values)
    if values.size:
        np.put_along_axis(result, np.expand_dims(values.argmax(axis), axis), 1.0, axis)
    return [result.reshape(call.real(0).shape)]


KERNELS: dict[str, Kernel] = {
    "Celu": _celu,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Hardmax": _hardmax,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _log_softmax,
    "Mish": _mish,
    "PRelu": _p_relu,
    "Relu": _relu,
    "Selu": _selu,
    "Shrink": _shrink,
    "Sigmoid": _sigmoid,
    "Softmax": _softmax,
    "Softplus": _softplus,
    "Softsign": _softsign,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded_relu,
}
"""By operator of the standard domain."""

MICROSOFT: dict[str, Kernel] = {
    "BiasGelu": _bias_gelu,
    "FastGelu": _fast_gelu,
    "Gelu": _gelu,
    "QuickGelu": _quick_gelu,
}
"""By operator of the domain com.microsoft."""
