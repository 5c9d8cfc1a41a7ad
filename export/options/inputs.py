"""The spelling of ``--input`` and ``--dynamic``.

::

    --input   1x3x224x224              of the only input; x=1x3x224x224 if there are several
              x=1x3x224x224            float32 unless a dtype follows: x=1x3x224x224:float16, ids=1x128:int64, t=scalar
              ids=1x128:int64:0..8000  random inputs are whole numbers from 0 to 7999 (token ids)
              x=1x3x224x224:float32:0..1   uniform between 0 and 1 instead of standard normal (images)
    --dynamic x:0=1:4:16               axis 0 of x takes sizes 1 to 16, tuned for 4 (min:opt:max)
    --dynamic x:0=1:16                 opt is the size that --input gives
    --dynamic x:1=tokens=16:64:128     the axis gets a name; axes of one name always have one size ...
    --dynamic mask:1=tokens            ... and only one of them needs to give the range

An axis without a name is called ``batch`` if it is axis 0 (so the first axes of several inputs are one batch), else
``x_2`` and so on.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from ...errors import InputError
from ...runtime.spec import DTYPES

BATCH = "batch"
MAX_SIZE = 2**31 - 1
_INPUT = re.compile(r"(?:(?P<name>[^=\s]+)=)?(?P<shape>[^:=]*)(?::(?P<dtype>[^:]*))?(?::(?P<bounds>.*))?", re.DOTALL)
_DYNAMIC = re.compile(r"(?P<name>[^=\s]+):(?P<axis>-?\d+)=(?:(?P<symbol>[A-Za-z_]\w*)(?:=|$))?(?P<range>[\d:]*)")
_NUMBER = r"-?\d{1,18}(?:\.\d{1,18})?(?:e-?\d{1,3})?"
_ALIASES = {
    "fp16": "float16", "half": "float16", "fp32": "float32", "float": "float32", "fp64": "float64", "double": "float64",
    "int": "int32", "long": "int64",
}  # fmt: skip


@dataclass(frozen=True)
class InputArgument:
    """One ``--input``: a name, empty for the only input, concrete sizes, a NumPy dtype name, and the bounds of random values."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bounds: tuple[float | None, float | None] | None = None


@dataclass(frozen=True)
class DynamicArgument:
    """One ``--dynamic``. ``range`` is (min, opt or None, max); None if another axis of the symbol gives it.

    ``whole``: it comes from a TensorSpec, which says of every axis whether it is dynamic.
    """

    name: str
    axis: int
    symbol: str | None
    range: tuple[int, int | None, int] | None
    whole: bool = False


def symbol_for(name: str, axis: int) -> str:
    """Return the symbol of an axis that the user has not named."""
    return BATCH if axis == 0 else re.sub(r"\W", "_", f"{name}_{axis}")


def input_argument(
    name: str, shape: tuple[int, ...], dtype: str, bounds: tuple[float | None, float | None] | None = None
) -> InputArgument:
    """Return the argument. Raises InputError, as ``--input`` does, for a size below 1 and an unknown dtype."""
    sizes = "x".join(map(str, shape)) or "scalar"
    for size in shape:
        _size(str(size), f"{name}={sizes}")
    return InputArgument(name, shape, _dtype(dtype, f"{name}={sizes}:{dtype}"), bounds)


def dynamic_argument(name: str, axis: int, values: str | Sequence[Any]) -> DynamicArgument:
    """Return the argument for ``(min, opt, max)``, ``(min, max)``, ``(symbol, min, opt, max)`` or text as in ``--dynamic``.

    Raises InputError as :func:`parse_dynamic` does.
    """
    if isinstance(values, str):
        return parse_dynamic(f"{name}:{axis}={values}")
    parts = list(values)
    symbol = parts.pop(0) if parts and isinstance(parts[0], str) else None
    return parse_dynamic(f"{name}:{axis}={f'{symbol}=' if symbol else ''}{':'.join(map(str, parts))}")


def parse_input(text: str) -> InputArgument:
    """Read one ``--input``. Raises InputError for a wrong form, a size below 1, an unknown dtype, empty bounds."""
    match = _INPUT.fullmatch(text.strip())
    if match is None or not (match["name"] or re.match(r"\d|scalar", match["shape"])):
        raise InputError(
            f"--input {text!r} is not NAME=SIZES", "write for example --input x=1x3x224x224 or x=1x128:int64"
        )
    shape = () if match["shape"] == "scalar" else tuple(_size(s, text) for s in match["shape"].split("x"))
    dtype = _dtype(match["dtype"], text)
    return InputArgument(match["name"] or "", shape, dtype, _bounds(match["bounds"], dtype, text))


