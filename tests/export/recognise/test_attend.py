"""Softmax attention over windows is found whole, however it is spelled, and computes the same."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attnexport.models.attention.local_relation import LocalRelation
from attnexport.models.attention.stand_alone import StandAloneAttention


def unfold_mul_sum(x, q, k, v):
    b, c, h, w = x.shape
    k, v = (F.unfold(t, 3, padding=1).view(b, 2, c // 2, 9, h * w) for t in (k, v))
    weights = ((q.view(b, 2, c // 2, 1, h * w) * k).sum(2) * 0.5).softmax(2)
    return (weights.unsqueeze(2) * v).sum(3).view(b, c, h, w)


def einsum(x, q, k, v):
    b, c, h, w = x.shape
    k, v = (F.unfold(t, 3, padding=1).view(b, 2, c // 2, 9, h * w) for t in (k, v))
    weights = torch.einsum("bhdl,bhdkl->bhkl", q.view(b, 2, c // 2, h * w), k).div(2).softmax(2)
    return torch.einsum("...kl,...dkl->...dl", weights, v).reshape(b, c, h, w)


def matmul_rows(x, q, k, v):
    b, c, h, w = x.shape
    k, v = (F.unfold(t, 3, padding=1).reshape(b, 2, c // 2, 9, h * w) for t in (k, v))
    q = q.reshape(b, 2, c // 2, h * w).permute(0, 1, 3, 2).unsqueeze(3) * 0.5
    weights = (q @ k.permute(0, 1, 4, 2, 3)).softmax(-1)
    return (weights @ v.permute(0, 1, 4, 3, 2)).squeeze(3).permute(0, 1, 3, 2).reshape(b, c, h, w)


def tensor_unfold(x, q, k, v):
    b, c, h, w = x.shape
    k, v = (F.pad(t, [1] * 4).unfold(2, 3, 1).unfold(3, 3, 1).reshape(b, 2, c // 2, h, w, 3, 3) for t in (k, v))
    weights = torch.einsum("bhdyx,bhdyxij->bhyxij", q.view(b, 2, c // 2, h, w), k).flatten(-2).mul(0.5).softmax(-1)
    return torch.einsum("bhyxk,bhdyxk->bhdyx", weights, v.flatten(-2)).reshape(b, c, h, w)


def width_before_height(x, q, k, v):
    b, c, h, w = x.shape
    k, v = (F.pad(t, [1] * 4).unfold(3, 3, 1).unfold(2, 3, 1).reshape(b, 2, c // 2, h, w, 9) for t in (k, v))
    weights = (q.view(b, 2, c // 2, h, w, 1) * k).sum(2).mul(0.5).softmax(-1)
    return (weights.unsqueeze(2) * v).sum(-1).reshape(b, c, h, w)


def channels_last(x, q, k, v):
    c = x.shape[1]
    q, k, v = (t.permute(0, 2, 3, 1) for t in (q, k, v))
    k, v = (F.pad(t, [0, 0, 1, 1, 1, 1]).unfold(1, 3, 1).unfold(2, 3, 1).flatten(-2) for t in (k, v))
    k, v = (t.unflatten(3, (2, c // 2)) for t in (k, v))
    weights = (q.unflatten(3, (2, c // 2)).unsqueeze(-1) * k * 0.5).sum(4).softmax(-1)
    return torch.einsum("byxhk,byxhdk->byxhd", weights, v).flatten(3).permute(0, 3, 1, 2)


def heads_in_the_batch(x, q, k, v):
    b, c, h, w = x.shape
    q, k, v = (t.reshape(b * 2, c // 2, h, w) for t in (q, k, v))
    k, v = (F.unfold(t, 3, padding=1).reshape(b * 2, c // 2, 9, h * w) for t in (k, v))
    weights = (q.reshape(b * 2, c // 2, 1, h * w) * k).sum(1, keepdim=True).mul(0.5).softmax(2)
    return (weights * v).sum(2).view(b, c, h, w)


def places_in_the_batch(x, q, k, v):
    b, c, h, w = x.shape
    k, v = (F.unfold(t, 3, padding=1).view(b, 2, c // 2, 9, h * w) for t in (k, v))
    rows = k.permute(0, 4, 1, 2, 3).reshape(b * h * w * 2, c // 2, 9)
    q = q.view(b, 2, c // 2, h * w).permute(0, 3, 1, 2).reshape(b * h * w * 2, 1, c // 2)
    weights = (torch.bmm(q, rows) * 0.5).softmax(2)
    y = torch.bmm(weights, v.permute(0, 4, 1, 3, 2).reshape(b * h * w * 2, 9, c // 2))
    return y.reshape(b, h * w, c).transpose(1, 2).reshape(b, c, h, w)


def one_unfold_for_both(x, q, k, v):
    b, c, h, w = x.shape
    both = F.unfold(torch.cat((k, v), 1), 3, padding=1).view(b, 2, 2, c // 2, 9, h * w)
    k, v = both.unbind(1)
    weights = ((q.view(b, 2, c // 2, 1, h * w) * k).sum(2) * 0.5).softmax(2)
    return (weights.unsqueeze(2) * v).sum(3).view(b, c, h, w)


SPELLINGS = [
    unfold_mul_sum, einsum, matmul_rows, tensor_unfold, width_before_height, channels_last, heads_in_the_batch,
    places_in_the_batch, one_unfold_for_both,
]  # fmt: skip


@pytest.mark.parametrize(
    ("spelling", "dynamic"), [*((spelling, True) for spelling in SPELLINGS), (unfold_mul_sum, False), (einsum, False)]
)
def test_every_spelling_is_one_attention(spelling, dynamic, see) -> None:
    seen = see(spelling, dynamic=dynamic)
    assert seen.operators == ["LocalAttention"]
    assert seen.reasons == []
    attributes = seen.attributes("LocalAttention")
    assert attributes.pop("scale") == (1.0 if spelling is matmul_rows else 0.5)  # it scales the query
    assert attributes == {
        "kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1], "compose": b"product",
    }  # fmt: skip
    heads = "1 head" if spelling is heads_in_the_batch else "2 heads"
    assert seen.found == [f"LocalAttention 3x3, {heads} of 4"]


@pytest.mark.parametrize(("kernel", "dilation", "stride"), [(3, 1, 2), (3, 2, 1), (4, 1, 1), (13, 1, 1), (3, 2, 2)])
def test_geometry(kernel, dilation, stride, see) -> None:
    pad = dilation * (kernel // 2)
    window = {"kernel_size": kernel, "dilation": dilation, "padding": pad, "stride": stride}

    def layer(x, q, k, v):
        b, c = x.shape[:2]
        count = [(size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for size in x.shape[2:]]
        k, v = (F.unfold(t, **window).view(b, 2, c // 2, kernel**2, -1) for t in (k, v))
        q = F.pad(q, [0, kernel % 2 == 0] * 2)[:, :, ::stride, ::stride]
        weights = (q.reshape(b, 2, c // 2, 1, -1) * k).sum(2).softmax(2)
        return (weights.unsqueeze(2) * v).sum(3).view(b, c, *count)

    seen = see(layer, (2, 4, 9, 8), dynamic=stride == 1)
    attributes = seen.attributes("LocalAttention")
    assert attributes["kernel"] == [kernel] * 2
    assert attributes["dilation"] == [dilation] * 2
    assert attributes["stride"] == [stride] * 2
    assert attributes["pads"] == [pad] * 4


@pytest.mark.parametrize(("rank", "dynamic"), [(1, True), (3, True), (3, False)])
def test_one_and_three_axes(rank, dynamic, see) -> None:
    def layer(x, q, k, v):
        def windows(t):
            t = F.pad(t, [1, 1] * rank)
            for axis in range(rank):
                t = t.unfold(2 + axis, 3, 1)
            return t.flatten(-rank) if rank > 1 else t

        weights = (q.unsqueeze(-1) * windows(k)).sum(1, keepdim=True).softmax(-1)
        return (weights * windows(v)).sum(-1)

    seen = see(layer, (2, 4, 5, 6, 5)[: 2 + rank], dynamic=dynamic)
    assert seen.operators == ["LocalAttention"]
    assert seen.attributes("LocalAttention")["pads"] == [1] * (2 * rank)


def test_a_dilated_tensor_unfold(see) -> None:
    def layer(x, q, k, v):
        k, v = (F.pad(t, [2] * 4).unfold(2, 5, 1).unfold(3, 5, 1)[..., ::2, ::2].flatten(-2) for t in (k, v))
        return ((q.unsqueeze(-1) * k).sum(1, keepdim=True).softmax(-1) * v).sum(-1)

    attributes = see(layer, dynamic=True).attributes("LocalAttention")
    assert (attributes["kernel"], attributes["dilation"], attributes["pads"]) == ([3, 3], [2, 2], [2] * 4)


def test_edge_padding_stays_in_front(see) -> None:
    def layer(x, q, k, v):
        k, v = (F.pad(t, [1] * 4, mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1).flatten(-2) for t in (k, v))
        return ((q.unsqueeze(-1) * k).sum(1, keepdim=True).softmax(-1) * v).sum(-1)

    seen = see(layer, dynamic=True)
    assert seen.operators == ["LocalAttention"]
    assert seen.attributes("LocalAttention")["pads"] == [0] * 4
    assert [n.op_type for n in seen.result.model.graph.node].count("Pad") == 2


class Biased(nn.Module):
    """Attention with what people add to the scores; ``kind`` says what."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.qkv = nn.Conv2d(8, 24, 1)
        self.bias = nn.Parameter(torch.randn(2, 9))
        self.relative = nn.Parameter(torch.randn(2, 4, 9))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(x).chunk(3, 1)
        q = q.reshape(b, 2, 4, h * w)
        k, v = (F.unfold(t, 3, padding=1).view(b, 2, 4, 9, h * w) for t in (k, v))
        if self.kind == "relative":
            k = k + self.relative.unsqueeze(-1)
        scores = torch.einsum("bhdl,bhdkl->bhkl", q, k)
        if self.kind == "bias":
            scores = scores * 0.5 + self.bias[..., None]
        elif self.kind == "relative bias":
            scores = scores + torch.einsum("bhdl,hdk->bhkl", q, self.relative)
        elif self.kind == "subtracted":
            scores = (self.bias[..., None] - scores) * 0.25
        elif self.kind == "mask":
            inside = F.unfold(torch.ones_like(x[:1, :1]), 3, padding=1)
            scores = scores.masked_fill(inside == 0, float("-inf"))
        return torch.einsum("bhkl,bhdkl->bhdl", scores.softmax(2), v).reshape(b, c, h, w)


