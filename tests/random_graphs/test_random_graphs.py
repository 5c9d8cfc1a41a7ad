"""The converter on random typed graphs: valid, consistent, parsed by TensorRT as before, and within naive intervals."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from attnexport.export.precision import convert, decide, half_type, to_half_model
from attnexport.runtime.sessions.emulated import open_emulated

from .draw import KINDS, SHAPE, draw
from .intervals import Bounds

DEFAULT, ALL = 40, 500
SEEDS = [s if s < DEFAULT else pytest.param(s, marks=pytest.mark.sweep) for s in range(ALL)]
STEP = {"fp16": (2.0**-11, 2.0**-25, 65504.0), "bf16": (2.0**-8, 2.0**-134, 3e38)}


def precision_of(seed: int) -> str:
    return "bf16" if seed % 4 == 3 else "fp16"


def converted(seed: int, model: ModelProto) -> ModelProto:
    """By the policy, with nothing kept, or with half of the nodes kept and 16-bit inputs and outputs, in turn."""
    precision = precision_of(seed)
    if seed % 3 == 0:
        return convert(model, precision=precision).model
    if seed % 3 == 1:
        return to_half_model(model, [], precision)
    names = [node.name for node in convert(model).model.graph.node if "/to_" not in node.name]
    known = {d.node for d in decide(model)} | {node.name for node in model.graph.node if node.name}
    keep = [name for name in names if name in known][::2]
    return to_half_model(model, keep, precision, keep_io=precision == "bf16")


def feeds(seed: int, half_io: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=SHAPE).astype(np.float16 if half_io else np.float32)
    return {"x": x, "flag": np.array(bool(seed & 1)), "choose": np.array(bool(seed & 2))}


def half_io(typed: ModelProto) -> bool:
    return bool(typed.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_converted_graph_is_valid_and_its_types_are_consistent(seed):
    model = draw(seed)
    before = model.SerializeToString(deterministic=True)
    typed = converted(seed, model)
    assert model.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(typed, full_check=True)
    declared = {v.name: v.type.tensor_type.elem_type for v in (*typed.graph.value_info, *typed.graph.output)}
    bare = ModelProto()
    bare.CopyFrom(typed)
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare, strict_mode=True, check_type=True).graph
    for value in (*inferred.value_info, *inferred.output):
        assert declared[value.name] == value.type.tensor_type.elem_type, value.name
    names = [node.name for node in typed.graph.node]
    assert len(names) == len(set(names)) and all(names)
    low = half_type(precision_of(seed)).elem
    pairs = {
        (node.input[0], node.output[0]): node
        for node in typed.graph.node
        if node.op_type == "Cast" and "/to_" in node.name
    }
    sources = [source for source, _ in pairs]
    assert len(sources) == len(set(sources)), "a tensor is cast once"
    kinds = {**{v.name: v.type.tensor_type.elem_type for v in typed.graph.input}, **declared}
    for (source, target), node in pairs.items():
        assert {kinds[source], kinds[target]} == {TensorProto.FLOAT, low}, node.name


@pytest.mark.parametrize("seed", SEEDS)
def test_the_emulated_error_is_within_naive_intervals(seed):
    model = draw(seed)
    typed = converted(seed, model)
    given = feeds(seed, half_io(typed))
    bounds = Bounds(model, *STEP[precision_of(seed)]).run(given)
    session = open_emulated(typed.SerializeToString())
    got = session.run(given)
    session.close()
    assert list(got) == list(bounds)
    for name, (low, high) in bounds.items():
        assert got[name].shape == low.shape
        bounded = np.isfinite(low) & np.isfinite(high)
        assert ((low <= got[name]) & (got[name] <= high))[bounded].all(), name


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
@pytest.mark.parametrize("seed", SEEDS)
def test_tensorrt_parses_what_it_parsed_before(seed):
    model = draw(seed)
    if parses(model):
        assert parses(converted(seed, model))


def parses(model: ModelProto) -> bool:
    import tensorrt_rtx as trt

    builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))
    network = builder.create_network(0)
    return bool(trt.OnnxParser(network, trt.Logger(trt.Logger.INTERNAL_ERROR)).parse(model.SerializeToString()))


def test_the_seeds_draw_every_kind_and_every_opset():
    operators = {node.op_type for seed in range(DEFAULT) for node in draw(seed).graph.node}
    expected = {
        "If",
        "Loop",
        "Resize",
        "TopK",
        "QuantizeLinear",
        "Cast",
        "ConstantOfShape",
        "LayerNormalization",
        "Conv",
    }
    assert expected <= operators and {"twice", "gate"} & operators
    opsets = {draw(seed).opset_import[0].version for seed in range(DEFAULT)}
    assert {min(opsets), max(opsets)} == {13, 23} and len(KINDS) == 21


def test_the_intervals_are_narrow_enough_to_see_a_wrong_cast():
    """Most bounds are far narrower than the values: one that holds anything would prove nothing."""
    narrow = total = 0
    for seed in range(0, DEFAULT, 4):
        model = draw(seed)
        for low, high in Bounds(model, *STEP["fp16"]).run(feeds(seed, False)).values():
            size = max(float(np.abs(low[np.isfinite(low)]).max(initial=0)), 1e-6)
            narrow += int(np.median(high - low) < 0.2 * size)
            total += 1
    assert narrow >= 0.6 * total
