"""Inputs of a session: NumPy arrays, and tensors of other libraries through DLPack, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError, first_line

HOST = (1, 3, 11)
"""DLPack's kDLCPU, kDLCUDAHost and kDLROCMHost: memory that NumPy can read."""


def host_array(name: str, value: Any) -> np.ndarray:
    """An input in host memory as a NumPy array over the same memory.

    Raise InputError for a value that is not an array, a tensor on a GPU, or one that needs its
    gradient.
    """
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if not hasattr(value, "__dlpack__"):
        raise InputError(
            f"input {name!r} is a {type(value).__name__} and no array", "give NumPy arrays or tensors that speak DLPack"
        )
    device = int(value.__dlpack_device__()[0])
    if device not in HOST:
        raise InputError(
            f"input {name!r} lies on a GPU, and this session takes host memory",
            "give it with .cpu(), or open a TensorRT backend",
        )
    try:
        return np.from_dlpack(value)
    except Exception as error:  # each library raises its own: a gradient, a type that NumPy does not have
        raise InputError(
            f"input {name!r} cannot be read as an array: {first_line(error)}",
            "detach it; give float32 instead of bfloat16",
        ) from error
