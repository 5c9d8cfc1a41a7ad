"""Functions of torch that are traced in another way: one mode for all of them, active only while a module is traced.

``F.affine_grid`` with free sizes: torch.export fixes H and W at their example values, since the operator's kernel takes plain integers
(pytorch#30563). It becomes an operator of our own whose shape rule keeps the sizes symbolic. The module itself is not touched, and
the reference that parity compares with runs without the mode.

``torch.linspace`` with as many steps as a free axis is long: torch.export fixes that axis for the same reason.

    linspace(start, end, n)[i]  ->  start + i step                 in the first half,  step = (end - start) / (n - 1)
                                    end - (n - 1 - i) step         in the second

which is the kernel's own order of computing, so that both ends are exact; n = 1 gives start.

``F.one_hot``, ``unravel_index``, ``take_along_dim`` and windows of a free length are written with operators that keep the length free.

``torch.linalg.inv`` and ``solve`` are traced without torch's check for singular matrices, which a graph cannot hold. Chunks of a
free axis are in :mod:`.chunk_sizes`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.overrides import TorchFunctionMode

Overrides = Mapping[Any, Callable[..., Any]]
"""Replacements by torch function, with the same arguments; a replacement returns NotImplemented to leave a call to torch."""


class FunctionOverrides(TorchFunctionMode):
    """Inside this mode, the replacements of :data:`OVERRIDES` and of the ``others`` are called."""

    def __init__(self, others: Overrides) -> None:
        super().__init__()
        self._overrides = {**OVERRIDES, **others}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        override = self._overrides.get(func)
        if override is not None and (result := override(*args, **keywords)) is not NotImplemented:
            return result
        return func(*args, **keywords)


@torch.library.custom_op("attnexport::affine_grid", mutates_args=())
def affine_grid(theta: torch.Tensor, size: Sequence[int], align_corners: bool) -> torch.Tensor:
    """``F.affine_grid``: theta (N, 2, 3), size (N, C, H, W) -> (N, H, W, 2); with a depth axis (N, 3, 4) -> (N, D, H, W, 3)."""
    return F.affine_grid(theta, list(size), align_corners)


@affine_grid.register_fake
def _(theta: torch.Tensor, size: Sequence[int], align_corners: bool) -> torch.Tensor:
    return theta.new_empty([size[0], *size[2:], len(size) - 2])


def _affine_grid(theta: torch.Tensor, size: Sequence[int], align_corners: bool | None = None) -> Any:
    return torch.ops.attnexport.affine_grid(theta, list(size), bool(align_corners))


def _linspace(start: Any, end: Any, steps: Any, **options: Any) -> Any:
    return _spaced(start, end, steps, **options) if isinstance(steps, torch.SymInt) else NotImplemented


def _spaced(start: Any, end: Any, steps: Any, *, dtype: Any = None, device: Any = None, **rest: Any) -> torch.Tensor:
    dtype = dtype or torch.get_default_dtype()
    # Tensors, for torch.onnx takes no symbolic number where the operator has a plain one.
    first, last, count = (torch.scalar_tensor(number, dtype=dtype, device=device) for number in (start, end, steps))
    place = torch.arange(steps, device=device).to(dtype)
    step = (last - first) / (count - 1).clamp(min=1)
    half = (count / 2).floor().clamp(min=1)
    return torch.where(place < half, first + place * step, last - (count - 1 - place) * step)


def _inverse(matrix: torch.Tensor, **options: Any) -> Any:
    return NotImplemented if options else torch.linalg.inv_ex(matrix)[0]


def _solve(matrix: torch.Tensor, side: torch.Tensor, *, left: bool = True, **options: Any) -> Any:
    return NotImplemented if options else torch.linalg.solve_ex(matrix, side, left=left)[0]


def _is_free(size: Any) -> bool:
    return isinstance(size, torch.SymInt)


def _one_hot(tensor: torch.Tensor, num_classes: Any = -1) -> Any:
    if not _is_free(num_classes):
        return NotImplemented
    return (tensor.unsqueeze(-1) == torch.arange(num_classes, device=tensor.device)).to(torch.int64)


def _unravel_index(indices: torch.Tensor, shape: Any) -> Any:
    if not any(isinstance(size, torch.SymInt) for size in (shape if isinstance(shape, tuple | list) else ())):
        return NotImplemented
    places = []
    for size in reversed(shape):
        places.append(indices % size)
        indices = torch.div(indices, size, rounding_mode="floor")
    return tuple(reversed(places))


def _take_along_dim(tensor: torch.Tensor, indices: torch.Tensor, dim: int | None = None) -> Any:
    if dim is None or tensor.dim() != indices.dim():
        return NotImplemented
    return torch.gather(tensor, dim, indices) if _same_but(tensor, indices, dim) else NotImplemented


def _same_but(a: torch.Tensor, b: torch.Tensor, dim: int) -> bool:
    """Whether two shapes are equal in each axis but one, for each size."""
    axes = [axis for axis in range(a.dim()) if axis != dim % a.dim()]
    return all(statically_known_true(a.shape[axis] == b.shape[axis]) for axis in axes)


def _window(first: float, rest: float) -> Callable[..., Any]:
    """first - rest cos(2 pi i / N) for i < n, with N = n of a periodic window and n - 1 of a symmetric one."""

    def window(
        window_length: Any, periodic: bool = True, *, dtype: Any = None, device: Any = None, **rest_: Any
    ) -> Any:
        if not _is_free(window_length) or not isinstance(periodic, bool):
            return NotImplemented
        dtype = dtype or torch.get_default_dtype()
        place = torch.arange(window_length, device=device).to(dtype)
        period = torch.scalar_tensor(window_length if periodic else window_length - 1, dtype=dtype, device=device)
        return first - rest * torch.cos(place * (2 * math.pi / period))

    return window


OVERRIDES: Overrides = {
    F.one_hot: _one_hot,
    torch.unravel_index: _unravel_index,
    **dict.fromkeys((torch.take_along_dim, torch.Tensor.take_along_dim), _take_along_dim),
    torch.hann_window: _window(0.5, 0.5),
    torch.hamming_window: _window(0.54, 0.46),
    F.affine_grid: _affine_grid,
    torch.linspace: _linspace,
    **dict.fromkeys((torch.linalg.inv, torch.inverse, torch.Tensor.inverse), _inverse),
    torch.linalg.solve: _solve,
}
