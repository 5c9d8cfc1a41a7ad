"""The whole step on real networks: what stays FP32, how near it comes to FP64, and that TensorRT types it as asked."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx import ModelProto, TensorProto
from onnxscript import optimizer
from torch import nn
from torch.nn import functional as F

from attnexport.errors import InputError
from attnexport.export.domain import register_schemas
from attnexport.export.lower import lower
from attnexport.export.precision import Decision, convert, to_half_model

SIZE = 256


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.second(F.relu(self.norm(self.first(x)))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.after, self.mlp = nn.LayerNorm(16), nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(self.before(x)).reshape(b, n, 3, 2, 8).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) * 8**-0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, n, c))
        return x + self.mlp(self.after(x))


class Transformer(nn.Module):
    """A spatial transformer; grid_sample is given as the ONNX operator, as the lowering writes it."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.features = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.hidden, self.theta = nn.Linear(16, 8), nn.Linear(8, 6)
        base = F.affine_grid(torch.eye(2, 3)[None], [1, 1, size, size], align_corners=False)[0].reshape(-1, 2)
        self.register_buffer("base", torch.cat([base, torch.ones(size * size, 1)], 1))
        self.theta.weight.data *= 0.01
        self.theta.bias.data = torch.tensor([1, 0, 1 / 3, 0, 1, -1 / 7])

    def forward(self, x):
        theta = self.theta(F.relu(self.hidden(self.features(x)))).reshape(-1, 2, 3)
        grid = (self.base @ theta.transpose(1, 2)).reshape(-1, self.size, self.size, 2)
        if not torch.onnx.is_in_onnx_export():
            return F.grid_sample(x, grid, align_corners=False)
        how = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": 0}
        return torch.onnx.ops.symbolic("GridSample", [x, grid], how, dtype=x.dtype, shape=x.shape, version=16)


NETWORKS = {
    "convolutions": (Convolutions, (2, 3, 16, 16)),
    "attention": (Block, (2, 12, 16)),
    "sampler": (lambda: Transformer(32), (2, 1, 32, 32)),
}
KEPT = {
    "convolutions": {},
    "attention": {"LayerNormalization": "normalisation", "Softmax": "softmax"},
    "sampler": {"Gemm": "coordinates", "MatMul": "coordinates", "GridSample": "coordinates"},
}


def export(module: nn.Module, x: torch.Tensor) -> ModelProto:
    program = torch.onnx.export(
        module.eval(), (x,), dynamo=True, opset_version=18, optimize=False, verbose=False, dynamic_shapes=({0: "b"},)
    )
    optimizer.fold_constants(program.model, onnx_shape_inference=False)
    optimizer.remove_unused_nodes(program.model)
    return program.model_proto


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """Name, module, input and FP32 model of a network."""
    torch.manual_seed(0)
    build, shape = NETWORKS[request.param]
    module, x = build(), torch.randn(shape)
    return request.param, module, x, export(module, x)


