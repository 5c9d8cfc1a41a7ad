"""Reductions of float tensors over axes."""

from collections.abc import Callable

import numpy as np

from .call import Array, Call, Kernel, NotCovered

Axes = tuple[int, ...]


def _largest(x: Array, axes: Axes) -> Array:
    return np.asarray(x.max(axes, keepdims=True, initial=-np.inf))


def _log_sum_exp(x: Array, axes: Axes) -> Array:
    top = _largest(x, axes)
    shift = np.where(np.isfinite(top), top, 0.0)
    return np.asarray(np.log(np.exp(x - shift).sum(axes, keepdims=True)) + shift)


_FUNCTIONS: dict[str, Callable[[Array, Axes], Array]] = {
    "ReduceL1": lambda x, axes: np.abs(x).sum(axes, keepdims=True),
    "ReduceL2": lambda x, axes: np.sqrt((x * x).sum(axes, keepdims=True)),
    "ReduceLogSum": lambda x, axes: np.log(x.sum(axes, keepdims=True)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _largest,
    "ReduceMean": lambda x, axes: x.sum(axes, keepdims=True) / np.prod([x.shape[a] for a in axes]),
    "ReduceMin": lambda x, axes: x.min(axes, keepdims=True, initial=np.inf),
    "ReduceProd": lambda x, axes: x.prod(axes, keepdims=True),
    "ReduceSum": lambda x, axes: x.sum(axes, keepdims=True),
    "ReduceSumSquare": lambda x, axes: (x * x).sum(axes, keepdims=True),
}


def _reduction(function: Callable[[Array, Axes], Array]) -> Kernel:
    def kernel(call: Call) -> list[Array]:
        """Axes are an attribute or, in later opsets, an input; none of them means all."""
        x = call.real(0)
        axes = call.ints(1) if call.present(1) else call.integers("axes")
        if not axes and call.flag("noop_with_empty_axes"):
            raise NotCovered
        places = tuple(sorted({a % x.ndim for a in axes})) if axes else tuple(range(x.ndim))
        result = np.asarray(function(x, places))
        return [result if call.flag("keepdims", 1) else result.squeeze(places)]

    return kernel


KERNELS: dict[str, Kernel] = {name: _reduction(function) for name, function in _FUNCTIONS.items()}
"""By operator of the standard domain."""
