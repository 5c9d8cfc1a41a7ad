"""Outlook attention: windows mixed by weights for each pair of places, and folded back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.lower import lower
from attnexport.export.stages.rewrite import find_windows
from attnexport.export.targets import target_names
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec


class Outlook(nn.Module):
    """``mix(weights (n, h, p, o, t), windows (n, h, p, t, d))`` of two heads, folded by ``fold(columns, height, width)``."""

    def __init__(self, stride: int = 1, *, mix=None, fold=None, pad: int = 0) -> None:
        super().__init__()
        self.stride, self.pad = stride, pad
        self.mix = mix or torch.matmul
        self.fold = fold or (lambda y, h, w: F.fold(y, (h, w), 3, padding=1, stride=stride))
        self.weights = nn.Conv2d(8, 2 * 81, 1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        padded = F.pad(x, [self.pad] * 4)
        windows = F.unfold(padded, 3, padding=1 - self.pad, stride=self.stride)
        windows = windows.view(b, 2, c // 2, 9, -1).permute(0, 1, 4, 3, 2)
        weights = self.weights(x).view(b, 2, 9, 9, -1).permute(0, 1, 4, 2, 3).softmax(-1)
        y = self.mix(weights, windows).permute(0, 1, 4, 3, 2).reshape(b, c * 9, -1)
        return self.fold(y, h, w)


class Volo(nn.Module):
    """The authors' layer: channels last, weights predicted from pooled pixels, odd sizes pooled with ceil."""

    def __init__(self, channels: int = 12, heads: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.heads, self.stride, self.scale = heads, stride, (channels // heads) ** -0.5
        self.v, self.proj = nn.Linear(channels, channels, bias=False), nn.Linear(channels, channels)
        self.attn = nn.Linear(channels, 81 * heads)
        self.unfold = nn.Unfold(3, padding=1, stride=stride)
        self.pool = nn.AvgPool2d(stride, stride=stride, ceil_mode=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = image.permute(0, 2, 3, 1)
        b, h, w, c = x.shape
        v = self.v(x).permute(0, 3, 1, 2)
        rows, columns = math.ceil(h / self.stride), math.ceil(w / self.stride)
        v = self.unfold(v).reshape(b, self.heads, c // self.heads, 9, rows * columns).permute(0, 1, 4, 3, 2)
        attn = self.pool(image).permute(0, 2, 3, 1)
        attn = self.attn(attn).reshape(b, rows * columns, self.heads, 9, 9).permute(0, 2, 1, 3, 4)
        attn = (attn * self.scale).softmax(dim=-1)
        x = (attn @ v).permute(0, 1, 4, 3, 2).reshape(b, c * 9, rows * columns)
        x = F.fold(x, output_size=(h, w), kernel_size=3, padding=1, stride=self.stride)
        return self.proj(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("stride", "dynamic"), [(1, True), (2, True), (3, False)])
def test_mixed_and_folded_back(stride, dynamic, see) -> None:
    seen = see(Outlook(stride), (2, 8, 8, 6), dynamic=dynamic)
    assert seen.operators == ["LocalOutlook"]
    assert seen.found == ["LocalOutlook 3x3, 2 heads of 4" + (f", stride {stride}" if stride > 1 else "")]
    assert seen.reasons == []
    assert seen.attributes("LocalOutlook") == {
        "kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [stride] * 2,
    }  # fmt: skip


@pytest.mark.parametrize("stride", [1, 2])
def test_volo_from_torch_to_onnx_runtime(stride) -> None:
    """Captured with a free batch, recognised, lowered: nothing of windows or folds is left, and it computes what torch does."""
    torch.manual_seed(0)
    module, specs = (
        Volo(stride=stride).eval(),
        (TensorSpec("x", "float32", (Axis(1, 2, 8, "n"), *map(Axis.fixed, (12, 7, 6)))),),
    )
    captured = to_onnx(export_program(module, specs, [torch.randn(2, 12, 7, 6)]), specs, ["y"]).model
    found = find_windows(captured)
    (entry,) = found.found
    assert entry.description == "LocalOutlook 3x3, 3 heads of 4" + (", stride 2" if stride > 1 else "")
    assert set(entry.consumed) >= {"unfold/Im2Col", "root/MatMul", "root/Col2Im"}
    assert found.refused == []
    result = lower(found.model, target_names())
    assert [applied.op for applied in result.applied] == ["LocalOutlook"]
    assert not {node.op_type for node in result.model.graph.node} & {"Gather", "GatherND", "Col2Im", "ScatterND"}
    session = OrtSession(result.model.SerializeToString())
    for batch in (1, 3):
        x = torch.randn(batch, 12, 7, 6)
        with torch.no_grad():
            expected = module.double()(x.double()).numpy()
        np.testing.assert_allclose(session.run({"x": x.numpy()})["y"], expected, rtol=0, atol=1e-5)


def taken_apart(weights: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """The written places as rows and columns."""
    return torch.einsum("nhpijt,nhptd->nhpijd", weights.unflatten(3, (3, 3)), windows).flatten(3, 4)


@pytest.mark.parametrize(
    "layer",
    [
        Outlook(mix=lambda a, v: torch.einsum("nhpot,nhptd->nhpod", a, v)),
        Outlook(mix=lambda a, v: (a.unsqueeze(-1) * v.unsqueeze(3)).sum(4)),
        Outlook(mix=taken_apart),
        Outlook(2, pad=1),
    ],
    ids=["einsum", "mul sum", "places by row and column", "padded before"],
)
def test_spellings(layer, see) -> None:
    seen = see(layer, (2, 8, 8, 6))
    assert seen.operators == ["LocalOutlook"]
    assert seen.attributes("LocalOutlook")["pads"] == [1, 1, 1, 1]


def test_a_fold_to_the_padded_image_gets_its_zeros(see) -> None:
    seen = see(Outlook(pad=1, fold=lambda y, h, w: F.fold(y, (h + 2, w + 2), 3)), (2, 8, 8, 6))
    assert seen.operators == ["LocalOutlook"]
    assert seen.attributes("LocalOutlook")["pads"] == [0, 0, 0, 0]


def own_values(x, q, k, v):
    """A head of its own for each place: 8 channels are 4 places of 2."""
    weights = q.view(2, 4, 2, 8, 6)[:, :, :1]
    weights = torch.stack([weights, weights * 2, weights * 3, weights * 4], 3)
    y = (weights * F.unfold(F.pad(v, [0, 1, 0, 1]), 2).view(2, 4, 2, 4, 8, 6)).sum(3)
    return F.fold(y.transpose(1, 2).reshape(2, 8, -1), (9, 7), 2)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Outlook(fold=lambda y, h, w: F.fold(y, (h, w), 3, dilation=2, padding=2)), "with dilation"),
        (Outlook(fold=lambda y, h, w: F.fold(y, (2 * h, 2 * w), 3, padding=1, stride=2)), "with stride"),
        (Outlook(fold=lambda y, h, w: F.fold(y, (h - 2, w - 2), 3, padding=2)), "padded by 1, do not fold to 6 and 2"),
        (
            Outlook(fold=lambda y, h, w: F.fold(y, (h, w), 3, padding=1) + y.sum((1, 2), True)[..., None]),
            "used elsewhere",
        ),
        (Outlook(fold=lambda y, h, w: F.fold(y.flip(1), (h, w), 3, padding=1)), None),
        (
            Outlook(
                fold=lambda y, h, w: F.fold(y.unflatten(1, (8, 9)).transpose(1, 2).flatten(1, 2), (h, w), 3, padding=1)
            ),
            "the places that are folded are not heads that share their values",
        ),
        (
            Outlook(
                fold=lambda y, h, w: F.fold(y.unflatten(2, (h, w)).transpose(2, 3).flatten(2), (w, h), 3, padding=1)
            ),
            "not that of the positions",
        ),
        (own_values, "its heads do not share their values"),
    ],
    ids=["dilation", "stride", "cut off", "used", "arithmetic between", "order", "turned", "own values"],
)
def test_what_folds_otherwise_is_left_with_a_reason(layer, reason, see) -> None:
    seen = see(layer, (2, 8, 8, 6))
    assert seen.operators == ["LocalAggregate", "Col2Im"]
    if reason is None:
        assert seen.reasons == []
    else:
        (text,) = seen.reasons
        assert text.startswith("it folds what ") and reason in text
