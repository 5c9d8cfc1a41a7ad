"""Measure the error of each module's result, compared with the original's in FP64, in the FP32 and the typed model.

The errors are stored in the manifest (``modules`` of the ``verify`` stage), and the images that spatial
transformers sample in ``report.npz``.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx

from ...errors import AttnexportError
from ...runtime.bundle.sections import TRUTH, ModuleError
from ..graph.origin import origin_of
from ..reference.original import Original
from .chains import StageModels
from .locate import relative_error
from .sides import GraphSide, Side, reference

if TYPE_CHECKING:
    from ..capture import Captured

MOST = 120
"""Most modules that are measured, outer modules first; each needs memory for its tensors in both models."""
AT_ONCE_BYTES = 256 << 20
"""Memory for the results of modules in one run, for each variant."""
UNKNOWN_BYTES = 4 << 20
"""Assumed memory of a result whose shape the graph does not declare."""


@dataclass(frozen=True)
class ModuleComparison:
    """Errors and sampled images by module.

    ``errors``: the modules in the order in which they end. ``sampled``: by module, the images
    (N, 1 or 3, H, W) that its grid_sample returns, by variant, and the reference as ``truth``.
    """

    errors: list[ModuleError] = field(default_factory=list)
    sampled: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def compare_modules(
    models: StageModels, original: Original, feeds: Mapping[str, np.ndarray], typed_stage: str
) -> ModuleComparison:
    """Compare the modules of a network on one set of inputs.

    Return nothing for an original that shows only its outputs. ``typed_stage`` names the emulated
    variant. A variant whose inner tensors ONNX Runtime cannot return is left out.
    """
    captured = models.captured
    expected = reference(original, captured.model, captured.origins, feeds)
    if expected is None:
        return ModuleComparison()
    # Containers have no nodes: their result is that of the last module in them.
    with_nodes = {origin.module for origin in captured.origins.values()}
    ends = {path: name for path, name in _ends(captured, expected.names).items() if path in with_nodes}
    chosen = sorted(sorted(ends, key=lambda path: path.count("."))[:MOST], key=list(ends).index)
    images = {name for node in captured.model.graph.node if node.op_type == "GridSample" for name in node.output}
    sides: dict[str, Side] = {"onnx-fp32": GraphSide(models.lowered.model, feeds)}
    if models.typed is not None:
        sides[typed_stage] = GraphSide(models.typed, feeds, typed=True)
    errors: dict[str, dict[str, float]] = {path: {} for path in chosen}
    sampled: dict[str, dict[str, np.ndarray]] = {}
    for batch in _batches(captured.model.graph, {path: ends[path] for path in chosen}, feeds):
        results = _BatchErrors(images.intersection(batch.values()))
        for variant, side in list(sides.items()):
            try:
                side.stream(
                    [name for name in dict.fromkeys(batch.values()) if name in side.names], results.add(variant)
                )
            except AttnexportError:
                del sides[variant]
        try:
            expected.stream(sorted(set(batch.values())), results.compare)
        except AttnexportError:
            break
        for path, name in batch.items():
            errors[path] = results.errors.get(name, {})
            if name in results.reference:
                sampled[path] = {TRUTH: results.reference[name], **results.outputs[name]}
    return ModuleComparison([_entry(captured, path, errors[path]) for path in chosen if errors[path]], sampled)


def _batches(
    graph: onnx.GraphProto, ends: Mapping[str, str], feeds: Mapping[str, np.ndarray]
) -> Iterator[dict[str, str]]:
    """Yield the modules with their tensors, in groups that fit ``AT_ONCE_BYTES``."""
    sizes: dict[str, int] = {}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        sizes.update(
            (dim.dim_param, size) for dim, size in zip(dims, feeds[value.name].shape, strict=True) if dim.dim_param
        )
    known: dict[str, int] = {}
    for value in (*graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(
            d.HasField("dim_value") or d.dim_param in sizes for d in dims
        ):
            known[value.name] = 4 * math.prod(
                d.dim_value if d.HasField("dim_value") else sizes[d.dim_param] for d in dims
            )
    batch: dict[str, str] = {}
    total = 0
    for path, name in ends.items():
        size = known.get(name, UNKNOWN_BYTES)
        if batch and total + size > AT_ONCE_BYTES:
            yield batch
            batch, total = {}, 0
        batch[path] = name
        total += size
    if batch:
        yield batch


class _BatchErrors:
    """One run: some tensors of every variant, compared with the reference as they are computed. ``keep``: the tensors to keep."""

    def __init__(self, keep: Collection[str]) -> None:
        self._keep = keep
        self.outputs: dict[str, dict[str, np.ndarray]] = {}
        self.errors: dict[str, dict[str, float]] = {}
        self.reference: dict[str, np.ndarray] = {}

    def add(self, variant: str) -> Callable[[str, np.ndarray], None]:
        """Return a function that stores the tensors of a variant."""

        def visit(name: str, array: np.ndarray) -> None:
            self.outputs.setdefault(name, {})[variant] = array

        return visit

    def compare(self, name: str, expected: np.ndarray) -> None:
        """Keep the smallest error: a module that is called several times has several results under one name."""
        for variant, array in self.outputs.get(name, {}).items():
            error = relative_error(array, expected)
            known = self.errors.setdefault(name, {})
            if error is None or error >= known.get(variant, math.inf):
                continue
            known[variant] = error
            if name in self._keep and expected.ndim == 4 and expected.shape[1] in (1, 3):
                self.reference[name] = expected.copy()


def _ends(captured: "Captured", known: Collection[str]) -> dict[str, str]:
    """The last tensor of each module that is read outside of it, by module path, in the order in which the modules end."""
    graph = captured.model.graph
    place: dict[str, str] = {}
    readers: dict[str, set[str]] = {value.name: {""} for value in graph.output}
    for node in graph.node:
        origin = origin_of(node.name, captured.origins)
        module = origin.module if origin is not None else ""
        place.update((name, module) for name in node.output if name in known)
        for name in node.input:
            readers.setdefault(name, set()).add(module)
    ends: dict[str, str] = {}
    for name, module in place.items():
        path = module
        while path:
            if any(not (reader == path or reader.startswith(f"{path}.")) for reader in readers.get(name, ())):
                ends.pop(path, None)
                ends[path] = name
            path = path.rpartition(".")[0]
    return ends


def _entry(captured: "Captured", path: str, errors: dict[str, float]) -> ModuleError:
    origin = next((o for o in captured.origins.values() if o.module == path), None)
    return ModuleError(path, origin.kind if origin else "", origin.source if origin else "", errors)
