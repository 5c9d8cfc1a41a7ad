"""Query times a constant, added to scores, is a relative term of the keys; what only looks like it stays a bias."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

HEADS, WIDTH, K = 2, 4, 9


class Attention(nn.Module):
    """``function(self, q, k, v)`` of three 1x1 projections of an image, with learned position terms."""

    def __init__(self, function, channels: int = HEADS * WIDTH) -> None:
        super().__init__()
        self.q, self.k, self.v, self.p = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.r = nn.Parameter(torch.randn(HEADS, WIDTH, K))
        self.shared = nn.Parameter(torch.randn(WIDTH, K))
        self.rows = nn.Parameter(torch.randn(HEADS, WIDTH, 3))
        self.columns = nn.Parameter(torch.randn(HEADS, WIDTH, 3))
        self.everywhere = nn.Parameter(torch.randn(HEADS, WIDTH, K, 36))
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x, self.q(x), self.k(x), self.v(x))


def windows(t):
    return F.unfold(t, 3, padding=1).view(t.shape[0], HEADS, WIDTH, K, -1)


def attended(scores, v):
    b, c, h, w = v.shape
    return (scores.softmax(2).unsqueeze(2) * windows(v)).sum(3).view(b, c, h, w)


def content(q, k):
    return (q.unsqueeze(3) * windows(k)).sum(2)


def heads(q):
    return q.flatten(2).unflatten(1, (HEADS, WIDTH))


def matmul(self, x, q, k, v):
    q = heads(q)
    return attended(content(q, k) + self.r.transpose(1, 2) @ q, v)


def matmul_first(self, x, q, k, v):
    q = heads(q)
    return attended((q.transpose(2, 3) @ self.r).transpose(2, 3) + content(q, k), v)


def einsum(self, x, q, k, v):
    q = q.unflatten(1, (HEADS, WIDTH))
    k, v = (F.pad(t, [1] * 4).unfold(2, 3, 1).unfold(3, 3, 1).reshape(*q.shape, K) for t in (k, v))
    scores = torch.einsum("nhcyx,nhcyxt->nhyxt", q, k) + torch.einsum("nhcyx,hct->nhyxt", q, self.r)
    return torch.einsum("nhyxt,nhcyxt->nhcyx", scores.softmax(-1), v).flatten(1, 2)


def product_and_sum(self, x, q, k, v):
    q = heads(q)
    return attended(content(q, k) + (q.unsqueeze(3) * self.r[..., None]).sum(2), v)


def channels_last(self, x, q, k, v):
    q, k, v = (t.permute(0, 2, 3, 1) for t in (q, k, v))
    k, v = (F.pad(t, [0, 0, 1, 1, 1, 1]).unfold(1, 3, 1).unfold(2, 3, 1).flatten(-2) for t in (k, v))
    k, v = (t.unflatten(3, (HEADS, WIDTH)) for t in (k, v))
    q = q.unflatten(3, (HEADS, WIDTH))
    scores = (q.unsqueeze(-1) * k).sum(4) + (q.unsqueeze(-2) @ self.r).squeeze(-2)
    return torch.einsum("byxhk,byxhdk->byxhd", scores.softmax(-1), v).flatten(3).permute(0, 3, 1, 2)


def heads_in_the_batch(self, x, q, k, v):
    b, c, h, w = x.shape
    position = torch.einsum("bhdl,hdk->bhkl", q.view(b, HEADS, WIDTH, h * w), self.r).reshape(b * HEADS, K, h * w)
    q, k, v = (t.reshape(b * HEADS, WIDTH, h, w) for t in (q, k, v))
    k, v = (F.unfold(t, 3, padding=1).reshape(b * HEADS, WIDTH, K, h * w) for t in (k, v))
    scores = (q.reshape(b * HEADS, WIDTH, 1, h * w) * k).sum(1) + position
    return (scores.softmax(1).unsqueeze(1) * v).sum(2).view(b, c, h, w)


def scaled_query(self, x, q, k, v):
    return matmul(self, x, q * WIDTH**-0.5 * 0.7, k, v)


def scaled_together(self, x, q, k, v):
    q = heads(q)
    return attended((content(q, k) + self.r.transpose(1, 2) @ q) * 0.3, v)


def twice_as_much(self, x, q, k, v):
    q = heads(q)
    return attended(content(q, k) - self.r.transpose(1, 2) @ (q * 2), v)


def one_for_all_heads(self, x, q, k, v):
    q = heads(q)
    return attended(content(q, k) + self.shared.t() @ q, v)


def rows_and_columns(self, x, q, k, v):
    b, _, h, w = x.shape
    q = heads(q)
    rows, columns = (torch.einsum("bhdl,hdk->bhkl", q, r) for r in (self.rows, self.columns))
    scores = content(q, k).view(b, HEADS, 3, 3, h * w) + rows.unsqueeze(3) + columns.unsqueeze(2)
    return attended(scores.flatten(2, 3), v)


def places_in_columns(self, x, q, k, v):
    q = heads(q)
    r = self.r.unflatten(2, (3, 3)).transpose(2, 3).flatten(2)
    return attended(content(q, k) + r.transpose(1, 2) @ q, v)


def term_in_columns(self, x, q, k, v):
    b, _, h, w = x.shape
    q = heads(q)
    term = (self.r.transpose(1, 2) @ q).view(b, HEADS, 3, 3, h * w).transpose(2, 3)
    return attended(content(q, k) + term.reshape(b, HEADS, K, h * w), v)


def places_exchanged(r):
    return r.unflatten(2, (3, 3)).transpose(2, 3).flatten(2)


FOUND = {
    matmul: lambda layer: layer.r,
    matmul_first: lambda layer: layer.r,
    einsum: lambda layer: layer.r,
    product_and_sum: lambda layer: layer.r,
    channels_last: lambda layer: layer.r,
    heads_in_the_batch: lambda layer: layer.r,
    scaled_query: lambda layer: layer.r,
    scaled_together: lambda layer: layer.r,
    twice_as_much: lambda layer: -2 * layer.r,
    one_for_all_heads: lambda layer: layer.shared[None],
    rows_and_columns: lambda layer: (layer.rows[..., None] + layer.columns[:, :, None]).flatten(2),
    places_in_columns: lambda layer: places_exchanged(layer.r),
    term_in_columns: lambda layer: places_exchanged(layer.r),
}
"""What the relative input has to be, in the canonical order (heads, channels, places row by row)."""
STATIC = [matmul, einsum, channels_last, heads_in_the_batch]


@pytest.mark.parametrize(("spelling", "dynamic"), [*((s, True) for s in FOUND), *((s, False) for s in STATIC)])
def test_a_position_term_is_relative_to_the_keys(spelling, dynamic, see) -> None:
    layer = Attention(spelling)
    seen = see(layer, dynamic=dynamic)
    assert seen.operators == ["LocalAttention"]
    assert seen.found == ["LocalAttention 3x3, 2 heads of 4, with relative"]
    graph = seen.result.model.graph
    (node,) = (node for node in graph.node if node.op_type == "LocalAttention")
    assert node.input[3] == ""
    constants = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    np.testing.assert_allclose(constants[node.input[4]], FOUND[spelling](layer).detach(), rtol=1e-6)
    contractions = [n.name for n in seen.captured.graph.node if n.op_type == "MatMul"]
    assert set(contractions) <= set(seen.result.found[0].consumed)


def another_tensor(self, x, q, k, v):
    return attended(content(heads(q), k) + self.r.transpose(1, 2) @ heads(self.p(x)), v)


def other_channels(self, x, q, k, v):
    """The width of all heads with heads and channels exchanged: as many channels, but others."""
    other = q.flatten(2).unflatten(1, (WIDTH, HEADS)).transpose(1, 2)
    return attended(content(heads(q), k) + self.r.transpose(1, 2) @ other, v)


def other_heads(self, x, q, k, v):
    return attended(content(heads(q), k) + (self.r.transpose(1, 2) @ heads(q)).flatten(1, 2).unflatten(1, (K, HEADS))
                    .transpose(1, 2), v)  # fmt: skip


def some_channels(self, x, q, k, v):
    q = heads(q)
    return attended(content(q, k) + self.r[:, :2].transpose(1, 2) @ q[:, :, :2], v)


def other_positions(self, x, q, k, v):
    return attended(content(heads(q), k) + self.r.transpose(1, 2) @ heads(q.transpose(2, 3)), v)


def computed_term(self, x, q, k, v):
    q = heads(q)
    r = self.r * x.mean(dim=(0, 1, 2, 3))
    return attended(content(q, k) + r.transpose(1, 2) @ q, v)


def factor_that_rounds(self, x, q, k, v):
    q = heads(q)
    return attended(content(q * 0.3, k) + self.r.transpose(1, 2) @ q, v)


def two_constants(self, x, q, k, v):
    q = heads(q)
    return attended(content(q, k) + (self.r.transpose(1, 2) @ q) * self.r[:, :1].transpose(1, 2), v)


def positions_in_the_constant(self, x, q, k, v):
    q = heads(q)
    return attended(content(q, k) + torch.einsum("bhdl,hdkl->bhkl", q, self.everywhere), v)


def channels_of_all_heads(self, x, q, k, v):
    q = heads(q)
    return attended(content(q, k) + torch.einsum("bhdl,hdk->bkl", q, self.r).unsqueeze(1), v)


NEAR = [
    another_tensor, other_channels, other_heads, some_channels, other_positions, computed_term, factor_that_rounds,
    two_constants, positions_in_the_constant, channels_of_all_heads,
]  # fmt: skip


@pytest.mark.parametrize("spelling", NEAR)
def test_what_only_looks_like_it_stays_a_bias(spelling, see) -> None:
    layer = Attention(spelling)
    layer.r.data.copy_(layer.r.data.sign())  # nothing that rounding a multiple would show in
    seen = see(layer, (2, HEADS * WIDTH, 6, 6))
    assert seen.operators == ["LocalAttention"]
    assert seen.found == ["LocalAttention 3x3, 2 heads of 4, with bias"]


def test_places_as_many_as_another_axis_is_long(see) -> None:
    """Nine channels a head, nine positions and nine places: only the axes tell them apart."""

    def exchanged(self, x, q, k, v):
        q = q.flatten(2).unflatten(1, (2, 9))
        k, v = (F.unfold(t, 3, padding=1).view(2, 2, 9, 9, 9) for t in (k, v))
        term = self.square.transpose(1, 2) @ q
        if self.swap:
            term = term.transpose(2, 3)
        weights = ((q.unsqueeze(3) * k).sum(2) + term).softmax(2)
        return (weights.unsqueeze(2) * v).sum(3).view(x.shape)

    for swap, kept in ((False, "relative"), (True, "bias")):
        layer = Attention(exchanged, 18)
        layer.square, layer.swap = nn.Parameter(torch.randn(2, 9, 9)), swap
        assert see(layer, (2, 18, 3, 3)).found == [f"LocalAttention 3x3, 2 heads of 9, with {kept}"]
