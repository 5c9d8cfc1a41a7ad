"""Frozen dataclasses to JSON and back, strictly: the error names a missing, unknown or wrong field.

The kinds are those of the annotations: ``str``, ``bool``, ``int``, ``float``, ``X | None``,
``tuple[X, ...]``, ``dict[str, X]``, ``Any`` (free-form JSON), enumerations of strings, other
dataclasses, and classes with ``from_json`` and ``to_json`` methods such as ``TensorSpec``. JSON has
no infinities and NaN, so they are the strings ``"inf"``, ``"-inf"`` and ``"nan"``.

``Annotated`` narrows a kind: a number ``Within`` a range, a string ``Matching`` a pattern, and free-form JSON whose ``Known``
entries have a kind. Without it, an integer has 64 bits, a string at most ``LONGEST`` characters, and a list or object at most
``MOST`` entries.
"""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import BundleError, InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
LONGEST, MOST = 1 << 20, 1 << 20
_LARGEST = 2**63 - 1
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@dataclasses.dataclass(frozen=True)
class Within:
    """A finite number from ``low`` to ``high``."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Matching:
    """A string that matches a pattern as a whole; ``words`` name it in a message."""

    pattern: str
    words: str


class Known:
    """A free-form object in which these entries, if they are there, have these kinds; ``rest``: the kind of all others."""

    def __init__(self, rest: Any = Any, **entries: Any) -> None:
        self.rest, self.entries = rest, entries


class Needed(Known):
    """The same, and every entry must be there."""


def encode(value: Any) -> Any:
    """Plain JSON containers for a dataclass or nested containers. Raise TypeError for another type."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return encode_fields(value)
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if value is None or isinstance(value, str | bool | int):
        return value
    raise TypeError(f"{value!r} ({type(value).__name__}) has no JSON form")


def encode_fields(value: Any) -> dict[str, Any]:
    """Every field of a dataclass by name, encoded; for the ``to_json`` methods of dataclasses."""
    return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}


def decode(kind: type[T], value: Any, where: str) -> T:
    """Build the dataclass ``kind`` from a JSON object; ``where`` is the path of the object, for messages.

    Every field is required, even if it has a default. Raise BundleError with the first wrong field.
    """
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    kinds = _hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    if missing := [n for n in names if n not in value]:
        raise BundleError(f"field {_join(where, missing[0])!r} is missing")
    if unknown := [n for n in value if n not in names]:
        raise BundleError(f"field {_join(where, unknown[0])!r} is not known")
    return kind(**{n: _read(kinds[n], value[n], _join(where, n)) for n in names})


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _wrong(where: str, expected: str, value: Any) -> BundleError:
    shown = repr(value[:60] if isinstance(value, str | list) else value)  # it may be as long as the file
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return BundleError(f"field {where!r} must be {expected}, not {shown}")


_WORDS = {str: "a string", bool: "true or false", int: "an integer", float: "a number"}


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (a for a in args if a is not types.NoneType)
        return None if value is None else _read(inner, value, where)
    if origin is typing.Annotated:
        return _narrowed(args[0], args[1:], value, where)
    if isinstance(value, list | dict) and len(value) > MOST:
        raise BundleError(f"field {where!r} has {len(value)} entries, and at most {MOST} are read")
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(_read(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {k: _read(args[1], v, f"{where}[{k!r}]") for k, v in value.items()}
    if kind in _WORDS:
        return _scalar(kind, value, where)
    if issubclass(kind, Enum):
        members = [member.value for member in kind]
        if value not in members:
            raise _wrong(where, f"one of {', '.join(members)}", value)
        return kind(value)
    if hasattr(kind, "from_json"):
        try:
            return kind.from_json(value)
        except InputError as error:
            raise BundleError(f"field {where!r} is wrong: {error.problem}") from error
    return decode(kind, value, where)


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float:
        if isinstance(value, str) and value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if isinstance(value, float) or (type(value) is int and abs(value) <= _LARGEST):
            return float(value)
    elif type(value) is kind:
        if isinstance(value, str) and len(value) > LONGEST:
            raise BundleError(f"field {where!r} has {len(value)} characters, and at most {LONGEST} are read")
        if not isinstance(value, int) or abs(value) <= _LARGEST:
            return value
    raise _wrong(where, _WORDS[kind], value)


def _narrowed(kind: Any, limits: tuple[Any, ...], value: Any, where: str) -> Any:
    read = _read(kind, value, where)
    for limit in limits:
        if isinstance(limit, Within) and read is not None and not limit.low <= read <= limit.high:
            raise _wrong(where, f"from {limit.low:g} to {limit.high:g}", value)
        if isinstance(limit, Matching) and re.fullmatch(limit.pattern, read) is None:
            raise _wrong(where, limit.words, value)
        if isinstance(limit, Needed) and (missing := [name for name in limit.entries if name not in read]):
            raise BundleError(f"field {_join(where, missing[0])!r} is missing")
        if isinstance(limit, Known):
            for name, entry in read.items():
                _read(limit.entries.get(name, limit.rest), entry, f"{where}[{name[:60]!r}]")
    return read
