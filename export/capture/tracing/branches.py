"""A traced program holds the branch that the example inputs took. What it does at sizes for which the model takes another one is checked.

torch.export writes down what it had to assume of a free size (``n % 2 == 0``) and goes on. Each assumption is evaluated over the range
of its sizes. If it does not hold at one of them, the program and the module both run there: an assumption may be of no consequence
(whether a view is contiguous), or choose between two results.
"""

from collections.abc import Iterator, Mapping, Sequence
from traceback import FrameSummary
from typing import Any

import numpy as np
import sympy
import torch
from torch._export.utils import _get_shape_env_from_gm

from ....errors import InputError, UnsupportedModelError
from ....runtime.inputs.feeds import random_feeds, symbol_axes
from ....runtime.spec import TensorSpec
from ...forward.call import arrange
from ...forward.outputs import flatten
from ...quiet import quiet
from ..cleanup.naming import short_path
from .kept_state import kept_state
from .python_sizes import exact
from .trace import run_once, trace_sizes

MOST_POINTS = 64
"""At which one assumption is evaluated."""
MOST_RUNS = 4
"""Of the program and the module, at sizes that break an assumption."""
FAR = 1e-2
"""Of the output's rms: another branch, not rounding. The gates judge rounding."""
_SEED = 2**21


class OtherBranchError(UnsupportedModelError):
    """The model takes another branch than the traced one for some sizes of a free axis."""


def check_branches(
    program: torch.export.ExportedProgram, module: torch.nn.Module, specs: Sequence[TensorSpec]
) -> tuple[str, ...]:
    """Return a note if the module itself does not run at every size of its free axes.

    Raises OtherBranchError, with the assumption and its line, if the program gives something else than the module.
    """
    refused: list[str] = []
    points = list(_broken(program, specs))
    for (text, sizes), _ in zip(points, range(MOST_RUNS)):  # noqa: B905  # at most so many
        arrays = random_feeds(specs, sizes, seed=_SEED)
        feeds = [torch.from_numpy(arrays[spec.name]) for spec in specs]
        at = named_sizes(sizes)
        try:
            with kept_state(module):
                wanted = flatten(run_once(module, specs, feeds))
        except InputError as error:
            refused.append(
                f"the model itself does not run at every size of its free axes, such as {at}: {error.problem}"
            )
            continue
        if _differ(program, module, specs, feeds, wanted):
            raise OtherBranchError(
                f"the model takes another branch at {at}: the traced one is for {text}",
                "compute both sides and choose with torch.where, or choose a range in which it takes one with --dynamic",
            )
    return tuple(refused[:1])


def named_sizes(sizes: Mapping[str, int]) -> str:
    """``batch = 2, n = 5``."""
    return ", ".join(f"{symbol} = {size}" for symbol, size in sizes.items())


def _broken(program: torch.export.ExportedProgram, specs: Sequence[TensorSpec]) -> Iterator[tuple[str, dict[str, int]]]:
    """The assumptions of the program that do not hold over the whole range, with sizes that break them; one each."""
    environment = _get_shape_env_from_gm(program.graph_module)
    names = _symbols(program, specs)
    axes = symbol_axes(specs)
    if environment is None or not axes:
        return
    rng = np.random.default_rng(_SEED)
    seen = set()
    for guard in environment.guards:
        free = [symbol for symbol in guard.expr.free_symbols if names.get(symbol) in axes]
        if guard.expr in seen or not free or len(free) < len(guard.expr.free_symbols):
            continue
        seen.add(guard.expr)
        for sizes in _points([axes[names[symbol]] for symbol in free], rng):
            if guard.expr.xreplace(dict(zip(free, sizes, strict=True))) == False:  # noqa: E712  # sympy's own false
                chosen = trace_sizes(specs) | {names[symbol]: size for symbol, size in zip(free, sizes, strict=True)}
                yield f"{_readable(guard.expr, names)}{_place(guard)}", chosen
                break


def _points(axes: Sequence[Any], rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Sizes near the ends and the middle first, then others: all of a short range of one axis."""
    if len(axes) == 1 and axes[0].max - axes[0].min < MOST_POINTS:
        yield from ((size,) for size in range(axes[0].min, axes[0].max + 1))
        return
    for point in ("min", "opt", "max"):
        for shift in (0, 1, -1):
            yield tuple(max(axis.min, min(axis.max, getattr(axis, point) + shift)) for axis in axes)
    for _ in range(MOST_POINTS):
        yield tuple(int(rng.integers(axis.min, axis.max + 1)) for axis in axes)


def _symbols(program: torch.export.ExportedProgram, specs: Sequence[TensorSpec]) -> dict[Any, str]:
    """torch's symbols of the inputs' sizes, and the specs' symbols for them."""
    names = program.graph_signature.user_inputs
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    found: dict[Any, str] = {}
    for name, spec in zip(names, specs, strict=False):
        value = nodes[name].meta.get("val") if isinstance(name, str) and name in nodes else None
        for size, axis in zip(getattr(value, "shape", ()), spec.axes, strict=False):
            if isinstance(size, torch.SymInt) and axis.symbol is not None:
                found[size.node.expr] = axis.symbol
    return found


def _readable(expression: Any, names: Mapping[Any, str]) -> str:
    renamed = expression.xreplace({symbol: sympy.Symbol(name, integer=True) for symbol, name in names.items()})
    if not renamed.is_Equality:
        return str(renamed)
    return f"{exact(renamed.lhs)} = {sympy.nsimplify(renamed.rhs, rational=False)}"


def _place(guard: Any) -> str:
    """The line that made torch.export assume it: the innermost outside torch."""
    frame = guard.sloc.framework_loc
    return f", at {short_path(frame.filename)}:{frame.lineno}" if isinstance(frame, FrameSummary) else ""


def _differ(
    program: torch.export.ExportedProgram, module: torch.nn.Module, specs: Sequence[TensorSpec],
    feeds: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor],
) -> bool:  # fmt: skip
    args, kwargs = arrange(module, [spec.name for spec in specs], feeds)
    traced = program.module(check_guards=False)
    traced._forward_pre_hooks.clear()  # which compare sizes with the range that the assumptions leave
    try:
        with quiet(), torch.no_grad():
            got = flatten(traced(*args, **kwargs))
    except Exception:  # whatever a kernel raises at a shape that the branch does not take
        return True
    return any(far(a.numpy(force=True), b.numpy(force=True)) for a, b in zip(wanted, got, strict=True))


def far(wanted: np.ndarray, got: np.ndarray) -> bool:
    """Whether two outputs are not the same but for rounding. Integers may differ: of ties, another one may be chosen."""
    if wanted.shape != got.shape:
        return True
    if wanted.dtype.kind not in "fc" or not wanted.size:
        return False
    difference = np.abs(wanted.astype(np.complex128) - got)
    scale = np.sqrt(np.mean(np.square(np.abs(wanted.astype(np.complex128)))))
    return bool(np.isfinite(scale) and np.sqrt(np.nanmean(np.square(difference))) > FAR * scale)
