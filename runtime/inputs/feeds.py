"""Inputs to run a model on: seeded random ones at the points of its profile, and real samples from files."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...errors import InputError
from ..spec import POINTS, Axis, Point, TensorSpec


def symbol_axes(specs: Sequence[TensorSpec]) -> dict[str, Axis]:
    """The range of every symbol. Raise InputError if two axes of one symbol differ."""
    axes: dict[str, Axis] = {}
    for spec in specs:
        for axis in spec.axes:
            if axis.symbol is not None and axes.setdefault(axis.symbol, axis) != axis:
                first = axes[axis.symbol]
                raise InputError(
                    f"symbol {axis.symbol!r} has range {axis.min}:{axis.opt}:{axis.max} in {spec.name!r} and "
                    f"{first.min}:{first.opt}:{first.max} elsewhere",
                    "give axes of one symbol one range",
                )
    return axes


def profile_points(specs: Sequence[TensorSpec]) -> list[tuple[str, dict[str, int]]]:
    """The distinct points of the profile as ``(label, {symbol: size})``, smallest first.

    Points of equal sizes are merged and labelled ``min=opt`` and so on; a model without dynamic
    axes has the single point ``("fixed", {})``.
    """
    axes = symbol_axes(specs)
    if not axes:
        return [("fixed", {})]
    merged: dict[tuple[int, ...], list[str]] = {}
    for point in POINTS:
        merged.setdefault(tuple(axis.at(point) for axis in axes.values()), []).append(point)
    return [("=".join(labels), dict(zip(axes, sizes, strict=True))) for sizes, labels in merged.items()]


def random_feeds(
    specs: Sequence[TensorSpec], at: Point | Mapping[str, int] = "opt", *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Random inputs by name, equal for equal arguments.

    ``at``: a point of the profile, or a size per symbol. Floating inputs are standard normal, or
    uniform between ``low`` and ``high`` of the spec; integers are uniform in ``[low, high)``, where
    ``low`` defaults to 0 and ``high`` to ``low + 2``; bools are fair coins. Raises InputError for a
    symbol without a size, a size out of its range, or an empty or unrepresentable integer range.
    """
    axes = symbol_axes(specs)
    sizes = {s: axis.at(at) for s, axis in axes.items()} if isinstance(at, str) else dict(at)
    for symbol, axis in axes.items():
        if symbol not in sizes:
            raise InputError(f"symbol {symbol!r} has no size", f"give one in {axis.min}..{axis.max}")
        if not axis.min <= sizes[symbol] <= axis.max:
            raise InputError(
                f"size {sizes[symbol]} of {symbol!r} is out of range", f"give one in {axis.min}..{axis.max}"
            )
    if unknown := [s for s in sizes if s not in axes]:
        raise InputError(f"symbol {unknown[0]!r} is not known", f"the model has {', '.join(axes) or 'none'}")
    generator = np.random.default_rng(seed)
    return {spec.name: _draw(generator, spec, sizes) for spec in specs}


def _draw(generator: np.random.Generator, spec: TensorSpec, sizes: Mapping[str, int]) -> np.ndarray:
    dtype, shape = spec.numpy_dtype, tuple(a.opt if a.symbol is None else sizes[a.symbol] for a in spec.axes)
    if dtype.kind == "f" and spec.low is not None and spec.high is not None:
        return np.asarray(generator.uniform(spec.low, spec.high, shape)).astype(dtype)
    if dtype.kind == "f":
        return np.asarray(generator.standard_normal(shape)).astype(dtype)
    if dtype.kind == "b":
        return np.asarray(generator.integers(0, 2, shape)).astype(dtype)
    low = int(spec.low) if spec.low is not None else 0
    high = int(spec.high) if spec.high is not None else low + 2
    info = np.iinfo(dtype)
    if not info.min <= low < high <= int(info.max) + 1:
        raise InputError(
            f"range [{low}, {high}) of {spec.name!r} holds no {spec.dtype}", "give low < high within the dtype"
        )
    return np.asarray(generator.integers(low, high, shape, dtype=dtype))


def batches(samples: Mapping[str, np.ndarray], size: int) -> Iterator[dict[str, np.ndarray]]:
    """All samples in their order, ``size`` at a time along axis 0 of every input; the last batch has the rest.

    Raise InputError for a size below 1, or inputs of different sample counts.
    """
    if size < 1:
        raise InputError(f"batch size {size} is below 1")
    counts = {name: len(array) for name, array in samples.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"inputs have different sample counts: {counts}", "give one sample of each input per row")
    for start in range(0, next(iter(counts.values()), 0), size):
        yield {name: array[start : start + size] for name, array in samples.items()}
