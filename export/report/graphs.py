"""A model's nodes as the report draws them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...runtime.bundle.manifest import Manifest


@dataclass(frozen=True)
class Graph:
    """One graph of the bundle: the whole of it (``name`` is empty), or a part such as ``encoder``."""

    name: str
    folder: Path
    manifest: Manifest

    @property
    def models(self) -> tuple[str, ...]:
        """Its ONNX files, the FP32 model first."""
        return tuple(self.manifest.operators)

    def titled(self, what: str) -> str:
        """``what``, with the part's name where there are parts."""
        return f"{self.name}: {what}" if self.name else what
