"""How far the result of each module is from the original's in FP64, in every variant of the model that can be looked into.

Measured while the original is at hand, and kept for the report: the errors in the manifest (the ``verify`` stage's ``modules``), the images
that a spatial transformer has sampled in ``report.npz``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from ...errors import AttnexportError
from ...runtime.bundle.module_error import TRUTH as TRUTH
from ...runtime.bundle.module_error import ModuleError
from ..graph.origin import origin_of
from ..reference.original import Original
from .attribution import StageModels
from .locate import relative_error
from .sides import GraphSide, Side, reference

MOST = 120
"""Modules that are measured, the outer ones first: a report needs no more, and each costs its tensors twice."""
AT_ONCE_BYTES = 256 << 20
"""What their results may take in one run, for each variant."""
UNKNOWN_BYTES = 4 << 20
"""What a result takes whose shape the graph does not say."""


@dataclass
class ModuleComparison:
    """What was seen inside of the network.

    ``errors``: the modules in the order in which they end. ``sampled``: by module, the images (N, 1 or 3, H, W) that its grid_sample
    gives, by variant and as ``truth``.
    """

    errors: list[ModuleError] = field(default_factory=list)
    sampled: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def compare_modules(
    made: StageModels, original: Original, feeds: Mapping[str, np.ndarray], typed_form: str
) -> ModuleComparison:
    """Compare the modules of a network on one set of inputs.

    Return nothing for an original that shows only its outputs. ``typed_form`` names the emulated variant. A variant whose
    inner tensors ONNX Runtime cannot return is left out.
    """
    inside = ModuleComparison()
    theirs = reference(original, made.captured.model, made.captured.origins, feeds)
    if theirs is None:
        return inside
    written = {origin.module for origin in made.captured.origins.values()}
    # A container's result is that of the last module in it.
    ends = {path: name for path, name in _ends(made, theirs.names).items() if path in written}
    chosen = sorted(sorted(ends, key=lambda path: path.count("."))[:MOST], key=list(ends).index)
    images = {name for node in made.captured.model.graph.node if node.op_type == "GridSample" for name in node.output}
    sides: dict[str, Side] = {"onnx-fp32": GraphSide(made.lowered.model, feeds)}
    if made.typed is not None:
        sides[typed_form] = GraphSide(made.typed, feeds, typed=True)
    errors: dict[str, dict[str, float]] = {path: {} for path in chosen}
    for some in _batches(made.captured.model.graph, {path: ends[path] for path in chosen}, feeds):
        look = _BatchErrors(images.intersection(some.values()))
        for variant, side in list(sides.items()):
            try:
                side.stream([name for name in dict.fromkeys(some.values()) if name in side.names], look.take(variant))
            except AttnexportError:
                del sides[variant]
        try:
            theirs.stream(sorted(set(some.values())), look.compare)
        except AttnexportError:
            break
        for path, name in some.items():
            errors[path] = look.errors.get(name, {})
            if name in look.reference:
                inside.sampled[path] = {TRUTH: look.reference[name], **look.got[name]}
    inside.errors = [_entry(made, path, errors[path]) for path in chosen if errors[path]]
    return inside


def _batches(
    graph: onnx.GraphProto, ends: Mapping[str, str], feeds: Mapping[str, np.ndarray]
) -> Iterator[dict[str, str]]:
    """The modules with their tensors, as many at a time as fit the memory."""
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
    some: dict[str, str] = {}
    held = 0
    for path, name in ends.items():
        held += known.get(name, UNKNOWN_BYTES)
        if some and held > AT_ONCE_BYTES:
            yield some
            some, held = {}, known.get(name, UNKNOWN_BYTES)
        some[path] = name
    if some:
        yield some


class _BatchErrors:
    """One run: some tensors of every variant, compared with the reference as they are computed. ``keep``: the tensors to keep."""

    def __init__(self, keep: Collection[str]) -> None:
        self._keep = keep
        self.got: dict[str, dict[str, np.ndarray]] = {}
        self.errors: dict[str, dict[str, float]] = {}
        self.reference: dict[str, np.ndarray] = {}

    def take(self, variant: str) -> Callable[[str, np.ndarray], None]:
        """Keep what a variant gives."""

        def see(name: str, array: np.ndarray) -> None:
            self.got.setdefault(name, {})[variant] = array

        return see

    def compare(self, name: str, true: np.ndarray) -> None:
        """A module that is called several times gives several results: the one that is meant is the nearest."""
        for variant, array in self.got.get(name, {}).items():
            error = relative_error(array, true)
            known = self.errors.setdefault(name, {})
            if error is None or error >= known.get(variant, math.inf):
                continue
            known[variant] = error
            if name in self._keep and true.ndim == 4 and true.shape[1] in (1, 3):
                self.reference[name] = true.copy()


def _ends(made: StageModels, known: Collection[str]) -> dict[str, str]:
    """The last tensor of each module that is read outside of it, by the module's path, in the order in which the modules end."""
    graph = made.captured.model.graph
    place: dict[str, str] = {}
    readers: dict[str, set[str]] = {value.name: {""} for value in graph.output}
    for node in graph.node:
        origin = origin_of(node.name, made.captured.origins)
        module = origin.module if origin is not None else ""
        place.update((name, module) for name in node.output if name in known)
        for name in node.input:
            readers.setdefault(name, set()).add(module)
    found: dict[str, str] = {}
    for name, module in place.items():
        path = module
        while path:
            if any(not (reader == path or reader.startswith(f"{path}.")) for reader in readers.get(name, ())):
                found.pop(path, None)
                found[path] = name
            path = path.rpartition(".")[0]
    return found


def _entry(made: StageModels, path: str, errors: dict[str, float]) -> ModuleError:
    own = next((o for o in made.captured.origins.values() if o.module == path), None)
    return ModuleError(path, own.kind if own else "", own.source if own else "", errors)
