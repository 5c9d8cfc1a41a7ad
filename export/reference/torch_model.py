"""The original model as the measure of everything: its FP64 result is the truth, its FP32, FP16 and BF16 results are PyTorch's error.

FP64: a copy of the module in double, run with the default dtype float64 and with every request for a smaller float widened, so that a
``.float()`` inside ``forward`` does not round the truth. Nothing else is changed; the capture's modes are not active here.
FP32: the module as it came. FP16 and BF16: the module under ``torch.autocast`` (torch's CPU half is wrong on grid_sample, so ``.half()`` is
not a reference), FP16 products summed as a GPU does (truth_half.py). Where PyTorch itself fails or overflows (a mask of -1e9 does in FP16),
it is the module in FP32 with its weights, inputs and what each layer gives rounded to the type, saturated: what storage alone costs.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ...errors import StageError, first_line
from ..forward.call import call
from ..forward.outputs import flatten
from ..quiet import quiet
from .flex_attention import flex_in_eager
from .fp16_sums import SumsInSingle
from .original import Arrays, Precision

_SMALLER = (torch.float32, torch.float16, torch.bfloat16)
_NARROWING = {torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16}


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

    ``names``: a name per flattened output. Feeds go where the names of ``inputs`` say (:mod:`..forward.call`).
    """

    def __init__(self, module: torch.nn.Module, inputs: Sequence[str], names: Sequence[str]) -> None:
        self._module = module
        self._inputs = tuple(inputs)
        self._names = tuple(names)
        self._copies: dict[torch.dtype, torch.nn.Module] = {}  # in FP64, or rounded to a 16-bit type
        self.notes: list[str] = []
        self.further: Mapping[str, Callable[[Arrays], dict[str, np.ndarray]]] = {}

    def run(self, feeds: Arrays, precision: Precision) -> dict[str, np.ndarray]:
        """See :class:`Original`. Raises StageError when the module cannot be evaluated at that precision."""
        if precision in self.further:
            return self.further[precision](feeds)
        arguments = [torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in self._inputs]
        try:
            eager = nullcontext() if precision == "float32" else flex_in_eager(self._module)
            with torch.no_grad(), quiet(), eager:
                if precision == "float64":
                    result = self._run_double(arguments)
                elif precision in ("float16", "bfloat16"):
                    result = self._run_half(arguments, getattr(torch, precision))
                else:
                    result = self._call(self._module, arguments)
        except Exception as error:
            raise StageError(
                "verify",
                f"the original model fails in {precision}: {first_line(error)}",
                "make forward follow the dtype of its input",
            ) from error
        tensors = flatten(result)
        return {name: _array(t) for name, t in zip(self._names, tensors, strict=True)}

    def with_precision(
        self, precision: Precision, evaluate: Callable[[Arrays], dict[str, np.ndarray]]
    ) -> "TorchOriginal":
        """See :class:`~.original.Original`."""
        other = copy.copy(self)
        other.further = {**self.further, precision: evaluate}
        return other

    def _call(self, module: torch.nn.Module, arguments: Sequence[torch.Tensor]) -> Any:
        return call(module, self._inputs, arguments)

    def forget(self) -> None:
        """Free the copies in other precisions; they are made again when they are needed."""
        self._copies.clear()

    def parameters(self) -> dict[str, torch.Tensor]:
        """The parameters, by name."""
        return dict(self._module.named_parameters())

    def watch(
        self,
        feeds: Arrays,
        paths: Collection[str],
        see: Callable[[str, np.ndarray], None],
        precision: Precision = "float64",
    ) -> dict[str, np.ndarray]:
        """Return the outputs, and pass every tensor that the modules at ``paths`` return to ``see``, for each of their calls.

        A ScriptModule takes no hooks: none of its modules is seen. Raises StageError as :meth:`run` does.
        """

        def keep(path: str) -> Callable[..., None]:
            def hook(_: Any, __: Any, result: Any) -> None:
                for leaf in pytree.tree_leaves(result):
                    if isinstance(leaf, torch.Tensor):
                        see(path, _array(leaf))

            return hook

        handles = []
        if not isinstance(self._module, torch.jit.ScriptModule):
            named = dict(self._at(precision).named_modules())
            handles = [named[path].register_forward_hook(keep(path)) for path in paths if path in named]
        try:
            return self.run(feeds, precision)
        finally:
            for handle in handles:
                handle.remove()

    def module_paths(self) -> list[str]:
        """The paths of all modules below the outermost."""
        return [path for path, _ in self._module.named_modules() if path]

    def _at(self, precision: Precision) -> torch.nn.Module:
        """The module that runs at ``precision``."""
        if precision == "float64":
            return self._wide()
        return self._copies.get(getattr(torch, precision, torch.float32), self._module)

    def _run_half(self, arguments: Sequence[torch.Tensor], dtype: torch.dtype) -> Any:
        if dtype not in self._copies:
            try:
                with torch.autocast("cpu", dtype), SumsInSingle():
                    result = self._call(self._module, arguments)
            except Exception as error:
                self._give_up_autocast(first_line(error), dtype)
            else:
                if all(bool(t.isfinite().all()) for t in flatten(result) if t.is_floating_point()):
                    return result
                self._give_up_autocast("the result is not finite", dtype)
        return self._call(self._copies[dtype], [_round(argument, dtype) for argument in arguments])

    def _give_up_autocast(self, reason: str, dtype: torch.dtype) -> None:
        """From here on the type is rounding alone, for all inputs, so that one figure has one meaning."""
        self._copies[dtype] = _rounding(self._module, dtype)
        kind = "BF16" if dtype is torch.bfloat16 else "FP16"
        self.notes.append(
            f"PyTorch itself cannot run the model under {kind} autocast ({reason}): its {kind} error is that of {kind} weights, inputs and "
            "layer outputs"
        )

    def _wide(self) -> torch.nn.Module:
        if torch.float64 not in self._copies:
            # What deepcopy finds in its memo it takes: no FP32 copy of the weights is made on the way.
            held = (*self._module.parameters(), *self._module.buffers())
            wide: dict[int, Any] = {id(t): _double(t) for t in held if t.is_floating_point()}
            double = copy.deepcopy(self._module, wide).double()
            if isinstance(double, torch.fx.GraphModule):
                _widen_graph(double)
            self._copies[torch.float64] = double
        return self._copies[torch.float64]

    def _run_double(self, arguments: Sequence[torch.Tensor]) -> Any:
        double = self._wide()
        wide = [a.double() if a.is_floating_point() else a for a in arguments]
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with _Widen():
                return self._call(double, wide)
        finally:
            torch.set_default_dtype(before)


