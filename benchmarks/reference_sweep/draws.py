"""The values that a case's inputs are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-3, -1e3, 88.0, -88.0, 3.0)


@dataclass(frozen=True)
class Draw:
    """An array of ``shape`` that a case draws; ``kind`` names one of :data:`KINDS`."""

    shape: tuple[int, ...]
    kind: str = "normal"
    dtype: str = "float32"

    def array(self, rng: np.random.Generator) -> np.ndarray:
        """The values."""
        return np.asarray(KINDS[self.kind](rng, self.shape)).astype(self.dtype)


def _edges(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.resize(np.asarray(_EDGES), shape)


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: np.abs(rng.standard_normal(shape)) + 0.1,
    "unit": lambda rng, shape: rng.uniform(-0.95, 0.95, shape),
    "above1": lambda rng, shape: 1.05 + np.abs(rng.standard_normal(shape)),
    "large": lambda rng, shape: rng.standard_normal(shape) * 50,
    "wide": lambda rng, shape: rng.uniform(-1.3, 1.3, shape),
    "halves": lambda rng, shape: rng.integers(-8, 9, shape) * 0.5,
    "quarters": lambda rng, shape: rng.integers(-600, 601, shape) * 0.25,
    "integers": lambda rng, shape: rng.integers(-9, 10, shape),
    "nonzero": lambda rng, shape: rng.integers(1, 10, shape) * rng.choice([-1, 1], shape),
    "naturals": lambda rng, shape: rng.integers(1, 10, shape),
    "bytes": lambda rng, shape: rng.integers(0, 256, shape),
    "signed_bytes": lambda rng, shape: rng.integers(-128, 128, shape),
    "bits": lambda rng, shape: rng.integers(0, 2, shape),
    "ties": lambda rng, shape: rng.integers(0, 4, shape),
    "ordered": lambda rng, shape: np.sort(rng.standard_normal(shape), axis=-1),
    "edges": _edges,
}


def f32(*shape: int, kind: str = "normal") -> Draw:
    """FP32 values, normal unless ``kind`` says otherwise."""
    return Draw(shape, kind)


def of(dtype: str, *shape: int, kind: str | None = None) -> Draw:
    """Values of ``dtype``; small integers unless ``kind`` says otherwise."""
    default = {"float": "normal", "bool": "bits", "uint": "naturals"}.get(dtype.rstrip("0123468"), "integers")
    return Draw(shape, kind or default, dtype)


def i64(*values: int) -> np.ndarray:
    """A written vector of int64."""
    return np.asarray(values, np.int64)


def scalar(value: float, dtype: str = "int64") -> np.ndarray:
    """A written scalar."""
    return np.asarray(value, dtype)
