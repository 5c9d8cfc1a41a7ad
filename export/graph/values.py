"""Constant values and known ranks of graph tensors."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from .builder import Value


def rank_refusal(value: Value, rank: int, what: str) -> str | None:
    """The reason to refuse a value whose rank is not known or is not ``rank``; None if it is."""
    if value.shape is None:
        return f"the rank of {what} is not known"
    if len(value.shape) != rank:
        return f"{what} has {len(value.shape)} axes, not {rank}"
    return None


def known(value: Value, axis: int) -> int | None:
    """The length of an axis; None if it is not a number."""
    size = value.shape[axis] if value.shape is not None else None
    return size if isinstance(size, int) else None


def constant_values(value: Value | None) -> npt.NDArray[Any] | None:
    """The array of a constant tensor; None when it is computed or, as an optional input, absent."""
    if value is None:
        return None
    if isinstance(value, gs.Constant):
        return np.asarray(value.values)
    producer = value.inputs[0] if value.inputs else None
    if producer is not None and producer.op == "Constant" and "value" in producer.attrs:
        return np.asarray(producer.attrs["value"].values)
    return None


def constant_ints(value: Value) -> list[int] | None:
    """The numbers of a constant integer tensor; None when it is computed."""
    values = constant_values(value)
    return None if values is None else [int(number) for number in values.reshape(-1)]
