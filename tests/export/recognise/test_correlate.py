"""Products summed over channels and not over the window: cost volumes, and what only looks like them."""

from __future__ import annotations

import pytest
import torch.nn.functional as F


def windows(t, pad=1):
    return F.pad(t, [pad] * 4).unfold(2, 3, 1).unfold(3, 3, 1).flatten(-2)


@pytest.mark.parametrize(
    ("compare", "compose", "over"),
    [
        (lambda q, k: q * k, b"product", "sum"),
        (lambda q, k: (q - k) ** 2, b"squared_difference", "mean"),
        (lambda q, k: (k - q).abs(), b"absolute_difference", "sum"),
        (lambda q, k: (q - k) * (q - k), b"squared_difference", "sum"),
    ],
)
def test_a_cost_volume(compare, compose, over, see) -> None:
    def layer(x, q, k, v):
        terms = compare(q.unsqueeze(-1), windows(k))
        return terms.sum(1) if over == "sum" else terms.mean(1)

    seen = see(layer, dynamic=True)
    assert seen.operators == ["LocalCorrelation"]
    assert seen.attributes("LocalCorrelation")["compose"] == compose
    assert seen.reasons == []


def test_windows_larger_than_their_zeros_are_cut(see) -> None:
    """Every second place from the first on: the window begins outside what a padding could say."""

    def layer(x, q, k, v):
        return (q[:, :, :-4, :-4].unsqueeze(-1) * k.unfold(2, 5, 1).unfold(3, 5, 1)[..., 1::2, 1::2].flatten(-2)).sum(1)

    seen = see(layer, dynamic=True)
    assert seen.operators == ["LocalCorrelation"]
    attributes = seen.attributes("LocalCorrelation")
    assert (attributes["kernel"], attributes["dilation"], attributes["pads"]) == ([2, 2], [2, 2], [0] * 4)


def test_positions_of_a_dense_window_that_are_skipped_are_a_stride(see) -> None:
    def layer(x, q, k, v):
        return (q[:, :, ::2, 1::2].unsqueeze(-1) * windows(k)[:, :, ::2, 1::2]).sum(1)

    seen = see(layer, (2, 4, 8, 8))
    attributes = seen.attributes("LocalCorrelation")
    assert (attributes["stride"], attributes["pads"]) == ([2, 2], [1, 0, 1, 1])


def test_queries_of_blocks_that_share_a_window_are_left(see) -> None:
    def layer(x, q, k, v):
        b, c, h, w = x.shape
        k, v = (F.unfold(t, 4, stride=2, padding=1).view(b, c, 16, -1).permute(0, 3, 1, 2) for t in (k, v))
        q = q.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w // 4, 4, c)
        y = (q @ k).softmax(-1) @ v.transpose(2, 3)
        return y.view(b, h // 2, w // 2, 2, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)

    seen = see(layer, (2, 4, 8, 6))
    assert seen.operators == ["Im2Col", "Im2Col"]
    assert all("4 queries share each window (blocked or halo attention)" in reason for reason in seen.reasons)
    assert len(seen.reasons) == 2


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x, q, k, v: windows(k).amax(-1), "ReduceMax"),
        (lambda x, q, k, v: (q.unsqueeze(-1) * windows(k)).sum(2), "the sum is not over channels"),
        (lambda x, q, k, v: (windows(q) * windows(k)).sum(1), "multiplies windows with windows"),
        (lambda x, q, k, v: (q.unsqueeze(-1) - windows(k)).sum(1), "without a square or absolute value"),
        (lambda x, q, k, v: (q.unsqueeze(-1) * windows(k)).amax(1), "is not summed"),
    ],
)
def test_what_is_no_correlation_is_left_with_a_reason(function, reason, see) -> None:
    seen = see(function)
    assert set(seen.operators) == {"Unfold"}
    assert seen.reasons
    assert all(reason in text for text in seen.reasons)
