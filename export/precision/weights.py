"""The float32 constants of a model in the types that its 16-bit form needs: each converted once per type."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from onnx import TensorProto, numpy_helper

from .constants import to_half
from .graph import GraphIndex, captured
from .halves import HalfType
from .masks import only_masks
from .types import SINGLE, Typing


def convert_weights(
    index: GraphIndex,
    typing: Typing,
    new_tensor: Callable[[str, int], str],
    found: dict[tuple[str, int], str],
    warnings: list[str],
) -> Iterator[TensorProto]:
    """Yield the initializers of the 16-bit model and record the name of each (constant, type) in ``found``.

    A constant that is needed in one type keeps its name; one needed in both keeps it for FP32 (a graph output keeps
    it for the type at the border). ``warnings`` gets a line per constant that the type cannot hold.
    """
    needs = _needs(index, typing)
    for tensor in index.model.graph.initializer:
        name = tensor.name
        if name not in needs:
            yield tensor
            continue
        types = needs[name]
        owner = typing.io_type if name in index.outputs else min(types)
        for dtype in sorted(types):
            found[name, dtype] = name if dtype == owner else new_tensor(name, dtype)
            if dtype == typing.half.elem:
                mask = only_masks(index, name)
                yield _half(tensor, found[name, dtype], typing.half, _only_bounds(index, name), mask, warnings)
            else:
                copy = tensor
                if dtype != owner:
                    copy = TensorProto()
                    copy.CopyFrom(tensor)
                    copy.name = found[name, dtype]
                yield copy


def _needs(index: GraphIndex, typing: Typing) -> dict[str, set[int]]:
    needs: dict[str, set[int]] = {name: set() for name in index.constants if index.is_single(name)}
    for node in index.nodes:
        for position, name in enumerate(node.input):
            if name in needs:
                needs[name].add(typing.input_type(node, position))
        for name in captured(node):
            if name in needs:
                needs[name].add(SINGLE)
    for name in index.outputs:
        if name in needs:
            needs[name].add(typing.io_type)
    return {name: types or {SINGLE} for name, types in needs.items()}


def _only_bounds(index: GraphIndex, name: str) -> bool:
    """Whether a constant is only ever a bound of Clip: one beyond the type's range never binds, so nothing is lost."""
    readers = index.consumers(name)
    return bool(readers) and all(node.op_type == "Clip" and node.input[0] != name for node in readers)


def _half(tensor: TensorProto, name: str, kind: HalfType, bound: bool, mask: bool, warnings: list[str]) -> TensorProto:
    """A mask saturates at half of the range: scores are added to it, and -inf times a zero further on would be NaN."""
    array = numpy_helper.to_array(tensor)
    half = to_half(array, kind.largest / 2 if mask else None, kind)
    if half.saturated and not bound:
        limit = f"{kind.largest:.0f}" if kind.largest < 1e6 else f"{kind.largest:.4g}"
        largest = np.abs(array[np.isfinite(array)]).max()
        lie = f"{half.saturated} of {array.size} values lie beyond {kind.title}'s +-{limit} (largest {largest:.4g})"
        if mask:
            warnings.append(f"mask {tensor.name!r}: {lie} and were set to half of it, so that scores can be added")
        else:
            warnings.append(f"weight {tensor.name!r}: {lie} and were set to it")
    if half.lifted and array.size == 1:
        warnings.append(
            f"constant {tensor.name!r} is {array.item():.4g}, below {kind.title}'s smallest number, and became {kind.smallest:.4g}"
        )
    return numpy_helper.from_array(half.array, name)
