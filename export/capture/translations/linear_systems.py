"""torch.linalg.inv, solve and det of small matrices, for which torch.onnx (2.13) has no translation: Gaussian elimination, unrolled.

    P A = L U, each pivot the largest of its column;   U x = L^-1 P b from the last row up;   det A = sign(P) u_11 ... u_nn

as LAPACK's getrf and getrs take it, so that errors are theirs. Homographies, camera matrices and splines of warps are 3 x 3 to 8 x 8. A row
is chosen by comparing and swapping, which needs no index, so that every target has it. A singular matrix gives infinity or NaN, where
torch raises an error. Refused: sizes above 8 or free, of which the unrolled steps would be too many, or unknown.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

from onnxscript import opset18 as op

from ....errors import UnsupportedModelError
from .shared import Translations, aten, ints

MOST = 8
_INT32 = 6
ops: Any = op
Rows = list[Any]
"""The rows of a matrix from the top, each (..., 1, columns)."""


def _size(matrix: Any) -> int:
    size = matrix.shape[-1] if len(matrix.shape) else None
    if not isinstance(size, int) or size > MOST:
        found = f"{size} x {size}" if isinstance(size, int) else "a free size"
        raise UnsupportedModelError(
            f"a linear system of {found} is not exported, only up to {MOST} x {MOST}", "solve it before the export"
        )
    return size


def _rows(matrix: Any, count: int) -> Rows:
    return [ops.Slice(matrix, ints(row), ints(row + 1), ints(-2)) for row in range(count)]


def _entry(row: Any, column: int) -> Any:
    return ops.Slice(row, ints(column), ints(column + 1), ints(-1))


def _eliminate(rows: Rows, sides: Rows, sign: Any = None) -> tuple[Rows, Rows, Any]:
    """Upper triangle and right sides; ``sign`` turns with each exchange of rows."""
    rows, sides = list(rows), list(sides)
    for k in range(len(rows)):
        for i in range(k + 1, len(rows)):
            larger = ops.Greater(ops.Abs(_entry(rows[i], k)), ops.Abs(_entry(rows[k], k)))
            for held in (rows, sides):
                if held:
                    held[k], held[i] = ops.Where(larger, held[i], held[k]), ops.Where(larger, held[k], held[i])
            sign = sign if sign is None else ops.Where(larger, ops.Neg(sign), sign)
        for i in range(k + 1, len(rows)):
            factor = ops.Div(_entry(rows[i], k), _entry(rows[k], k))
            for held in (rows, sides):
                if held:
                    held[i] = ops.Sub(held[i], ops.Mul(factor, held[k]))
    return rows, sides, sign


def _substitute(rows: Rows, sides: Rows) -> Any:
    """x (..., n, columns) of the triangle, from the last row up."""
    found: Rows = []
    for k in reversed(range(len(rows))):
        products = [ops.Mul(_entry(rows[k], j), x) for j, x in zip(range(k + 1, len(rows)), found, strict=True)]
        found.insert(0, ops.Div(reduce(ops.Sub, products, sides[k]), _entry(rows[k], k)))
    return ops.Concat(*found, axis=-2) if len(found) > 1 else found[0]


def _no_failure() -> Any:
    """What torch calls info: 0 where nothing was found wrong."""
    return ops.Cast(ops.Constant(value_int=0), to=_INT32)


def _inverse(matrix: Any, check_errors: bool = False) -> tuple[Any, Any]:
    """A (..., n, n) -> its inverse."""
    size = _size(matrix)
    ones = [ops.Constant(value_floats=[float(i == j) for j in range(size)]) for i in range(size)]
    identity = [ops.Unsqueeze(ops.CastLike(row, matrix), ints(0)) for row in ones]
    rows, sides, _ = _eliminate(_rows(matrix, size), identity)
    return _substitute(rows, sides), _no_failure()


def _solve(matrix: Any, side: Any, left: bool = True, check_errors: bool = False) -> tuple[Any, Any, Any, Any]:
    """A (..., n, n), B (..., n, k) or (..., n) -> X of A X = B, or of X A = B; what else torch gives is for its gradients alone."""
    size, rank = _size(matrix), len(matrix.shape)
    vector = len(side.shape) == 1 or list(map(str, side.shape)) == list(map(str, matrix.shape[:-1]))
    columns = ops.Unsqueeze(side, ints(-1)) if vector else side
    if not left:
        matrix, columns = _turned(matrix, rank), columns if vector else _turned(columns, len(side.shape))
    rows, sides, _ = _eliminate(_rows(matrix, size), _rows(columns, size))
    found = _substitute(rows, sides)
    if vector:
        found = ops.Squeeze(found, ints(-1))
    elif not left:
        found = _turned(found, max(rank, len(side.shape)))
    return found, matrix, _no_failure(), _no_failure()


def _triangle(matrix: Any) -> tuple[Sequence[Any], Any]:
    """The pivots (..., 1, 1) and the sign of the exchanges."""
    size = _size(matrix)
    rows = _rows(matrix, size)
    first = _entry(rows[0], 0)
    one = ops.CastLike(ops.Constant(value_float=1.0), matrix)
    rows, _, sign = _eliminate(rows, [], ops.Expand(one, ops.Shape(first)))
    return [_entry(row, k) for k, row in enumerate(rows)], sign


def _determinant(matrix: Any) -> tuple[Any, Any, Any]:
    """A (..., n, n) -> (...,)."""
    pivots, sign = _triangle(matrix)
    return ops.Squeeze(reduce(ops.Mul, pivots, sign), ints(-2, -1)), matrix, _no_failure()


def _log_determinant(matrix: Any) -> tuple[Any, Any, Any, Any]:
    """A (..., n, n) -> the determinant's sign and the logarithm of its magnitude, both (...,)."""
    pivots, sign = _triangle(matrix)
    turned = reduce(ops.Mul, (ops.Sign(pivot) for pivot in pivots), sign)
    size = reduce(ops.Add, (ops.Log(ops.Abs(pivot)) for pivot in pivots))
    return ops.Squeeze(turned, ints(-2, -1)), ops.Squeeze(size, ints(-2, -1)), matrix, _no_failure()


def _turned(matrix: Any, rank: int) -> Any:
    axes = list(range(rank))
    return ops.Transpose(matrix, perm=[*axes[:-2], axes[-1], axes[-2]])


LINEAR_SYSTEMS: Translations = {
    aten.linalg_inv_ex.default: _inverse,
    aten._linalg_solve_ex.default: _solve,
    aten._linalg_det.default: _determinant,
    aten._linalg_slogdet.default: _log_determinant,
}