def _size(text: str, whole: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII):
        raise InputError(f"size {text!r} in --input {whole!r} is not a number", "write sizes as 1x3x224x224")
    size = int(text)
    if not 1 <= size <= MAX_SIZE:
        raise InputError(f"size {size} in --input {whole!r} is not usable", "every axis needs a size of at least 1")
    return size


def _dtype(text: str | None, whole: str) -> str:
    if text is None or text in DTYPES:
        return text or "float32"
    if text == "bfloat16":
        raise InputError(f"dtype bfloat16 in --input {whole!r} has no NumPy counterpart", "give the input as float32")
    near = _ALIASES.get(text) or next(iter(difflib.get_close_matches(text, DTYPES, n=1)), None)
    hint = f"did you mean {near}? " if near else ""
    raise InputError(f"dtype {text!r} in --input {whole!r} is not known", f"{hint}use one of {', '.join(DTYPES)}")


def _bounds(text: str | None, dtype: str, whole: str) -> tuple[float, float] | None:
    """Whole numbers for whole dtypes, the upper one left out; for floats the ends of an interval."""
    if text is None:
        return None
    match = re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", text, re.ASCII)
    if match is None:
        raise InputError(
            f"bounds {text!r} in --input {whole!r} are not LOW..HIGH",
            "write for example ids=1x128:int64:0..8000 or x=1x3x224x224:float32:0..1",
        )
    if dtype == "bool":
        raise InputError(f"bounds {text} in --input {whole!r} are for numbers, not bool", "leave them out")
    if "int" not in dtype:
        low, high = float(match[1]), float(match[2])
        if not low < high or not isfinite(high - low):
            raise InputError(
                f"bounds {text} in --input {whole!r} are not an interval", "write for example 0..1 or -1..1"
            )
        return low, high
    if not all(re.fullmatch(r"-?\d{1,18}", part) for part in match.groups()):
        raise InputError(
            f"bounds {text} in --input {whole!r} are not whole numbers", f"{dtype} takes for example 0..8000"
        )
    first, last = int(match[1]), int(match[2])
    if first >= last:
        raise InputError(
            f"bounds {text} in --input {whole!r} hold no number", "the upper one is not included: write 0..8000"
        )
    return first, last


def parse_dynamic(text: str | DynamicArgument) -> DynamicArgument:
    """Read one ``--dynamic``; a typed one is returned as it is.

    Raises InputError for a wrong form or a range that is not 1 <= min <= opt <= max.
    """
    if isinstance(text, DynamicArgument):
        return text
    match = _DYNAMIC.fullmatch(text.strip())
    if match is None or not (match["symbol"] or match["range"]):
        raise InputError(f"--dynamic {text!r} is not NAME:AXIS=min:opt:max", "write for example --dynamic x:0=1:4:16")
    given = _range(match["range"], text) if match["range"] else None
    return DynamicArgument(match["name"], int(match["axis"]), match["symbol"], given)


def _range(text: str, whole: str) -> tuple[int, int | None, int]:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(re.fullmatch(r"\d{1,10}", p, re.ASCII) for p in parts):
        raise InputError(f"range {text!r} in --dynamic {whole!r} is not min:opt:max", "write for example 1:4:16")
    low, high = int(parts[0]), int(parts[-1])
    opt = int(parts[1]) if len(parts) == 3 else None
    if not 1 <= low <= (opt if opt is not None else high) <= high <= MAX_SIZE:
        raise InputError(
            f"range {text} in --dynamic {whole!r} is not 1 <= min <= opt <= max", "write for example 1:4:16"
        )
    return low, opt, high


def parse_inputs(texts: Iterable[str | InputArgument], names: Sequence[str] = ()) -> dict[str, InputArgument]:
    """Return each ``--input`` by its name. One without a name is for the only input of ``names``.

    Raises InputError for a name that is given twice, or left out although the model has several inputs.
    """
    found: dict[str, InputArgument] = {}
    for text in texts:
        argument = parse_input(text) if isinstance(text, str) else text
        if not argument.name:
            argument = replace(argument, name=_only(names, argument))
        if argument.name in found:
            raise InputError(f"--input for {argument.name!r} is given twice", "give each input once")
        found[argument.name] = argument
    return found


def _only(names: Sequence[str], argument: InputArgument) -> str:
    sizes = "x".join(map(str, argument.shape)) or "scalar"
    if len(names) == 1:
        return names[0]
    if not names:
        return "input"
    raise InputError(f"--input {sizes} does not say which of {', '.join(names)}", f"write --input {names[0]}={sizes}")
