"""Whole networks through capture and lowering: types that TensorRT keeps node by node, reasons by module, rows of zeros."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from typed_network import dtype_mismatches, tensor_dtypes

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.engine import find_flavour
from attnexport.export.engine.parse import parsed
from attnexport.export.precision import convert
from attnexport.export.progress import Silent
from attnexport.export.source import SourceOptions, load
from attnexport.export.stages import manifest as record
from attnexport.export.stages.models import enter
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.models.attention.dual_attention import ChannelAttention
from attnexport.runtime.sessions.emulated import open_emulated
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
HALVES = {"fp16": "float16", "bf16": "bfloat16"}
needs_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")


def captured(module: nn.Module, *shape: int):
    """The FP32 model of standard operators of a module, and the origins of its nodes."""
    spec = TensorSpec("x", "float32", tuple(Axis.fixed(size) for size in shape))
    program = export_program(module.eval(), [spec], [torch.randn(shape)])
    found = to_onnx(program, [spec], ["y"])
    lowered, _ = lower_for(find_windows(found.model), Plan("tensorrt-rtx", None), [spec], False, Silent())
    return lowered.model, found.origins


@pytest.fixture(scope="module", params=["stn_cbam", "sasa", "lrnet"])
def digits(request) -> onnx.ModelProto:
    """The FP32 model that an engine of a trained digits network is made of."""
    source = load(EXAMPLES / f"digits_{request.param}.pt", SourceOptions())
    entered = enter(source, (), 0, Silent())
    plan = Plan("tensorrt-rtx", None)
    return lower_for(find_windows(entered.captured.model), plan, entered.inputs, False, Silent())[0].model


def held_to_tensorrt(model: onnx.ModelProto, precision: str) -> None:
    """The parsed network's types are those that were asked for, of every node that has a tensor of its own."""
    result = convert(model, precision=precision)
    with parsed(result.model, find_flavour("rtx"), {}) as network:
        assert dtype_mismatches(network.network, result.model) == []
        given = tensor_dtypes(network.network)
    made = {node.name: node.output[0] for node in result.model.graph.node}
    kept = [d.node for d in result.decisions]
    assert {given[made[name]] for name in kept if made[name] in given} <= {"float32"}
    assert sum(made[name] in given for name in kept) >= 0.7 * len(kept)
    layers = [n for n in result.model.graph.node if n.op_type in ("Conv", "MatMul", "Gemm") and n.name not in kept]
    assert layers and {given[n.output[0]] for n in layers} == {HALVES[precision]}


@needs_rtx
@pytest.mark.parametrize("precision", HALVES)
def test_tensorrt_gives_every_node_of_a_digits_network_the_type_that_was_asked(digits, precision):
    held_to_tensorrt(digits, precision)


class Small(nn.Module):
    """Channel attention over 32x32 places, a normalisation and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.attention, self.head = (
            nn.Conv2d(3, 8, 3, padding=1),
            ChannelAttention(zero_init=False),
            nn.Linear(8, 4),
        )

    def forward(self, x):
        y = F.normalize(self.attention(self.stem(x)).flatten(2).amax(-1), eps=1e-12)
        return self.head(y).softmax(-1)


class Clock(nn.Module):
    """Positions by sine and cosine, computed in the graph from a running sum; then a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor([1.0, 0.1]))
        self.step = nn.GRU(4, 4, batch_first=True)

    def forward(self, x):
        angle = torch.cumsum(torch.ones_like(x[..., :1]), 1) * self.rate + x[..., :2] * 0
        return self.step(torch.cat([angle.sin(), angle.cos()], -1))[0]


class Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()

    def forward(self, x):
        return self.clock(x).tanh()


@needs_rtx
@pytest.mark.parametrize("precision", HALVES)
def test_tensorrt_gives_every_node_of_a_small_network_the_type_that_was_asked(precision):
    held_to_tensorrt(captured(Small(), 1, 3, 32, 32)[0], precision)


def test_the_report_names_the_module_of_each_reason():
    model, origins = captured(Small(), 1, 3, 32, 32)
    kept = record.precision(convert(model), origins).kept
    gram = {entry.module for entry in kept if entry.reason.startswith("gram: ")}
    assert gram == {"attention"}
    model, origins = captured(Holder(), 1, 6, 4)
    rules = {entry.reason.partition(":")[0]: entry.module for entry in record.precision(convert(model), origins).kept}
    assert rules["positions"] == "clock" and rules["recurrent"].startswith("clock")


class Unit(nn.Module):
    """Four ways to divide by the size of a row, each guarded by an epsilon that FP16 does not have."""

    def forward(self, x):
        one = F.normalize(x, dim=-1, eps=1e-12)
        two = x / (x.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        three = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-12)
        return one + two + three + F.layer_norm(x, x.shape[-1:], eps=1e-12)


@pytest.mark.parametrize("precision", HALVES)
def test_a_row_of_zeros_beside_an_epsilon_of_1e_12_stays_finite(precision):
    module, x = Unit(), np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    x[1] = 0
    model, _ = captured(module, 3, 8)
    truth = module(torch.from_numpy(x).double()).numpy()
    assert np.isfinite(truth).all() and not truth[1].any()
    full = OrtSession(model.SerializeToString()).run({"x": x})["y"]
    np.testing.assert_allclose(full, truth, rtol=1e-5, atol=1e-6)
    typed = convert(model, precision=precision).model
    half = open_emulated(typed.SerializeToString()).run({"x": x})["y"]
    np.testing.assert_allclose(half, truth, atol=np.abs(truth).max() * (2e-3 if precision == "fp16" else 1.6e-2))
    assert not half[1].any()
