"""Q and DQ around layers: the arithmetic against NumPy in FP64, the placement against ONNX Runtime's quantize_static."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.quantise.calibrate import ranges
from attnexport.export.quantise.formats import FP8, INT8, data_scale, weight_scales
from attnexport.export.quantise.layers import find_layers
from attnexport.export.quantise.pairs import FLAGS, toggle_graph, with_pairs
from attnexport.runtime.sessions.emulated import open_emulated

KINDS = pytest.mark.parametrize("kind", [INT8, FP8], ids=lambda k: k.name)


def rounded(value: np.ndarray, scale: np.ndarray, kind) -> np.ndarray:
    """The formula of formats.py, written for itself."""
    scaled = value.astype(np.float64) / scale
    if kind is INT8:
        return np.clip(np.round(scaled), -128, 127) * scale
    return np.clip(scaled, -448, 448).astype(np.float32).astype(ml_dtypes.float8_e4m3fn).astype(np.float64) * scale


@KINDS
def test_layers_compute_the_formula(kind, index, layers, feeds, run, tapped) -> None:
    found = ranges(index.model, [one.data for one in layers], feeds, "minmax")
    model = with_pairs(index, layers, found, kind)
    onnx.checker.check_model(model, full_check=True)
    data = [one.data for one in layers if one.data != "x"]
    outputs = [one.node for one in layers if one.node not in ("y", "z")]
    got = {**run(tapped(model, data + outputs), feeds[0]), **feeds[0]}

    def both(layer) -> tuple[np.ndarray, np.ndarray]:
        value = index.value(layer.weight)
        shape = [1] * value.ndim
        shape[layer.axis] = -1
        scales = weight_scales(value, layer.axis, kind).reshape(shape)
        return rounded(got[layer.data], data_scale(found[layer.data], kind), kind), rounded(value, scales, kind)

    by_name = {layer.node: both(layer) for layer in layers}
    x, w = by_name["c"]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    want = {"c": np.einsum("nchwij,ocij->nohw", windows, w) + index.value("cb").reshape(1, -1, 1, 1)}
    x, w = by_name["d"]
    want["d"] = x * w.reshape(1, -1, 1, 1)
    x, w = by_name["g"]
    want["g"] = x @ w.T + index.value("gb")
    x, w = by_name["y"]
    want["y"] = x @ w
    x, w = by_name["z"]
    want["z"] = np.einsum("nij,jk->nik", x, w)
    for name, true in want.items():
        np.testing.assert_allclose(got[name], true, rtol=1e-4, atol=1e-4 * np.abs(true).max(), err_msg=name)


def test_codes_and_places_are_those_of_onnx_runtime(index, layers, feeds, tmp_path: Path) -> None:
    class Reader:
        def __init__(self) -> None:
            self.left = list(feeds)

        def get_next(self):
            return self.left.pop(0) if self.left else None

    onnx.save(index.model, tmp_path / "model.onnx")
    kinds = ["Conv", "Gemm", "MatMul"]
    quantize_static(
        tmp_path / "model.onnx", tmp_path / "quantised.onnx", Reader(), quant_format=QuantFormat.QDQ,
        op_types_to_quantize=kinds, per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
        extra_options={
            "ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": kinds, "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        },
    )  # fmt: skip
    theirs = onnx.load(tmp_path / "quantised.onnx")
    found = ranges(index.model, [one.data for one in layers], feeds, "minmax")
    ours = with_pairs(index, layers, found, INT8)
    assert Counter(n.op_type for n in ours.graph.node) == Counter(n.op_type for n in theirs.graph.node)

    def read(model: onnx.ModelProto) -> dict[str, tuple[np.ndarray, ...]]:
        """By layer: scale of the data, codes and scales of the weight."""
        values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        makers = {n.output[0]: n for n in model.graph.node}
        read = {}
        for layer in layers:
            node = next(n for n in model.graph.node if n.name == layer.node)
            data, weight = makers[node.input[0]], makers[node.input[1]]
            assert (data.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
            assert makers[data.input[0]].input[0] == layer.data
            read[layer.node] = values[data.input[1]], values[weight.input[0]], values[weight.input[1]]
        return read

    mine, other = read(ours), read(theirs)
    for name, (scale, codes, scales) in other.items():
        # Ours are the next FP16 numbers, so a code may be the one beside.
        np.testing.assert_allclose(mine[name][0], scale, rtol=1.0e-3)
        np.testing.assert_allclose(mine[name][2].ravel(), scales.ravel(), rtol=1.0e-3)
        assert np.abs(mine[name][1].astype(int) - codes.astype(int)).max() <= 1


def test_a_tensor_that_two_layers_read_has_one_pair_and_a_weight_of_two_layers_one_form(made, feeds) -> None:
    text = "net (float[N,3,8,8] x) => (float[N,3,8,8] y, float[N,3,8,8] z) { y = Conv(x, w)  z = Conv(x, w) }"
    index = GraphIndex(normalise(made(text, {"w": np.ones((3, 3, 1, 1), "f4")})))
    model = with_pairs(index, find_layers(index, {})[0], {"x": 2.0}, INT8)
    assert Counter(n.op_type for n in model.graph.node) == {"QuantizeLinear": 1, "DequantizeLinear": 2, "Conv": 2}
    assert "w" not in {t.name for t in model.graph.initializer}, "nothing reads the float weight any more"
    assert index.model.graph.initializer[0].name == "w", "the model that was handed in is not changed"


@pytest.mark.parametrize("op", ["MatMul", "Conv"])
def test_the_session_of_8_bit_models_does_not_saturate_sums_of_products(op: str, made) -> None:
    """Without VNNI, AVX2 adds two products of 8 bits in 16: 127 * 127 * 2 is beyond its 32767. Ours sums floats."""
    w = np.full((64, 3) if op == "MatMul" else (3, 64, 1, 1), 127.0, "f4")
    shape, out = ("[N,64]", "[N,3]") if op == "MatMul" else ("[N,64,1,1]", "[N,3,1,1]")
    index = GraphIndex(normalise(made(f"net (float{shape} x) => (float{out} y) {{ y = {op}(x, w) }}", {"w": w})))
    model = with_pairs(index, find_layers(index, {})[0], {"x": 127.0}, INT8)
    x = np.full((1, 64) if op == "MatMul" else (1, 64, 1, 1), 127.0, "f4")
    got = open_emulated(model.SerializeToString()).run({"x": x})["y"]
    assert np.array_equal(got.ravel(), np.full(3, 64 * 127 * 127, "f4"))


def test_the_session_runs_fp8_which_onnx_runtimes_fusions_refuse(made) -> None:
    index = GraphIndex(
        normalise(made("net (float[N,4] x) => (float[N,2] y) { y = MatMul(x, w) }", {"w": np.full((4, 2), 448, "f4")}))
    )
    model = with_pairs(index, find_layers(index, {})[0], {"x": 448.0}, FP8)
    got = open_emulated(model.SerializeToString()).run({"x": np.array([[17.0, 1.0, 0.0, 500.0]], "f4")})["y"]
    assert got.tolist() == [[448 * 465.0] * 2]  # 17 rounds to 16, 500 saturates at 448


@pytest.mark.parametrize("kind", [INT8, FP8], ids=lambda k: k.name)
def test_each_choice_computes_what_the_model_with_these_layers_does(kind, index, layers, feeds, run) -> None:
    found = ranges(index.model, [one.data for one in layers], feeds, "minmax")
    graph = toggle_graph(index, layers, found, kind)
    onnx.checker.check_model(graph.model, full_check=True)
    assert graph.nodes == ("c", "d", "g", "y", "z")
    assert graph.only("d").tolist() == [False, True, False, False, False]
    assert graph.leaving({"c", "z"}).tolist() == [False, True, True, True, False]
    results = []
    for left in (set(), {"c"}, {"d", "y"}, set(graph.nodes)):
        chosen = [one for one in layers if one.node not in left]
        want = run(with_pairs(index, chosen, found, kind), feeds[0])
        got = run(graph.model, {**feeds[0], FLAGS: graph.leaving(left)})
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value)
        results.append(got["y"])
    assert len({result.tobytes() for result in results}) == len(results), "every choice matters"
