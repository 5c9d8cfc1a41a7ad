"""Files of ``torch.save`` and safetensors, and networks without a file, as sources.

A file contains a checkpoint of :func:`attnexport.save`, a pickled module, or a state dict, whose architecture the user names.
"""

from dataclasses import replace
from pathlib import Path

import torch

from ...errors import InputError
from ...models import registry
from ...runtime.spec import TensorSpec
from ..options import SourceOptions
from . import checkpoint
from .base import Reader
from .factory import from_factory, from_registry
from .settle import check_weights, settle
from .sniff import LEGACY, SAFETENSORS, TORCH
from .specs import forward_parameters, resolve
from .torch_source import TorchSource, module_source
from .torchfile import find_module, load_safetensors, load_torch
from .unit_variance import keep_signals
from .weights import Weights, adopt, extract
from .words import near_miss


def read_torch(path: Path, options: SourceOptions) -> TorchSource:
    """Read a file of ``torch.save``. Raises InputError if it is damaged or does not fit ``options``."""
    content = load_torch(path, allow_pickle=options.allow_pickle)
    if checkpoint.is_checkpoint(content):
        return _checkpoint(path, checkpoint.parse(content, str(path)), options)
    pickled = find_module(content)
    if pickled is None:
        return _state_dict(path, *extract(content, str(path)), options)
    module, key = pickled
    if options.arch or options.factory:
        weights, notes = extract(module.state_dict(), str(path))
        return _state_dict(
            path, weights, ("the weights of the pickled module are used, not its class", *notes), options
        )
    check_weights(module, str(path))
    notes = ((f"module found under {key!r}",) if key else ()) + settle(module)
    inputs, explicit = resolve(options, forward_parameters(module.forward))
    return module_source(
        module, kind="pickle", name=path.stem, path=path, inputs=inputs, explicit_dynamic=explicit,
        arch=type(module).__name__, notes=notes,
    )  # fmt: skip


def read_safetensors(path: Path, options: SourceOptions) -> TorchSource:
    """Read the weights of a safetensors file. Raises InputError if it is damaged or does not fit ``options``."""
    return _state_dict(path, load_safetensors(path), (), options)


READERS = (Reader(TORCH, read_torch), Reader(SAFETENSORS, read_safetensors), Reader(LEGACY, read_torch))


def _checkpoint(path: Path, stored: checkpoint.Checkpoint, options: SourceOptions) -> TorchSource:
    kwargs = {**stored.kwargs, **options.kwargs}
    if options.arch and options.arch != stored.arch:
        raise InputError(f"{path} holds {stored.arch!r}, and --arch {options.arch} is given", "leave --arch out")
    if options.factory:
        module = from_factory(options.factory, kwargs)
    elif stored.arch in registry.names():
        module = from_registry(stored.arch, kwargs)
    else:
        hint = near_miss(stored.arch, registry.names())
        raise InputError(
            f"{path} holds the architecture {stored.arch!r}, which is not built in{hint}",
            "add --factory package.module:callable that builds it",
        )
    weights, notes = extract(stored.state_dict, f"the state dict of {path}", depth=0)
    notes += _fill(module, weights, path)
    inputs, explicit = resolve(options, forward_parameters(module.forward), stored.inputs)
    return module_source(
        module, kind="checkpoint", name=path.stem, path=path, inputs=inputs, explicit_dynamic=explicit,
        outputs=stored.outputs, task=stored.task, arch=stored.arch, notes=notes,
    )  # fmt: skip


def _state_dict(path: Path, weights: Weights, notes: tuple[str, ...], options: SourceOptions) -> TorchSource:
    if not (options.arch or options.factory):
        raise InputError(
            f"{path} holds {len(weights)} weights and no architecture",
            f"add --arch NAME ({', '.join(registry.names())}) or --factory package.module:callable",
        )
    module = _build(options)
    notes += _fill(module, weights, path)
    return _of_architecture(module, options, kind="state_dict", name=path.stem, path=path, notes=notes)


def build(options: SourceOptions) -> TorchSource:
    """Return a network without a file: with random weights, or the module that a factory returns with its weights."""
    module = _build(options)
    name = options.arch or str(options.factory).rpartition(":")[2].replace(".", "_")
    check_weights(module, name, needed=False)
    notes = settle(module, fresh=True)
    if not options.random_weights:
        return _of_architecture(module, options, kind="factory", name=name, path=None, notes=notes)
    notes = ("the weights are random (seed 0): the model has learned nothing", *notes)
    source = _of_architecture(module, options, kind="random", name=name, path=None, notes=notes)
    return replace(source, notes=(*source.notes, *keep_signals(module, source.inputs)))


def _build(options: SourceOptions) -> torch.nn.Module:
    if options.factory:
        return from_factory(options.factory, options.kwargs)
    assert options.arch is not None
    return from_registry(options.arch, options.kwargs)


def _fill(module: torch.nn.Module, weights: Weights, path: Path) -> tuple[str, ...]:
    """Load the weights, check and settle the module; return notes."""
    notes = adopt(module, weights, str(path))
    check_weights(module, str(path))
    return notes + settle(module, fresh=True)


def _of_architecture(
    module: torch.nn.Module, options: SourceOptions, *, kind: str, name: str, path: Path | None, notes: tuple[str, ...]
) -> TorchSource:
    """Return the source, with what the registry knows of its inputs, outputs and task."""
    entry = registry.entry(options.arch) if options.arch else None
    stored = tuple(TensorSpec.from_json(spec) for spec in entry.inputs) if entry is not None else ()
    inputs, explicit = resolve(options, forward_parameters(module.forward), stored)
    return module_source(
        module, kind=kind, name=name, path=path, inputs=inputs, explicit_dynamic=explicit,
        outputs=entry.outputs if entry is not None else (), task=entry.task if entry is not None else None,
        arch=options.arch or options.factory, notes=notes,
    )  # fmt: skip
