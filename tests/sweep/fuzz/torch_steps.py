"""The steps of random PyTorch modules. A step draws its settings and parameters when it is made; NumPy repeats it where it is simple."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, ...]
Numpy = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Draw:
    """What a step is drawn from: the shape of the value that it gets, and random numbers. ``free``: axis 0 has any size."""

    rng: np.random.Generator
    shape: Shape
    free: bool

    @property
    def rank(self) -> int:
        return len(self.shape)

    def one(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def axis(self) -> int:
        """Any axis but the first; negative now and then."""
        if self.rank < 2:
            raise ValueError("no axis")
        found = int(self.rng.integers(1, self.rank))
        return self.one([found, found - self.rank])

    def weight(self, *shape: int) -> nn.Parameter:
        return nn.Parameter(torch.from_numpy(self.rng.normal(size=shape).astype(np.float32)) / max(shape[-1], 1) ** 0.5)


class Step(nn.Module):
    """A function of one tensor, with the module or parameters that it needs. ``numpy``: the same in NumPy, or None."""

    def __init__(
        self, name: str, function: Callable[..., Tensor], numpy: Numpy | None = None, inner: Any = None
    ) -> None:
        super().__init__()
        self.name, self.function, self.numpy = name, function, numpy
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x) if self.inner is None else self.function(x, self.inner)


def _need(condition: bool) -> None:
    if not condition:
        raise ValueError("does not fit")


def unary(d: Draw) -> Step:
    name, function, numpy = d.one([
        ("relu", F.relu, lambda x: np.maximum(x, 0)), ("tanh", torch.tanh, np.tanh), ("gelu", F.gelu, None),
        ("silu", F.silu, lambda x: x / (1 + np.exp(-x))), ("softplus", F.softplus, None), ("abs", torch.abs, np.abs),
        ("elu", F.elu, lambda x: np.where(x > 0, x, np.expm1(x))), ("hardswish", F.hardswish, None), ("mish", F.mish, None),
        ("sin", torch.sin, np.sin), ("erf", torch.erf, None), ("floor", torch.floor, np.floor), ("sign", torch.sign, np.sign),
        ("square", torch.square, np.square), ("log1p", lambda x: torch.log1p(x.abs()), lambda x: np.log1p(np.abs(x))),
        ("rsqrt", lambda x: torch.rsqrt(x.abs() + 0.3), lambda x: 1 / np.sqrt(np.abs(x) + np.float64(0.3))),
        ("expm1", lambda x: torch.expm1(x.clamp(max=2)), lambda x: np.expm1(np.minimum(x, 2))),
        ("logit", lambda x: torch.logit(x, eps=0.1), None),
        ("round", torch.round, np.rint), ("frac", torch.frac, lambda x: x - np.trunc(x)),
        ("atan2", lambda x: torch.atan2(x, x.abs() + 1), None),
        ("clamp", lambda x: x.clamp(-0.5, 0.7), lambda x: np.clip(x, -0.5, 0.7)), ("trunc", torch.trunc, np.trunc),
        ("hardtanh", F.hardtanh, None),
        ("remainder", lambda x: torch.remainder(x, 0.75), lambda x: np.mod(x, 0.75)), ("sinc", torch.sinc, np.sinc), ("selu", F.selu, None),
        ("fmod", lambda x: torch.fmod(x, 0.75), lambda x: np.fmod(x, 0.75)), ("nan_to_num", torch.nan_to_num, np.nan_to_num),
        ("logsigmoid", F.logsigmoid, None), ("softshrink", F.softshrink, None), ("glu", lambda x: F.glu(torch.cat([x, x], -1)), None),
    ])  # fmt: skip
    return Step(name, function, numpy)


def softmax(d: Draw) -> Step:
    axis = d.axis()
    function, name = d.one([(F.softmax, "softmax"), (F.log_softmax, "log_softmax"), (F.softmin, "softmin")])
    return Step(name, lambda x: function(x, dim=axis))


def linear(d: Draw) -> Step:
    layer = nn.Linear(d.shape[-1], d.one([2, 3, 4, 6]), bias=d.one([True, False]))
    return Step("linear", lambda x, m: m(x), None, layer)


def conv(d: Draw) -> Step:
    _need(d.rank in (3, 4))
    c, n = d.shape[1], d.rank - 2
    kind: Any = {1: nn.Conv1d, 2: nn.Conv2d}[n]
    group = d.one([1, c])
    kernel, stride, dilation = d.one([1, 2, 3]), d.one([1, 1, 2]), d.one([1, 1, 2])
    mode = d.one(["zeros", "zeros", "reflect", "replicate", "circular"])
    padding = d.one([0, 1, 1, "same"]) if stride == 1 else d.one([0, 1])
    _need(padding != "same" or mode == "zeros" or kernel <= min(d.shape[2:]))
    return Step(
        "conv", lambda x, m: m(x), None, kind(c, 2 * c, kernel, stride, padding, dilation, group, padding_mode=mode)
    )


def conv_transpose(d: Draw) -> Step:
    _need(d.rank in (3, 4))
    c = d.shape[1]
    kind: Any = {3: nn.ConvTranspose1d, 4: nn.ConvTranspose2d}[d.rank]
    stride, group = d.one([1, 2]), d.one([1, c])
    layer = kind(c, c, d.one([2, 3]), stride, d.one([0, 1]), d.one([0, stride - 1]), group, dilation=d.one([1, 1, 2]))
    return Step("conv_transpose", lambda x, m: m(x), None, layer)


def norm(d: Draw) -> Step:
    c = d.shape[1] if d.rank > 1 else 0
    found: list[Any] = [nn.LayerNorm(d.shape[-1:])]
    if d.rank == 4:
        found += [nn.BatchNorm2d(c), nn.InstanceNorm2d(c, affine=True), nn.LocalResponseNorm(3)]
    if d.rank >= 3:
        found += [nn.GroupNorm(d.one([1, c]), c)]
    found += [nn.RMSNorm(d.shape[-1:])]
    return Step("norm", lambda x, m: m(x), None, d.one(found))


def normalize(d: Draw) -> Step:
    p, axis = d.one([1.0, 2.0]), d.axis()
    return Step("normalize", lambda x: F.normalize(x, p=p, dim=axis), lambda x: x / np.maximum(
        np.linalg.norm(x, p, axis=axis, keepdims=True), 1e-12))  # fmt: skip


def pool(d: Draw) -> Step:
    _need(d.rank == 4)
    k, s, p = d.one([2, 3]), d.one([1, 2]), d.one([0, 1])
    ceil, counted = d.one([True, False]), d.one([True, False])
    return d.one([
        Step("max_pool2d", lambda x: F.max_pool2d(x, k, s, p, ceil_mode=ceil)),
        Step("max_pool2d dilated", lambda x: F.max_pool2d(x, 2, s, p, 2, ceil_mode=ceil)),
        Step("avg_pool2d", lambda x: F.avg_pool2d(x, k, s, p, ceil_mode=ceil, count_include_pad=counted)),
        Step("lp_pool2d", lambda x: F.lp_pool2d(x.abs() + 0.1, 2.0, k, s, ceil_mode=ceil)),
        Step("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (k, s))),
        Step("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, 1)),
    ])  # fmt: skip


def windows(d: Draw) -> Step:
    """unfold, Tensor.unfold and fold."""
    _need(d.rank == 4)
    h, w = d.shape[2:]
    k, p, s, t = d.one([2, 3]), d.one([0, 1]), d.one([1, 2]), d.one([1, 1, 2])
    size = (h, w)
    return d.one([
        Step("unfold", lambda x: F.unfold(x, k, t, p, s)),
        Step("fold", lambda x: F.fold(F.unfold(x, k, t, p, s), size, k, t, p, s)),
        Step("Tensor.unfold", lambda x: x.unfold(2, 2, s).unfold(3, 2, 1)[:, :, :, :, 0]),
        Step("local mean", lambda x: F.unfold(x, 3, padding=1).view(x.shape[0], x.shape[1], 9, h, w).mean(2)),
    ])  # fmt: skip


def local_attention(d: Draw) -> Step:
    """Each pixel attends to its neighbourhood."""
    _need(d.rank == 4)
    h, w = d.shape[2:]
    c, k = d.shape[1], d.one([3, 3, 5])

    def function(x: Tensor, m: Any) -> Tensor:
        q, key, v = m(x).chunk(3, 1)
        near = [F.unfold(y, k, padding=k // 2).view(x.shape[0], c, k * k, h, w) for y in (key, v)]
        weights = (q.unsqueeze(2) * near[0]).sum(1, keepdim=True).mul(c**-0.5).softmax(2)
        return (weights * near[1]).sum(2)

    return Step("local attention", function, None, nn.Conv2d(c, 3 * c, 1))


def attention(d: Draw) -> Step:
    _need(d.rank == 3)
    wide = d.shape[2]
    causal = d.one([True, False])
    if d.one([True, False]):
        heads = 2 if wide % 2 == 0 else 1
        layer = nn.MultiheadAttention(wide, heads, batch_first=True)
        return Step("MultiheadAttention", lambda x, m: m(x, x, x, need_weights=False)[0], None, layer)

    def function(x: Tensor, m: Any) -> Tensor:
        q, k, v = m(x).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    return Step("sdpa", function, None, nn.Linear(wide, 3 * wide))


def sample(d: Draw) -> Step:
    _need(d.rank == 4)
    mode, pad, corners = (
        d.one(["bilinear", "nearest", "bicubic"]),
        d.one(["zeros", "border", "reflection"]),
        d.one([True, False]),
    )
    theta = torch.from_numpy(d.rng.normal(size=(1, 2, 3)).astype(np.float32)) * 0.3 + torch.eye(2, 3)
    shift = d.weight(1, 3, 4, 2)

    def affine(x: Tensor, m: nn.ParameterList) -> Tensor:
        grid = F.affine_grid(m[0].expand(x.shape[0], 2, 3), list(x.shape), align_corners=corners)
        return F.grid_sample(x, grid, mode, pad, corners)

    def direct(x: Tensor, m: nn.ParameterList) -> Tensor:
        return F.grid_sample(x, torch.tanh(m[0].expand(x.shape[0], 3, 4, 2)) * 1.3, mode, pad, corners)

    return d.one([
        Step(f"affine_grid {mode}", affine, None, nn.ParameterList([nn.Parameter(theta)])),
        Step(f"grid_sample {mode}", direct, None, nn.ParameterList([shift])),
    ])  # fmt: skip


def resize(d: Draw) -> Step:
    _need(d.rank == 4)
    h, w = d.shape[2:]
    mode = d.one(["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
    named: dict[str, Any] = {} if mode.startswith("n") or mode == "area" else {"align_corners": d.one([True, False])}
    if named and not named["align_corners"] and d.one([True, False, False]):
        named["antialias"] = True
    if d.one([True, False]):
        size = (d.one([h, 2 * h, h + 1, max(h // 2, 1)]), d.one([w, 3 * w, w + 2, max(w - 1, 1)]))
        return Step(f"interpolate {mode}", lambda x: F.interpolate(x, size=size, mode=mode, **named))
    factor = d.one([2.0, 0.5, 1.5, 1.7])
    return Step(f"interpolate {mode} by a factor", lambda x: F.interpolate(x, scale_factor=factor, mode=mode, **named))
