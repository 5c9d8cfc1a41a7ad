"""The float32 constants of a model in the types that its 16-bit form needs, converted once per type."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from onnx import TensorProto, numpy_helper

from .graph import GraphIndex, captured
from .halves import FP16, HalfArray, HalfType, to_half
from .masks import only_masks
from .types import SINGLE, Typing


@dataclass(frozen=True)
class ConvertedWeight:
    """An initializer of the 16-bit model: the constant ``source`` in ``dtype``, and warnings about lost values."""

    tensor: TensorProto
    source: str
    dtype: int
    warnings: tuple[str, ...] = ()


def convert_weights(
    index: GraphIndex, typing: Typing, new_tensor: Callable[[str, int], str]
) -> Iterator[ConvertedWeight]:
    """Yield the initializers of the 16-bit model. ``new_tensor(name, dtype)`` returns a free tensor name.

    A constant that is needed in one type keeps its name. If both types are needed, the FP32 form keeps the name (for a
    graph output: the form of the type at the border).
    """
    needs = _needs(index, typing)
    for tensor in index.model.graph.initializer:
        name = tensor.name
        if name not in needs:
            yield ConvertedWeight(tensor, name, tensor.data_type)
            continue
        types = needs[name]
        owner = typing.io_type if name in index.outputs else min(types)
        for dtype in sorted(types):
            target = name if dtype == owner else new_tensor(name, dtype)
            if dtype == typing.half.elem:
                yield _converted(index, tensor, target, typing.half)
            else:
                yield ConvertedWeight(_renamed(tensor, target), name, dtype)


def _needs(index: GraphIndex, typing: Typing) -> dict[str, set[int]]:
    needs: dict[str, set[int]] = {name: set() for name in index.constants if index.is_single(name)}
    for node in index.nodes:
        for position, name in enumerate(node.input):
            if name in needs:
                needs[name].add(typing.input_type(node, position))
        for body in typing.bodies.get(node.name, ()):
            for name, types in _needs(body.index, body).items():
                if name in body.index.enclosing.constants:
                    needs[name] |= types
        if node.name not in typing.bodies:
            for name in captured(node):
                if name in needs:
                    needs[name].add(SINGLE)
    for name in index.outputs:
        if name in needs:
            needs[name].add(typing.io_type)
    return {name: types or {SINGLE} for name, types in needs.items()}


def _only_bounds(index: GraphIndex, name: str) -> bool:
    """Whether a constant is used only as a bound of Clip: beyond the type's range, it has no effect, so nothing is lost."""
    readers = index.consumers(name)
    return bool(readers) and all(node.op_type == "Clip" and node.input[0] != name for node in readers)


def _renamed(tensor: TensorProto, name: str) -> TensorProto:
    if tensor.name == name:
        return tensor
    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def in_half(index: GraphIndex, name: str, kind: HalfType = FP16) -> HalfArray:
    """A float32 constant in a 16-bit type.

    A mask saturates at half of the range: scores are added to it, and -inf times a later zero is NaN.
    """
    array = index.value(name)
    assert array is not None
    return to_half(array, kind.largest / 2 if only_masks(index, name) else None, kind)


def _converted(index: GraphIndex, tensor: TensorProto, target: str, kind: HalfType) -> ConvertedWeight:
    array = numpy_helper.to_array(tensor)
    mask = only_masks(index, tensor.name)
    half = in_half(index, tensor.name, kind)
    warnings = []
    if half.saturated and not _only_bounds(index, tensor.name):
        limit = f"{kind.largest:.0f}" if kind.largest < 1e6 else f"{kind.largest:.4g}"
        largest = np.abs(array[np.isfinite(array)]).max()
        counted = f"{half.saturated} of {array.size} values exceed {kind.title}'s +-{limit} (largest {largest:.4g})"
        if mask:
            warnings.append(f"mask {tensor.name!r}: {counted} and were set to half of it, so that scores can be added")
        else:
            warnings.append(f"weight {tensor.name!r}: {counted} and were set to it")
    if half.lifted and array.size == 1:
        warnings.append(
            f"constant {tensor.name!r} is {array.item():.4g}, below {kind.title}'s smallest number, and became {kind.smallest:.4g}"
        )
    return ConvertedWeight(numpy_helper.from_array(half.array, target), tensor.name, kind.elem, tuple(warnings))


_SAME: WeakKeyDictionary[GraphIndex, dict[str, bool]] = WeakKeyDictionary()
"""A cache: an unrolled network reads each of its large weights dozens of times."""


def stays(index: GraphIndex, name: str) -> bool:
    """Whether a float32 constant has the same values in FP16; each constant of a graph is compared once."""
    known = _SAME.setdefault(index, {})
    if name not in known:
        array = index.value(name)
        assert array is not None
        known[name] = bool(np.array_equal(in_half(index, name).array.astype(np.float32), array, equal_nan=True))
    return known[name]
