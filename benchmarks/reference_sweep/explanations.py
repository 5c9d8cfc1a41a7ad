"""Why ONNX Runtime and the reference differ, by name. Each explanation computes what is right by a formula of its own.

A case counts as explained only when the reference equals that formula.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper

from attnexport.benchmarks.reference_sweep.runs import run_onnxruntime
from attnexport.benchmarks.reference_sweep.trial import Key, Trial

Right = Callable[[Trial, list[Any]], list[Any]]
"""From the trial and ONNX Runtime's outputs to the right outputs."""


@dataclass(frozen=True)
class Explanation:
    """``pattern`` is found in "operator opset attributes | inputs | test". ``epsilon``: where both sides round more coarsely than FP32."""

    name: str
    text: str
    pattern: str
    right: Right
    epsilon: float = 0.0


def explanations(key: Key) -> Iterator[Explanation]:
    """Those whose pattern the case has."""
    text = f"{key.operator} {key.opset} {key.attributes} | {key.inputs} | {key.test}"
    return (explanation for explanation in EXPLANATIONS if re.search(explanation.pattern, text))


def _attributes(trial: Trial) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in trial.model.graph.node[0].attribute}


def _feeds(trial: Trial) -> list[np.ndarray]:
    return list(trial.feeds.values())


def _same_pool(trial: Trial, results: list[Any]) -> list[Any]:
    """SAME_UPPER by the standard: outputs = ceil(input / stride), the padding counts the dilated window; the pool is PyTorch's."""
    attributes, x = _attributes(trial), _feeds(trial)[0]
    strides, dilations, kernel = (attributes[name] for name in ("strides", "dilations", "kernel_shape"))
    pads: list[tuple[int, int]] = []
    for size, stride, dilation, width in zip(x.shape[2:], strides, dilations, kernel, strict=True):
        amount = max(0, (-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size)
        pads.append((amount // 2, amount - amount // 2))
    windows = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *pads], constant_values=np.nan)
    for axis, (stride, dilation, width) in enumerate(zip(strides, dilations, kernel, strict=True), start=2):
        windows = np.lib.stride_tricks.sliding_window_view(windows, (width - 1) * dilation + 1, axis=axis)
        windows = np.take(windows, range(0, windows.shape[axis], stride), axis=axis)[..., ::dilation]
    axes = tuple(range(-len(kernel), 0))
    operator = trial.key.operator
    if operator == "MaxPool":
        return [np.nanmax(windows, axis=axes)]
    if operator == "AveragePool":
        return [
            np.nan_to_num(windows).mean(axis=axes)
            if attributes.get("count_include_pad")
            else np.nanmean(windows, axis=axes)
        ]
    p = attributes.get("p", 2)
    return [np.nansum(np.abs(windows) ** p, axis=axes) ** (1 / p)]


def _unpooled(trial: Trial, results: list[Any]) -> list[Any]:
    """The indices count in the tensor that MaxPool read, which the kernel, strides and pads give; the output may be larger."""
    attributes = _attributes(trial)
    x, indices, shape = _feeds(trial)
    inner = [
        *x.shape[:2],
        *(
            (n - 1) * s + k
            for n, s, k in zip(x.shape[2:], attributes["strides"], attributes["kernel_shape"], strict=True)
        ),
    ]
    small = np.zeros(inner)
    small.reshape(-1)[indices.reshape(-1)] = x.reshape(-1)
    out = np.zeros(shape)
    out[tuple(slice(0, size) for size in inner)] = small
    return [out]


def _grid(trial: Trial, results: list[Any]) -> list[Any]:
    attributes = _attributes(trial)
    image, grid = (torch.from_numpy(array).double() for array in _feeds(trial))
    mode = {b"linear": "bilinear", b"cubic": "bicubic"}.get(attributes["mode"], attributes["mode"].decode())
    sampled = F.grid_sample(image, grid, mode, attributes["padding_mode"].decode(), bool(attributes["align_corners"]))
    return [sampled.numpy()]


def _masked(trial: Trial, results: list[Any]) -> list[Any]:
    """What ONNX Runtime masks with the lowest float is minus infinity."""
    return [np.where(np.asarray(result) <= np.finfo(np.float32).min, -np.inf, result) for result in results]


def _extremum(trial: Trial, results: list[Any]) -> list[Any]:
    x = _feeds(trial)[0]
    return [(np.max if trial.key.operator == "ReduceMax" else np.min)(x, axis=1, keepdims=True)]


def _max_pool(trial: Trial, results: list[Any]) -> list[Any]:
    x = torch.from_numpy(_feeds(trial)[0]).double()
    values, places = F.max_pool2d(x, _attributes(trial)["kernel_shape"], 1, return_indices=True)
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1) * (x.shape[2] * x.shape[3])
    return [values.numpy(), places.numpy() + planes]


