"""From the arguments of ``attnexport.export``, with examples and TensorSpecs for inputs, to the options of an export."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...runtime.spec import TensorSpec
from ..options import ExportOptions, read_options
from ..options.inputs import DynamicArgument, InputArgument, dynamic_argument, input_argument, parse_dynamic
from ..source.specs import forward_parameters
from ..source.torch_source import name_of

_WRONG_NAMES = {
    "input": "inputs", "output": "outputs", "model": "the first argument", "random_weights": "a seeded module",
}  # fmt: skip
"""Options whose names differ on the command line, and what to use in Python."""


def options_of(module: torch.nn.Module | str | Path, inputs: Any, options: Mapping[str, Any]) -> ExportOptions:
    """Return the options of an export. Raises InputError for an unknown or unusable one, as the command line does."""
    for name, instead in _WRONG_NAMES.items():
        if name in options:
            raise InputError(f"attnexport.export takes no argument {name!r}", f"use {instead}")
    if isinstance(module, torch.nn.Module):
        if inputs is None:
            name = type(module).__name__
            raise InputError(f"no example inputs are given for {name}", "give tensors: export(module, inputs)")
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


def named(module: torch.nn.Module, inputs: Any) -> dict[str, Any]:
    """Example tensors by input name.

    ``inputs``: a mapping by the names of forward's parameters, a tuple or list in their order, or one tensor. A nested
    tensor is named by its path: ``{"batch": {"image": x}}`` is ``batch.image``. Raises InputError for too many inputs and
    for a value that is not a tensor.
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
            f"input {name!r} is a {type(value).__name__}, not a tensor",
            "give tensors, arrays, or TensorSpec; put a setting into the module",
        )


def arguments_of(name: str, value: Any) -> tuple[InputArgument, tuple[DynamicArgument, ...]]:
    """Return what an example or a TensorSpec says about one input, and about its dynamic axes.

    An example has no dynamic axes; random whole numbers are drawn from 0 (or its smallest number) to its largest.
    bfloat16 becomes float32, since NumPy has no bfloat16. Raises InputError for an unusable size or dtype.
    """
    if isinstance(value, TensorSpec):
        bounds = None if value.low is None and value.high is None else (value.low, value.high)
        free = [(axis, a) for axis, a in enumerate(value.axes) if a.dynamic]
        dynamic = tuple(DynamicArgument(name, axis, a.symbol, (a.min, a.opt, a.max), whole=True) for axis, a in free)
        return input_argument(name, value.shape("opt"), value.dtype, bounds), dynamic
    array = torch.as_tensor(value)
    dtype = str(array.dtype).removeprefix("torch.").replace("bfloat16", "float32")
    whole = "int" in dtype and array.numel()
    limits = (min(0, int(array.min())), int(array.max()) + 1) if whole else None
    return input_argument(name, tuple(array.shape), dtype, limits), ()


def inputs_of(
    examples: Mapping[str, Any], dynamic: Mapping[str, Mapping[int, Any]] | Sequence[str] = ()
) -> tuple[tuple[InputArgument, ...], tuple[DynamicArgument, ...], bool]:
    """Return the inputs, their dynamic axes, and whether TensorSpecs say that all axes are fixed.

    ``dynamic`` is a list of texts as in ``--dynamic``, or ``{"x": {0: (1, 4, 16)}}``; an axis may have a name,
    ``("tokens", 16, 64, 128)``, or be a name alone. It overrides the axes of a TensorSpec.
    """
    pairs = [arguments_of(name, value) for name, value in examples.items()]
    if isinstance(dynamic, Mapping):
        named = [dynamic_argument(name, axis, given) for name, axes in dynamic.items() for axis, given in axes.items()]
    else:
        named = [parse_dynamic(text) for text in dynamic]
    places = {(argument.name, argument.axis) for argument in named}
    typed = [argument for _, axes in pairs for argument in axes if (argument.name, argument.axis) not in places]
    fixed = not (named or typed) and any(isinstance(value, TensorSpec) for value in examples.values())
    return tuple(argument for argument, _ in pairs), (*named, *typed), fixed


@contextmanager
def samples_file(arrays: Mapping[str, Any]) -> Iterator[Path]:
    """Write real inputs to a temporary file for ``--samples``. Raises InputError for a value that is not an array."""
    kept: dict[str, Any] = {}
    for name, value in arrays.items():
        if not isinstance(value, torch.Tensor | np.ndarray):
            raise InputError(f"samples of {name!r} are a {type(value).__name__}, not arrays", "give arrays or tensors")
        kept[name] = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npz"
        np.savez(path, **kept)
        yield path
