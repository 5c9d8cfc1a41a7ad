"""A module in memory as a source for the stages, and the options of its export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, first_line
from ..options import ExportOptions
from ..source.module import name_of
from .examples import dynamic_words, named, words

# What the command line writes otherwise than the function.
_MISLED = {"input": "inputs", "output": "outputs", "model": "the first argument", "random_weights": "a seeded module"}


def options_of(
    module: torch.nn.Module | str | Path,
    inputs: Any,
    *,
    out: str | Path | None,
    trt: bool | str,
    precision: str,
    dynamic: Mapping[str, Mapping[int, Any]] | Sequence[str],
    static: bool,
    samples: str | Path | None,
    **rest: Any,
) -> ExportOptions:
    """The options of an export from a function's arguments. Raises InputError for an unknown one, and as the command does."""
    for name, instead in _MISLED.items():
        if name in rest:
            raise InputError(f"attnexport.export takes no argument {name!r}", f"use {instead}")
    if isinstance(module, torch.nn.Module):
        file = Path(name_of(module))
        if inputs is None:
            raise InputError(
                f"no example inputs are given for {type(module).__name__}", "give tensors: export(module, inputs)"
            )
        given = [words(name, value) for name, value in named(module, inputs).items()]
    elif isinstance(module, str | Path):
        file = Path(module)
        given = [words(name, value) for name, value in dict(inputs or {}).items()]
    else:
        raise InputError(f"{module!r} is no nn.Module and no file", "give an instance of torch.nn.Module")
    try:
        return ExportOptions.from_strings(
            model=file,
            out=Path(out) if out is not None else None,
            trt=("auto" if trt else None) if isinstance(trt, bool) else trt,
            precision=precision,
            dynamic=dynamic_words(dynamic),
            static=static,
            samples=Path(samples) if samples is not None else None,
            inputs=given,
            **{"kwargs": "{}", "workspace": None, "gate": 2.0, **rest},
        )
    except TypeError as error:
        raise InputError(
            f"attnexport.export: {first_line(error)}", "see attnexport export --help for options"
        ) from error