def _double(tensor: torch.Tensor) -> torch.Tensor:
    wide = tensor.detach().double()
    return torch.nn.Parameter(wide, requires_grad=False) if isinstance(tensor, torch.nn.Parameter) else wide


def _array(tensor: torch.Tensor) -> np.ndarray:
    """NumPy has no bfloat16: its values come as float32."""
    tensor = tensor.float() if tensor.dtype is torch.bfloat16 else tensor
    array: np.ndarray = tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
    return array


def _round(value: Any, dtype: torch.dtype) -> Any:
    """Through a 16-bit type and back, finite values saturated; anything but a float tensor as it is."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    limit = torch.finfo(dtype).max
    return torch.where(value.isfinite(), value.clamp(-limit, limit), value).to(dtype).to(value.dtype)


def _rounding(module: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """A copy whose weights, and what each module without children gives, are rounded to a 16-bit type."""
    rounded = copy.deepcopy(module)
    for parameter in rounded.parameters():
        parameter.data = _round(parameter.data, dtype)
    if not isinstance(rounded, torch.jit.ScriptModule):
        for child in rounded.modules():
            if next(child.children(), None) is None:
                child.register_forward_hook(
                    lambda _, __, result: pytree.tree_map(lambda value: _round(value, dtype), result)
                )
    return rounded


def _widen_graph(module: torch.fx.GraphModule) -> None:
    """Dtypes written into a traced graph are seen by no function mode: widen them in the copy."""
    for node in module.graph.nodes:
        node.args = torch.fx.node.map_aggregate(node.args, _widened)
        node.kwargs = torch.fx.node.map_aggregate(node.kwargs, _widened)
    module.recompile()
