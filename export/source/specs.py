"""Combine what the model stores about its inputs with the user's options: one TensorSpec per input."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import InputError
from ...runtime.spec import Axis, TensorSpec
from ..options import SourceOptions
from ..options.inputs import BATCH, DynamicArgument, InputArgument, parse_dynamic, parse_inputs, symbol_for
from .words import near_miss


@dataclass(frozen=True)
class Parameter:
    """One argument of ``forward``."""

    name: str
    required: bool
    by_name: bool = True
    """Whether it can be passed by name, so that the parameters before it may be left out."""


def batch_axis(size: int) -> Axis:
    """Return the assumed batch axis, 1:opt:max: opt is ``size`` (4 for size 1), max is 4 opt and at least 16."""
    opt = size if size > 1 else 4
    return Axis(1, opt, max(16, 4 * opt), BATCH)


def forward_parameters(forward: Any) -> list[Parameter] | None:
    """Return the arguments of a bound ``forward``, in order; None if they are unknown (``*args``, or only ``**kwargs``)."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = {p.kind for p in parameters}
    found = [
        Parameter(p.name, p.default is p.empty, p.kind is not p.POSITIONAL_ONLY)
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if inspect.Parameter.VAR_POSITIONAL in kinds or (not found and kinds):
        return None
    return found


def resolve(
    options: SourceOptions, parameters: Sequence[Parameter] | None, stored: Sequence[TensorSpec] = ()
) -> tuple[tuple[TensorSpec, ...], bool]:
    """Return the inputs, in the order of ``forward``, and whether their dynamic axes come from the user or are stored.

    ``stored`` specs are used as they are; ``--input`` replaces dtype and sizes (a stored dynamic axis stays dynamic
    if the new size is in its range, and is then tuned for it), ``--dynamic`` sets axes, ``--static`` fixes every
    axis at its opt. If nothing is stored and ``--dynamic`` names no axis 0, axis 0 of the first input becomes the batch, in
    all inputs whose axis 0 has the same size; the second result is then False, since that axis is only assumed.
    Raises InputError for names, axes and ranges that do not fit.
    """
    if options.static and options.dynamic:
        raise InputError("--static and --dynamic contradict each other", "give one of them")
    required = [p.name for p in parameters or () if p.required] or [p.name for p in parameters or ()][:1]
    given = parse_inputs(options.inputs, [s.name for s in stored] or required)
    names = [s.name for s in stored] or ([p.name for p in parameters] if parameters is not None else list(given))
    for name in given:
        known_input(name, names, "--input")
    specs = _override(stored, given) if stored else _build(given, parameters)
    if options.static:
        return tuple(replace(s, axes=tuple(Axis.fixed(a.opt) for a in s.axes)) for s in specs), False
    if options.dynamic:
        dynamic = [parse_dynamic(t) for t in options.dynamic]
        specs = list(apply_dynamic(specs, dynamic))
        if stored or any(d.axis == 0 or d.symbol == BATCH or d.whole for d in dynamic):
            return tuple(specs), True
        return _assume_batch(specs), False
    if any(a.dynamic for s in specs for a in s.axes) or (stored and not any(a.dynamic for s in stored for a in s.axes)):
        return tuple(specs), True
    return _assume_batch(specs), False


def known_input(name: str, names: Sequence[str], option: str) -> None:
    """Raise InputError, with a near miss, if an option names neither an input of the model nor a part of one (``batch.image``)."""
    if name not in names and name.partition(".")[0] not in names:
        takes = f"the model takes {', '.join(names)}" if names else "the model takes no input"
        raise InputError(f"{option} names {name!r}, which is not an input of the model{near_miss(name, names)}", takes)


def _build(given: Mapping[str, InputArgument], parameters: Sequence[Parameter] | None) -> list[TensorSpec]:
    if not given:
        names = [p.name for p in parameters if p.required] if parameters is not None else ["NAME"]
        example = " ".join(f"--input {name}=1x3x224x224" for name in names)
        takes = f": forward takes ({', '.join(p.name for p in parameters)})" if parameters is not None else ""
        raise InputError(f"no input shapes are known{takes}", f"give them, for example {example}")
    if parameters is None:
        return [_plain(argument) for argument in given.values()]
    order = [p.name for p in parameters]
    below = {root: [name for name in given if name.partition(".")[0] == root] for root in order}
    if missing := [p.name for p in parameters if p.required and not below[p.name]]:
        raise InputError(
            f"no shape is given for input {missing[0]!r} of forward({', '.join(order)})",
            f"add --input {missing[0]}=SIZES",
        )
    last = max(place for place, root in enumerate(order) if below[root])
    if not parameters[last].by_name and (skipped := [root for root in order[:last] if not below[root]]):
        raise InputError(
            f"input {skipped[0]!r} comes before {order[last]!r} in forward({', '.join(order)}) and has no shape",
            f"add --input {skipped[0]}=SIZES",
        )
    return [_plain(given[name]) for root in order for name in below[root]]


def _plain(argument: InputArgument) -> TensorSpec:
    low, high = argument.bounds or (None, None)
    return TensorSpec(argument.name, argument.dtype, tuple(Axis.fixed(s) for s in argument.shape), low, high)


def _override(stored: Sequence[TensorSpec], given: Mapping[str, InputArgument]) -> list[TensorSpec]:
    tuned: dict[str, Axis] = {}
    specs: list[TensorSpec] = []
    for spec in stored:
        argument = given.get(spec.name)
        if argument is None:
            specs.append(spec)
            continue
        axes = [Axis.fixed(size) for size in argument.shape]
        for i, (old, size) in enumerate(zip(spec.axes, argument.shape, strict=False)):
            if old.symbol is None or len(spec.axes) != len(argument.shape) or not old.min <= size <= old.max:
                continue
            axes[i] = replace(old, opt=size)
            if tuned.setdefault(old.symbol, axes[i]) != axes[i]:
                raise InputError(
                    f"--input gives {old.symbol!r} the sizes {tuned[old.symbol].opt} and {size}",
                    "axes of one name have one size",
                )
        low, high = argument.bounds or (spec.low, spec.high)
        specs.append(replace(spec, dtype=argument.dtype, axes=tuple(axes), low=low, high=high))
    return [replace(s, axes=tuple(tuned.get(a.symbol, a) if a.symbol else a for a in s.axes)) for s in specs]


def apply_dynamic(specs: Sequence[TensorSpec], arguments: Sequence[DynamicArgument]) -> tuple[TensorSpec, ...]:
    """Set the axes that ``--dynamic`` names, others stay. Raises InputError for unknown places and unequal ranges."""
    by_name = {s.name: s for s in specs}
    places: dict[tuple[str, int], tuple[str, DynamicArgument]] = {}
    for argument in arguments:
        known_input(argument.name, list(by_name), "--dynamic")
        spec = by_name[argument.name]
        if not 0 <= argument.axis < len(spec.axes):
            raise InputError(
                f"--dynamic names axis {argument.axis} of {argument.name!r}, which has {len(spec.axes)} axes",
                f"axes count from 0: {spec.describe()}",
            )
        place = (argument.name, argument.axis)
        if place in places:
            raise InputError(
                f"--dynamic for axis {argument.axis} of {argument.name!r} is given twice", "give each axis once"
            )
        known = spec.axes[argument.axis].symbol
        places[place] = (argument.symbol or known or symbol_for(*place), argument)
    ranges: dict[str, Axis] = {}
    for (name, axis), (symbol, argument) in places.items():
        if argument.range is None:
            continue
        found = _ranged(argument.range, symbol, by_name[name], axis)
        if ranges.setdefault(symbol, found) != found:
            first = ranges[symbol]
            raise InputError(
                f"{symbol!r} has the range {first.min}:{first.opt}:{first.max}, "
                f"and {found.min}:{found.opt}:{found.max} in {name!r}",
                f"give one range, or name the axes apart: --dynamic {name}:{axis}=OTHER=min:opt:max",
            )
    stored = {a.symbol: a for s in specs for a in s.axes if a.symbol is not None}
    for (name, axis), (symbol, _) in places.items():
        if symbol not in ranges and symbol not in stored:
            raise InputError(
                f"axis {axis} of {name!r} is named {symbol!r}, which has no range{near_miss(symbol, ranges)}",
                f"write --dynamic {name}:{axis}={symbol}=min:opt:max",
            )
    merged = {**stored, **ranges}
    symbols = {place: symbol for place, (symbol, _) in places.items()}
    return tuple(
        replace(s, axes=tuple(merged.get(symbols.get((s.name, i)) or a.symbol or "", a) for i, a in enumerate(s.axes)))
        for s in specs
    )


def _ranged(given: tuple[int, int | None, int], symbol: str, spec: TensorSpec, axis: int) -> Axis:
    low, opt, high = given
    if opt is None:
        opt = spec.axes[axis].opt
        if not low <= opt <= high:
            raise InputError(
                f"axis {axis} of {spec.name!r} has size {opt}, outside {low}:{high}",
                f"give opt too: --dynamic {spec.name}:{axis}={low}:OPT:{high}",
            )
    return Axis(low, opt, high, symbol)


def _assume_batch(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    first = next((s.axes[0] for s in specs if s.axes), None)
    if first is None:
        return tuple(specs)
    batch = batch_axis(first.opt)
    return tuple(replace(s, axes=(batch, *s.axes[1:])) if s.axes and s.axes[0].opt == first.opt else s for s in specs)
