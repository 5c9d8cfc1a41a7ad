"""From the arguments of ``attnexport.export`` to the options of an export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ..options import ExportOptions, read_options
from ..source.module import name_of
from .examples import inputs_of, named

_WRONG_NAMES = {
    "input": "inputs",
    "output": "outputs",
    "model": "the first argument",
    "random_weights": "a seeded module",
}
"""Options whose names differ on the command line, and what to use in Python."""


def options_of(module: torch.nn.Module | str | Path, inputs: Any, options: Mapping[str, Any]) -> ExportOptions:
    """Return the options of an export. Raises InputError for an unknown or unusable one, as the command line does."""
    for name, instead in _WRONG_NAMES.items():
        if name in options:
            raise InputError(f"attnexport.export takes no argument {name!r}", f"use {instead}")
    if isinstance(module, torch.nn.Module):
        if inputs is None:
            raise InputError(
                f"no example inputs are given for {type(module).__name__}", "give tensors: export(module, inputs)"
            )
        model, examples = Path(name_of(module)), named(module, inputs)
    elif isinstance(module, str | Path):
        model, examples = Path(module), dict(inputs or {})
    else:
        raise InputError(f"{module!r} is not an nn.Module or a file", "give an instance of torch.nn.Module")
    values = dict(options)
    arguments, dynamic, fixed = inputs_of(examples, values.pop("dynamic", None) or ())
    if isinstance(trt := values.pop("trt", None), bool):
        trt = "auto" if trt else None
    static = values.pop("static", False) or fixed
    return read_options(model=model, trt=trt, inputs=arguments, dynamic=dynamic, static=static, **values)
