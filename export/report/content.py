"""What a page is made from: a bundle's folder with its manifests, and what they say arranged for reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.bundle.bench_report import BenchReport
from ...runtime.bundle.joined import joined
from ...runtime.bundle.manifest import Manifest
from ...runtime.show.inspect import Inspection, arrange
from .graphs import Graph

if TYPE_CHECKING:
    from ..verify.shown import GoldenOutputs


@dataclass(frozen=True)
class Content:
    """A bundle to be shown. ``own`` is its manifest, ``parts`` those of its parts by name; none of them need be on disk.

    ``bench``: what was measured of it, or None. ``ran``: what its models gave during the export, by part, where that is at hand.
    """

    folder: Path
    own: Manifest
    parts: Mapping[str, Manifest]
    bench: BenchReport | None = None
    ran: Mapping[str, GoldenOutputs] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> Manifest:
        """One manifest for all parts."""
        return joined(self.own, self.parts) if self.parts else self.own

    @cached_property
    def found(self) -> Inspection:
        """The manifest arranged for reading."""
        return arrange(self.folder.name, self.own, self.parts)

    @cached_property
    def graphs(self) -> tuple[Graph, ...]:
        """The whole, or its parts."""
        if not self.parts:
            return (Graph("", self.folder, self.own),)
        return tuple(Graph(name, self.folder / self.own.parts[name], part) for name, part in self.parts.items())

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file that a model or an engine is, where it is there."""
        files = {*self.manifest.operators, *(engine.file for engine in self.manifest.engines)}
        return {name: (self.folder / name).stat().st_size for name in sorted(files) if (self.folder / name).is_file()}
