"""Operators of one element each: functions, arithmetic with broadcasting, comparisons, casts; NaN, infinities and signs of zero."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from onnx import TensorProto, helper

from attnexport.benchmarks.reference_sweep.case import LAST, Case, Input, across, newest
from attnexport.benchmarks.reference_sweep.draws import Draw, f32, i64, of, scalar

_PLAIN = (
    *("Abs", "Asinh", "Atan", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "HardSwish", "Mish", "Neg"),
    *("Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Tan"),
    *("Tanh",),
)
_FUNCTIONS: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    **{name: ("normal", ({},)) for name in _PLAIN},
    **{name: ("unit", ({},)) for name in ("Acos", "Asin", "Atanh")},
    **{name: ("positive", ({},)) for name in ("Log", "Sqrt")},
    "Acosh": ("above1", ({},)),
    "Celu": ("normal", ({}, {"alpha": 0.4})),
    "Elu": ("normal", ({}, {"alpha": 0.4})),
    "Gelu": ("normal", ({}, {"approximate": "tanh"})),
    "HardSigmoid": ("normal", ({}, {"alpha": 0.5, "beta": 0.3})),
    "LeakyRelu": ("normal", ({}, {"alpha": 0.3})),
    "Selu": ("normal", ({}, {"alpha": 1.2, "gamma": 0.9})),
    "Shrink": ("normal", ({}, {"bias": 0.3, "lambd": 0.8}, {"bias": 0.0, "lambd": 0.2})),
    "ThresholdedRelu": ("normal", ({}, {"alpha": 0.2})),
    "IsNaN": ("edges", ({},)),
    "IsInf": (
        "edges",
        ({}, {"detect_negative": 0}, {"detect_positive": 0}, {"detect_negative": 0, "detect_positive": 0}),
    ),
}
_DOUBLE = (
    *("Abs", "Ceil", "Cos", "Exp", "Floor", "IsInf", "IsNaN", "LeakyRelu", "Log", "Neg", "Reciprocal"),
    *("Relu", "Round", "Shrink", "Sigmoid", "Sign", "Sin", "Sqrt", "Tanh"),
)
_ARITHMETIC = ("Add", "Sub", "Mul", "Div")
_COMPARISONS = ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
_LOGICAL = ("And", "Or", "Xor")
_VARIADIC = ("Max", "Min", "Mean", "Sum")
_SHAPES = (((2, 3), (2, 3)), ((2, 3), ()), ((2, 1, 4), (3, 1)), ((3,), (2, 4, 3)), ((0, 3), (1, 3)))
_TYPES = ("int32", "int64", "float64", "int8", "uint8", "int16", "uint32", "uint64")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _functions()
    yield from _binary()
    yield from _integer_division()
    yield from _powers()
    yield from _bits()
    yield from _variadic()
    yield from _clip()
    yield from _where_and_prelu()
    yield from _casts()


def _functions() -> Iterator[Case]:
    for name, (kind, variants) in _FUNCTIONS.items():
        for attributes in variants:
            yield from across(name, [f32(3, 16, kind=kind)], attributes)
            yield from newest(name, [f32(16, kind="edges")], attributes)
        if name in _DOUBLE:
            yield from newest(name, [of("float64", 3, 5, kind=kind)])
        yield from newest(name, [Draw((40,), "large")])
    for name, dtype in product(("Abs", "Neg", "Sign"), ("int32", "int64", "int8")):
        yield from newest(name, [of(dtype, 3, 4)])
    yield from newest("Round", [f32(40, kind="halves")])
    yield from across("Not", [of("bool", 3, 4)])


def _binary() -> Iterator[Case]:
    for name in _ARITHMETIC:
        for n, (left, right) in enumerate(_SHAPES):
            yield from (across if n == 2 else newest)(name, [f32(*left), f32(*right)])
        yield from newest(name, [f32(16, kind="edges"), f32(16, 1, kind="edges")])
        for dtype in _TYPES:
            yield from newest(name, [of(dtype, 3, 4), of(dtype, 4, kind="naturals")])
    for name in _COMPARISONS:
        for n, (left, right) in enumerate(_SHAPES):
            inputs = [f32(*left, kind="halves"), f32(*right, kind="halves")]
            yield from (
                across(name, inputs, opsets=(11 if name == "Equal" else 7, 23)) if n == 2 else newest(name, inputs)
            )
        yield from newest(name, [f32(16, kind="edges"), f32(16, 1, kind="edges")])
        for dtype in ("int32", "int64", "float64"):
            yield from newest(name, [of(dtype, 3, 4), of(dtype, 4)])
    yield from newest("Equal", [of("bool", 3, 4), of("bool", 4)])
    for name in _LOGICAL:
        for left, right in _SHAPES[:4]:
            yield from across(name, [of("bool", *left), of("bool", *right)])


def _integer_division() -> Iterator[Case]:
    for dtype in ("int32", "int64", "int8"):
        yield from newest("Div", [of(dtype, 5, 6), of(dtype, 6, kind="nonzero")])
        for fmod in (0, 1):
            yield from across("Mod", [of(dtype, 5, 6), of(dtype, 6, kind="nonzero")], {"fmod": fmod})
    for dtype in ("uint8", "uint32", "uint64"):
        yield from newest("Mod", [of(dtype, 5, 6), of(dtype, 6)])
    yield from across("Mod", [f32(5, 6, kind="halves"), f32(6, kind="nonzero")], {"fmod": 1})
    yield from newest("Mod", [f32(16, kind="edges"), f32(16, 1, kind="edges")], {"fmod": 1})


def _powers() -> Iterator[Case]:
    for exponent in (2.0, 0.5, 3.0, -1.5, 0.0):
        yield from across("Pow", [f32(3, 4, kind="positive"), scalar(exponent, "float32")])
    yield from newest("Pow", [f32(3, 4), scalar(3.0, "float32")])
    yield from newest("Pow", [f32(16, kind="edges"), f32(16, 1, kind="edges")])
    for left, right in product(("float32", "int32", "int64", "float64"), repeat=2):
        yield from across("Pow", [of(left, 3, 4, kind="naturals"), Draw((4,), "ties", right)], opsets=(12, 23))


def _bits() -> Iterator[Case]:
    for direction, dtype in product(("LEFT", "RIGHT"), ("uint8", "uint32", "uint64")):
        yield from across("BitShift", [of(dtype, 3, 4), Draw((4,), "ties", dtype)], {"direction": direction})
    for dtype in ("int32", "uint8", "int64", "int8"):
        for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
            yield from across(name, [of(dtype, 3, 4), of(dtype, 4)])
        yield from across("BitwiseNot", [of(dtype, 3, 4)])


def _variadic() -> Iterator[Case]:
    for name in _VARIADIC:
        yield from across(name, [f32(2, 3)])
        yield from across(name, [f32(2, 3), f32(2, 3, kind="unit"), f32(2, 3, kind="positive")])
        yield from newest(name, [f32(2, 1, 4), f32(3, 1), f32()])
        yield from newest(name, [f32(16, kind="edges"), f32(16, 1, kind="edges")])
        if name in ("Max", "Min"):
            for dtype in ("int32", "int64", "float64", "int8", "uint8"):
                yield from across(name, [of(dtype, 3, 4), of(dtype, 4)], opsets=(12, 23))


def _clip() -> Iterator[Case]:
    yield from across("Clip", [f32(3, 4)], {"min": -0.5, "max": 0.4}, (7, 10))
    yield from across("Clip", [f32(3, 4)], {"max": 0.4}, (7, 10))
    low, high = scalar(-0.5, "float32"), scalar(0.4, "float32")
    bounds: tuple[list[Input], ...] = ([], [low], [None, high], [low, high], [high, low])
    for n, ends in enumerate(bounds):
        yield from across("Clip", [f32(3, 4), *ends], opsets=(11, 23))
        yield from newest("Clip", [f32(16, kind="edges"), *ends]) if n < 4 else ()
    for dtype in ("int32", "int64", "int8", "uint8", "float64"):
        yield from across("Clip", [of(dtype, 3, 4), scalar(2, dtype), scalar(5, dtype)], opsets=(12, 23))


def _where_and_prelu() -> Iterator[Case]:
    for shapes in (((2, 3),) * 3, ((2, 1), (3,), ()), ((3,), (2, 1), (4, 1, 3))):
        yield from across("Where", [of("bool", *shapes[0]), f32(*shapes[1]), f32(*shapes[2])])
    for dtype in ("int32", "int64", "uint8", "float64"):
        yield from newest("Where", [of("bool", 2, 3), of(dtype, 2, 3), of(dtype, 3)])
    yield from newest("Where", [of("bool", 16), f32(16, kind="edges"), f32(16)])
    for slope in ((2, 3, 4), (3, 1), (1,), ()):
        yield from across("PRelu", [f32(2, 3, 4), f32(*slope)])
    yield from newest("Det", [f32(4, 4)])
    yield from across("Det", [f32(2, 3, 3, 3)])
    yield from across("CastLike", [f32(3, 4, kind="quarters"), i64(0)])
    yield from across("CastLike", [of("int32", 3, 4), f32(1)])


def _casts() -> Iterator[Case]:
    kinds = ("float32", "float64", "int32", "int64", "int8", "uint8", "bool", "float16")
    for source, target in product(kinds, kinds):
        x = (
            Draw((3, 4), "naturals" if target.startswith(("u", "b")) else "integers", source)
            if source != "bool"
            else of("bool", 3, 4)
        )
        yield from newest("Cast", [x], {"to": _type(target)})
    for target in ("int32", "int64", "bool", "float16", "float64", "bfloat16"):
        if target != "bfloat16":
            yield from across("Cast", [f32(3, 8, kind="halves")], {"to": _type(target)})
            yield from newest("Cast", [f32(40)], {"to": _type(target)})
        yield from _there_and_back(f32(40), {"to": _type(target)})
    for target in ("int32", "int8", "uint8"):
        yield from newest("Cast", [f32(40, kind="large")], {"to": _type("int32" if target == "uint8" else target)})
        yield from newest("Cast", [Draw((12,), "bytes", "int32")], {"to": _type(target)})
    for saturate, target, kind in product(
        (0, 1), ("FLOAT8E4M3FN", "FLOAT8E5M2", "FLOAT8E4M3FNUZ"), ("normal", "large")
    ):
        yield from _there_and_back(f32(24, kind=kind), {"to": TensorProto.DataType.Value(target), "saturate": saturate})


def _there_and_back(x: Draw, attributes: dict[str, Any]) -> Iterator[Case]:
    """ONNX Runtime does not hand out arrays of some types."""
    nodes = (
        helper.make_node("Cast", ["x0"], ["there"], **attributes),
        helper.make_node("Cast", ["there"], ["y0"], to=TensorProto.FLOAT),
    )
    yield Case("Cast", LAST, (x,), attributes, nodes=nodes, body="and back")


def _type(name: str) -> int:
    return int(TensorProto.DataType.Value({"float32": "FLOAT", "float64": "DOUBLE"}.get(name, name.upper())))
