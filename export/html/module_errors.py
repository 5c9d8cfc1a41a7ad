"""How far the result of each module is from the original's in FP64, in every form of the model that can be looked into.

Measured while the original is at hand, and kept for the report: the errors in the manifest (the ``verify`` stage's ``modules``), the images
that a spatial transformer has sampled in ``report.npz``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import AttnexportError
from ..attribution import Made
from ..attribution.locate import relative_error
from ..attribution.sides import GraphSide, Side, reference
from ..origin import origin_of
from ..truth import Original
from .module_error import TRUTH as TRUTH
from .module_error import ModuleError

MOST = 120
"""Modules that are measured, the outer ones first: a report needs no more, and each costs its tensors twice."""
AT_ONCE = 40
"""Modules in one run: it bounds the memory."""


@dataclass
class Inside:
    """What was seen inside of the network.

    ``errors``: the modules in the order in which they end. ``sampled``: by module, the images (N, 1 or 3, H, W) that its grid_sample
    gives, by form and as ``truth``.
    """

    errors: list[ModuleError] = field(default_factory=list)
    sampled: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def look_inside(made: Made, original: Original, feeds: Mapping[str, np.ndarray], typed_form: str) -> Inside:
    """Compare the modules of a network on one set of inputs.

    Nothing for an original that shows only its outputs. ``typed_form`` names the emulated form. A form whose inner tensors ONNX Runtime
    does not give away is left out.
    """
    inside = Inside()
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
    for start in range(0, len(chosen), AT_ONCE):
        some = chosen[start : start + AT_ONCE]
        try:
            truth = theirs.values(sorted({ends[path] for path in some}))
        except AttnexportError:
            break
        for form, side in list(sides.items()):
            try:
                got = side.values([name for name in dict.fromkeys(ends[path] for path in some) if name in side.names])
            except AttnexportError:
                del sides[form]
                continue
            for path in some:
                name = ends[path]
                nearest = _nearest(got[name][0], truth[name]) if name in got else None
                if nearest is None:
                    continue
                errors[path][form], true = nearest
                if name in images and true.ndim == 4 and true.shape[1] in (1, 3):
                    inside.sampled.setdefault(path, {TRUTH: true})[form] = got[name][0]
    inside.errors = [_entry(made, path, errors[path]) for path in chosen if errors[path]]
    return inside


def _ends(made: Made, known: Collection[str]) -> dict[str, str]:
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


def _nearest(got: np.ndarray, candidates: Sequence[np.ndarray]) -> tuple[float, np.ndarray] | None:
    """A module that is called several times gives several results: the one that is meant is the nearest."""
    found = [(error, array) for array in candidates if (error := relative_error(got, array)) is not None]
    return min(found, key=lambda one: one[0], default=None)


def _entry(made: Made, path: str, errors: dict[str, float]) -> ModuleError:
    own = next((o for o in made.captured.origins.values() if o.module == path), None)
    return ModuleError(path, own.kind if own else "", own.source if own else "", errors)
