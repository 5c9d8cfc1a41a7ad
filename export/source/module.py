"""An nn.Module in memory as a source."""

from __future__ import annotations

import copy
import re

import torch

from ...errors import InputError, first_line
from ..options import SourceOptions
from .base import Source
from .settle import check_weights, settle
from .specs import forward_parameters, resolve


def name_of(module: torch.nn.Module) -> str:
    """What a bundle of the module is called: its class, as ``GatedResNet``."""
    return re.sub(r"\W", "_", type(module).__name__)


def source_of(module: torch.nn.Module, options: SourceOptions, task: str | None) -> Source:
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
    inputs, explicit = resolve(options, forward_parameters(own.forward))
    return Source(
        "module", None, name, None, own, None, None, inputs, task=task, arch=name, explicit_dynamic=explicit, notes=notes
    )  # fmt: skip
