"""Which layers can be 8-bit, and the reason for each that cannot."""

from __future__ import annotations

import numpy as np

from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.quantise.layers import Layer, find_layers


def test_a_layer_of_each_kind_with_its_channels(index) -> None:
    layers, left = find_layers(index, {})
    assert layers == [
        Layer("c", "x", "cw", 0),
        Layer("d", "r", "dw", 0),
        Layer("g", "p", "gw", 0),
        Layer("y", "h", "hw", 1),
        Layer("z", "s", "mw", 1),
    ]
    assert left == []


def test_what_stays_has_a_reason(made) -> None:
    text = """net (float[4, 4] a, float[1, 4, 5, 5] i) => (float[4, 4] o, float[1, 4, 6, 6] p) {
        kept = MatMul(a, w)
        left = MatMul(w, kept)
        both = MatMul(left, a)
        many = MatMul(both, deep)
        flat = Reshape(many, four)
        o = Gemm(flat, bad)
        p = ConvTranspose(i, kernel)
    }"""
    w = np.eye(4, dtype="f4")
    bad = np.full((4, 4), np.nan, dtype="f4")
    constants = {
        "w": w, "deep": w[None], "bad": bad, "four": np.array([4, 4]), "kernel": np.ones((4, 4, 2, 2), "f4"),
    }  # fmt: skip
    layers, left = find_layers(GraphIndex(normalise(made(text, constants))), {"kept": "softmax: too wide"})
    assert layers == []
    assert [(one.node, one.rule, one.reason) for one in left] == [
        ("kept", "kept", "softmax: too wide"),
        ("left", "form", "the weight is the left factor"),
        ("many", "form", "the weight has 3 axes, and one scale for each output channel needs 2"),
        ("o", "form", "the weight contains a value that is not finite"),
        ("p", "form", "TensorRT computes a transposed convolution in floating point for all inputs"),
    ]
