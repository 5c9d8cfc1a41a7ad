"""Numbers that a module reads from tensors of its own, while it is traced: ``int(self.length)``, ``for h, w in spatial_shapes``.

torch.export makes an unknown size of every ``item()``, even where the tensor is a buffer or was made from constants: torch.arange of it,
a view with it or a branch on it then fail, or fix other axes. So the module is first run eagerly, and what it reads from tensors is
noted, in order, with the line that reads it. A reading is known where nothing of an input is in its tensor, and where a second run on
other inputs of other sizes reads the same. While the module is traced, known readings are given back as the plain numbers they are;
all others go on to torch.export, which refuses what depends on data.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ...forward.call import call
from ...quiet import quiet
from . import python_sizes
from .flex_attention import flex_as_tensors
from .kept_state import kept_state

_KINDS: dict[Any, Callable[[Any], Any]] = {
    torch.Tensor.__int__: int, torch.Tensor.__index__: int, torch.Tensor.__float__: float, torch.Tensor.__bool__: bool,
}  # fmt: skip
_READS = {torch.Tensor.item, torch.Tensor.tolist, *_KINDS}


@dataclass(frozen=True)
class Reading:
    """One number read: at which line, what it was, and whether an input is in it."""

    line: str
    value: Any
    from_input: bool

    def same(self, other: "Reading") -> bool:
        """Whether another run read the same there."""
        return (self.line, repr(self.value)) == (other.line, repr(other.value))


class _FromInput(torch.Tensor):
    """A tensor that an input has a part in: what is computed from it is one, too, as torch keeps subclasses."""


class _Note(TorchFunctionMode):
    """Writes readings down, and marks plain tensors that are written to with values of an input."""

    def __init__(self) -> None:
        super().__init__()
        self.readings: list[Reading] = []
        self._written: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        marked = any(isinstance(t, _FromInput) or any(t is one for one in self._written) for t in tensors)
        if func in _READS:
            # torch.export reads a list one number at a time.
            line, values = _line(), _numbers(result)
            self.readings += [Reading(line, value, marked) for value in values]
        elif marked:
            self._written += [t for t in _changed(func, args, result) if not isinstance(t, _FromInput)]
        return result


def _changed(func: Callable[..., Any], args: tuple[Any, ...], result: Any) -> list[torch.Tensor]:
    """Return the tensors that now contain values of an input: the tensor written in place, and unmarked results."""
    name = getattr(func, "__name__", "")
    in_place = name in ("__setitem__", "copy_") or (name.endswith("_") and not name.endswith("__"))
    first = [args[0]] if in_place and args and isinstance(args[0], torch.Tensor) else []
    return first + [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


class KnownValues(TorchFunctionMode):
    """Inside this mode known readings are plain numbers, as long as the module reads in the order that was noted."""

    def __init__(self, readings: Sequence[Reading], known: Sequence[bool]) -> None:
        super().__init__()
        self._readings = list(zip(readings, known, strict=True))
        self._place = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READS and (found := self._next(_line())) is not None and func is not torch.Tensor.tolist:
            kind = _KINDS.get(func)
            return found if kind is None else kind(found)
        return func(*args, **(kwargs or {}))

    def _next(self, line: str) -> Any:
        """The value of the next reading at a line; None where it is not known. What lies before it has been read otherwise."""
        for place, (reading, known) in enumerate(self._readings[self._place :], self._place):
            if reading.line == line:
                self._place = place + 1
                return reading.value if known else None
        return None


def known_values(
    module: torch.nn.Module, names: Sequence[str], feeds: Sequence[torch.Tensor], others: Sequence[torch.Tensor]
) -> KnownValues:
    """The mode for tracing ``module``. ``others``: inputs of other values and, where axes are free, of other sizes."""
    first = _read(module, names, feeds)
    second = _read(module, names, others) if first else []
    if len(first) != len(second):
        return KnownValues([], [])  # another path for other inputs: nothing is known
    return KnownValues(first, [not one.from_input and one.same(two) for one, two in zip(first, second, strict=True)])


def _read(module: torch.nn.Module, names: Sequence[str], feeds: Sequence[torch.Tensor]) -> list[Reading]:
    """What an eager run reads; nothing where the module fails on such inputs: tracing will say why."""
    note = _Note()
    try:
        with torch.no_grad(), quiet(), kept_state(module), flex_as_tensors(), note:
            call(module, names, [feed.clone().as_subclass(_FromInput) for feed in feeds])
    except Exception:
        return []
    return note.readings


def _numbers(value: Any) -> list[Any]:
    return [number for part in value for number in _numbers(part)] if isinstance(value, list) else [value]


def _line() -> str:
    """The line outside of torch, and of what stands in for Python's int and len, that reads."""
    frame = sys._getframe(2)
    while frame.f_back is not None and (
        "/torch/" in frame.f_code.co_filename.replace("\\", "/") or frame.f_code.co_filename == python_sizes.__file__
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
