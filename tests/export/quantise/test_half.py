"""The rest in FP16: no cast between Q, DQ and their layers, and the numbers of the float32 form within FP16."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from attnexport.export.precision import count
from attnexport.export.precision.halves import FP16
from attnexport.export.quantise.calibrate import ranges
from attnexport.export.quantise.formats import FP8, INT8
from attnexport.export.quantise.half import in_half
from attnexport.export.quantise.pairs import with_pairs
from attnexport.runtime.sessions.emulated import open_emulated

KINDS = pytest.mark.parametrize("kind", [INT8, FP8], ids=lambda k: k.name)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    graph = inferred.graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output, *graph.value_info)}
    return types | {t.name: t.data_type for t in graph.initializer}


@KINDS
def test_q_and_dq_stand_next_to_their_layers_in_fp16(kind, index, layers, feeds) -> None:
    found = ranges(index.model, [one.data for one in layers], feeds, "minmax")
    model = in_half(with_pairs(index, layers, found, kind), []).model
    types, makers = types_of(model), {n.output[0]: n for n in model.graph.node}
    nodes = {n.name: n for n in model.graph.node}
    for layer in layers:
        node = nodes[layer.node]
        for name in node.input[:2]:
            assert makers[name].op_type == "DequantizeLinear", f"{layer.node} reads {makers[name].op_type}"
            assert types[name] == types[makers[name].input[1]] == TensorProto.FLOAT16
            assert types[makers[name].input[0]] == kind.elem
        quantised = makers[makers[node.input[0]].input[0]]
        assert quantised.op_type == "QuantizeLinear"
        assert types[quantised.input[0]] == types[quantised.input[1]]
        assert types[node.output[0]] == TensorProto.FLOAT16
    casts = [n.name for n in model.graph.node if n.op_type == "Cast"]
    assert [(types[nodes[c].input[0]], types[nodes[c].output[0]]) for c in casts] == [(10, 1)] * 2, "the two outputs"
    assert types["x"] == types["y"] == types["z"] == TensorProto.FLOAT
    counted = count(model, FP16)
    assert (counted.quantised, counted.fp32_nodes, counted.casts) == (5, 0, 2)


@KINDS
def test_the_numbers_are_those_of_the_float32_form_within_fp16(kind, index, layers, feeds, run) -> None:
    found = ranges(index.model, [one.data for one in layers], feeds, "minmax")
    single = with_pairs(index, layers, found, kind)
    session = open_emulated(in_half(single, []).model.SerializeToString())
    runs = [(session.run(feed), run(single, feed), run(index.model, feed)) for feed in feeds]
    for name in ("y", "z"):
        got, want, plain = (np.concatenate([one[i][name].ravel() for one in runs]) for i in range(3))
        assert not np.array_equal(got, want), name
        # FP16 moves some values over the edge of an 8-bit step, which makes no larger error than the step.
        assert np.std(got - plain) < 1.2 * np.std(want - plain), name
        assert np.median(np.abs(got - want)) < 0.5 * np.median(np.abs(want - plain)), name


def test_a_layer_between_fp32_nodes_reads_fp32_and_gives_fp16(index, layers, feeds) -> None:
    found = ranges(index.model, [one.data for one in layers], feeds, "minmax")
    model = in_half(with_pairs(index, layers, found, INT8), ["r"]).model
    types, makers = types_of(model), {n.output[0]: n for n in model.graph.node}
    quantised = next(n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "r")
    assert types["r"] == types[quantised.input[1]] == TensorProto.FLOAT
    layer = next(n for n in model.graph.node if n.name == "d")
    assert types[layer.input[0]] == TensorProto.FLOAT16
    assert makers[layer.input[0]].op_type == "DequantizeLinear"
