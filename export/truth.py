"""The original model as the measure of everything: its FP64 result is the truth, its FP32 and FP16 results are PyTorch's own error.

FP64: a copy of the module in double, run with the default dtype float64 and with every request for a smaller float widened, so that a
``.float()`` inside ``forward`` does not round the truth. Nothing else is changed; the capture's modes are not active here.
FP32: the module as it came. FP16: the module under ``torch.autocast`` (torch's CPU half is wrong on grid_sample, so ``.half()`` is no
reference).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ..errors import StageError
from .capture.quiet import quiet
from .outputs import flatten

Precision = Literal["float64", "float32", "float16"]
Arrays = Mapping[str, np.ndarray]

_SMALLER = (torch.float32, torch.float16, torch.bfloat16)
_NARROWING = {torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16}


class Original(Protocol):
    """The model that was handed in, evaluated at a precision. Outputs by name, in order."""

    def run(self, feeds: Arrays, precision: Precision) -> dict[str, np.ndarray]:
        """FP64 results come as float64; the others in the dtypes that the model gives."""


class _Widen(TorchFunctionMode):
    """Every float dtype asked for inside is float64."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _NARROWING:
            return args[0].double()
        wide = tuple(_widened(a) for a in args)
        return func(*wide, **{k: _widened(v) for k, v in (kwargs or {}).items()})


def _widened(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _SMALLER else value


class TorchOriginal:
    """An ``nn.Module``, a ScriptModule or the module of an exported program.

    ``names``: a name per flattened output. Feeds are given positionally, in the order of ``inputs``.
    """

    def __init__(self, module: torch.nn.Module, inputs: Sequence[str], names: Sequence[str]) -> None:
        self._module = module
        self._inputs = tuple(inputs)
        self._names = tuple(names)
        self._double: torch.nn.Module | None = None

    def run(self, feeds: Arrays, precision: Precision) -> dict[str, np.ndarray]:
        """See :class:`Original`. Raises StageError when the module cannot be evaluated at that precision."""
        arguments = [torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in self._inputs]
        try:
            with torch.no_grad(), quiet():
                if precision == "float64":
                    result = self._run_double(arguments)
                else:
                    mode: Any = torch.autocast("cpu", torch.float16) if precision == "float16" else nullcontext()
                    with mode:
                        result = self._module(*arguments)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise StageError(
                "verify",
                f"the original model fails in {precision}: {reason}",
                "make forward follow the dtype of its input",
            ) from error
        tensors = flatten(result)
        return {name: t.detach().cpu().numpy() for name, t in zip(self._names, tensors, strict=True)}

    def _run_double(self, arguments: Sequence[torch.Tensor]) -> Any:
        if self._double is None:
            self._double = copy.deepcopy(self._module).double()
            if isinstance(self._double, torch.fx.GraphModule):
                _widen_graph(self._double)
        wide = [a.double() if a.is_floating_point() else a for a in arguments]
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with _Widen():
                return self._double(*wide)
        finally:
            torch.set_default_dtype(before)


def _widen_graph(module: torch.fx.GraphModule) -> None:
    """Dtypes written into a traced graph are seen by no function mode: widen them in the copy."""
    for node in module.graph.nodes:
        node.args = torch.fx.node.map_aggregate(node.args, _widened)
        node.kwargs = torch.fx.node.map_aggregate(node.kwargs, _widened)
    module.recompile()
