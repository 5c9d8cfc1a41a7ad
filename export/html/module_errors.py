"""How far the result of each module is from the original's in FP64, in every form of the model that can be looked into.

Measured while the original is at hand, kept in the manifest (the ``verify`` stage's ``modules``), and shown by the report's heat map.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import AttnexportError
from ..attribution import Made
from ..attribution.locate import relative_error
from ..attribution.sides import GraphSide, Side, reference
from ..origin import origin_of
from ..truth import Original

MOST = 120
"""Modules that are measured, the outer ones first: a report needs no more, and each costs its tensors twice."""
AT_ONCE = 40
"""Modules in one run: it bounds the memory."""


@dataclass(frozen=True)
class ModuleError:
    """One module, where it is written, and the relative rms error of its result by form (``onnx-fp32``, ``emulated-fp16`` ...)."""

    module: str
    kind: str
    source: str
    errors: dict[str, float]


def module_errors(
    made: Made, original: Original, feeds: Mapping[str, np.ndarray], typed_form: str
) -> tuple[ModuleError, ...]:
    """The modules of a network in the order in which they end, with their errors on one set of inputs.

    Nothing for an original without modules. ``typed_form`` names the emulated form. A model whose inner tensors ONNX Runtime does not give
    away leaves its form out.
    """
    theirs = reference(original, made.captured.model, made.captured.origins, feeds)
    if theirs is None:
        return ()
    ends = _ends(made, theirs.names)
    chosen = sorted(sorted(ends, key=lambda path: path.count("."))[:MOST], key=list(ends).index)
    sides: dict[str, Side] = {"onnx-fp32": GraphSide(made.lowered.model, feeds)}
    if made.typed is not None:
        sides[typed_form] = GraphSide(made.typed, feeds, typed=True)
    errors: dict[str, dict[str, float]] = {path: {} for path in chosen}
    for start in range(0, len(chosen), AT_ONCE):
        some = chosen[start : start + AT_ONCE]
        try:
            truth = theirs.values(sorted({ends[path] for path in some}))
        except AttnexportError:
            break  # an original that shows nothing of its inside at this point
        for form, side in list(sides.items()):
            names = [ends[path] for path in some if ends[path] in side.names]
            try:
                got = side.values(names)
            except AttnexportError:
                del sides[
                    form
                ]  # a typed model may hold what cannot be an output; its figures are then missing, nothing else
                continue
            for path in some:
                if ends[path] in got and (error := _least(got[ends[path]][0], truth[ends[path]])) is not None:
                    errors[path][form] = error
    return tuple(_entry(made, path, errors[path]) for path in chosen if errors[path])


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


def _least(got: np.ndarray, candidates: Sequence[np.ndarray]) -> float | None:
    """A module that is called several times gives several results: the one that is meant is the nearest."""
    found = [error for array in candidates if (error := relative_error(got, array)) is not None]
    return min(found, default=None)


def _entry(made: Made, path: str, errors: dict[str, float]) -> ModuleError:
    inside = [o for o in made.captured.origins.values() if o.module == path]
    first = inside[0] if inside else None
    return ModuleError(path, first.kind if first else "", first.source if first else "", errors)
