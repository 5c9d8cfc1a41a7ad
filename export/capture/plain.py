"""The second door: torch.onnx captures the model alone, without a patch of attnexport.

What attnexport's capture (:mod:`.to_onnx`) refuses, or fixes an axis of, may be exported by plain ``torch.onnx.export``. Its graph then
goes on as an ONNX file does: windows, grids and folds are raised from what torch.onnx made of them. torch.onnx may keep one branch of a
model that has another for other sizes, so the graph is compared with the module at sizes that were not traced.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import torch

from ...errors import AttnexportError, InputError, StageError, UnsupportedModelError, first_line
from ...runtime.inputs.feeds import random_feeds, symbol_axes
from ...runtime.sessions.large_model import open_model
from ...runtime.spec import Axis, TensorSpec
from ..domain import register_schemas
from ..forward.call import arrange, by_argument
from ..forward.outputs import flatten
from ..quiet import quiet
from . import Captured
from .from_onnx import raised
from .to_onnx import OPSET, finished
from .tracing.branches import far, named_sizes
from .tracing.hooks import tensors_only
from .tracing.kept_state import kept_state
from .tracing.trace import run_once, trace_sizes

MOST_SIZES = 8
"""At which the graph is compared with the module."""
_SEED = 2**21


def plain_onnx(
    model: torch.nn.Module | torch.export.ExportedProgram,
    module: torch.nn.Module,
    specs: Sequence[TensorSpec],
    feeds: Sequence[torch.Tensor],
    outputs: Sequence[str],
) -> Captured:
    """Capture ``model``, the module itself or its traced program, with plain torch.onnx. ``outputs``: a name per flattened output.

    Raises UnsupportedModelError if torch.onnx fails, fixes an axis that should be free, or is wrong at another size.
    """
    register_schemas()
    names = [spec.name for spec in specs]
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = {}
    if isinstance(model, torch.nn.Module):
        args, options["kwargs"] = arrange(model, names, feeds)
        options["dynamic_shapes"] = tuple(by_argument(model, names, _named_dims(specs)).values())
    try:
        with quiet(), torch.no_grad(), kept_state(module), tensors_only(module):
            program = torch.onnx.export(
                model, args, dynamo=True, verbose=False, opset_version=OPSET, input_names=names,
                output_names=list(outputs), **options,
            )  # fmt: skip
            assert program is not None
            captured = finished(program, specs, outputs)
    except Exception as error:
        raise UnsupportedModelError(f'torch.onnx says "{_innermost(error)}"') from error
    _check_axes(captured.model, specs)
    notes = tuple(_compare(captured.model, module, specs))
    again = raised(captured.model, captured.origins)
    return replace(again, notes=(*again.notes, *notes), program=captured.program)


def _named_dims(specs: Sequence[TensorSpec]) -> list[dict[int, Any] | None]:
    """One torch Dim for each symbol: with those, torch.onnx goes on when a guard of torch.export does not hold for a whole range."""
    dims = {}
    for number, (symbol, axis) in enumerate(symbol_axes(specs).items()):
        name = re.sub(r"\W", "_", symbol)
        name = name if name[:1].isalpha() else f"d{number}_{name}"
        dims[symbol] = torch.export.Dim(name, min=axis.min, max=max(axis.max, 3))
    sizes = trace_sizes(specs)
    free = [
        {i: dims[axis.symbol] for i, axis in enumerate(spec.axes) if axis.symbol is not None and sizes[axis.symbol] > 1}
        for spec in specs
    ]
    return [axes or None for axes in free]


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error).rstrip(".")


def _check_axes(model: onnx.ModelProto, specs: Sequence[TensorSpec]) -> None:
    for value, spec in zip(model.graph.input, specs, strict=True):
        for place, (dim, axis) in enumerate(zip(value.type.tensor_type.shape.dim, spec.axes, strict=True)):
            if axis.dynamic and axis.min != axis.max and dim.HasField("dim_value"):
                raise UnsupportedModelError(f"torch.onnx fixes axis {place} of {spec.name!r} at {dim.dim_value}")


def _compare(model: onnx.ModelProto, module: torch.nn.Module, specs: Sequence[TensorSpec]) -> Iterator[str]:
    """Run both at other sizes. Yields a note for sizes that the module itself does not take.

    Raises UnsupportedModelError if the graph fails where the module runs, or gives something else.
    """
    refused: dict[str, str] = {}
    session = None
    for sizes in other_sizes(symbol_axes(specs)):
        at = named_sizes(sizes)
        arrays = random_feeds(specs, sizes, seed=_SEED)
        try:
            with kept_state(module):
                wanted = flatten(run_once(module, specs, [torch.from_numpy(arrays[spec.name]) for spec in specs]))
        except InputError as error:
            refused[at] = error.problem
            continue
        if any(value.is_complex() for value in wanted):
            raise UnsupportedModelError("torch.onnx gives complex outputs as pairs of real numbers")
        session = session or open_model(model, optimize=False)
        try:
            got = list(session.run(arrays).values())
        except StageError as error:
            raise UnsupportedModelError(f"the graph of torch.onnx fails at {at}: {error.problem}") from error
        if any(far(ours.numpy(force=True), theirs) for ours, theirs in zip(wanted, got, strict=True)):
            raise UnsupportedModelError(f"the graph of torch.onnx is wrong at {at}")
    if refused:
        at, reason = next(iter(refused.items()))
        yield f"the model itself does not run at every size of its free axes, such as {at}: {reason}"


def other_sizes(axes: Mapping[str, Axis]) -> list[dict[str, int]]:
    """Sizes near the ends and around the middle, even and odd, and others inside; without those that the gates run at."""
    rng = np.random.default_rng(_SEED)
    places: list[dict[str, int]] = []
    for shift in (1, -1, 2, -2):
        places += [
            {s: max(axis.min, min(axis.max, getattr(axis, point) + shift)) for s, axis in axes.items()}
            for point in ("opt", "min" if shift > 0 else "max")
        ]
    for _ in range(MOST_SIZES):
        places.append({s: int(rng.integers(axis.min, axis.max + 1)) for s, axis in axes.items()})
    gates = [{s: getattr(axis, point) for s, axis in axes.items()} for point in ("min", "opt", "max")]
    seen: list[dict[str, int]] = []
    for sizes in places:
        if sizes not in gates and sizes not in seen:
            seen.append(sizes)
    return seen[:MOST_SIZES]


def through_second_door(first: UnsupportedModelError, capture: Callable[[], Captured]) -> Captured:
    """Return what ``capture`` gives, with a note that says why it was needed. Raises ``first`` with both reasons if it fails, too."""
    try:
        captured = capture()
    except AttnexportError as second:
        problem = f"{first.problem}; plain torch.onnx does not export it either: {second.problem}"
        both = type(first).__new__(type(first))
        both.__dict__.update(vars(first))
        AttnexportError.__init__(both, problem, first.remedy)
        raise both from first
    note = f"captured by plain torch.onnx, because attnexport's capture does not take the model: {first.problem}"
    return replace(captured, notes=(note, *captured.notes))
