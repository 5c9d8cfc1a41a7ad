"""torch.export, and what to say when it fails: which module, which line, why, and what to change."""

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch

from ....errors import InputError, UnsupportedModelError, first_line
from ....runtime.inputs.feeds import random_feeds, symbol_axes
from ....runtime.spec import TensorSpec
from ...forward.call import arrange, by_argument, call
from ...graph.origin import Origin
from ...quiet import quiet
from ..cleanup.naming import short_path
from .chunk_sizes import UnevenPartsError, chunk_calls
from .flex_attention import flex_as_tensors
from .function_overrides import FunctionOverrides
from .hooks import shared_axes, tensors_only
from .kept_state import kept_state
from .known_values import known_values
from .python_sizes import python_sizes


class FixedAxisError(UnsupportedModelError):
    """The model does not take each size of an axis that was asked to be dynamic. ``axes``: the (input, axis, size) found fixed."""

    def __init__(self, axes: Sequence[tuple[str, int, int]], problem: str, remedy: str) -> None:
        self.axes = tuple(axes)
        super().__init__(problem, remedy)


def trace_sizes(specs: Sequence[TensorSpec]) -> dict[str, int]:
    """The size that each symbol has while tracing: opt where it can be told from 0 and 1, which torch.export specialises.

    Symbols get different sizes where their ranges allow it, so that two axes are not taken for one by accident.
    """
    sizes: dict[str, int] = {}
    for axis in (a for spec in specs for a in spec.axes):
        if axis.symbol is not None and axis.symbol not in sizes:
            least = max(axis.opt, 2)
            free = (size for size in range(least, axis.max + 1) if size not in sizes.values())
            sizes[axis.symbol] = next(free, min(least, axis.max))
    return sizes


