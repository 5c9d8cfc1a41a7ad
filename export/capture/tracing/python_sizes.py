"""``int()`` and ``len()`` of a free size stay free sizes; so do ``float()`` and ``math`` (:mod:`.python_numbers`).

Swin, and most of what has windows since, undoes them with ``B = int(windows.shape[0] / (H * W / ws / ws))``; detectors ask ``len(x)`` for
their batch. Python's own must give a plain number, so torch.export takes the example's and fixes the axis, or cuts a slice at it without
a word. While a module is traced, its own files see another ``int`` and another ``len``.
An exact quotient becomes the integer expression that it is,

    int(4 * n / (8 * 8 / 4 / 4))  =  n

so that nothing is left to prove about the shapes made with it; any other float is truncated, as ``int`` does. The float quotient is the
exact one where that is an integer, below 2**53, which no size reaches.
"""

import builtins
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import sympy
import torch
from torch.utils._sympy.functions import FloatTrueDiv, IntTrueDiv, ToFloat

from .python_numbers import FUNCTIONS, FloatOfSize, MathOfSizes

_NOT_THE_MODEL_S = {"torch", "numpy", "sympy", "attnexport", *sys.stdlib_module_names}


class _LikeInt(type):
    """What is an int, and what belongs to int, is answered as by int itself."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, builtins.int | torch.SymInt)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, builtins.int | torch.SymInt)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is builtins.int

    def __hash__(cls) -> builtins.int:
        return hash(builtins.int)

    def __getattr__(cls, name: str) -> Any:
        return getattr(builtins.int, name)


class IntOfSize(metaclass=_LikeInt):
    """``int``, but for sizes that are free."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """The symbolic size for a symbolic number, else what ``int`` gives."""
        if args and isinstance(args[0], torch.SymInt):
            return args[0]
        if args and isinstance(args[0], torch.SymFloat):
            return _of_quotient(args[0])
        return builtins.int(*args, **kwargs)


def _of_quotient(value: torch.SymFloat) -> Any:
    node = value.node
    found = exact(node.expr)
    if found.is_integer and found.free_symbols:
        return node.shape_env.create_symintnode(found, hint=builtins.int(node.hint))
    return torch.sym_int(value)


def exact(expression: Any) -> Any:
    """A sympy expression of sizes with its float divisions as fractions: ``FloatTrueDiv(ToFloat(4*n), 4.0)`` is ``n``."""
    rational = expression.replace(ToFloat, lambda value: value)
    for division in (FloatTrueDiv, IntTrueDiv):
        rational = rational.replace(division, lambda above, below: above / below)
    floats = rational.atoms(sympy.Float)
    whole = {number: sympy.Integer(builtins.int(number)) for number in floats if float(number).is_integer()}
    return sympy.cancel(rational.xreplace(whole))


def len_of_size(value: Any) -> Any:
    """``len``, but the first size of a tensor may be symbolic."""
    return value.shape[0] if isinstance(value, torch.Tensor) and value.dim() else builtins.len(value)


_BUILTINS = {"int": IntOfSize, "len": len_of_size, "float": FloatOfSize}
_MATH = MathOfSizes()


def _stand_in(value: Any) -> Any:
    """What a global of a model's file is replaced by: the module ``math``, or a function of it; None for anything else."""
    if value is math:
        return _MATH
    return FUNCTIONS.get(value) if isinstance(value, BuiltinFunctionType) else None


@contextmanager
def python_sizes(module: torch.nn.Module) -> Iterator[None]:
    """Inside, ``int``, ``len``, ``float`` and ``math`` are ours in the files of the module's classes and the functions they import."""
    files = _own_names(module)
    added = [(names, name) for names in files for name in _BUILTINS if name not in names]
    replaced = [
        (names, name, value) for names in files for name, value in names.items() if _stand_in(value) is not None
    ]
    for names, name in added:
        names[name] = _BUILTINS[name]
    for names, name, value in replaced:
        names[name] = _stand_in(value)
    try:
        yield
    finally:
        for names, name in added:
            del names[name]
        for names, name, value in replaced:
            names[name] = value


def _own_names(module: torch.nn.Module) -> list[dict[str, Any]]:
    """The globals of each file that has a part in the module, of torch's and Python's own none."""
    waiting: list[Any] = [kind for part in module.modules() for kind in type(part).__mro__]
    seen: set[str] = set()
    found: list[dict[str, Any]] = []
    while waiting:
        value = waiting.pop()
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if not isinstance(name, str) or name in seen or name.partition(".")[0] in _NOT_THE_MODEL_S:
            continue
        seen.add(name)
        if name in sys.modules:
            names = vars(sys.modules[name])
            if any(names is other for other in found):  # a module under two names, as monai's
                continue
            found.append(names)
            waiting += [other for other in names.values() if isinstance(other, type | FunctionType | ModuleType)]
    return found
