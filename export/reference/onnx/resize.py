"""Resize and Upsample with linear or cubic weights: a matrix of weights for each axis.

Sizes come from the FP32 scales as ONNX Runtime multiplies them; coordinates and weights are FP64. Nearest picks pixels
and is in :mod:`.selections`. Source: the ONNX specification of Resize, opset 19, and its reference ``op_resize``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .call import Array, Call, Kernel, NotCovered


@dataclass(frozen=True)
class Axis:
    """How one axis is resized; ``scale`` is output over input, ``crop`` the region in fractions of the input."""

    size: int
    out: int
    scale: float
    crop: tuple[float, float]

    def coordinates(self, mode: str) -> Array:
        """The place in the input of each output pixel."""
        x = np.arange(self.out, dtype=np.float64)
        if mode == "align_corners":
            return x * ((self.size - 1) / (self.out - 1)) if self.out > 1 else np.zeros(1)
        if mode == "asymmetric":
            return x / self.scale
        if mode == "tf_crop_and_resize":
            start, end = self.crop
            if self.out == 1:
                return np.array([0.5 * (start + end) * (self.size - 1)])
            return start * (self.size - 1) + x * ((end - start) * (self.size - 1) / (self.out - 1))
        if mode == "tf_half_pixel_for_nn":
            return (x + 0.5) / self.scale
        if mode == "pytorch_half_pixel" and self.out == 1:
            return np.zeros(1)
        place = (x + 0.5) / self.scale - 0.5
        if mode == "half_pixel_symmetric":
            place = place + self.size / 2 * (1 - self.out / (self.scale * self.size))
        elif mode not in ("half_pixel", "pytorch_half_pixel"):
            raise NotCovered
        return place


def axes_of(call: Call) -> list[Axis]:
    """Each axis of the input of a Resize or Upsample with its output size and scale."""
    x = call.array(0)
    chosen = [a % x.ndim for a in call.integers("axes") or range(x.ndim)]
    roi, scales, sizes = _arguments(call)
    crops = {a: (roi[n], roi[n + len(chosen)]) for n, a in enumerate(chosen)} if roi is not None else {}
    forms = {}
    if sizes is not None:
        for axis, out, scale in _fitted(call.text("keep_aspect_ratio_policy", "stretch"), x.shape, chosen, sizes):
            forms[axis] = Axis(x.shape[axis], out, scale, crops.get(axis, (0.0, 1.0)))
    elif scales is not None:
        for axis, scale in zip(chosen, scales, strict=True):
            out = int(np.float32(scale) * np.float32(x.shape[axis]))
            forms[axis] = Axis(x.shape[axis], out, scale, crops.get(axis, (0.0, 1.0)))
    else:
        raise NotCovered
    return [forms.get(axis, Axis(size, size, 1.0, (0.0, 1.0))) for axis, size in enumerate(x.shape)]


def _arguments(call: Call) -> tuple[list[float] | None, list[float] | None, list[int] | None]:
    """The region, scales and sizes; Upsample and Resize of opset 10 have scales alone."""
    if call.node.op_type == "Upsample" and call.opset < 9:
        return None, call.numbers("scales"), None
    if call.node.op_type == "Upsample" or call.opset < 11:
        return None, call.array(1).tolist(), None
    roi = call.array(1).tolist() if call.present(1) and call.array(1).size else None
    scales = call.array(2).tolist() if call.present(2) and call.array(2).size else None
    return roi, scales, call.ints(3)


def _fitted(policy: str, shape: tuple[int, ...], axes: list[int], sizes: list[int]) -> list[tuple[int, int, float]]:
    """(axis, output size, scale) for sizes that are given; a policy other than stretch keeps the aspect ratio."""
    if policy == "stretch":
        return [(a, out, out / shape[a]) for a, out in zip(axes, sizes, strict=True)]
    ratios = [np.float32(out) / np.float32(shape[a]) for a, out in zip(axes, sizes, strict=True)]
    scale = float(min(ratios) if policy == "not_larger" else max(ratios))
    return [(a, int(np.floor(scale * shape[a] + 0.5)), scale) for a in axes]


def _triangle(distance: Array) -> Array:
    return np.asarray(np.maximum(1 - np.abs(distance), 0))


def _cubic(a: float) -> Callable[[Array], Array]:
    def weight(distance: Array) -> Array:
        d = np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.asarray(np.where(d <= 1, near, np.where(d < 2, far, 0.0)))

    return weight


def _weights(axis: Axis, call: Call, filtered: Callable[[Array], Array], reach: int, outside: float | None) -> Array:
    """(out, size): the weight of each input pixel in each output pixel, and in one more column that of ``outside``."""
    places = axis.coordinates(_mode(call))
    stretch = min(axis.scale, 1.0) if call.flag("antialias") else 1.0
    support = int(np.ceil(reach / stretch))
    taps = np.floor(places)[:, None] + np.arange(-support + 1, support + 1)
    weights = filtered((taps - places[:, None]) * stretch)
    inside = (taps >= 0) & (taps <= axis.size - 1)
    if call.flag("exclude_outside"):
        weights = weights * inside
    weights = weights / weights.sum(1, keepdims=True)
    matrix = np.zeros((axis.out, axis.size + 1))
    at = np.clip(taps, 0, axis.size - 1).astype(np.int64)
    np.add.at(matrix, (np.arange(axis.out)[:, None], at), weights)
    if outside is not None:
        beyond = (places < 0) | (places > axis.size - 1)
        matrix[beyond] = 0
        matrix[beyond, -1] = 1
    return matrix


def _mode(call: Call) -> str:
    if call.node.op_type == "Upsample" or call.opset < 11:
        return "asymmetric"
    return call.text("coordinate_transformation_mode", "half_pixel")


def _smooth(call: Call) -> list[Array]:
    x, kind = call.real(0), call.text("mode", "nearest")
    if kind not in ("linear", "bilinear", "cubic"):
        raise NotCovered
    cubic = kind == "cubic"
    filtered = _cubic(call.number("cubic_coeff_a", -0.75)) if cubic else _triangle
    cropped = _mode(call) == "tf_crop_and_resize"
    outside = call.number("extrapolation_value", 0.0) if cropped else None
    y, lost = x, np.zeros(x.shape, bool)
    for n, axis in enumerate(axes_of(call)):
        if axis.out == axis.size and axis.scale == 1 and axis.crop == (0.0, 1.0):
            continue
        matrix = _weights(axis, call, filtered, 2 if cubic else 1, outside)
        y = np.moveaxis(np.tensordot(matrix[:, :-1], y, (1, n)), 0, n)
        shape = [-1 if a == n else 1 for a in range(x.ndim)]
        lost = np.take(lost, np.zeros(axis.out, np.int64), n) | (matrix[:, -1] == 1).reshape(shape)
    return [y if outside is None else np.where(lost, outside, y)]


KERNELS: dict[str, Kernel] = {"Resize": _smooth, "Upsample": _smooth}
"""By operator of the standard domain."""
