"""The interface of a reference: the model as the user passed it, run at any precision."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np

Precision = Literal["float64", "float32", "float16", "bfloat16", "int8+float16", "fp8+float16"]


Arrays = Mapping[str, np.ndarray]


class Original(Protocol):
    """The user's model, evaluated at a precision. Outputs by name, in order. ``notes``: what the user should know."""

    notes: list[str]
    further: Mapping[str, Callable[[Arrays], dict[str, np.ndarray]]]
    """Functions that evaluate the model at precisions that need more than the model: 8 bits need calibrated ranges."""

    def run(self, feeds: Arrays, precision: Precision) -> dict[str, np.ndarray]:
        """FP64 results come as float64; the others in the dtypes that the model gives."""

    def with_precision(self, precision: Precision, evaluate: Callable[[Arrays], dict[str, np.ndarray]]) -> "Original":
        """Return the same model with ``evaluate`` for ``precision``; copies in other precisions stay shared."""
