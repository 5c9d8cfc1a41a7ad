"""Sessions over a model file: open, run, close. Only a backend's own file imports the backend."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Self


class Session(Protocol):
    """One loaded model. ``run`` takes and returns host arrays by name; a ``with`` block closes it."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name."""

    def close(self) -> None:
        """Free what the session holds."""

    def __enter__(self) -> "Self":
        """Itself."""

    def __exit__(self, *_: object) -> None:
        """Close it."""
