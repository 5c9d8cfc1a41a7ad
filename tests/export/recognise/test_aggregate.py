"""Windows weighted and summed: involution, local kernels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn


class Predicted(nn.Module):
    """Weights that a convolution predicts, shared in groups; ``kind`` is how they are contracted."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weights = nn.Conv2d(8, 2 * 9, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        weights = self.weights(x).view(b, 2, 1, 9, h, w)
        value = F.unfold(x, 3, padding=1).view(b, 2, c // 2, 9, h, w)
        if self.kind == "sum":
            y = (weights * value).sum(3)
        elif self.kind == "sums":
            y = (weights * value).unflatten(3, (3, 3)).sum(4).sum(3)
        elif self.kind == "softmax":
            y = (weights.softmax(3) * value).sum(3)
        else:
            y = torch.einsum("bgkhw,bgckhw->bgchw", weights.squeeze(2), value)
        return y.reshape(b, c, h, w)


@pytest.mark.parametrize("kind", ["sum", "sums", "softmax", "einsum"])
def test_predicted_weights(kind, see) -> None:
    seen = see(Predicted(kind), dynamic=True)
    assert seen.operators == ["LocalAggregate"]
    assert seen.found == ["LocalAggregate 3x3, 2 heads of 4"]
    assert seen.reasons == []


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda w, v: v.sum(3), "uses them in a way that is not a local product"),
        (lambda w, v: (w[:, :, :, :1] * v).sum(3), "the weights are the same for several places"),
        (lambda w, v: (w * v).sum((2, 3)), "over channels as well as over the window"),
        (lambda w, v: (w * v).amax(3), "is not summed"),
        (lambda w, v: ((w - v) ** 2).sum(3), "a difference is summed over the window"),
        (lambda w, v: (w * (v + torch.arange(9.0).to(v).view(9, 1, 1))).sum(3), "a term is added to the values"),
        (lambda w, v: (w * v.flip(3)).sum(3), "uses them in a way that is not a local product"),
    ],
)
def test_what_is_no_aggregation_is_left_with_a_reason(function, reason, see) -> None:
    def layer(x, q, k, v):
        b, c, h, w = x.shape
        weights = F.pad(q, [0, 0, 0, 0, 0, 10]).view(b, 2, 1, 9, h, w)
        return function(weights, F.unfold(v, 3, padding=1).view(b, 2, c // 2, 9, h, w))

    seen = see(layer)
    assert seen.operators == ["Im2Col"]
    (text,) = seen.reasons
    assert reason in text
