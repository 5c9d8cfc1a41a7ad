"""PyTorch's 8-bit model, whose error is the measure: the FP32 original with weights and inputs of its layers rounded to 8 bits.

    x' = fake_quantize_per_tensor(x, absmax(x) / 127)        W' = fake_quantize_per_channel(W, absmax(W_c) / 127)

This applies to each product of data with a parameter (Linear, Conv, ``x @ parameter``, the projections of MultiheadAttention).
A product is found where PyTorch dispatches it, so the module or function does not matter. FP8 rounds to E4M3 with a
scale of absmax / 448. The ranges are the largest magnitudes over the calibration samples. The other operators compute in
FP32, and PyTorch's FP16 error is added, because they are FP16 in an exported model:

    result = eight(x) + (half(x) - single(x))

For an ONNX source, the same is done to its graph.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...errors import StageError
from ...runtime.sessions.large_model import open_model
from ..reference.onnx_model import OnnxOriginal
from ..reference.original import Arrays, Original
from ..reference.torch_model import TorchOriginal
from .calibrate import ranges
from .formats import FP8, INT8, Format
from .layers import find_layers, quantisable
from .pairs import with_pairs

Evaluate = Callable[[Arrays], dict[str, np.ndarray]]

_ATEN = torch.ops.aten
# The positions of data and weight in the arguments, and the weight's axis of output channels.
_PRODUCTS: dict[Any, tuple[int, int, int]] = {
    _ATEN.mm.default: (0, 1, 1),
    _ATEN.addmm.default: (1, 2, 1),
    _ATEN.linear.default: (0, 1, 0),
    _ATEN.convolution.default: (0, 1, 0),
}
_TRANSPOSED = 6  # argument of aten.convolution; the exported model does not quantise such a layer either
_LEAST = 1e-12


def torch_eight_bits(
    original: Original, kind: Format, calibration: Sequence[Arrays], skipped: Collection[str] = ()
) -> Evaluate:
    """Return PyTorch's 8-bit model as a function of the feeds. ``skipped``: parameters (initializers) that stay FP32.

    Raises StageError if the model cannot be evaluated on the calibration samples.
    """
    eight: Evaluate
    if isinstance(original, TorchOriginal):
        eight = _Torch(original, kind, calibration, frozenset(skipped))
    elif isinstance(original, OnnxOriginal):
        eight = _onnx(original.model, kind, calibration, frozenset(skipped))
    else:
        raise StageError("verify", f"{type(original).__name__} has no 8-bit form")
    return lambda feeds: _with_half(eight(feeds), original.run(feeds, "float32"), original.run(feeds, "float16"))


def _with_half(eight: Arrays, single: Arrays, half: Arrays) -> dict[str, np.ndarray]:
    """Add the FP16 error of the other operators to the 8-bit result: both are small, so they add up."""
    outputs = {}
    for name, value in eight.items():
        outputs[name] = value
        if value.dtype.kind == "f":
            noise = half[name].astype(np.float64) - single[name]
            outputs[name] = (value + noise).astype(value.dtype) if np.isfinite(noise).all() else value
    return outputs


class _Torch:
    """See :func:`torch_eight_bits`."""

    def __init__(
        self, original: TorchOriginal, kind: Format, calibration: Sequence[Arrays], skipped: frozenset[str]
    ) -> None:
        self._original, self._kind = original, kind
        self._names = {
            tensor.untyped_storage().data_ptr(): name
            for name, tensor in original.parameters().items()
            if name not in skipped and tensor.is_floating_point()
        }
        self._ranges: dict[_Place, float] = {}
        self._weights: dict[_Place, torch.Tensor] = {}
        watch = _Watch(self._names, self._measure)
        for feeds in calibration:
            with _plain_attention(), watch:
                original.run(feeds, "float32")

    def __call__(self, feeds: Arrays) -> dict[str, np.ndarray]:
        with _plain_attention(), _Watch(self._names, self._round):
            return self._original.run(feeds, "float32")

    def _measure(
        self, place: "_Place", data: torch.Tensor, weight: torch.Tensor, _: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if data.numel():
            self._ranges[place] = max(self._ranges.get(place, 0.0), float(data.abs().max()))
        return data, weight

    def _round(
        self, place: "_Place", data: torch.Tensor, weight: torch.Tensor, axis: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if place not in self._weights:
            absmax = weight.detach().abs().amax(dim=[i for i in range(weight.ndim) if i != axis])
            self._weights[place] = _rounded(weight.detach(), absmax, self._kind, axis)
        absmax = torch.tensor(self._ranges.get(place, 0.0))
        return _rounded(data, absmax, self._kind, None), self._weights[place]


@dataclass(frozen=True)
class _Place:
    """A parameter, or the part of it that a product uses: the projections of an attention may share a parameter."""

    name: str
    offset: int
    shape: tuple[int, ...]


class _Watch(TorchDispatchMode):
    """Pass the operands of each product of data with a parameter through ``change``."""

    def __init__(
        self,
        names: Mapping[int, str],
        change: Callable[[_Place, torch.Tensor, torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self._named, self._change = names, change

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        known = _PRODUCTS.get(func)
        if known is not None and not (func is _ATEN.convolution.default and args[_TRANSPOSED]):
            data, weight, axis = known
            name = self._named.get(args[weight].untyped_storage().data_ptr())
            if name is not None and args[data].is_floating_point():
                place = _Place(name, args[weight].storage_offset(), tuple(args[weight].shape))
                changed = list(args)
                changed[data], changed[weight] = self._change(place, args[data], args[weight], axis)
                args = tuple(changed)
        return func(*args, **(kwargs or {}))


def _rounded(value: torch.Tensor, absmax: torch.Tensor, kind: Format, axis: int | None) -> torch.Tensor:
    scale = (absmax.float() / kind.largest).clamp_min(_LEAST)
    if kind is FP8:
        shape = [1] * value.ndim
        if axis is not None:
            shape[axis] = -1
        spread = scale.reshape(shape) if axis is not None else scale
        held = (value / spread).clamp(-kind.largest, kind.largest)
        return held.to(torch.float8_e4m3fn).to(value.dtype) * spread
    assert kind is INT8
    limit = int(kind.largest)
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(value, scale, torch.tensor(0), -limit - 1, limit)
    zero = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(value, scale, zero, axis, -limit, limit)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Disable the fused kernels of nn.MultiheadAttention, which hide their products."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _onnx(model: onnx.ModelProto, kind: Format, calibration: Sequence[Arrays], skipped: frozenset[str]) -> Evaluate:
    """The 8-bit form of an ONNX graph."""
    index = quantisable(model)
    layers = [layer for layer in find_layers(index, {})[0] if layer.weight not in skipped]
    limits = ranges(index.model, [layer.data for layer in layers], calibration, "minmax")
    return open_model(with_pairs(index, layers, limits, kind), optimize=False).run
