"""From example inputs, as a module is called with them, to the words of ``--input``: names, sizes, dtypes, bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...runtime.spec import TensorSpec
from ..source.specs import forward_parameters


def named(module: torch.nn.Module, inputs: Any) -> dict[str, Any]:
    """Example tensors by input name.

    ``inputs``: a mapping by the names of forward's parameters, a tuple or list in their order, or one tensor. What is nested gets
    a path for a name: ``{"batch": {"image": x}}`` is ``batch.image``. Raises InputError for too many and for what is no tensor.
    """
    if isinstance(inputs, Mapping):
        top = {str(name): value for name, value in inputs.items()}
    else:
        values = list(inputs) if isinstance(inputs, tuple | list) else [inputs]
        parameters = forward_parameters(module.forward)
        names = [p.name for p in parameters] if parameters is not None else [f"x{i}" for i in range(len(values))]
        if len(values) > len(names):
            raise InputError(f"{len(values)} inputs are given, and forward takes {', '.join(names) or 'none'}")
        top = dict(zip(names, values, strict=False))
    found = {name: value for root, tree in top.items() for name, value in _leaves(root, tree)}
    if not found:
        raise InputError("no input is given", "give example tensors, by name or in the order of forward")
    return found


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(f"{name}.{key}", below)
    elif isinstance(value, list | tuple):
        for i, below in enumerate(value):
            yield from _leaves(f"{name}.{i}", below)
    elif isinstance(value, torch.Tensor | np.ndarray | np.generic | TensorSpec):
        yield name, value
    else:
        raise InputError(
            f"input {name!r} is a {type(value).__name__} and no tensor",
            "give tensors, arrays, or TensorSpec; a setting belongs into the module",
        )


def words(name: str, value: Any) -> str:
    """One ``--input``: ``x=1x3x32x32:float32``, ``ids=1x16:int64:0..8000`` where whole numbers reach 7999.

    bfloat16 becomes float32, which NumPy has. Raises InputError as ``--input`` does.
    """
    if isinstance(value, TensorSpec):
        shape, dtype = value.shape("opt"), value.dtype
        bounds = None if value.low is None or value.high is None else (value.low, value.high)
    else:
        array = torch.as_tensor(value)
        shape, dtype = tuple(array.shape), str(array.dtype).removeprefix("torch.").replace("bfloat16", "float32")
        whole = "int" in dtype and array.numel()
        bounds = (min(0, int(array.min())), int(array.max()) + 1) if whole else None
    sizes = "x".join(map(str, shape)) if shape else "scalar"
    return f"{name}={sizes}:{dtype}" + (f":{bounds[0]}..{bounds[1]}" if bounds else "")


def dynamic_words(dynamic: Mapping[str, Mapping[int, Any]] | Sequence[str]) -> tuple[str, ...]:
    """``--dynamic`` from ``{"x": {0: (1, 4, 16)}}``; an axis may have a name, ``("tokens", 16, 64, 128)``, or be a name alone."""
    if not isinstance(dynamic, Mapping):
        return tuple(dynamic)
    return tuple(f"{name}:{axis}={_range(given)}" for name, axes in dynamic.items() for axis, given in axes.items())


def _range(given: Any) -> str:
    if isinstance(given, str):
        return given
    parts = list(given)
    symbol = f"{parts.pop(0)}=" if parts and isinstance(parts[0], str) else ""
    return symbol + ":".join(map(str, parts))


@contextmanager
def samples_file(arrays: Mapping[str, Any]) -> Iterator[Path]:
    """Real inputs as a file that is read as ``--samples`` is; gone with the block. Raises InputError for what is no array."""
    kept: dict[str, Any] = {}
    for name, value in arrays.items():
        if not isinstance(value, torch.Tensor | np.ndarray):
            raise InputError(f"samples of {name!r} are a {type(value).__name__} and no array", "give arrays or tensors")
        kept[name] = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npz"
        np.savez(path, **kept)
        yield path
