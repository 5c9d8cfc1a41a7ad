"""The inputs and outputs of a model: name, dtype, and for every axis a fixed size or a range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..errors import InputError

Point = Literal["min", "opt", "max"]
POINTS: tuple[Point, ...] = ("min", "opt", "max")

# The names are NumPy's; bfloat16 has no NumPy dtype of its own and cannot cross a border.
DTYPES: tuple[str, ...] = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool",
)  # fmt: skip


MOST_SIZE = 2**40
MOST_AXES = 32
_LARGEST = 2.0**63


def _short(value: Any) -> str:
    text = repr(value[:60] if isinstance(value, str | list) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class Axis:
    """One axis: ``min <= opt <= max``; a symbol when the size is free, None when it is fixed.

    Axes with the same symbol, in any tensor, always have the same size.
    """

    min: int
    opt: int
    max: int
    symbol: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max <= MOST_SIZE:
            raise InputError(
                f"axis range {self.min}:{self.opt}:{self.max} is not 1 <= min <= opt <= max"
                + (f" <= {MOST_SIZE}" if self.max > MOST_SIZE else ""),
                "give it as min:opt:max, for example 1:4:16",
            )
        if self.symbol is None and self.min != self.max:
            raise InputError(f"axis range {self.min}:{self.opt}:{self.max} has no symbol", "name the dynamic axis")

    @classmethod
    def fixed(cls, size: int) -> "Axis":
        """An axis of one size."""
        return cls(size, size, size)

    @property
    def dynamic(self) -> bool:
        """Whether the size is free at run time. A range of one size with a symbol is free too."""
        return self.symbol is not None

    def at(self, point: Point) -> int:
        """The size at the profile's min, opt or max."""
        return int(getattr(self, point))

    def to_json(self) -> Any:
        """An int for a fixed axis, ``{symbol, min, opt, max}`` for a dynamic one."""
        if self.symbol is None:
            return self.opt
        return {"symbol": self.symbol, "min": self.min, "opt": self.opt, "max": self.max}

    @classmethod
    def from_json(cls, value: Any) -> "Axis":
        """The inverse of :meth:`to_json`. Raises InputError for anything else."""
        if isinstance(value, bool) or not isinstance(value, int | dict):
            raise InputError(f"an axis is an int or an object, not {_short(value)}")
        if isinstance(value, int):
            return cls.fixed(value)
        sizes: list[Any] = [value.get(name) for name in POINTS]
        symbol = value.get("symbol")
        if not isinstance(symbol, str) or any(type(size) is not int for size in sizes):
            raise InputError(f"an axis needs symbol, min, opt and max, not {_short(value)}")
        low, usual, high = sizes
        return cls(low, usual, high, symbol)


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype (a NumPy name such as ``float32``) and axes of one input or output.

    ``low`` and ``high`` bound random inputs: integers (token ids) with ``high`` exclusive, or an
    interval of floats. Output axes may be dynamic with ranges that were only inferred.
    """

    name: str
    dtype: str
    axes: tuple[Axis, ...]
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InputError(f"dtype {self.dtype!r} of {self.name!r} is not known", f"use one of {', '.join(DTYPES)}")

    def shape(self, point: Point) -> tuple[int, ...]:
        """The concrete shape at the profile's min, opt or max."""
        return tuple(axis.at(point) for axis in self.axes)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return np.dtype(self.dtype)

    @property
    def symbols(self) -> tuple[str | int, ...]:
        """A symbol or a size per axis, as in ONNX: ``('batch', 3, 32, 32)``."""
        return tuple(axis.symbol if axis.symbol is not None else axis.opt for axis in self.axes)

    def with_dtype(self, dtype: str) -> "TensorSpec":
        """The same tensor in another dtype."""
        return replace(self, dtype=dtype)

    def describe(self) -> str:
        """One readable line, for example ``x float32 [batch=1:4:16, 3, 32, 32]``."""
        parts = [f"{a.symbol}={a.min}:{a.opt}:{a.max}" if a.symbol else str(a.opt) for a in self.axes]
        return f"{self.name} {self.dtype} [{', '.join(parts)}]"

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; the inverse is :meth:`from_json`."""
        limits = {name: limit for name, limit in (("low", self.low), ("high", self.high)) if limit is not None}
        return {"name": self.name, "dtype": self.dtype, "axes": [a.to_json() for a in self.axes], **limits}

    @classmethod
    def from_json(cls, value: Any) -> "TensorSpec":
        """Read a plain dictionary. Raise InputError for a missing field or a wrong type."""
        kinds = {"name": str, "dtype": str, "axes": list | tuple}
        if not isinstance(value, Mapping) or any(not isinstance(value.get(n), kind) for n, kind in kinds.items()):
            raise InputError(f"a tensor needs name, dtype and axes, not {_short(value)}")
        if len(value["axes"]) > MOST_AXES:
            raise InputError(
                f"tensor {_short(value['name'])} has {len(value['axes'])} axes", f"the most is {MOST_AXES}"
            )
        limits = {}
        for name in ("low", "high"):
            limit = value.get(name)
            if limit is not None and (type(limit) not in (int, float) or not abs(limit) <= _LARGEST):
                raise InputError(f"{name} of tensor {_short(value['name'])} is {_short(limit)}", "give a number")
            limits[name] = limit
        return cls(value["name"], value["dtype"], tuple(Axis.from_json(a) for a in value["axes"]), **limits)


def check_feeds(specs: Sequence[TensorSpec], feeds: Mapping[str, np.ndarray]) -> None:
    """Compare arrays with their specs: names, ranks, dtypes, fixed sizes, ranges, equal symbols.

    Raise InputError with the first difference.
    """
    names = [s.name for s in specs]
    if missing := [n for n in names if n not in feeds]:
        raise InputError(f"input {missing[0]!r} is missing", f"the model takes {', '.join(names)}")
    if extra := [n for n in feeds if n not in names]:
        raise InputError(f"input {extra[0]!r} is not known", f"the model takes {', '.join(names)}")
    sizes: dict[str, int] = {}
    for spec in specs:
        array = feeds[spec.name]
        if array.dtype != spec.numpy_dtype:
            raise InputError(f"input {spec.name!r} has dtype {array.dtype}", f"give {spec.dtype}")
        if array.ndim != len(spec.axes):
            raise InputError(
                f"input {spec.name!r} has rank {array.ndim}", f"give rank {len(spec.axes)}: {spec.describe()}"
            )
        for i, (size, axis) in enumerate(zip(array.shape, spec.axes, strict=True)):
            if not axis.min <= size <= axis.max:
                raise InputError(f"axis {i} of input {spec.name!r} has size {size}", f"it takes {spec.describe()}")
            if axis.symbol is not None and sizes.setdefault(axis.symbol, size) != size:
                raise InputError(
                    f"axis {i} of input {spec.name!r} has size {size} where {axis.symbol!r} is {sizes[axis.symbol]}",
                    "axes of one symbol have one size",
                )
