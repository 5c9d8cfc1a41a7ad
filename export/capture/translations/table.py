"""ATen operators that become one node of the ``attnexport`` domain instead of index arithmetic.

torch.onnx decomposes these into Range, Add and Gather (or has no translation at all), after which no later stage could tell a window
from any other gather. An entry here both translates the operator and keeps torch from decomposing it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from onnxscript.values import Opset

from ....errors import UnsupportedModelError
from ...domain import DOMAIN, VERSION, register_schemas
from .all_true import all_true_translations
from .antialias import antialias_translations
from .conv3d import convolution_translations
from .distance import distance_translations
from .einsum import einsum_translations
from .linear_systems import linear_system_translations
from .order import order_translations
from .pooling import pooling_translations

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _int64(values: Sequence[int]) -> Any:
    return op.Constant(value_ints=list(values))


def _vector(sizes: Any) -> Any:
    """A 1-D int64 tensor from a list that may mix integers and symbolic scalars."""
    if isinstance(sizes, int):
        return _int64([sizes])
    if isinstance(sizes, list | tuple):
        if all(isinstance(s, int) for s in sizes):
            return _int64(sizes)
        parts = [_int64([s]) if isinstance(s, int) else op.Reshape(s, _int64([-1])) for s in sizes]
        return op.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]
    return op.Reshape(sizes, _int64([-1]))


def _pair(values: Sequence[int]) -> list[int]:
    return [int(values[0]), int(values[-1])]


def _window(
    kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> dict[str, list[int]]:
    high, wide = _pair(padding)
    return {
        "kernel": _pair(kernel),
        "dilation": _pair(dilation),
        "pads": [high, wide, high, wide],
        "stride": _pair(stride),
    }


def _groups(query: Any, key: Any, value: Any) -> int:
    """How many query heads share one head of key and value, where the lengths of these axes are known."""
    heads = [x.shape[-3] for x in (query, key, value)]
    if heads[0] == heads[1] == heads[2]:
        return 1
    if not all(isinstance(size, int) for size in heads) or heads[1] != heads[2]:
        raise UnsupportedModelError(
            f"scaled_dot_product_attention groups {heads[0]} query heads over {heads[1]} key and {heads[2]} value heads",
            "use numbers of heads that are fixed, as many for value as for key",
        )
    return int(heads[0] // heads[1])


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The table for ``torch.onnx.export(custom_translation_table=...)``. Registers the domain's schemas as a side effect."""
    register_schemas()
    ours = Opset(DOMAIN, VERSION)
    aten = torch.ops.aten

    def im2col(
        x: Any, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
    ) -> Any:
        window = _window(kernel, dilation, padding, stride)
        if len(x.shape) == 3:  # F.unfold also takes (C, H, W)
            return op.Squeeze(ours.Im2Col(op.Unsqueeze(x, _int64([0])), **window), _int64([0]))
        return ours.Im2Col(x, **window)

    def col2im(
        x: Any, size: Any, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
    ) -> Any:
        window = _window(kernel, dilation, padding, stride)
        if len(x.shape) == 2:
            return op.Squeeze(ours.Col2Im(op.Unsqueeze(x, _int64([0])), _vector(size), **window), _int64([0]))
        return ours.Col2Im(x, _vector(size), **window)

    def unfold(x: Any, dimension: int, size: int, step: int) -> Any:
        return ours.Unfold(x, axis=dimension % max(len(x.shape), 1), size=size, step=step)

    def grid_sampler(x: Any, grid: Any, mode: int, padding: int, align_corners: bool) -> Any:
        sample = ours.GridSample if len(x.shape) == 4 else ours.GridSample3d
        return sample(x, grid, mode=_MODES[mode], padding_mode=_PADDINGS[padding], align_corners=int(align_corners))

    def affine_grid(theta: Any, size: Any, align_corners: bool) -> Any:
        return ours.AffineGrid(theta, _vector(size), align_corners=int(align_corners))

    def negated(x: Any) -> Any:  # a view where torch keeps the imaginary part of a conjugate
        return op.Neg(x)

    def roll(x: Any, shifts: Any, dims: Sequence[int] = ()) -> Any:
        shifts = list(shifts) if isinstance(shifts, list | tuple) else [shifts]
        if not dims:  # torch.roll without axes rolls the flattened tensor
            if len(shifts) != 1:
                raise UnsupportedModelError("torch.roll without dims has more than one shift", "name the dims")
            flat = ours.Roll(op.Reshape(x, _int64([-1])), _vector(shifts), axis=0)
            return op.Reshape(flat, op.Shape(x))
        rank = len(x.shape)  # asked once: what our own node makes has no shape yet
        for shift, axis in zip(shifts, dims, strict=True):
            x = ours.Roll(x, _vector([shift]), axis=axis % rank)
        return x

    def sdpa(
        query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
        scale: float | None = None, enable_gqa: bool = False,
    ) -> Any:  # fmt: skip
        if dropout_p:
            raise UnsupportedModelError(
                f"scaled_dot_product_attention drops {dropout_p:g} of its weights", "pass dropout_p=0.0 in eval mode"
            )
        if scale is None:
            channels = query.shape[-1]
            if not isinstance(channels, int):
                raise UnsupportedModelError(
                    "scaled_dot_product_attention has a channel axis of free length", "fix that axis, or pass scale="
                )
            scale = channels**-0.5
        masks = {} if attn_mask is None else {"keep" if attn_mask.dtype == ir.DataType.BOOL else "mask": attn_mask}
        return ours.Sdpa(
            query, key, value, masks.get("mask"), masks.get("keep"),
            causal=int(is_causal), groups=_groups(query, key, value) if enable_gqa else 1, scale=scale,
        )  # fmt: skip

    return {
        **convolution_translations(),
        **pooling_translations(),
        **antialias_translations(),
        **einsum_translations(),
        **distance_translations(),
        **order_translations(),
        **linear_system_translations(),
        **all_true_translations(),
        aten.scaled_dot_product_attention.default: sdpa,
        aten.im2col.default: im2col,
        aten.col2im.default: col2im,
        aten.unfold.default: unfold,
        aten.grid_sampler.default: grid_sampler,
        aten.grid_sampler_2d.default: grid_sampler,
        aten.grid_sampler_3d.default: grid_sampler,
        aten.affine_grid_generator.default: affine_grid,
        torch.ops.attnexport.affine_grid.default: affine_grid,
        aten.roll.default: roll,
        aten._neg_view.default: negated,
    }
