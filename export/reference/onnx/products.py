"""Products of matrices."""

import numpy as np
import torch

from .call import Array, Call, Kernel, NotCovered, as_array, as_torch


def _matmul(call: Call) -> list[Array]:
    return [as_array(torch.matmul(as_torch(call.real(0)), as_torch(call.real(1))))]


def gemm(call: Call) -> Array:
    """alpha A' B' + beta C, C broadcast to the product."""
    a, b = as_torch(call.real(0)), as_torch(call.real(1))
    product = torch.matmul(a.T if call.flag("transA") else a, b.T if call.flag("transB") else b)
    product = product * call.number("alpha", 1.0)
    if call.present(2):
        product = product + call.number("beta", 1.0) * as_torch(call.real(2))
    return as_array(product)


def _gemm(call: Call) -> list[Array]:
    return [gemm(call)]


def _einsum(call: Call) -> list[Array]:
    """An equation in lower-case and upper-case letters; those without an arrow sum what occurs twice."""
    operands = [as_torch(call.real(n)) for n in range(len(call.inputs))]
    return [as_array(torch.einsum(call.text("equation", "").replace(" ", ""), *operands))]


def _det(call: Call) -> list[Array]:
    return [np.asarray(as_array(torch.linalg.det(as_torch(call.real(0)))))]


def _fused_matmul(call: Call) -> list[Array]:
    """alpha A' B': ``transA`` swaps the last two axes, ``transBatchA`` moves the first one before the last."""
    sides = []
    for index, letter in enumerate("AB"):
        side = as_torch(call.real(index))
        if call.flag(f"transBatch{letter}"):
            side = side.movedim(0, -2)
        sides.append(side.transpose(-1, -2) if call.flag(f"trans{letter}") and side.dim() > 1 else side)
    return [as_array(torch.matmul(*sides) * call.number("alpha", 1.0))]


def activated(x: Array, name: str, parameters: list[float]) -> Array:
    """An activation that a fused operator applies to its result. Raises NotCovered for an unknown one."""
    t = as_torch(x)
    alpha = parameters[0] if parameters else 0.0
    if name in ("", "Identity"):
        return x
    if name == "Relu":
        return np.maximum(x, 0.0)
    if name == "Tanh":
        return as_array(torch.tanh(t))
    if name == "Sigmoid":
        return as_array(torch.sigmoid(t))
    if name == "LeakyRelu":
        return np.where(x < 0, x * (alpha if parameters else float(np.float32(0.01))), x)
    if name == "Clip" and len(parameters) == 2:
        return np.asarray(np.clip(x, parameters[0], parameters[1]))
    if name == "HardSigmoid" and len(parameters) == 2:
        return np.asarray(np.clip(alpha * x + parameters[1], 0, 1))
    raise NotCovered


def _fused_gemm(call: Call) -> list[Array]:
    given = [call.attributes.get(f"activation_{name}") for name in ("alpha", "beta", "gamma")]
    parameters = [float(np.float32(v)) for v in given if v is not None]
    return [activated(gemm(call), call.text("activation", ""), parameters)]


KERNELS: dict[str, Kernel] = {"Det": _det, "Einsum": _einsum, "Gemm": _gemm, "MatMul": _matmul}
"""By operator of the standard domain."""

MICROSOFT: dict[str, Kernel] = {"FusedGemm": _fused_gemm, "FusedMatMul": _fused_matmul}
"""By operator of the domain com.microsoft."""
