"""Discrete Fourier transforms as products with cosine and sine matrices.

    X[k] = sum over t of x[t] exp(-2 pi i k t / n)   ->   Re X = x C,  Im X = -x S     C[t, k] = cos(2 pi k t / n),  S likewise

FNet, GFNet and AFNO mix tokens with ``torch.fft``. TensorRT has no DFT, ONNX has one on real axes of a fixed layout; lengths are those
of images and sequences, for which a product is as quick. The matrices come from whole numbers k t mod n in FP64, so no angle is
rounded. Refused: lengths that are free, and above 1024, where the matrix is larger than what is worked out while capturing.
"""

from math import pi, prod, sqrt
from typing import Any

import torch
from torch.fx import Node

from ....errors import UnsupportedModelError
from ..cleanup.naming import describe_node
from .emit import ComplexEmitter, ComplexParts, ComplexRule

aten = torch.ops.aten
LONGEST = 1024


def _length(node: Node, size: Any) -> int:
    if not isinstance(size, int) or size > LONGEST:
        raise UnsupportedModelError(
            f"a Fourier transform over {f'{size} values' if isinstance(size, int) else 'an axis of free length'}, in {describe_node(node)}",
            f"fix that axis at {LONGEST} or fewer",
        )
    return size


def _waves(emit: ComplexEmitter, node: Node, rows: int, columns: int, n: int) -> tuple[Node, Node]:
    """cos and sin of 2 pi r c / n, (rows, columns), in the precision of the transformed values."""
    r, c = (
        emit(aten.arange.default, count, dtype=torch.int64, device=torch.device("cpu")) for count in (rows, columns)
    )
    turns = emit(aten.remainder.Scalar, emit(aten.mul.Tensor, emit(aten.unsqueeze.default, r, 1), c), n)
    angle = emit(aten.mul.Tensor, emit(aten._to_copy.default, turns, dtype=torch.float64), 2 * pi / n)
    wide = torch.float64 if node.meta["val"].dtype in (torch.complex128, torch.float64) else torch.float32
    cosine, sine = (
        emit(aten._to_copy.default, emit(f, angle), dtype=wide) for f in (aten.cos.default, aten.sin.default)
    )
    return cosine, sine


def _along(emit: ComplexEmitter, x: Any, matrix: Node, axis: int, rank: int) -> Any:
    """x times a matrix over one of its axes."""
    if x is None:
        return None
    if axis == rank - 1:
        return emit(aten.matmul.default, x, matrix)
    moved = emit(aten.matmul.default, emit(aten.transpose.int, x, axis, -1), matrix)
    return emit(aten.transpose.int, moved, axis, -1)


def _turned(
    emit: ComplexEmitter, node: Node, z: ComplexParts, axis: int, n: int, columns: int, forward: bool, rank: int
) -> ComplexParts:
    """The transform of parts over one axis, its first ``columns`` values."""
    cosine, sine = _waves(emit, node, n, columns, n)
    sine = emit.neg(sine) if forward else sine
    (a, b) = z
    return (
        emit.sub(_along(emit, a, cosine, axis, rank), _along(emit, b, sine, axis, rank)),
        emit.add(_along(emit, a, sine, axis, rank), _along(emit, b, cosine, axis, rank)),
    )


def _scale(emit: ComplexEmitter, z: ComplexParts, normalization: int, count: int) -> ComplexParts:
    factor = (None, 1 / sqrt(count), 1 / count)[normalization]
    return z if factor is None else (emit.mul(z[0], factor), emit.mul(z[1], factor))


def _c2c(emit: ComplexEmitter, node: Node, z: Node, dim: list[int], normalization: int, forward: bool) -> ComplexParts:
    shape, parts = z.meta["val"].shape, emit.parts(z)
    sizes = [_length(node, shape[axis]) for axis in dim]
    for axis, n in zip(dim, sizes, strict=True):
        parts = _turned(emit, node, parts, axis % len(shape), n, n, forward, len(shape))
    return _scale(emit, parts, normalization, prod(sizes))


def _r2c(emit: ComplexEmitter, node: Node, x: Node, dim: list[int], normalization: int, onesided: bool) -> ComplexParts:
    shape = x.meta["val"].shape
    sizes = [_length(node, shape[axis]) for axis in dim]
    parts: ComplexParts = (x, None)
    for place, (axis, n) in reversed(list(enumerate(zip(dim, sizes, strict=True)))):
        columns = n // 2 + 1 if onesided and place == len(dim) - 1 else n
        parts = _turned(emit, node, parts, axis % len(shape), n, columns, True, len(shape))
    return _scale(emit, parts, normalization, prod(sizes))


def _c2r(emit: ComplexEmitter, node: Node, z: Node, dim: list[int], normalization: int, last: int) -> Any:
    """Real values from the first half of a spectrum: each value counts twice, except the first and the middle one."""
    shape, parts = z.meta["val"].shape, emit.parts(z)
    n, rank = _length(node, last), len(shape)
    sizes = [_length(node, shape[axis]) for axis in dim[:-1]]
    for axis, size in zip(dim[:-1], sizes, strict=True):
        parts = _turned(emit, node, parts, axis % rank, size, size, False, rank)
    half = n // 2 + 1
    cosine, sine = _waves(emit, node, half, n, n)
    once = [0, half - 1] if n % 2 == 0 else [0]
    k = emit(aten.arange.default, half, dtype=torch.int64, device=torch.device("cpu"))
    weights: Any = emit(aten.full.default, [half], 2.0, dtype=torch.float32, device=torch.device("cpu"))
    for place in once:
        weights = emit(aten.where.ScalarSelf, emit(aten.eq.Scalar, k, place), 1.0, weights)
    column = emit(aten.unsqueeze.default, weights, 1)
    cosine, sine = emit(aten.mul.Tensor, cosine, column), emit(aten.mul.Tensor, sine, column)
    axis = dim[-1] % rank
    value = emit.sub(_along(emit, parts[0], cosine, axis, rank), _along(emit, parts[1], sine, axis, rank))
    return _scale(emit, (value, None), normalization, prod([*sizes, n]))[0]


RULES: dict[Any, ComplexRule] = {aten._fft_c2c.default: _c2c, aten._fft_r2c.default: _r2c, aten._fft_c2r.default: _c2r}