def truth(module: nn.Module, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        result = module.double()(x.double()).numpy()
    module.float()
    return result


def test_the_policy_keeps_what_needs_fp32_and_no_more(network):
    name, _, _, model = network
    result = convert(model)
    operators = {node.name: node.op_type for node in model.graph.node}
    assert {operators[d.node]: d.rule for d in result.decisions} == KEPT[name]
    assert all(d.reason for d in result.decisions)
    onnx.checker.check_model(result.model, full_check=True)
    assert result.warnings == ()


def test_fp16_is_near_fp64_under_emulation(network, emulated):
    _, module, x, model = network
    expected = truth(module, x)
    output = emulated(convert(model).model, x=x.numpy())[0]
    assert output.dtype == np.float32
    assert np.abs(output - expected).max() <= 2e-3 * np.abs(expected).max()


def test_converting_again_changes_nothing(network):
    once = convert(network[3])
    again = convert(once.model)
    assert again.model == once.model
    assert [d.node for d in again.decisions] == [d.node for d in once.decisions]


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
def test_tensorrt_builds_it_with_the_types_that_were_asked(network, types):
    import tensorrt_rtx as trt

    _, _, x, model = network
    result = convert(model)
    asked = types(result.model)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    parsed = builder.create_network(0)
    parser = trt.OnnxParser(parsed, logger)
    assert parser.parse(result.model.SerializeToString()), [
        parser.get_error(i).desc() for i in range(parser.num_errors)
    ]
    found: dict[str, set[str]] = {}
    names = {trt.float32: "f32", trt.float16: "f16"}
    layers = [parsed.get_layer(i) for i in range(parsed.num_layers)]
    for layer in layers:
        if layer.name in asked and layer.get_output(0).dtype in names:
            found.setdefault(layer.name, set()).add(names[layer.get_output(0).dtype])
    computing = {d.node for d in result.decisions} | {
        n.name for n in model.graph.node if n.op_type in ("Conv", "MatMul", "Gemm")
    }
    assert computing <= set(found)
    assert found == {name: {asked[name]} for name in found}
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    smallest, largest = (1, *x.shape[1:]), (4, *x.shape[1:])
    profile.set_shape("x", smallest, tuple(x.shape), largest)
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(parsed, config).nbytes > 0


def test_fp32_coordinates_keep_a_warped_image_that_fp16_coordinates_move(emulated):
    torch.manual_seed(0)
    module, x = Transformer(SIZE), torch.randn(1, 1, SIZE, SIZE).half().float()
    model = export(module, x)
    with torch.no_grad():
        expected = module(x).numpy()
    result = convert(model)

    def error(typed: ModelProto) -> float:
        return float(np.abs(emulated(typed, x=x.numpy())[0] - expected).max() / np.abs(expected).max())

    features = [node for node in result.model.graph.node if node.op_type == "Conv"]
    assert len(features) == 1
    outputs = {
        v.name: v.type.tensor_type.elem_type for v in (*result.model.graph.value_info, *result.model.graph.output)
    }
    assert outputs[features[0].output[0]] == TensorProto.FLOAT16
    assert error(result.model) <= 1e-4
    assert error(to_half_model(model, [])) > 1e-2


def test_a_row_of_zeros_stays_finite_beside_an_epsilon_of_1e_12(model, emulated):
    source = model("""g (float[2, 4] x) => (float[2, 4] y) <int64[1] last = {1}, float eps = {1e-12},
      int64[2] full = {2, 4}>
      { l = ReduceL2(x, last)  c = Clip(l, eps)  e = Expand(c, full)  d = Div(x, e)  y = Neg(d) }""")
    x = np.array([[0, 0, 0, 0], [3, 0, 4, 0]], np.float32)
    np.testing.assert_allclose(emulated(convert(source).model, x=x)[0], [[0, 0, 0, 0], [-0.6, 0, -0.8, 0]], rtol=1e-3)
    tiny = np.float32(1e-9) * x
    assert np.isfinite(emulated(convert(source, keep_io=True).model, x=tiny)[0]).all()


def test_a_row_that_is_masked_in_full_stays_finite(model, emulated):
    source = model("""g (float[2, 4] x, float[2, 4] v, bool[2, 4] hidden) => (float[2, 4] y) <float far = {-1e9},
      float zero = {0}>
      { m = Where(hidden, far, zero)  q = Mul(x, v)  s = Add(q, m)  p = Softmax(s)  y = Mul(p, v) }""")
    x, v = np.ones((2, 4), np.float32), np.full((2, 4), 2, np.float32)
    hidden = np.array([[True] * 4, [True, True, False, False]])
    expected = [[0.5] * 4, [0, 0, 1, 1]]
    np.testing.assert_allclose(emulated(convert(source).model, x=x, v=v, hidden=hidden)[0], expected, rtol=1e-3)


def test_a_variance_beyond_fp16_stays_finite_where_all_fp16_is_not(model, emulated):
    source = model("""g (float[1, 4] x) => (float[1, 4] y) <int64[1] last = {1}, float eps = {1e-5}, float two = {2}>
      { m = ReduceMean(x, last)  d = Sub(x, m)  q = Pow(d, two)  v = ReduceMean(q, last)  e = Add(v, eps)  s = Sqrt(e)
        n = Div(d, s)  y = Neg(n) }""")
    x = np.array([[4000, -3000, 5000, 2800]], np.float32)
    expected = -(x - x.mean()) / x.std()
    np.testing.assert_allclose(emulated(convert(source).model, x=x)[0], expected, rtol=2e-3)
    assert not np.allclose(emulated(to_half_model(source, []), x=x)[0], expected, rtol=0.5)


def test_batch_normalisation_in_fp16_adds_no_more_than_its_two_roundings(model, emulated):
    source = model("""g (float[4, 3, 8, 8] x) => (float[4, 3, 8, 8] y)
      <float[3] s = {1.5, 0.7, 2}, float[3] b = {0.1, -1, 0.3}, float[3] m = {0.5, -2, 10}, float[3] v = {0.01, 3, 90}>
      { y = BatchNormalization(x, s, b, m, v) }""")
    assert convert(source).decisions == ()
    rng = np.random.default_rng(0)
    scale, bias, mean, variance = (
        np.array(p).reshape(1, 3, 1, 1) for p in ([1.5, 0.7, 2], [0.1, -1, 0.3], [0.5, -2, 10], [0.01, 3, 90])
    )
    x = (rng.normal(size=(4, 3, 8, 8)) * np.sqrt(variance) + mean).astype(np.float32)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * scale + bias
    error = np.abs(emulated(convert(source).model, x=x)[0] - expected).max() / np.abs(expected).max()
    assert error <= 4 * 2.0**-11


def test_decisions_take_the_place_of_the_rules_and_nodes_are_counted(model):
    source = model("g (float[2, 4] x) => (float[2, 4] y) { a = Relu(x)  b = Softmax(a)  c = Sin(b)  y = Abs(c) }")
    decisions = (Decision("b", "softmax", "a reason", "caution"), Decision("c", "search", "another", "measured"))
    result = convert(source, decisions=decisions)
    assert result.decisions == decisions
    counts = result.counts
    assert (counts.fp32_nodes, counts.half_nodes, counts.casts) == (2, 2, 4)
    with pytest.raises(InputError, match="'Sin' is not in the model"):
        convert(source, decisions=[Decision("Sin", "search", "")])


def test_decisions_come_in_graph_order(model):
    source = model(
        "g (float[2, 4] x) => (float[2, 4] y) <float huge = {1e9}> { a = Softmax(x)  b = Mul(a, huge)  y = Softmax(b) }"
    )
    first = convert(source).decisions
    assert [d.node for d in first] == ["a", "b", "y"]
    assert convert(source).decisions == first


def test_a_lowered_volume_sampler_keeps_its_index_arithmetic_in_fp32(emulated):
    register_schemas()
    source = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18, "attnexport" : 1]>
      g (float[1, 2, 6, 40, 300] x, float[1, 4, 16, 16, 3] grid) => (float[1, 2, 4, 16, 16] y)
      { r = Relu(x)  t = Tanh(grid)
        y = attnexport.GridSample3d<mode = "bilinear", padding_mode = "border", align_corners = 0>(r, t) }""")
    for node in source.graph.node:
        node.name = node.output[0]
    lowered = lower(source, ("ort", "tensorrt")).model
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 2, 6, 40, 300)).astype(np.float32)
    grid = rng.uniform(-1.1, 1.1, size=(1, 4, 16, 16, 3)).astype(np.float32)
    clipped, positions = torch.from_numpy(x).double().relu(), torch.from_numpy(grid).double().tanh()
    expected = F.grid_sample(clipped, positions, padding_mode="border", align_corners=False).numpy()

    def error(typed: ModelProto) -> float:
        return float(np.abs(emulated(typed, x=x, grid=grid)[0] - expected).max() / expected.max())

    assert error(convert(lowered).model) <= 2e-3
    assert error(to_half_model(lowered, [])) > 5e-2
