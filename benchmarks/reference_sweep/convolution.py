"""Convolutions and what is built like them: groups, dilations, paddings, output sizes; Gemm, MatMul and Einsum."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from attnexport.benchmarks.reference_sweep.case import Case, across, newest
from attnexport.benchmarks.reference_sweep.draws import Draw, f32, i64, of

_SIZES = {1: (9,), 2: (8, 7), 3: (6, 5, 5)}
_KERNELS = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}


def cases() -> Iterator[Case]:
    """All contractions."""
    yield from _conv()
    yield from _conv_transpose()
    yield from _deform_conv()
    yield from _col2im()
    yield from _gemm()
    yield from _matmul()
    yield from _einsum()


def _conv_geometries(rank: int) -> Iterator[dict[str, Any]]:
    yield {}
    yield {"strides": [2, 1, 2][:rank], "pads": [1, 0, 2][:rank] + [0, 1, 1][:rank]}
    yield {"dilations": [2] * rank, "pads": [1] * 2 * rank}
    for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield {"auto_pad": auto, "strides": [2] * rank}
    yield {"auto_pad": "VALID", "dilations": [2] * rank}


def _conv() -> Iterator[Case]:
    for rank, group, bias in product(_SIZES, (1, 2, 4), (False, True)):
        x, w = f32(2, 4, *_SIZES[rank]), f32(4 if group > 1 else 3, 4 // group, *_KERNELS[rank])
        inputs = [x, w, f32(w.shape[0])] if bias else [x, w]
        for n, geometry in enumerate(_conv_geometries(rank)):
            if bias and n not in (0, 1):
                continue
            where = across if rank == 2 and group != 4 and n < 4 else newest
            yield from where("Conv", inputs, {**geometry, "group": group}, constants=(1,) if bias else ())
    yield from newest("Conv", [f32(1, 256, 6, 5), f32(8, 256, 3, 3)], {"pads": [1] * 4})


def _conv_transpose() -> Iterator[Case]:
    for rank, group in product(_SIZES, (1, 2)):
        x, w = f32(2, 4, *_SIZES[rank]), f32(4, 3, *_KERNELS[rank])
        two = [2] * rank
        geometries: list[dict[str, Any]] = [
            {},
            {"strides": two, "pads": [1, 0, 1][:rank] + [0, 1, 1][:rank]},
            {"strides": two, "output_padding": [1, 0, 1][:rank]},
            {"strides": two, "dilations": two, "pads": [1] * 2 * rank},
            {"strides": [3] * rank, "output_shape": [size * 3 + 1 for size in _SIZES[rank]]},
            {"strides": two, "output_shape": [size * 2 for size in _SIZES[rank]], "auto_pad": "SAME_UPPER"},
            {"strides": two, "output_shape": [size * 2 for size in _SIZES[rank]], "auto_pad": "SAME_LOWER"},
            {"strides": two, "auto_pad": "SAME_UPPER"},
            {"strides": two, "auto_pad": "SAME_LOWER"},
            {"strides": two, "auto_pad": "VALID"},
        ]
        for n, geometry in enumerate(geometries):
            where = across if rank == 2 and n in (1, 2, 4, 7) else newest
            yield from where("ConvTranspose", [x, w], {**geometry, "group": group})
        yield from newest("ConvTranspose", [x, w, f32(3 * group)], {"strides": two, "group": group}, constants=(1, 2))


def _deform_conv() -> Iterator[Case]:
    x, w = f32(1, 4, 6, 5), f32(4, 4, 3, 2)
    offsets = Draw((1, 12, 4, 4), "wide")
    yield from across("DeformConv", [x, w, offsets])
    yield from across("DeformConv", [x, w, offsets, f32(4), f32(1, 6, 4, 4)])
    yield from across("DeformConv", [x, w, Draw((1, 24, 4, 4), "wide")], {"offset_group": 2})
    yield from across("DeformConv", [x, f32(4, 2, 3, 2), offsets], {"group": 2})
    padded = {"pads": [1, 1, 1, 1], "strides": [2, 1], "dilations": [1, 2]}
    yield from across("DeformConv", [x, w, Draw((1, 12, 3, 5), "wide")], padded)


def _col2im() -> Iterator[Case]:
    yield from across("Col2Im", [f32(1, 6, 20), i64(5, 6), i64(2, 3)])
    yield from across("Col2Im", [f32(2, 8, 4), i64(5, 5), i64(2, 2)], {"strides": [3, 3]})
    yield from across("Col2Im", [f32(1, 4, 30), i64(5, 6), i64(2, 2)], {"pads": [1, 1, 0, 0]})
    yield from across("Col2Im", [f32(1, 4, 15), i64(5, 6), i64(2, 2)], {"dilations": [2, 1]})
    yield from across("Col2Im", [f32(1, 8, 12), i64(3, 4, 3), i64(2, 2, 2)])
    yield from across("Col2Im", [f32(1, 3, 8), i64(10), i64(3)])


def _gemm() -> Iterator[Case]:
    for a, b in product((0, 1), (0, 1)):
        left, right = f32(*((5, 3) if a else (3, 5))), f32(*((4, 5) if b else (5, 4)))
        turns = {"transA": a, "transB": b}
        yield from across("Gemm", [left, right, f32(4)], {**turns, "alpha": 0.5, "beta": 2.0})
        for shape in ((3, 4), (3, 1), (1, 1), (1,), ()):
            yield from newest("Gemm", [left, right, f32(*shape)], {**turns, "beta": 0.3})
        yield from newest("Gemm", [left, right], {**turns, "alpha": -1.5})
    yield from across("Gemm", [of("float64", 3, 5), of("float64", 5, 4), of("float64", 4)])


def _matmul() -> Iterator[Case]:
    for left, right in (
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((2, 3, 4), (4, 2)),
    ):
        yield from across("MatMul", [f32(*left), f32(*right)])
    yield from newest("MatMul", [f32(3, 0), f32(0, 4)])
    yield from newest("MatMul", [f32(4, 4096), f32(4096, 3)])
    yield from across("MatMul", [of("int32", 3, 4), of("int32", 4, 5)], opsets=(9, 23))
    yield from across("MatMul", [of("float64", 3, 4), of("float64", 4, 5)])


def _einsum() -> Iterator[Case]:
    equations: dict[str, tuple[tuple[int, ...], ...]] = {
        "ij,jk->ik": ((3, 4), (4, 5)),
        "ij,jk": ((3, 4), (4, 5)),
        "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
        "bhid,bhjd->bhij": ((2, 2, 3, 4), (2, 2, 5, 4)),
        "...ij,...jk->...ik": ((2, 1, 3, 4), (2, 3, 4, 2)),
        "ij->ji": ((3, 4),),
        "ba": ((3, 4),),
        "ii->i": ((4, 4),),
        "ii": ((4, 4),),
        "ij->": ((3, 4),),
        "ij->i": ((3, 4),),
        "i,j->ij": ((3,), (4,)),
        "i,i->": ((5,), (5,)),
        "abc,cd,de->abe": ((2, 3, 4), (4, 2), (2, 5)),
        "bnqk,bkhd->bqhnd": ((2, 2, 3, 4), (2, 4, 2, 3)),
        "...d->...": ((2, 3, 4),),
        "iij->ij": ((3, 3, 2),),
        "i j, j k -> i k": ((3, 4), (4, 5)),
        "bhwc,hkc->bhwk": ((2, 3, 4, 5), (3, 2, 5)),
        "abcd,abcd->abcd": ((2, 2, 2, 3), (2, 2, 2, 3)),
    }
    for equation, shapes in equations.items():
        yield from across("Einsum", [f32(*shape) for shape in shapes], {"equation": equation})
    yield from across("Einsum", [of("int64", 3, 4), of("int64", 4, 2)], {"equation": "ij,jk->ik"})
