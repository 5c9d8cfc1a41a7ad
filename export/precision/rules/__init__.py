"""The rules of the static precision policy, in the order in which their reasons are given.

A rule is a module with ``find(index)``, which yields the nodes that stay FP32 and why. A node may be yielded more
than once.
"""

from __future__ import annotations

from types import ModuleType

from . import bodies, constants, coordinates, normalisation, reductions, softmax

RULES: tuple[ModuleType, ...] = (bodies, coordinates, constants, softmax, normalisation, reductions)

__all__ = ["RULES", "bodies", "constants", "coordinates", "normalisation", "reductions", "softmax"]
