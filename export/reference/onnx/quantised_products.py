"""Products of quantised matrices of the domain com.microsoft. Source: ContribOperators.md of ONNX Runtime."""

import numpy as np

from .call import Array, Call, Kernel, NotCovered
from .quantisation import dynamic_steps, quantised


def _column(values: Array) -> Array:
    """One number, or one for each column."""
    return values.reshape(()) if values.size == 1 else values.reshape(1, -1)


def _shifted(call: Call, index: int, zero: int) -> Array:
    """An integer matrix minus its zero point, in FP64, which holds such integers and their sums exactly."""
    values = call.array(index).astype(np.float64)
    return values - _column(call.array(zero).astype(np.float64)) if call.present(zero) else values


def _integer_to_float(call: Call) -> list[Array]:
    """Inputs: A, B, their scales, their zero points, bias."""
    y = np.matmul(_shifted(call, 0, 4), _shifted(call, 1, 5)) * (call.real(2).reshape(()) * _column(call.real(3)))
    return [y + call.real(6) if call.present(6) else y]


def _dynamic(call: Call) -> list[Array]:
    """A is quantised to uint8 by its own range. Inputs: A, B, scale and zero point of B, bias."""
    steps, scale, zero = dynamic_steps(call.real(0))
    y = np.matmul(steps.astype(np.float64) - zero, _shifted(call, 1, 3)) * (scale * _column(call.real(2)))
    return [y + call.real(4) if call.present(4) else y]


def _q_gemm(call: Call) -> list[Array]:
    """Inputs: A, its scale, its zero point, B, its scale, its zero point, C in int32, scale and zero point of the output."""
    a, b = _shifted(call, 0, 2), _shifted(call, 3, 5)
    if call.flag("transB") and call.array(4).size > 1:
        raise NotCovered
    total = np.matmul(a.T if call.flag("transA") else a, b.T if call.flag("transB") else b)
    if call.present(6):
        total = total + call.array(6)
    y = total * (call.number("alpha", 1.0) * call.real(1).reshape(()) * _column(call.real(4)))
    if not call.present(7):
        return [np.asarray(y)]
    zero = call.array(8)
    return [quantised(np.rint(y / call.real(7)) + zero.astype(np.float64), zero.dtype)]


def _matmul_n_bits(call: Call) -> list[Array]:
    """A (..., K) by a matrix of N columns whose K rows come in blocks, each with a scale and a zero point; low bits come first."""
    a, packed, bits, block = call.real(0), call.array(1), call.integer("bits", 4), call.integer("block_size", 32)
    columns, rows = call.integer("N", 0), call.integer("K", 0)
    if bits not in (4, 8) or call.present(4):
        raise NotCovered
    blocks = -(-rows // block)
    steps = _unpacked(packed.reshape(columns, -1), bits)[:, : blocks * block].reshape(columns, blocks, block)
    zero = np.full((columns, blocks), 2.0 ** (bits - 1))
    if call.present(3):
        given = call.array(3)
        if given.dtype == np.uint8:
            given = _unpacked(given.reshape(columns, -1), bits)[:, :blocks]
        zero = given.astype(np.float64).reshape(columns, blocks)
    weight = (steps - zero[..., None]) * call.real(2).reshape(columns, blocks, 1)
    y = np.matmul(a, weight.reshape(columns, -1)[:, :rows].T)
    return [y + call.real(5) if call.present(5) else y]


def _unpacked(values: Array, bits: int) -> Array:
    if bits == 8:
        return values.astype(np.float64)
    return np.stack([values & 15, values >> 4], -1).reshape(len(values), -1).astype(np.float64)


MICROSOFT: dict[str, Kernel] = {
    "DynamicQuantizeMatMul": _dynamic,
    "MatMulIntegerToFloat": _integer_to_float,
    "MatMulNBits": _matmul_n_bits,
    "QGemm": _q_gemm,
}
"""By operator of the domain com.microsoft."""
