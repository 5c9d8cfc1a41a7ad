"""Windows over images and sequences: convolution, pooling, resampling. PyTorch computes them in FP64, with padding written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .sketch import Rejected, Sketch

_CONV = {1: F.conv1d, 2: F.conv2d}
_TURNED: dict[int, Callable[..., torch.Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d}
_MAX: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d}


def _tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]


def _padded(x: torch.Tensor, pads: list[int], value: float = 0.0) -> torch.Tensor:
    """Padded as ONNX lists it: all beginnings, then all ends."""
    half = len(pads) // 2
    flat = [p for i in reversed(range(half)) for p in (pads[i], pads[half + i])]
    return F.pad(x, flat, value=value)


def conv(s: Sketch) -> None:
    """Conv in one or two dimensions: groups, strides, dilations, unequal and automatic padding."""
    x = s.pick((3, 4))
    n = len(s.shape(x)) - 2
    c, sizes = s.shape(x)[1], s.shape(x)[2:]
    group = s.one([1, 1, c])
    kernel = [min(s.between(1, 3), size) for size in sizes]
    stride, dilation = ([s.one([1, 1, 2]) for _ in sizes] for _ in range(2))
    pads = [s.between(0, 2) for _ in range(2 * n)]
    named: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "group": group}
    automatic = s.one(["", "", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if automatic:
        dilation[:] = [1] * n
        named["auto_pad"] = automatic
        whole = [max((-(-size // t) - 1) * t + k - size, 0) for size, k, t in zip(sizes, kernel, stride, strict=True)]
        low = [w // 2 if automatic == "SAME_UPPER" else -(-w // 2) for w in whole]
        pads = [0] * 2 * n if automatic == "VALID" else [*low, *(w - b for w, b in zip(whole, low, strict=True))]
    else:
        named["pads"] = pads
    inputs = [x, s.weight(s.one([1, 2]) * group, c // group, *kernel)]
    if s.flip():
        inputs.append(s.const(s.rng.normal(size=s.shape(inputs[1])[0])))

    def function(*v: np.ndarray) -> np.ndarray:
        y, *rest = _tensors(*v)
        return _CONV[n](_padded(y, pads), *rest, stride=stride, dilation=dilation, groups=group).numpy()

    s.keep(_tried(s, "Conv", inputs, function, **named))


def _tried(s: Sketch, op: str, inputs: list[str], function: Callable[..., Any], **named: Any) -> str:
    """PyTorch refuses windows that are larger than the image."""
    try:
        return s.op(op, inputs, function, **named)
    except RuntimeError as error:
        raise Rejected(str(error)) from error


def conv_transpose(s: Sketch) -> None:
    """ConvTranspose with strides, dilations, groups and output padding."""
    x = s.pick((3, 4))
    n, c = len(s.shape(x)) - 2, s.shape(x)[1]
    group = s.one([1, 1, c])
    kernel, stride = [s.between(1, 3) for _ in range(n)], [s.between(1, 2) for _ in range(n)]
    dilation = [s.one([1, 1, 2]) for _ in range(n)]
    pads = [s.between(0, min(1, (k - 1) * d)) for k, d in zip(kernel, dilation, strict=True)]
    extra = [
        s.between(0, t - 1) for t in stride
    ]  # below the stride: ONNX Runtime refuses what PyTorch allows for dilations
    inputs = [x, s.weight(c, 2, *kernel)]
    if s.flip():
        inputs.append(s.const(s.rng.normal(size=2 * group)))

    def function(*v: np.ndarray) -> np.ndarray:
        more = {"output_padding": extra, "groups": group, "dilation": dilation}
        return _TURNED[n](*_tensors(*v), stride=stride, padding=pads, **more).numpy()

    s.keep(_tried(
        s, "ConvTranspose", inputs, function, kernel_shape=kernel, strides=stride, dilations=dilation, pads=[*pads, *pads],
        output_padding=extra, group=group,
    ))  # fmt: skip


def max_pool(s: Sketch) -> None:
    """MaxPool; ceil_mode and dilations from opset 10 on, indices now and then."""
    x = s.pick((3, 4))
    sizes = s.shape(x)[2:]
    n = len(sizes)
    kernel, stride = [s.between(1, 3) for _ in sizes], [s.between(1, 2) for _ in sizes]
    pads = [s.between(0, k // 2) for k in kernel]
    later = s.opset >= 10
    ceil, dilation = int(later and s.flip(0.3)), [s.one([1, 1, 2]) if later else 1 for _ in sizes]
    named: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": [*pads, *pads]}
    named |= {"ceil_mode": ceil, "dilations": dilation} if later else {}

    def function(v: np.ndarray) -> np.ndarray:
        return _MAX[n](*_tensors(v), kernel, stride, pads, dilation, bool(ceil)).numpy()

    s.keep(_tried(s, "MaxPool", [x], function, **named))


def average_pool(s: Sketch) -> None:
    """AveragePool; with or without the padding counted."""
    x = s.pick((3, 4))
    sizes = s.shape(x)[2:]
    n = len(sizes)
    kernel, stride = [s.between(1, 3) for _ in sizes], [s.between(1, 2) for _ in sizes]
    pads, counted = [s.between(0, k // 2) for k in kernel], int(s.flip())
    ceil = int(s.opset >= 10 and s.flip(0.3))
    named: dict[str, Any] = {"count_include_pad": counted} | ({"ceil_mode": ceil} if s.opset >= 10 else {})

    def function(v: np.ndarray) -> np.ndarray:
        pool: Any = {1: F.avg_pool1d, 2: F.avg_pool2d}[n]
        return pool(*_tensors(v), kernel, stride, pads, bool(ceil), bool(counted)).numpy()

    s.keep(_tried(s, "AveragePool", [x], function, kernel_shape=kernel, strides=stride, pads=[*pads, *pads], **named))


def global_pool(s: Sketch) -> None:
    """The mean or the maximum of each channel."""
    x = s.pick((3, 4))
    op, function = s.one([("GlobalAveragePool", np.mean), ("GlobalMaxPool", np.max)])
    s.keep(s.op(op, [x], lambda v: function(v, axis=tuple(range(2, v.ndim)), keepdims=True)))


def resize(s: Sketch) -> None:
    """Resize and Upsample by whole factors, or linearly to any size; where ONNX and PyTorch have the same definition."""
    x = s.pick(4)
    h, w = s.shape(x)[2:]
    if s.opset < 11:
        return _upsample(s, x)
    kind = s.one(["nearest", "linear", "corners", "cubic"])
    sizes = [s.between(2, 2 * n + 1) for n in (h, w)]
    if kind == "nearest":
        sizes = [s.between(1, 3) * n for n in (h, w)]
    attributes: dict[str, Any] = {
        "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        "linear": {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        "corners": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        "cubic": {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel", "cubic_coeff_a": -0.75},
    }[kind]
    mode = {"nearest": "nearest", "cubic": "bicubic"}.get(kind, "bilinear")
    corners = None if kind == "nearest" else kind == "corners"

    def function(v: np.ndarray, *_: Any) -> np.ndarray:
        return F.interpolate(*_tensors(v), size=sizes, mode=mode, align_corners=corners).numpy()

    empty = "" if s.opset >= 13 else s.const(np.zeros(0))
    if kind == "nearest":
        scales = s.const([1, 1, sizes[0] / h, sizes[1] / w])
        return s.keep(s.op("Resize", [x, empty, scales], function, **attributes))
    if s.free:
        raise Rejected("sizes name the free axis")
    target = s.ints(*s.shape(x)[:2], *sizes)
    return s.keep(s.op("Resize", [x, empty, empty if s.opset < 13 else "", target], function, **attributes))


def _upsample(s: Sketch, x: str) -> None:
    factors = [s.between(1, 3) for _ in range(2)]
    scales = [1.0, 1.0, *map(float, factors)]
    function = lambda v, *_: v.repeat(factors[0], 2).repeat(factors[1], 3)  # noqa: E731
    if s.opset < 9:
        return s.keep(s.op("Upsample", [x], function, mode="nearest", scales=scales))
    return s.keep(s.op("Upsample" if s.opset == 9 else "Resize", [x, s.const(scales)], function, mode="nearest"))


def grid_sample(s: Sketch) -> None:
    """GridSample by a grid that the graph computes."""
    if s.opset < 16:
        raise Rejected("came with opset 16")
    x, pad, corners = s.pick(4), s.one(["zeros", "border", "reflection"]), int(s.flip())
    mode = s.one(["bilinear", "nearest", "bicubic"])
    named = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode) if s.opset >= 20 else mode
    base = s.const(s.rng.uniform(-1.2, 1.2, (1, 3, 4, 2)))
    mean = s.op("GlobalAveragePool", [x], lambda v: v.mean((2, 3), keepdims=True))
    first = s.op("Slice", [mean, s.ints(0), s.ints(1), s.ints(1)], lambda v, *_: v[:, :1])
    moved = s.op("Mul", [s.op("Tanh", [first], np.tanh), s.const(0.3)], np.multiply)
    grid = s.op("Add", [base, moved], np.add)

    def function(v: np.ndarray, g: np.ndarray) -> np.ndarray:
        return F.grid_sample(*_tensors(v, g), mode, pad, bool(corners)).numpy()

    s.keep(s.op("GridSample", [x, grid], function, mode=named, padding_mode=pad, align_corners=corners))


KINDS = (conv, conv, conv_transpose, max_pool, average_pool, global_pool, resize, grid_sample)
