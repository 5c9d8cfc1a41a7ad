"""The input of the page: a bundle's folder and its manifests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.bundle.bench_report import BenchReport
from ...runtime.bundle.manifest import Manifest, joined
from ...runtime.show.inspect import Inspection, arrange
from .graphs import Graph

if TYPE_CHECKING:
    from ..verify.shown import GoldenOutputs


@dataclass(frozen=True)
class Content:
    """A bundle to show. ``own``: its manifest; ``parts``: the manifests of its parts by name. None of them need be on disk.

    ``bench``: its benchmark, or None. ``ran``: the outputs of a golden case during the export, by part.
    """

    folder: Path
    own: Manifest
    parts: Mapping[str, Manifest]
    bench: BenchReport | None = None
    ran: Mapping[str, GoldenOutputs] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, joined with those of all parts."""
        return joined(self.own, self.parts) if self.parts else self.own

    @cached_property
    def found(self) -> Inspection:
        """The manifest arranged for reading."""
        return arrange(self.folder.name, self.own, self.parts)

    @cached_property
    def graphs(self) -> tuple[Graph, ...]:
        """The graphs: one, or one for each part."""
        if not self.parts:
            return (Graph("", self.folder, self.own),)
        return tuple(Graph(name, self.folder / self.own.parts[name], part) for name, part in self.parts.items())

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The size in bytes of each model and engine file that exists."""
        files = {*self.manifest.operators, *(engine.file for engine in self.manifest.engines)}
        return {name: (self.folder / name).stat().st_size for name in sorted(files) if (self.folder / name).is_file()}
