"""Choose the reader by what the file is, and put together the Source."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import InputError
from ...models import registry
from ...runtime.spec import TensorSpec
from ..options import SourceOptions
from . import checkpoint
from .base import Kind, Source
from .exported import exported_inputs, read_exported
from .factory import from_factory, from_registry
from .inputs import parse_dynamic, parse_inputs
from .script import parameters as script_parameters
from .script import read_torchscript
from .settle import check_weights, settle
from .sniff import FileFormat, sniff
from .specs import forward_parameters, resolve
from .torchfile import find_module, read_safetensors, read_torch
from .weights import Weights, adopt, extract
from .words import near_miss

# The forms that bring their own architecture.
_WHOLE = (FileFormat.ONNX, FileFormat.EXPORTED, FileFormat.TORCHSCRIPT)


def load(path: Path | None, options: SourceOptions) -> Source:
    """Load what the user handed in: see :class:`SourceOptions` and :class:`Source`.

    Raises InputError (exit code 2), one line that says what is wrong and what to do, for a file, a name, a weight, a
    shape or an option that cannot be used; nothing is left on disk.
    """
    _check_options(path, options)
    if path is None:
        return _built(options)
    form = sniff(path)
    if form in _WHOLE and (options.arch or options.factory or options.kwargs):
        option = "--arch" if options.arch else "--factory" if options.factory else "--kwargs"
        raise InputError(
            f"{path} brings its own architecture ({form.value}), and {option} is given", f"leave {option} out"
        )
    readers = {FileFormat.ONNX: _onnx, FileFormat.EXPORTED: _exported, FileFormat.TORCHSCRIPT: _torchscript}
    source = readers.get(form, _weights)(path, options, form)
    source.sha256 = _sha256(path)
    return source


def _check_options(path: Path | None, options: SourceOptions) -> None:
    if options.arch and options.factory:
        raise InputError(f"--arch {options.arch} and --factory {options.factory} are both given", "give one of them")
    if options.static and options.dynamic:
        raise InputError("--static and --dynamic contradict each other", "give one of them")
    parse_inputs(options.inputs)
    for text in options.dynamic:
        parse_dynamic(text)
    if path is None and not (options.random_weights or options.own_weights):
        raise InputError("no model file is given", "give one, or --arch with --random-weights")
    if options.random_weights and path is not None:
        raise InputError(f"--random-weights is given beside {path}", "give a file or random weights")
    if path is None and not (options.arch or options.factory):
        raise InputError(
            "--random-weights needs an architecture", "add --arch NAME (attnexport models lists them) or --factory"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _source(
    kind: Kind,
    path: Path,
    inputs: tuple[tuple[TensorSpec, ...], bool],
    notes: list[str],
    *,
    module: torch.nn.Module | None = None,
    outputs: Sequence[str] = (),
    task: str | None = None,
    arch: str | None = None,
) -> Source:
    specs, explicit = inputs
    return Source(
        kind,
        path,
        path.stem,
        None,
        module,
        None,
        None,
        specs,
        tuple(outputs),
        task,
        arch,
        explicit,
        notes,
    )


def _onnx(path: Path, options: SourceOptions, form: FileFormat) -> Source:
    from .graph import read_onnx
    from .graph_inputs import onnx_inputs

    notes: list[str] = []
    model = read_onnx(path, notes)
    source = _source(
        "onnx", path, onnx_inputs(model, options, path), notes, outputs=[o.name for o in model.graph.output]
    )
    source.onnx = model
    return source


def _exported(path: Path, options: SourceOptions, form: FileFormat) -> Source:
    notes: list[str] = []
    program = read_exported(path, allow_pickle=options.allow_pickle)
    inputs = exported_inputs(program, options, path)
    module = program.module()
    check_weights(module, str(path), needed=False)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    source = _source("exported_program", path, inputs, notes, module=module)
    source.exported = program
    return source


def _torchscript(path: Path, options: SourceOptions, form: FileFormat) -> Source:
    notes: list[str] = []
    module = read_torchscript(path)
    check_weights(module, str(path), needed=False)
    settle(module, notes)
    inputs = resolve(options, script_parameters(module))
    return _source("torchscript", path, inputs, notes, module=module, arch=str(module.original_name))


def _weights(path: Path, options: SourceOptions, form: FileFormat) -> Source:
    """A file of torch.save or safetensors: a checkpoint of ours, a pickled module, or a state dict."""
    if form is FileFormat.SAFETENSORS:
        return _state_dict(path, read_safetensors(path), options, [])
    content = read_torch(path, form, allow_pickle=options.allow_pickle)
    if checkpoint.is_checkpoint(content):
        return _checkpoint(path, checkpoint.parse(content, str(path)), options)
    notes: list[str] = []
    found = find_module(content)
    if found is not None and not (options.arch or options.factory):
        module, key = found
        if key:
            notes.append(f"module found under {key!r}")
        check_weights(module, str(path))
        settle(module, notes)
        inputs = resolve(options, forward_parameters(module.forward))
        return _source("pickle", path, inputs, notes, module=module, arch=type(module).__name__)
    if found is not None:
        content = found[0].state_dict()
        notes.append("the pickled module's weights are taken, its class is not")
    return _state_dict(path, extract(content, str(path), notes), options, notes)


def _checkpoint(path: Path, stored: checkpoint.Checkpoint, options: SourceOptions) -> Source:
    notes: list[str] = []
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
    weights = extract(stored.state_dict, f"the state dict of {path}", notes, depth=0)
    adopt(module, weights, str(path), notes)
    check_weights(module, str(path))
    settle(module, notes, fresh=True)
    inputs = resolve(options, forward_parameters(module.forward), stored.inputs)
    return _source(
        "checkpoint", path, inputs, notes, module=module, outputs=stored.outputs, task=stored.task, arch=stored.arch
    )


def _build(options: SourceOptions) -> torch.nn.Module:
    if options.factory:
        return from_factory(options.factory, options.kwargs)
    assert options.arch is not None
    return from_registry(options.arch, options.kwargs)


def _arch(options: SourceOptions) -> str | None:
    return options.arch or options.factory


def _registered(options: SourceOptions) -> tuple[tuple[TensorSpec, ...], tuple[str, ...], str | None]:
    """Inputs, outputs and task that the registry knows of the architecture; none for a factory."""
    if not options.arch:
        return (), (), None
    entry = registry.entry(options.arch)
    return tuple(TensorSpec.from_json(i) for i in entry.inputs), entry.outputs, entry.task


def _state_dict(path: Path, weights: Weights, options: SourceOptions, notes: list[str]) -> Source:
    if not (options.arch or options.factory):
        raise InputError(
            f"{path} holds {len(weights)} weights and no architecture",
            f"add --arch NAME ({', '.join(registry.names())}) or --factory package.module:callable",
        )
    module = _build(options)
    adopt(module, weights, str(path), notes)
    check_weights(module, str(path))
    settle(module, notes, fresh=True)
    stored, outputs, task = _registered(options)
    inputs = resolve(options, forward_parameters(module.forward), stored)
    return _source("state_dict", path, inputs, notes, module=module, outputs=outputs, task=task, arch=_arch(options))


def _built(options: SourceOptions) -> Source:
    module = _build(options)
    name = options.arch or str(options.factory).rpartition(":")[2].replace(".", "_")
    notes = ["the weights are random (seed 0): the model has learned nothing"] if options.random_weights else []
    check_weights(module, name, needed=False)
    settle(module, notes, fresh=True)
    stored, outputs, task = _registered(options)
    specs, explicit = resolve(options, forward_parameters(module.forward), stored)
    return Source(
        "random" if options.random_weights else "factory",
        None,
        name,
        None,
        module,
        None,
        None,
        specs,
        outputs,
        task,
        options.arch or options.factory,
        explicit,
        notes,
    )
