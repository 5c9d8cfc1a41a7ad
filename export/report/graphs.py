"""The graphs of a bundle: one, or one for each part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...runtime.bundle.manifest import Manifest


@dataclass(frozen=True)
class Graph:
    """One graph of the bundle; ``name`` is empty, or that of a part such as ``encoder``."""

    name: str
    folder: Path
    manifest: Manifest

    @property
    def models(self) -> tuple[str, ...]:
        """The ONNX files, the FP32 model first."""
        return tuple(self.manifest.operators)

    def titled(self, title: str) -> str:
        """Return ``title``, after the part's name if there are parts."""
        return f"{self.name}: {title}" if self.name else title
