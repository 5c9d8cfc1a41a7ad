"""One manifest for a bundle of several parts, for reading: the sections of all parts, under their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from .manifest import Manifest
from .sections import Precision


def joined(whole: Manifest, parts: Mapping[str, Manifest]) -> Manifest:
    """``whole`` with the sections of its parts: stages and outputs as ``step: ...``, files relative to the whole bundle."""
    counts: Counter[str] = Counter()
    for part in parts.values():
        counts.update(part.precision.counts)
    return replace(
        whole,
        outputs=tuple(spec for part in parts.values() for spec in part.outputs),
        rewrites=tuple(
            replace(entry, model=f"{whole.parts[name]}/{entry.model}")
            for name, part in parts.items()
            for entry in part.rewrites
        ),
        graph_rewrites=tuple(
            replace(entry, module=f"{name}: {entry.module or '<root>'}")
            for name, part in parts.items()
            for entry in part.graph_rewrites
        ),
        operators={
            f"{whole.parts[name]}/{file}": operators
            for name, part in parts.items()
            for file, operators in part.operators.items()
        },
        precision=Precision(
            tuple(
                replace(kept, module=f"{name}: {kept.module or '<root>'}")
                for name, part in parts.items()
                for kept in part.precision.kept
            ),
            dict(counts),
        ),
        engines=tuple(
            replace(engine, file=f"{whole.parts[name]}/{engine.file}")
            for name, part in parts.items()
            for engine in part.engines
        ),
        parity=tuple(
            replace(entry, stage=f"{name}: {entry.stage}", file=f"{whole.parts[name]}/{entry.file}")
            for name, part in parts.items()
            for entry in part.parity
        ),
        attribution=tuple(
            replace(entry, output=f"{name}: {entry.output}")
            for name, part in parts.items()
            for entry in part.attribution
        ),
        notes=(*whole.notes, *(f"{name}: {note}" for name, part in parts.items() for note in part.notes)),
    )
