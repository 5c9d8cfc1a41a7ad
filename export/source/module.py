"""An ``nn.Module`` in memory as a source."""

from __future__ import annotations

import copy
import re

import torch

from ...errors import InputError, first_line
from ..options import SourceOptions
from .settle import check_weights, settle
from .specs import forward_parameters, resolve
from .torch_source import TorchSource, module_source


def name_of(module: torch.nn.Module) -> str:
    """Return the name of the module's bundle: its class, such as ``GatedResNet``."""
    return re.sub(r"\W", "_", type(module).__name__)


def source_of(module: torch.nn.Module, options: SourceOptions, task: str | None) -> TorchSource:
    """Return a copy of the module as a source: in eval mode, FP32, on the CPU, with the inputs that ``options`` describe.

    Raises InputError for unusable weights, inputs that do not fit ``forward``, and a module that cannot be copied.
    """
    name = name_of(module)
    try:
        replica = copy.deepcopy(module)
    except Exception as error:  # whatever a module's parts raise: locks, open files, tensors with a gradient graph
        raise InputError(
            f"{name} cannot be copied ({first_line(error)}), and the export changes only its copy",
            "pass a module that copy.deepcopy takes, without tensors that have a gradient graph",
        ) from error
    check_weights(replica, name, needed=False)
    notes = settle(replica, fresh=True)
    if module.training:
        notes = (*notes, "the module is in training mode: its copy was switched to eval")
    inputs, explicit = resolve(options, forward_parameters(replica.forward))
    return module_source(
        replica, kind="module", name=name, inputs=inputs, task=task, arch=name, explicit_dynamic=explicit,
        notes=notes,
    )  # fmt: skip
