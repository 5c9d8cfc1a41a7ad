"""What is known of a network that has a name; each family's file lists its own in ``ENTRIES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

Inputs = tuple[dict[str, Any], ...]
"""One plain dictionary per argument of ``forward``: name, dtype and axes."""

BATCH = {"symbol": "batch", "min": 1, "opt": 4, "max": 16}


@dataclass(frozen=True)
class RegistryEntry:
    """One named network: what builds it, what it takes and gives, and which paper defines it.

    ``reduced_options`` and ``reduced_inputs`` make the same network small enough for a test of everything: the same
    operators on fewer blocks, channels or pixels. Without them the network is small as it is.
    """

    name: str
    builder: Callable[..., nn.Module]
    paper: str
    summary: str
    inputs: Inputs
    outputs: tuple[str, ...]
    task: str | None
    reduced_options: Mapping[str, Any] = field(default_factory=dict)
    reduced_inputs: Inputs | None = None


def images(size: int, channels: int = 3, name: str = "x", batch: Mapping[str, Any] = BATCH) -> Inputs:
    """One input of square images: (batch, channels, size, size), FP32, with a free batch axis."""
    return ({"name": name, "dtype": "float32", "axes": [dict(batch), channels, size, size]},)
