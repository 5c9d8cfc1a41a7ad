"""``float``, ``round`` and the functions of ``math`` on a free size keep it free.

Python's own give a plain number, so torch.export takes the example's and fixes the axis: ``x / math.sqrt(w)``, ``float(w)``. While a
module is traced, its own files see these instead (:mod:`.python_sizes`).

    sqrt, pow, fabs         functions of torch's symbolic numbers; int(math.sqrt(n)) is a size
    exp, log, sin, cos …    computed by torch from the size as a float64 tensor, rounded to float32 as a Python number is where it
                            meets a tensor; no size can be made from these
"""

import builtins
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

Symbolic = (torch.SymInt, torch.SymFloat)
_IN_DOUBLE: dict[str, Callable[..., torch.Tensor]] = {
    "exp": torch.exp, "exp2": torch.exp2, "expm1": torch.expm1, "log2": torch.log2, "log10": torch.log10,
    "log1p": torch.log1p, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "degrees": torch.rad2deg,
    "radians": torch.deg2rad, "hypot": torch.hypot,
}  # fmt: skip
_IN_SINGLE: dict[str, Callable[..., torch.Tensor]] = {
    "tan": torch.tan, "asin": torch.asin, "acos": torch.acos, "atan": torch.atan, "atan2": torch.atan2,
    "sinh": torch.sinh, "cosh": torch.cosh, "erf": torch.erf,
}  # fmt: skip
"""ONNX Runtime has no kernel for these in float64."""


class _LikeFloat(type):
    """What is a float, and what belongs to float, is answered as by float itself."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, builtins.float | torch.SymFloat)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, builtins.float | torch.SymFloat)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is builtins.float

    def __hash__(cls) -> int:
        return hash(builtins.float)

    def __getattr__(cls, name: str) -> Any:
        return getattr(builtins.float, name)


class FloatOfSize(metaclass=_LikeFloat):
    """``float``, but for sizes that are free."""

    def __new__(cls, *args: Any) -> Any:
        """The symbolic number for a symbolic size, else what ``float`` gives."""
        if args and isinstance(args[0], Symbolic):
            return torch.sym_float(args[0])
        return builtins.float(*args)


def _on_symbols(plain: Callable[..., Any], symbolic: Callable[..., Any]) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        return (symbolic if any(isinstance(value, Symbolic) for value in args) else plain)(*args)

    return function


def _computed(function: Callable[..., torch.Tensor], dtype: torch.dtype = torch.float64) -> Callable[..., Any]:
    def number(*args: Any) -> Any:
        tensors = [torch.scalar_tensor(value, dtype=dtype) for value in args]
        return function(*tensors).to(torch.float32).item()

    return number


def _logarithm(value: torch.Tensor, base: torch.Tensor | None = None) -> torch.Tensor:
    return value.log() if base is None else value.log() / base.log()


def _each(functions: dict[str, Callable[..., torch.Tensor]], dtype: torch.dtype) -> dict[Any, Callable[..., Any]]:
    known = {getattr(math, name): function for name, function in functions.items() if hasattr(math, name)}
    return {plain: _on_symbols(plain, _computed(function, dtype)) for plain, function in known.items()}


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    math.sqrt: _on_symbols(math.sqrt, torch.sym_sqrt),
    **_each(_IN_DOUBLE, torch.float64),
    **_each(_IN_SINGLE, torch.float32),
    math.log: _on_symbols(math.log, _computed(_logarithm)),
    math.pow: _on_symbols(math.pow, lambda base, exponent: torch.sym_float(base) ** exponent),
    math.fabs: _on_symbols(math.fabs, lambda value: abs(torch.sym_float(value))),
}
"""By function of ``math``: the same, but for symbolic numbers."""


class MathOfSizes(ModuleType):
    """The module ``math`` with :data:`FUNCTIONS`."""

    def __init__(self) -> None:
        super().__init__("math")

    def __getattr__(self, name: str) -> Any:
        value = getattr(math, name)
        return FUNCTIONS.get(value, value) if callable(value) else value
