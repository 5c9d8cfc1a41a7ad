"""Sessions over a model file: open, run, close. Each backend is imported inside its own file only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Session(Protocol):
    """One loaded model. ``run`` takes and gives host arrays by name."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name."""

    def close(self) -> None:
        """Free what the session holds."""
