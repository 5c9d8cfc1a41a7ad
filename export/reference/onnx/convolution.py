"""Convolutions with one to three spatial axes, their transposes, and the deformable one."""

from typing import Any

import numpy as np
from torch.nn import functional as F

from ...domain.deform_conv import reference as deform_conv
from .call import Array, Call, Kernel, NotCovered, as_array, as_torch
from .products import activated
from .windows import windows

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolve(call: Call, x: Array, weight: Array, bias: Array | None) -> Array:
    """x (N, C, *sizes), weight (M, C/group, *kernel), bias (M,) or None -> (N, M, *out)."""
    rank = x.ndim - 2
    if rank not in _CONV or weight.ndim != x.ndim:
        raise NotCovered
    form = windows(call, list(x.shape[2:]), list(weight.shape[2:]))
    if min(form.out) <= 0 or min(form.heads + form.tails) < 0:
        raise NotCovered
    pads = [p for pair in zip(reversed(form.heads), reversed(form.tails), strict=True) for p in pair]
    result = _CONV[rank](
        F.pad(as_torch(x), pads), as_torch(weight), None if bias is None else as_torch(bias),
        form.strides, 0, form.dilations, call.integer("group", 1),
    )  # fmt: skip
    return as_array(result)


def _bias(call: Call, index: int) -> Array | None:
    return call.real(index) if call.present(index) else None


def _conv(call: Call) -> list[Array]:
    return [convolve(call, call.real(0), call.real(1), _bias(call, 2))]


def _fused_conv(call: Call) -> list[Array]:
    """A convolution, plus Z if there is one, then an activation."""
    result = convolve(call, call.real(0), call.real(1), _bias(call, 2))
    if call.present(3):
        result = result + call.real(3)
    return [activated(result, call.text("activation", ""), call.numbers("activation_params"))]


def _conv_transpose(call: Call) -> list[Array]:
    """All that the windows write, cropped at the front by the padding; places that no window writes hold the bias."""
    x, weight = call.real(0), call.real(1)
    rank = x.ndim - 2
    if rank not in _TRANSPOSED or weight.ndim != x.ndim:
        raise NotCovered
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    group = call.integer("group", 1)
    whole = as_array(_TRANSPOSED[rank](as_torch(x), as_torch(weight), stride=strides, dilation=dilations, groups=group))
    heads, out = _transposed_sizes(call, list(x.shape[2:]), list(whole.shape[2:]), strides)
    result = np.zeros((*whole.shape[:2], *out))
    source, target = [], []
    for head, size, full in zip(heads, out, whole.shape[2:], strict=True):
        first, last = max(head, 0), min(head + size, full)
        source.append(slice(first, max(last, first)))
        target.append(slice(first - head, max(last, first) - head))
    inner: tuple[Any, ...] = (..., *target)
    written: tuple[Any, ...] = (..., *source)
    result[inner] = whole[written]
    bias = _bias(call, 2)
    return [result if bias is None else result + bias.reshape(-1, *[1] * rank)]


def _transposed_sizes(
    call: Call, sizes: list[int], whole: list[int], strides: list[int]
) -> tuple[list[int], list[int]]:
    """The places that are cropped at the front, and the sizes of the output."""
    rank = len(sizes)
    further = call.integers("output_padding") or [0] * rank
    pads = call.integers("pads") or [0] * (2 * rank)
    wanted = call.integers("output_shape")
    mode = call.text("auto_pad", "NOTSET")
    heads, out = [], []
    for axis, full in enumerate(whole):
        size = wanted[-rank + axis] if wanted else None
        if size is None and mode in ("SAME_UPPER", "SAME_LOWER"):
            size = sizes[axis] * strides[axis]
        if size is None:
            head, tail = (0, 0) if mode == "VALID" else (pads[axis], pads[rank + axis])
            heads.append(head)
            out.append(full + further[axis] - head - tail)
            continue
        total = max(full + further[axis] - size, 0)
        heads.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
        out.append(size)
    return heads, out


def _deform_conv(call: Call) -> list[Array]:
    """The domain's formula; bias and mask are optional."""
    x, weight, offset = call.real(0), call.real(1), call.real(2)
    if x.ndim != 4:
        raise NotCovered
    form = windows(call, list(x.shape[2:]), list(weight.shape[2:]))
    mask, bias = (call.real(n) if call.present(n) else None for n in (4, 3))
    y = deform_conv(
        x, weight, offset, mask, bias,
        group=call.integer("group", 1), offset_group=call.integer("offset_group", 1),
        dilation=form.dilations, pads=form.heads + form.tails, stride=form.strides,
    )  # fmt: skip
    return [y]


def _col2im(call: Call) -> list[Array]:
    """Columns (N, C*taps, L) added into the image that they were taken from; what falls on the padding is dropped."""
    columns, sizes, block = call.real(0), call.ints(1) or [], call.ints(2) or []
    form = windows(call, sizes, block)
    n, channels = columns.shape[0], columns.shape[1] // form.count
    image = form.padded(np.zeros((n, channels, *sizes)), 0.0)
    values = columns.reshape(n, channels, form.count, *form.out)
    for tap, (_, view) in enumerate(form.taps(image)):
        view += values[:, :, tap]
    inner: tuple[Any, ...] = (..., *(slice(h, h + size) for h, size in zip(form.heads, sizes, strict=True)))
    return [image[inner].copy()]


KERNELS: dict[str, Kernel] = {
    "Col2Im": _col2im,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _deform_conv,
}
"""By operator of the standard domain."""

MICROSOFT: dict[str, Kernel] = {"FusedConv": _fused_conv}
"""By operator of the domain com.microsoft."""
