"""Programs of torch.export (``.pt2``): read, checked for eval mode and FP32, with the inputs of their graph."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.export.graph_signature import InputKind, TensorArgument

from ...errors import InputError
from ...runtime.spec import Axis, TensorSpec
from ..options import SourceOptions
from ..options.inputs import BATCH, parse_dynamic, parse_inputs, symbol_for
from .base import Reader
from .programs.archive import checked_archive
from .settle import check_weights
from .sniff import EXPORTED
from .specs import batch_axis, known_input, resolve
from .torch_source import TorchSource
from .words import reason

# The flag of an aten operator that is true in training only: its name.
_TRAINING_FLAG = {
    "dropout": "train", "dropout_": "train", "native_dropout": "train", "feature_dropout": "train",
    "alpha_dropout": "train", "batch_norm": "training", "native_batch_norm": "training",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ProgramSource(TorchSource):
    """A program that torch.export traced earlier. ``module`` runs it."""

    traced: torch.export.ExportedProgram

    def program_of(self, module: torch.nn.Module, feeds: Sequence[torch.Tensor]) -> torch.export.ExportedProgram:
        """Return the program as it was stored."""
        return self.traced


def read_program(path: Path, options: SourceOptions) -> ProgramSource:
    """Read a ``.pt2`` file. Raises InputError if it is damaged or unsafe, or does not fit ``options``."""
    program = load_program(path, allow_pickle=options.allow_pickle)
    inputs, explicit = exported_inputs(program, options, path)
    module = _module_of(program, path)
    check_weights(module, str(path), needed=False)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return ProgramSource(
        kind="exported_program", name=path.stem, path=path, module=module, traced=program, inputs=inputs,
        explicit_dynamic=explicit,
    )  # fmt: skip


READER = Reader(EXPORTED, read_program, has_architecture=True)


def load_program(path: Path, *, allow_pickle: bool) -> torch.export.ExportedProgram:
    """Load a program; without ``allow_pickle`` nothing in the file can run (:mod:`.programs.archive`).

    Raises InputError for a damaged or unsafe file, for half-precision weights and for a program of training mode.
    """
    data = path.read_bytes()
    if not allow_pickle:
        data = checked_archive(data, path)
    log = logging.getLogger("torch.export")
    level = log.level
    try:
        log.setLevel(logging.CRITICAL)  # it logs a traceback before it raises
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(data))
    except Exception as error:
        raise InputError(
            f"{path} cannot be read by torch.export.load of torch {torch.__version__}: {reason(error)}",
            "export it again with this version of torch",
        ) from error
    finally:
        log.setLevel(level)
    _refuse_training(program, path)
    tensors = {k: v for k, v in {**program.state_dict, **program.constants}.items() if isinstance(v, torch.Tensor)}
    half = [name for name, tensor in tensors.items() if tensor.dtype in (torch.float16, torch.bfloat16)]
    if half:
        raise InputError(
            f"weight {half[0]!r} of {path} is half precision and the program's casts are fixed", "export it in float32"
        )
    return program


def _module_of(program: torch.export.ExportedProgram, path: Path) -> torch.nn.Module:
    try:
        return program.module()
    except Exception as error:  # torch generates source from the names of the program
        raise InputError(f"{path} cannot become a module: {reason(error)}", "export it again") from error


def _refuse_training(program: torch.export.ExportedProgram, path: Path) -> None:
    for node in program.graph.nodes:
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        name = node.target._schema.name.removeprefix("aten::")
        active = name in ("_native_batch_norm_legit", "_native_batch_norm_legit_functional")
        if flag := _TRAINING_FLAG.get(name):
            active = _argument(node, flag) is True
        if active:
            raise InputError(
                f"{path} was exported in training mode ({name} is active)", "export module.eval() and save it again"
            )


def _argument(node: torch.fx.Node, name: str) -> Any:
    assert isinstance(node.target, torch._ops.OpOverload)
    place = [argument.name for argument in node.target._schema.arguments].index(name)
    return node.args[place] if place < len(node.args) else node.kwargs.get(name)


def exported_inputs(
    program: torch.export.ExportedProgram, options: SourceOptions, path: Path
) -> tuple[tuple[TensorSpec, ...], bool]:
    """The inputs of the program, with the ranges that it was exported for, narrowed by the user's options.

    Raises InputError for inputs that are not tensors, for sizes that are formulas, and options that widen what was exported.
    """
    stored = tuple(_specs(program, path))
    symbols = {(s.name, i) for s in stored for i, a in enumerate(s.axes) if a.dynamic}
    by_name = {s.name: s for s in stored}
    for argument in (parse_dynamic(t) for t in options.dynamic):
        known_input(argument.name, list(by_name), "--dynamic")
        spec = by_name[argument.name]
        if argument.axis < len(spec.axes) and (argument.name, argument.axis) not in symbols:
            size = spec.axes[argument.axis].opt
            raise InputError(
                f"axis {argument.axis} of {argument.name!r} was exported with the fixed size {size}",
                "export it again with that axis dynamic",
            )
    for name, given in parse_inputs(options.inputs, list(by_name)).items():
        known_input(name, list(by_name), "--input")
        spec = by_name[name]
        inside = [a.min <= s <= a.max or a.dynamic for a, s in zip(spec.axes, given.shape, strict=False)]
        if len(spec.axes) != len(given.shape) or not all(inside) or spec.dtype != given.dtype:
            raise InputError(f"--input {name} differs from what {path} was exported for", f"it takes {spec.describe()}")
    specs, explicit = resolve(options, None, stored)
    for spec, exported in zip(specs, stored, strict=True):
        for i, (asked, had) in enumerate(zip(spec.axes, exported.axes, strict=True)):
            if asked.min < had.min or asked.max > had.max:
                raise InputError(
                    f"axis {i} of {spec.name!r} is asked for {asked.min}:{asked.opt}:{asked.max}",
                    f"{path} was exported for {had.min} to {had.max}: stay inside, or export it again",
                )
    return specs, explicit


def _specs(program: torch.export.ExportedProgram, path: Path) -> Iterator[TensorSpec]:
    arguments = program.call_spec.in_spec.children() if program.call_spec.in_spec is not None else ()
    if any(not leaf.is_leaf() for part in arguments for leaf in part.children()):
        raise InputError(
            f"{path} takes nested inputs (lists or dictionaries of tensors)", "export a forward that takes tensors only"
        )
    values = {n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"}
    symbols: dict[str, Axis] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind is not InputKind.USER_INPUT:
            continue
        value = values.get(spec.arg.name)
        if not isinstance(spec.arg, TensorArgument) or not isinstance(value, torch.Tensor):
            raise InputError(
                f"input {spec.arg.name!r} of {path} is not a tensor", "export a forward that takes tensors only"
            )
        axes = tuple(_axis(program, spec.arg.name, i, size, symbols, path) for i, size in enumerate(value.shape))
        yield TensorSpec(spec.arg.name, str(value.dtype).removeprefix("torch."), axes)


def _axis(
    program: torch.export.ExportedProgram, name: str, axis: int, size: int | torch.SymInt, symbols: dict[str, Axis],
    path: Path,
) -> Axis:  # fmt: skip
    if isinstance(size, int):
        return Axis.fixed(size)
    expression = size.node.expr
    if not expression.is_Symbol:
        raise InputError(
            f"axis {axis} of {name!r} in {path} has the size {expression}", "export it with one name per axis"
        )
    key = str(expression)
    if key not in symbols:
        bounds = program.range_constraints[expression]
        low = max(1, int(bounds.lower))
        hint = size.node.hint
        opt = max(low, int(hint) if hint is not None else 1)
        assumed = batch_axis(opt)
        high = int(bounds.upper) if bounds.upper.is_Integer and int(bounds.upper) < 2**31 - 1 else max(low, assumed.max)
        symbol = symbol_for(name, axis)
        if symbol == BATCH and any(a.symbol == BATCH for a in symbols.values()):
            symbol = f"{name}_0"
        symbols[key] = replace(assumed, min=low, opt=min(max(low, assumed.opt), high), max=high, symbol=symbol)
    return symbols[key]
