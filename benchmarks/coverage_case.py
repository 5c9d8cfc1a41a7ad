"""One third-party architecture, as the command takes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One architecture. ``package``: what is installed; ``factory``, ``kwargs``, ``inputs``, ``dynamic``: as the command takes them."""

    package: str
    name: str
    factory: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("x=2x3x64x64",)
    dynamic: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """``vit-pytorch/CaiT``."""
        return f"{self.package}/{self.name}"
