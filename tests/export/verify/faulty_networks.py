"""The networks into which faults are planted: small ones with every kind of output that a verdict is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx
import torch
from onnx import parser
from torch import Tensor, nn
from torch.nn import functional as F


class Classes(nn.Module):
    """Logits of 1000 classes, and the features before them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.down = nn.Conv2d(16, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16 * 4, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = F.leaky_relu(self.stem(x), 0.1)
        y = F.silu(self.down(y)) + F.max_pool2d(y, 2)
        return self.head(y.mean(3).flatten(1)), y


class Heads(nn.Module):
    """Attention of 4 heads with a mask, then a layer norm; two outputs of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)
        self.mlp = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.qkv(x).unflatten(2, (3, 4, 4)).permute(2, 0, 3, 1, 4)
        causal = torch.ones(12, 12, dtype=torch.bool).tril()
        weights = ((q * 0.5) @ k.transpose(2, 3)).masked_fill(~causal, -1e4).softmax(3)
        y = self.norm(x + self.out((weights @ v).transpose(1, 2).flatten(2)))
        return y, torch.tanh(self.mlp(y)) * y.amax(2, keepdim=True)


class Choices(nn.Module):
    """The best 8 of 64 scores, labels and a mask."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        score, index = x.topk(8)
        rows = x.reshape(-1, 8, 8)
        return score, index, rows.argmax(1), rows > 0.5


class Maps(nn.Module):
    """A warped image, a resized one, a recurrence over its rows, and a padded difference."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(10, 6, batch_first=True, bidirectional=True)
        grid = F.affine_grid(torch.tensor([[[0.9, 0.2, 0.1], [-0.1, 1.1, 0.0]]]), [1, 1, 7, 9], align_corners=False)
        self.register_buffer("grid", grid)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        warped = F.grid_sample(x, self.grid.expand(len(x), 7, 9, 2), align_corners=False, padding_mode="border")
        large = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        states, _ = self.rnn(x[:, 0])
        edges = (F.pad(x, (1, 1, 1, 1), mode="reflect")[..., 2:, 1:-1] - x).cumsum(2)
        return warped, large, states, edges, x.amax((2, 3)) - x.std((2, 3))


def boxes() -> onnx.ModelProto:
    """The boxes and scores that a non-maximum suppression selects: PyTorch has no operator for it."""
    return parser.parse_model("""<ir_version: 10, opset_import: ["" : 18]>
        net (float[1, 60, 4] boxes, float[1, 1, 60] scores) => (float[kept, 4] corners, float[kept, 1] confidence)
        <int64[1] most = {50}, float overlap = {0.4}, float least = {0.3},
         int64[1] last = {-1}, int64[2] flat = {-1, 4}, int64[2] column = {-1, 1}>
        { sizes = Sigmoid (boxes)
          picked = NonMaxSuppression <center_point_box = 1> (sizes, scores, most, overlap, least)
          places = Gather <axis = 1> (picked, last)
          rows = Reshape (places, last)
          list = Reshape (sizes, flat)
          corners = Gather <axis = 0> (list, rows)
          values = Reshape (scores, column)
          confidence = Gather <axis = 0> (values, rows) }""")


@dataclass(frozen=True)
class Network:
    """``inputs``: shapes by name, without the batch unless ``batches`` is None; ``batches``: min, opt and max of axis 0."""

    make: Callable[[], nn.Module | onnx.ModelProto]
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    batches: tuple[int, int, int] | None = (1, 2, 3)
    half: bool = False


NETWORKS = {
    "classes": Network(Classes, {"x": (3, 8, 8)}, ("logits", "features"), half=True),
    "heads": Network(Heads, {"x": (12, 16)}, ("y", "gated"), half=True),
    "choices": Network(Choices, {"x": (64,)}, ("score", "index", "label", "mask")),
    "boxes": Network(boxes, {"boxes": (1, 60, 4), "scores": (1, 1, 60)}, ("corners", "confidence"), None),
    "maps": Network(Maps, {"x": (4, 10, 10)}, ("warped", "large", "states", "edges", "range")),
}
