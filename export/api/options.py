"""A module in memory as a source for the stages, and the options of its export."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, first_line
from ..options import ExportOptions
from ..source import Source
from ..source.settle import check_weights, settle
from ..source.specs import forward_parameters, resolve
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


def name_of(module: torch.nn.Module) -> str:
    """What a bundle of the module is called: its class, as ``GatedResNet``."""
    return re.sub(r"\W", "_", type(module).__name__)


def source_of(module: torch.nn.Module, options: ExportOptions, task: str | None) -> Source:
    """The module as a source: a copy, in eval mode, FP32, on the CPU, with the inputs that ``options`` describe.

    Raises InputError for weights that nothing can be made of, inputs that do not fit ``forward``, a module that cannot be copied.
    """
    name = name_of(module)
    notes: list[str] = []
    try:
        own = copy.deepcopy(module)
    except Exception as error:  # whatever a module's parts raise: locks, open files, tensors of a graph
        raise InputError(
            f"{name} cannot be copied ({first_line(error)}), and the export changes its copy only",
            "hand in a module that copy.deepcopy takes, without tensors that have a gradient graph",
        ) from error
    check_weights(own, name, needed=False)
    settle(own, notes, fresh=True)
    if module.training:
        notes.append("the module is in training mode: its copy was switched to eval")
    inputs, explicit = resolve(options.source, forward_parameters(own.forward))
    return Source(
        "module", None, name, None, own, None, None, inputs, task=task, arch=name, explicit_dynamic=explicit, notes=notes
    )  # fmt: skip
