"""PyTorch's 8-bit error: which products it rounds and how, against the formula in FP64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from attnexport.export.quantise.formats import FP8, INT8
from attnexport.export.quantise.torch_error import torch_eight_bits
from attnexport.export.reference.onnx_model import OnnxOriginal
from attnexport.export.reference.torch_model import TorchOriginal

KINDS = pytest.mark.parametrize("kind", [INT8, FP8], ids=lambda k: k.name)


def rounded(value: np.ndarray, absmax, kind) -> np.ndarray:
    scale = np.asarray(absmax, np.float64) / kind.largest
    scaled = value.astype(np.float64) / scale
    if kind is INT8:
        return np.clip(np.round(scaled), -128, 127) * scale
    return np.clip(scaled, -448, 448).astype(np.float32).astype(ml_dtypes.float8_e4m3fn).astype(np.float64) * scale


class Products(nn.Module):
    """A product with a parameter in each of its spellings, and two that are none."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(6, 5), nn.Conv1d(4, 3, 1)
        self.matrix = nn.Parameter(torch.randn(6, 2))
        self.up = nn.ConvTranspose1d(4, 4, 2)

    def forward(self, x):
        scores = x @ x.transpose(1, 2)  # two activations
        return self.linear(x), self.conv(x), x @ self.matrix, F.linear(x, self.linear.weight), self.up(x), scores


def call(original, kind, calibration, feeds, **more) -> dict[str, np.ndarray]:
    return torch_eight_bits(original, kind, calibration, **more)(feeds)


@KINDS
def test_products_with_a_parameter_are_rounded_however_they_are_written(kind) -> None:
    torch.manual_seed(0)
    module = Products().eval()
    names = ("linear", "conv", "matrix", "functional", "up", "scores")
    original = TorchOriginal(module, ["x"], names)
    draw = np.random.default_rng(0).standard_normal
    calibration = [{"x": draw((2, 4, 6)).astype("f4")} for _ in range(3)]
    feeds = {"x": (2 * draw((2, 4, 6))).astype("f4")}  # beyond the ranges, too
    got = call(original, kind, calibration, feeds)
    noise = {n: original.run(feeds, "float16")[n].astype("f8") - original.run(feeds, "float32")[n] for n in names}
    x = rounded(feeds["x"], max(np.abs(c["x"]).max() for c in calibration), kind)
    p = {n: t.detach().numpy() for n, t in module.named_parameters()}
    linear = rounded(p["linear.weight"], np.abs(p["linear.weight"]).max(1)[:, None], kind)
    conv = rounded(p["conv.weight"][..., 0], np.abs(p["conv.weight"]).max((1, 2))[:, None], kind)
    matrix = rounded(p["matrix"], np.abs(p["matrix"]).max(0), kind)
    plain = original.run(feeds, "float32")
    want = {
        "linear": x @ linear.T + p["linear.bias"],
        "conv": np.einsum("oc,ncl->nol", conv, x) + p["conv.bias"][:, None],
        "matrix": x @ matrix,
        "functional": x @ linear.T,
        "up": plain["up"],
        "scores": plain["scores"],
    }
    for name in names:
        np.testing.assert_allclose(got[name], want[name] + noise[name], rtol=0, atol=2e-5, err_msg=name)


def test_a_parameter_that_is_left_stays_as_it_is() -> None:
    torch.manual_seed(0)
    original = TorchOriginal(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)).eval(), ["x"], ["y"])
    feeds = {"x": np.random.default_rng(0).standard_normal((8, 6)).astype("f4")}
    plain, half = original.run(feeds, "float32")["y"], original.run(feeds, "float16")["y"]
    both, one, none = (
        call(original, INT8, [feeds], feeds, skipped=left)["y"]
        for left in ((), ("0.weight",), ("0.weight", "1.weight"))
    )
    np.testing.assert_array_equal(none, half.astype("f4"))
    assert np.std(both - plain) > np.std(one - plain) > 2 * np.std(none - plain) > 0


def test_the_projections_of_an_attention_have_ranges_of_their_own() -> None:
    torch.manual_seed(0)

    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, q, kv):
            return self.attend(q, kv, kv)[0]

    original = TorchOriginal(Cross().eval(), ["q", "kv"], ["y"])
    draw = np.random.default_rng(0).standard_normal
    feeds = {"q": draw((2, 3, 8)).astype("f4"), "kv": (1000 * draw((2, 5, 8))).astype("f4")}
    got = call(original, INT8, [feeds], feeds)["y"]
    plain = original.run(feeds, "float32")["y"]
    error = np.std(got - plain) / np.std(plain)
    assert 1e-3 < error < 0.05, "a common range would round the queries, a thousandth as large, to zero"
    assert torch.backends.mha.get_fastpath_enabled()


@KINDS
def test_a_model_that_came_as_onnx_is_rounded_alike(kind) -> None:
    torch.manual_seed(0)
    module = nn.Linear(6, 5).eval()
    text = (
        '<ir_version: 9, opset_import: ["" : 18]> net (float[N,6] x) => (float[N,5] y) { y = Gemm<transB=1>(x, w, b) }'
    )
    model = onnx.parser.parse_model(text)
    for name, value in (("w", module.weight), ("b", module.bias)):
        model.graph.initializer.append(numpy_helper.from_array(value.detach().numpy(), name))
    draw = np.random.default_rng(0).standard_normal
    calibration = [{"x": draw((16, 6)).astype("f4")}]
    want = call(TorchOriginal(module, ["x"], ["y"]), kind, calibration, calibration[0])["y"]
    got = call(OnnxOriginal(model), kind, calibration, calibration[0])["y"]
    step = 6 * np.abs(calibration[0]["x"]).max() * np.abs(module.weight.detach().numpy()).max()
    # The ranges are one FP16 rounding apart, which moves single values by an 8-bit step.
    assert np.sqrt(np.mean((got - want) ** 2)) < (0.002 if kind is INT8 else 0.02) * step
    untouched = call(OnnxOriginal(model), kind, calibration, calibration[0], skipped=("w",))["y"]
    half = OnnxOriginal(model).run(calibration[0], "float16")["y"]
    np.testing.assert_allclose(untouched, half, atol=1e-6)
