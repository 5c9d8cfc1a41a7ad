"""ATen operators that become one node of the ``attnexport`` domain instead of index arithmetic.

torch.onnx decomposes these operators into Range, Add and Gather, or has no translation. No later stage could then
distinguish a window from any other gather. A translation also keeps torch from decomposing the operator.
"""

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from ....errors import UnsupportedModelError
from ..tracing import function_overrides  # noqa: F401 - registers torch.ops.attnexport.affine_grid
from .shared import Translations, aten, domain, ints

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _vector(sizes: Any) -> Any:
    """A 1-D int64 tensor from a list that may mix integers and symbolic scalars."""
    if isinstance(sizes, int):
        return ints(sizes)
    if isinstance(sizes, list | tuple):
        if all(isinstance(s, int) for s in sizes):
            return ints(*sizes)
        parts = [ints(s) if isinstance(s, int) else op.Reshape(s, ints(-1)) for s in sizes]
        return op.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]
    return op.Reshape(sizes, ints(-1))


def _pair(values: Sequence[int]) -> list[int]:
    return [int(values[0]), int(values[-1])]


def _window(
    kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> dict[str, list[int]]:
    return {"kernel": _pair(kernel), "dilation": _pair(dilation), "pads": _pair(padding) * 2, "stride": _pair(stride)}


def _im2col(
    x: Any, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Any:
    attributes = _window(kernel, dilation, padding, stride)
    if len(x.shape) == 3:  # F.unfold also takes (C, H, W)
        return op.Squeeze(domain.Im2Col(op.Unsqueeze(x, ints(0)), **attributes), ints(0))
    return domain.Im2Col(x, **attributes)


def _col2im(
    x: Any, size: Any, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Any:
    attributes = _window(kernel, dilation, padding, stride)
    if len(x.shape) == 2:
        return op.Squeeze(domain.Col2Im(op.Unsqueeze(x, ints(0)), _vector(size), **attributes), ints(0))
    return domain.Col2Im(x, _vector(size), **attributes)


def _unfold(x: Any, dimension: int, size: int, step: int) -> Any:
    return domain.Unfold(x, axis=dimension % max(len(x.shape), 1), size=size, step=step)


def _grid_sampler(x: Any, grid: Any, mode: int, padding: int, align_corners: bool) -> Any:
    sample = domain.GridSample if len(x.shape) == 4 else domain.GridSample3d
    return sample(x, grid, mode=_MODES[mode], padding_mode=_PADDINGS[padding], align_corners=int(align_corners))


def _affine_grid(theta: Any, size: Any, align_corners: bool) -> Any:
    return domain.AffineGrid(theta, _vector(size), align_corners=int(align_corners))


def _roll(x: Any, shifts: Any, dims: Sequence[int] = ()) -> Any:
    shifts = list(shifts) if isinstance(shifts, list | tuple) else [shifts]
    if not dims:  # torch.roll without axes rolls the flattened tensor
        if len(shifts) != 1:
            raise UnsupportedModelError("torch.roll without dims has more than one shift", "name the dims")
        flat = domain.Roll(op.Reshape(x, ints(-1)), _vector(shifts), axis=0)
        return op.Reshape(flat, op.Shape(x))
    rank = len(x.shape)  # read first: the result of a node of the domain has no shape yet
    for shift, axis in zip(shifts, dims, strict=True):
        x = domain.Roll(x, _vector([shift]), axis=axis % rank)
    return x


def _groups(query: Any, key: Any, value: Any) -> int:
    """How many query heads share one head of key and value. Raise UnsupportedModelError if that is not known."""
    heads = [x.shape[-3] for x in (query, key, value)]
    if heads[0] == heads[1] == heads[2]:
        return 1
    if not all(isinstance(size, int) for size in heads) or heads[1] != heads[2]:
        raise UnsupportedModelError(
            f"scaled_dot_product_attention groups {heads[0]} query heads over {heads[1]} key and {heads[2]} value heads",
            "use numbers of heads that are fixed, as many for value as for key",
        )
    return int(heads[0] // heads[1])


def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    if dropout_p:
        problem = f"scaled_dot_product_attention drops {dropout_p:g} of its weights"
        raise UnsupportedModelError(problem, "pass dropout_p=0.0 in eval mode")
    if scale is None:
        channels = query.shape[-1]
        if not isinstance(channels, int):
            problem = "scaled_dot_product_attention has a channel axis of free length"
            raise UnsupportedModelError(problem, "fix that axis, or pass scale=")
        scale = channels**-0.5
    masks = {} if attn_mask is None else {"keep" if attn_mask.dtype == ir.DataType.BOOL else "mask": attn_mask}
    return domain.Sdpa(
        query, key, value, masks.get("mask"), masks.get("keep"),
        causal=int(is_causal), groups=_groups(query, key, value) if enable_gqa else 1, scale=scale,
    )  # fmt: skip


DOMAIN_OPERATORS: Translations = {
    aten.scaled_dot_product_attention.default: _attention,
    aten.im2col.default: _im2col,
    aten.col2im.default: _col2im,
    aten.unfold.default: _unfold,
    **dict.fromkeys(
        (aten.grid_sampler.default, aten.grid_sampler_2d.default, aten.grid_sampler_3d.default), _grid_sampler
    ),
    **dict.fromkeys((aten.affine_grid_generator.default, torch.ops.attnexport.affine_grid.default), _affine_grid),
    aten.roll.default: _roll,
}