@pytest.mark.parametrize(
    ("kind", "scale", "inputs", "dynamic"),
    [
        ("none", 1.0, 3, True),
        ("bias", 0.5, 4, True),
        ("relative", 1.0, 5, True),
        ("relative bias", 1.0, 5, True),
        ("subtracted", -0.25, 4, True),
        ("mask", 1.0, 4, True),
        ("mask", 1.0, 4, False),
    ],
)
def test_what_is_added_to_the_scores(kind, scale, inputs, dynamic, see) -> None:
    seen = see(Biased(kind), dynamic=dynamic)
    left = ["Im2Col"] if kind == "mask" and dynamic else []
    assert seen.operators == [*left, "LocalAttention"]
    assert seen.attributes("LocalAttention")["scale"] == scale
    (node,) = (n for n in seen.result.model.graph.node if n.op_type == "LocalAttention")
    assert len(node.input) == inputs
    if left:
        assert "Equal" in seen.reasons[0]


class TwoHalves(nn.Module):
    """The widespread per-channel variant: rows on one half of the keys' channels, columns on the other, padded input."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Conv2d(8, 8, 1, bias=False) for _ in range(3))
        self.rows = nn.Parameter(torch.randn(4, 1, 1, 3, 1))
        self.columns = nn.Parameter(torch.randn(4, 1, 1, 1, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        padded = F.pad(x, [1] * 4)
        k, v = (conv(padded).unfold(2, 3, 1).unfold(3, 3, 1) for conv in (self.k, self.v))
        first, second = k.split(c // 2, dim=1)
        k = torch.cat((first + self.rows, second + self.columns), dim=1)
        k, v = (t.contiguous().view(b, 2, c // 2, h, w, -1) for t in (k, v))
        weights = (self.q(x).view(b, 2, c // 2, h, w, 1) * k).softmax(-1)
        return torch.einsum("bnchwk,bnchwk->bnchw", weights, v).view(b, -1, h, w)


def test_embeddings_added_to_halves_of_the_keys(see) -> None:
    seen = see(TwoHalves(), dynamic=True)
    assert seen.operators == ["LocalAttention"]
    assert seen.found == ["LocalAttention 3x3, 8 heads of 1, with relative"]


def test_the_registrys_layer(see) -> None:
    seen = see(StandAloneAttention(8, 8, kernel_size=3, heads=2), dynamic=True)
    assert seen.found == ["LocalAttention 3x3, 2 heads of 4, with relative"]


@pytest.mark.parametrize(
    ("composability", "compose", "scale", "stride"),
    [
        ("squared", b"squared_difference", -1, 1),
        ("absolute", b"absolute_difference", -1, 2),
        ("product", b"product", 1, 1),
    ],
)
def test_weights_shared_by_channels(composability, compose, scale, stride, see) -> None:
    layer = LocalRelation(8, 8, kernel_size=3, share=2, stride=stride, composability=composability)
    seen = see(layer, dynamic=True)
    attributes = seen.attributes("LocalAttention")
    assert (attributes["compose"], attributes["scale"], attributes["stride"]) == (compose, scale, [stride] * 2)
    assert seen.found[0].startswith("LocalAttention 3x3, 4 heads of 1 (values of 2)")


def test_weights_repeated_for_the_channels_that_share_them(see) -> None:
    def layer(x, q, k, v):
        b, c, h, w = x.shape
        q, k = q[:, : c // 2], F.unfold(k[:, : c // 2], 3, padding=1).view(b, c // 2, 9, h * w)
        weights = (q.reshape(b, c // 2, 1, h * w) * k).softmax(2)
        weights = weights.unsqueeze(2).expand(-1, -1, 2, -1, -1).reshape(b, c, 9, h * w)
        return (weights * F.unfold(v, 3, padding=1).view(b, c, 9, h * w)).sum(2).view(b, c, h, w)

    assert see(layer, dynamic=True).found == ["LocalAttention 3x3, 4 heads of 1 (values of 2)"]


def test_a_bias_per_head_where_heads_were_folded_into_the_batch(see) -> None:
    bias = torch.tensor([[0.5], [-1.0]]) * torch.arange(9.0)

    def layer(x, q, k, v):
        b, c, h, w = x.shape
        q, k, v = (t.reshape(b * 2, c // 2, h, w) for t in (q, k, v))
        k, v = (F.unfold(t, 3, padding=1).reshape(b * 2, c // 2, 9, h * w) for t in (k, v))
        scores = (q.reshape(b * 2, c // 2, 1, h * w) * k).sum(1).view(b, 2, 9, h * w) + bias.to(x)[..., None]
        weights = scores.softmax(2).view(b * 2, 1, 9, h * w)
        return (weights * v).sum(2).view(b, c, h, w)

    assert see(layer, dynamic=True).found == ["LocalAttention 3x3, 2 heads of 4, with bias"]


def test_an_attention_map_that_is_returned_stays(see) -> None:
    def layer(x, q, k, v):
        b, c, h, w = x.shape
        k, v = (F.unfold(t, 3, padding=1).view(b, c, 9, h * w) for t in (k, v))
        weights = (q.reshape(b, c, 1, h * w) * k).sum(1).softmax(1)
        return (weights.unsqueeze(1) * v).sum(2).view(b, c, h, w), weights

    seen = see(layer, outputs=2)
    assert seen.operators == ["LocalCorrelation", "LocalAggregate"]
    (reason,) = seen.reasons
    assert re.fullmatch(r"stays apart from the softmax before it: \w+ is used elsewhere too", reason)


def test_keys_and_values_of_other_windows_stay_apart(see) -> None:
    def layer(x, q, k, v):
        b, c, h, w = x.shape
        k = F.unfold(k, 3, padding=1).view(b, c, 9, h * w)
        v = F.unfold(v, 3, padding=2, dilation=2).view(b, c, 9, h * w)
        return ((q.reshape(b, c, 1, h * w) * k).sum(1, keepdim=True).softmax(2) * v).sum(2).view(b, c, h, w)

    assert see(layer).operators == ["LocalCorrelation", "LocalAggregate"]


def test_keys_and_values_of_other_sizes_stay_apart(see) -> None:
    """A window of 3 with stride 2 has 3 positions along 7 rows, and along 8."""

    def layer(x, q, k, v):
        b, c = x.shape[:2]
        k, v = (F.unfold(t, 3, stride=2).view(b, c, 9, -1) for t in (k, v[:, :, :-1]))
        q = q[:, :, 1:-2:2, 1:-1:2].reshape(b, c, 1, -1)
        return ((q * k).sum(1, keepdim=True).softmax(2) * v).sum(2)

    seen = see(layer, (2, 8, 8, 7))
    assert seen.operators == ["LocalCorrelation", "LocalAggregate"]
    assert seen.reasons == [
        "stays apart from the softmax before it: keys and values are not known to have the same size"
    ]


def test_places_of_keys_and_values_in_another_order_stay_apart(see) -> None:
    def layer(x, q, k, v):
        k, v = (F.pad(t, [1] * 4).unfold(2, 3, 1).unfold(3, 3, 1) for t in (k, v))
        weights = (q[..., None, None] * k).sum(1, keepdim=True).flatten(-2).softmax(-1)
        return (weights * v.transpose(-1, -2).flatten(-2)).sum(-1)

    assert see(layer).operators == ["LocalCorrelation", "LocalAggregate"]