def _align_corners(trial: Trial, results: list[Any]) -> list[Any]:
    """PyTorch, whose last pixel is the image's last pixel, for the size that the test has."""
    mode = {b"linear": "bilinear", b"cubic": "bicubic"}[_attributes(trial)["mode"]]
    size = np.asarray((trial.expected or results)[0]).shape[2:]
    return [
        F.interpolate(torch.from_numpy(_feeds(trial)[0]).double(), size=size, mode=mode, align_corners=True).numpy()
    ]


def _counted_axes(trial: Trial, results: list[Any]) -> list[Any]:
    """ONNX Runtime itself, with the same axes counted from the front."""
    model = onnx.ModelProto()
    model.CopyFrom(trial.model)
    rank = _feeds(trial)[0].ndim
    for attribute in model.graph.node[0].attribute:
        if attribute.name == "axes":
            attribute.ints[:] = [axis % rank for axis in attribute.ints]
    return run_onnxruntime(replace(trial, model=model))


EXPLANATIONS = (
    Explanation(
        "same-with-dilation",
        "onnxruntime: pools with auto_pad SAME leave the dilation out of the padding and return fewer windows than ceil(input / stride)",
        r"^\w+Pool .*auto_pad=SAME_UPPER .*dilations=2",
        _same_pool,
    ),
    Explanation(
        "unpool-output-shape",
        "onnxruntime: MaxUnpool counts its indices in output_shape; onnx's test counts them in the tensor that MaxPool read",
        r"^MaxUnpool .*(i64\[4\]|i64\{1,1,5,5\})",
        _unpooled,
    ),
    Explanation(
        "grid-nearest-reflection",
        "onnxruntime: GridSample rounds before it reflects; PyTorch reflects first and picks another pixel at halves outside the image",
        r"^GridSample .*mode=nearest padding_mode=reflection",
        _grid,
    ),
    Explanation(
        "resize-policy-axes",
        "onnxruntime: Resize with axes below 0 and a keep_aspect_ratio_policy leaves the size as it is",
        r"^Resize .*axes=-\d.* keep_aspect_ratio_policy=not_",
        _counted_axes,
    ),
    Explanation(
        "align-corners-scale",
        "onnx: two tests expect align_corners with the fractional size length * scale; the text says the length of the resized tensor",
        r"test_resize_downsample_scales_(linear|cubic)_align_corners$",
        _align_corners,
    ),
    Explanation(
        "max-pool-nan",
        "onnxruntime: MaxPool returns or drops NaN by its place in the window; PyTorch returns it, and the standard is silent",
        r"^MaxPool .*~edges",
        _max_pool,
    ),
    Explanation(
        "attention-mask-lowest",
        "onnxruntime: Attention writes the lowest float into qk_matmul_output where the causal mask is minus infinity",
        r"^Attention .*is_causal=1 qk_matmul_output_mode=2",
        _masked,
    ),
    Explanation(
        "reduce-nan",
        "onnxruntime: ReduceMax and ReduceMin drop NaN, which NumPy and PyTorch return; the standard is silent",
        r"^Reduce(Max|Min) .*~edges",
        _extremum,
    ),
    Explanation(
        "reduce-mean-empty",
        "spec: the mean of no elements is undefined; ONNX Runtime returns 0, the reference 0 / 0",
        r"^ReduceMean .*f32\[2,0,3\]",
        lambda trial, results: [np.full_like(results[0], np.nan)],
    ),
    Explanation(
        "dropout-mask",
        "spec: the mask of Dropout at inference is undefined before opset 12; ONNX Runtime returns zeros, the reference ones",
        r"^Dropout (7|10) .*> 2",
        lambda trial, results: [results[0], np.ones_like(results[1])],
    ),
    Explanation(
        "fp32-constants",
        "onnxruntime: the FP64 kernels of windows and of Shrink compute with FP32 constants",
        r"^(HammingWindow|BlackmanWindow|HannWindow|Shrink) ",
        lambda trial, results: results,
        2.0**-23,
    ),
)
