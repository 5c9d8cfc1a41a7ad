"""Combine the inputs of an ONNX graph with ``--input`` and ``--dynamic``, and write the result into the graph."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import helper

from ...errors import InputError
from ...runtime.spec import DTYPES, Axis, TensorSpec
from ..options import SourceOptions
from ..options.inputs import DynamicArgument, InputArgument, parse_dynamic, parse_inputs, symbol_for
from .specs import apply_dynamic, batch_axis, known_input
from .words import sizes


@dataclass(frozen=True)
class _Declared:
    """An input as the graph declares it: a size or a symbol per axis."""

    name: str
    dtype: str
    dims: tuple[int | str, ...]


def onnx_inputs(model: onnx.ModelProto, options: SourceOptions, path: Path) -> tuple[tuple[TensorSpec, ...], bool]:
    """Return the inputs in the graph's order, and whether the user chose dynamic axes; ``model`` is changed to match.

    A free axis takes its range from ``--dynamic``; else a free first axis is the batch, tuned for the size that
    ``--input`` gives, and any other free axis is fixed at that size. Axes of one symbol in the graph stay together.
    Raises InputError for inputs that are not tensors, free axes without a range or size, and options that contradict
    the graph.
    """
    weights = {t.name for t in model.graph.initializer}
    values = [v for v in model.graph.input if v.name not in weights]
    if not values:
        raise InputError(f"{path} takes no input", "export a model that takes one")
    given = parse_inputs(options.inputs, [v.name for v in values])
    dynamic = [parse_dynamic(t) for t in options.dynamic]
    names = [v.name for v in values]
    for option, name in [("--input", n) for n in given] + [("--dynamic", d.name) for d in dynamic]:
        known_input(name, names, option)
    declared = [_declare(v, given.get(v.name), path) for v in values]
    _refuse_fixed(declared, dynamic, path)
    known = _given_sizes(declared, given)
    wanted = _spread(declared, dynamic)
    batches = {d.dims[0] for d in declared if d.dims}
    specs: tuple[TensorSpec, ...] = ()
    for d in declared:
        axes = tuple(_axis(d, i, known, batches, wanted, options, path) for i in range(len(d.dims)))
        bounds = given[d.name].bounds if d.name in given else None
        specs += (TensorSpec(d.name, d.dtype, axes, *(bounds or (None, None))),)
    if wanted:
        specs = apply_dynamic(specs, wanted)
    _rewrite(model, values, declared, specs)
    return specs, bool(wanted)


def _declare(value: onnx.ValueInfoProto, given: InputArgument | None, path: Path) -> _Declared:
    if value.type.WhichOneof("value") != "tensor_type":
        raise InputError(
            f"input {value.name!r} of {path} is a {value.type.WhichOneof('value')}", "export inputs that are tensors"
        )
    tensor = value.type.tensor_type
    dtype = _dtype(tensor.elem_type)
    if dtype is None:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise InputError(f"input {value.name!r} of {path} is {kind}", f"export it as one of {', '.join(DTYPES)}")
    dims: tuple[int | str, ...]
    if tensor.HasField("shape"):
        dims = tuple(
            d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or symbol_for(value.name, i)
            for i, d in enumerate(tensor.shape.dim)
        )
    elif given is not None:
        dims = tuple(symbol_for(value.name, i) for i in range(len(given.shape)))
    else:
        raise InputError(f"input {value.name!r} of {path} has no rank", f"add --input {value.name}=SIZES")
    if 0 in dims:
        raise InputError(f"input {value.name!r} of {path} has an axis of size 0", "export it with a size of at least 1")
    if given is not None:
        free = [size if isinstance(dim, str) else dim for dim, size in zip(dims, given.shape, strict=False)]
        if len(dims) != len(given.shape) or tuple(free) != given.shape:
            raise InputError(
                f"--input gives {value.name!r} the sizes {sizes(given.shape)}", f"{path} takes {sizes(dims)}"
            )
        if dtype != given.dtype:
            raise InputError(
                f"--input gives {value.name!r} the dtype {given.dtype}", f"{path} takes {dtype}: write :{dtype}"
            )
    return _Declared(value.name, dtype, dims)


def _dtype(elem_type: int) -> str | None:
    try:
        name = helper.tensor_dtype_to_np_dtype(elem_type).name
    except KeyError:
        return None
    return name if name in DTYPES else None


def _refuse_fixed(declared: Sequence[_Declared], dynamic: Iterable[DynamicArgument], path: Path) -> None:
    dims = {d.name: d.dims for d in declared}
    for argument in dynamic:
        axis, known = argument.axis, dims[argument.name]
        if not 0 <= axis < len(known):
            raise InputError(
                f"--dynamic names axis {axis} of {argument.name!r}, which has {len(known)} axes", "axes count from 0"
            )
        if isinstance(known[axis], int):
            raise InputError(
                f"axis {axis} of {argument.name!r} has the fixed size {known[axis]} in {path}",
                "export it with that axis dynamic",
            )


def _given_sizes(declared: Iterable[_Declared], given: Mapping[str, InputArgument]) -> dict[str, int]:
    """The size that ``--input`` gives to each symbol of the graph."""
    known: dict[str, int] = {}
    for d in declared:
        if d.name not in given:
            continue
        for dim, size in zip(d.dims, given[d.name].shape, strict=True):
            if isinstance(dim, str) and known.setdefault(dim, size) != size:
                raise InputError(
                    f"--input gives {dim!r} the sizes {known[dim]} and {size}", "axes of one name have one size"
                )
    return known


def _spread(declared: Iterable[_Declared], dynamic: Sequence[DynamicArgument]) -> list[DynamicArgument]:
    """Apply ``--dynamic`` of one axis to every axis with the same symbol in the graph; the symbol is the default name."""
    places: dict[str, list[tuple[str, int]]] = {}
    of: dict[tuple[str, int], str] = {}
    for d in declared:
        for i, dim in enumerate(d.dims):
            if isinstance(dim, str):
                places.setdefault(dim, []).append((d.name, i))
                of[d.name, i] = dim
    explicit = {(a.name, a.axis) for a in dynamic}
    spread: list[DynamicArgument] = []
    for argument in dynamic:
        symbol = of[argument.name, argument.axis]
        named = replace(argument, symbol=argument.symbol or symbol)
        spread.append(named)
        for name, axis in places[symbol]:
            if (name, axis) not in explicit:
                explicit.add((name, axis))
                spread.append(replace(named, name=name, axis=axis))
    return spread


def _axis(
    declared: _Declared, axis: int, known: Mapping[str, int], batches: Collection[int | str],
    wanted: Sequence[DynamicArgument], options: SourceOptions, path: Path,
) -> Axis:  # fmt: skip
    dim = declared.dims[axis]
    if isinstance(dim, int):
        return Axis.fixed(dim)
    size = known.get(dim)
    if any((w.name, w.axis) == (declared.name, axis) for w in wanted):
        return Axis.fixed(size or 1)  # --dynamic sets the range next
    if dim in batches and not options.static:
        return replace(batch_axis(size or 1), symbol=dim)
    if size is None:
        asked = f"--input {declared.name}=SIZES to fix it"
        raise InputError(
            f"axis {axis} of input {declared.name!r} of {path} is free ({dim}) and has no range",
            f"add {asked}" if options.static else f"add --dynamic {declared.name}:{axis}=min:opt:max, or {asked}",
        )
    return Axis.fixed(size)


def _rewrite(
    model: onnx.ModelProto, values: Sequence[onnx.ValueInfoProto], declared: Sequence[_Declared],
    specs: Sequence[TensorSpec],
) -> None:  # fmt: skip
    """Write the chosen sizes and symbols to the inputs of the graph, and to outputs that share a symbol with them."""
    chosen: dict[str, Axis] = {}
    for value, d, spec in zip(values, declared, specs, strict=True):
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for dim, axis in zip(d.dims, spec.axes, strict=True):
            _say(shape.dim.add(), axis)
            if isinstance(dim, str):
                chosen[dim] = axis
        value.type.tensor_type.shape.CopyFrom(shape)
    for output in model.graph.output:
        for out_dim in output.type.tensor_type.shape.dim:
            if out_dim.dim_param in chosen:
                _say(out_dim, chosen[out_dim.dim_param])
    # Inferred shapes contain the old symbols; a later stage infers them again.
    del model.graph.value_info[:]


def _say(dim: onnx.TensorShapeProto.Dimension, axis: Axis) -> None:
    if axis.symbol is None:
        dim.dim_value = axis.opt
    else:
        dim.dim_param = axis.symbol