def _dynamic_shapes(specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> list[dict[int, Any] | None]:
    dims: dict[str | None, Any] = {}
    for axis in (a for s in specs for a in s.axes):
        # An axis whose only size is 1 cannot be told from a broadcast: it stays as it is.
        if axis.symbol is None or sizes[axis.symbol] < 2:
            continue
        # torch reads 1 apart from what is more: of 1 to 2 it would keep the single size 2, and refuse it as fixed. No named Dim:
        # torch refuses whatever it cannot show to hold for all of its range, n // 2 <= n included. Axes of one symbol are stated to
        # be equal (:func:`.hooks.shared_axes`), and what torch assumes is checked (:mod:`.branches`).
        dims[axis.symbol] = torch.export.Dim.DYNAMIC(min=axis.min, max=max(axis.max, 3))
    return [{i: dims[a.symbol] for i, a in enumerate(s.axes) if a.symbol in dims} or None for s in specs]


def run_once(module: torch.nn.Module, specs: Sequence[TensorSpec], feeds: Sequence[torch.Tensor]) -> Any:
    """The module's own result. Raises InputError, naming module and source line, when it fails on such inputs."""
    try:
        with torch.no_grad(), quiet():
            return call(module, [spec.name for spec in specs], feeds)
    except Exception as error:
        shapes = ", ".join(f"{s.name} {s.dtype} {tuple(f.shape)}" for s, f in zip(specs, feeds, strict=True))
        raise InputError(
            f"the model fails on {shapes}: {first_line(error)} ({_where(error, module)})",
            "give inputs that fit with --input NAME=SHAPE[:DTYPE]",
        ) from error


def export_program(
    module: torch.nn.Module, specs: Sequence[TensorSpec], feeds: Sequence[torch.Tensor]
) -> torch.export.ExportedProgram:
    """Trace ``module`` on ``feeds`` with the specs' dynamic axes free.

    Raises FixedAxisError when the module fixes a dynamic axis, and UnsupportedModelError for whatever else torch.export does not take,
    naming module and source line.
    """
    free = any(axis.symbol is not None for spec in specs for axis in spec.axes)
    if free and not isinstance(module, torch.jit.ScriptModule):
        # What fails with another int and len may pass with Python's, and what is said then is what the author knows.
        fixed = False
        try:
            with python_sizes(module):
                return _traced(module, specs, feeds)
        except UnsupportedModelError as error:
            fixed = isinstance(error, FixedAxisError)
        if fixed:
            with suppress(UnsupportedModelError), _trainable(module):
                return _traced(module, specs, feeds)
    return _traced(module, specs, feeds)


@contextmanager
def _trainable(module: torch.nn.Module) -> Iterator[None]:
    """Weights require gradients inside. PyTorch's matmul by a frozen weight compares strides, which fixes a free axis.

    So do RNN, GRU and LSTM on a slice of an input (torch 2.13, ``should_fold`` of its decomposition).
    """
    frozen = [p for p in module.parameters() if p.is_floating_point() and not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _traced(
    module: torch.nn.Module, specs: Sequence[TensorSpec], feeds: Sequence[torch.Tensor]
) -> torch.export.ExportedProgram:
    names = [spec.name for spec in specs]
    args, kwargs = arrange(module, names, feeds)
    shapes = tuple(by_argument(module, names, _dynamic_shapes(specs, trace_sizes(specs))).values())
    known = known_values(module, names, feeds, _others(specs))
    try:
        with (
            quiet(),
            torch.no_grad(),
            kept_state(module),
            shared_axes(module, specs) as ranges,
            FunctionOverrides(chunk_calls(ranges)),
            flex_as_tensors(),
            known,
            tensors_only(module),
        ):
            return torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise _explain(error, module, specs) from error


def _others(specs: Sequence[TensorSpec]) -> list[torch.Tensor]:
    """Inputs of other values than those that are traced with, and of other sizes where axes are free."""
    axes = symbol_axes(specs)
    sizes = {
        symbol: size - 1 if size > axes[symbol].min else min(size + 1, axes[symbol].max)
        for symbol, size in trace_sizes(specs).items()
    }
    arrays = random_feeds(specs, sizes, seed=_OTHER_SEED)
    return [torch.from_numpy(arrays[spec.name]) for spec in specs]


_OTHER_SEED = 2**20
_FIXED = re.compile(
    r"L\['(?P<arg>[^']+)'\](?P<index>(?:\[[^\]]+\])*)\.size\(\)\[(?P<axis>\d+)\] .*?constant \((?P<size>\d+)\)"
)


def _explain(error: Exception, module: torch.nn.Module, specs: Sequence[TensorSpec]) -> UnsupportedModelError:
    text = str(error)
    plain = [spec.name for spec in specs]
    names = by_argument(module, plain, plain)
    fixed = [(_input_name(names, m["arg"], m["index"]), int(m["axis"]), int(m["size"])) for m in _FIXED.finditer(text)]
    if fixed:
        said = ", ".join(f"axis {axis} of {name!r} at {size}" for name, axis, size in fixed)
        return FixedAxisError(
            fixed,
            f"the model fixes {said}, so it cannot be dynamic",
            "look for a shape written as a number (view, reshape, expand), or export with --static",
        )
    where = _where(error, module)
    if isinstance(error, UnsupportedModelError):
        return UnsupportedModelError(f"{error.problem}, in {where}", error.remedy)
    if isinstance(error, UnevenPartsError):
        least = f"let the axis begin at {error.least} (--dynamic NAME:AXIS={error.least}:OPT:MAX)"
        return FixedAxisError((), f"{where} {error}", f"{least}, or export with --static")
    if type(error).__name__.startswith("GuardOnDataDependentSymNode") or "data-dependent" in text:
        return UnsupportedModelError(
            f"data-dependent control flow in {where}: a branch or a size depends on the values of a tensor",
            "compute both sides and choose with torch.where, or use torch.cond",
        )
    if "Suggested fixes" in text or "Constraints violated" in text:
        reason = (text.split("- ", 1)[-1] if "- " in text else text).strip().splitlines()[0][:300]
        return FixedAxisError(
            (), f"the dynamic axes do not fit the model: {reason}", "change --dynamic, or export with --static"
        )
    return UnsupportedModelError(
        f"torch.export cannot trace {where}: {first_line(error)}",
        "replace that line by tensor operations that torch.export supports",
    )


def _input_name(names: Mapping[str, Any], argument: str, index: str) -> str:
    """The input behind torch's ``L['batch']['image']``: ``names`` holds a name per argument of forward, or a tree of them."""
    found: Any = names.get(argument, argument)
    for part in re.findall(r"\[([^\]]+)\]", index):
        found = found[int(part) if part.isdigit() else part.strip("'")]
    return str(found)


def _where(error: BaseException, module: torch.nn.Module) -> str:
    """The innermost line of the user's own code that the error passed, and the module that was running."""
    names = {id(m): name for name, m in module.named_modules()}
    path, kind, source = "", type(module).__name__, ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = short_path(frame.f_code.co_filename)
        running = frame.f_locals.get("self")
        if isinstance(running, torch.nn.Module) and id(running) in names:
            path, kind = names[id(running)], type(running).__name__
        if not file.startswith(("torch/", "attnexport/export/", "<")):
            source = f"{file}:{line}"
    return Origin(path, kind, source).describe()
