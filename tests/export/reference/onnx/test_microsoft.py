"""Operators of the domain com.microsoft: the reference in FP64 against ONNX Runtime's FP32 kernels, which share no code with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from attnexport.export.reference.onnx_model import OnnxOriginal

RNG = np.random.default_rng(3)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def steps(*shape: int) -> np.ndarray:
    return RNG.integers(0, 255, shape).astype(np.uint8)


def ints(*values: Any) -> np.ndarray:
    return np.array(values, np.int32)


def one(value: float, dtype: Any = np.float32) -> np.ndarray:
    return np.array(value, dtype)


SCALE, ZERO = one(0.02), one(120, np.uint8)
POSITIONS = np.arange(5, dtype=np.int64)[None].repeat(2, 0)
CASES: list[tuple[str, list[np.ndarray | None], int, dict[str, Any]]] = [
    ("Gelu", [real(2, 8)], 1, {}),
    ("FastGelu", [real(2, 8), real(8)], 1, {}),
    ("BiasGelu", [real(2, 8), real(8)], 1, {}),
    ("QuickGelu", [real(2, 8)], 1, {"alpha": 1.5}),
    *[
        ("FusedConv", [real(2, 4, 8, 8), real(6, 4, 3, 3), real(6)], 1, {"activation": name, "pads": [1] * 4, **more})
        for name, more in [
            ("Relu", {}),
            ("Tanh", {}),
            ("Sigmoid", {}),
            ("LeakyRelu", {"activation_params": [0.2]}),
            ("Clip", {"activation_params": [-0.5, 0.5]}),
            ("HardSigmoid", {"activation_params": [0.3, 0.4]}),
        ]
    ],
    (
        "FusedGemm",
        [real(3, 4), real(4, 5), real(5)],
        1,
        {"activation": "LeakyRelu", "activation_alpha": 0.2, "beta": 2.0},
    ),
    ("FusedMatMul", [real(2, 4, 3), real(2, 4, 5)], 1, {"transA": 1, "alpha": 0.5}),
    ("FusedMatMul", [real(4, 2, 3), real(2, 4, 5)], 1, {"transBatchA": 1, "transA": 1}),
    ("SkipLayerNormalization", [real(2, 3, 8), real(2, 3, 8), real(8), real(8), real(8)], 1, {"epsilon": 1e-5}),
    ("SkipSimplifiedLayerNormalization", [real(2, 3, 8), real(2, 3, 8), real(8), real(8)], 1, {}),
    (
        "EmbedLayerNormalization",
        [ints([1, 2]), ints([0, 1]), real(5, 8), real(4, 8), real(2, 8), real(8), real(8), ints([1, 0])],
        2,
        {},
    ),
    ("Attention", [real(2, 5, 8), real(8, 24), real(24)], 1, {"num_heads": 2, "unidirectional": 1}),
    ("Attention", [real(2, 5, 8), real(8, 24), real(24), ints(3, 5)], 1, {"num_heads": 2}),
    ("Attention", [real(2, 5, 8), real(8, 24), real(24), ints([1, 1, 0, 0, 1], [1] * 5)], 1, {"num_heads": 2}),
    ("Attention", [real(2, 5, 8), real(8, 20), real(20)], 1, {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}),
    ("Attention", [real(2, 3, 8), real(8, 24), real(24), None, real(2, 2, 2, 4, 4)], 2, {"num_heads": 2}),
    ("MultiHeadAttention", [real(2, 5, 8), real(2, 7, 8), real(2, 7, 8), real(24)], 1, {"num_heads": 2, "scale": 0.3}),
    (
        "MultiHeadAttention",
        [real(2, 5, 8), real(2, 7, 8), real(2, 7, 8), None, ints([1] * 7, [0, 0, 1, 1, 1, 0, 1])],
        1,
        {"num_heads": 2},
    ),
    (
        "MultiHeadAttention",
        [real(2, 3, 8), real(2, 3, 8), real(2, 3, 8), None, None, real(2, 2, 3, 7), real(2, 2, 4, 4), real(2, 2, 4, 4)],
        3,
        {"num_heads": 2, "unidirectional": 1},
    ),
    ("RotaryEmbedding", [real(2, 5, 8), POSITIONS, real(10, 2), real(10, 2)], 1, {"interleaved": 1}),
    (
        "GroupQueryAttention",
        [
            real(1, 1, 64),
            real(1, 1, 32),
            real(1, 1, 32),
            real(1, 2, 4, 16),
            real(1, 2, 4, 16),
            ints(4),
            ints(5),
            real(10, 8),
            real(10, 8),
        ],
        3,
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "softcap": 2.0},
    ),
    (
        "MatMulIntegerToFloat",
        [steps(2, 4), steps(4, 5), one(0.02), real(5) ** 2, one(3, np.uint8), steps(5), real(5)],
        1,
        {},
    ),
    ("DynamicQuantizeMatMul", [real(2, 4), steps(4, 5), real(5) ** 2, steps(5), real(5)], 1, {}),
    ("QGemm", [steps(4, 2), SCALE, ZERO, steps(5, 4), SCALE, ZERO], 1, {"transA": 1, "transB": 1}),
    ("MatMulNBits", [real(2, 40), steps(8, 2, 16), real(16)], 1, {"K": 40, "N": 8, "bits": 4, "block_size": 32}),
    (
        "MatMulNBits",
        [real(2, 64), steps(8, 2, 16), real(16), steps(8, 1)],
        1,
        {"K": 64, "N": 8, "bits": 4, "block_size": 32},
    ),
    ("Pad", [real(2, 3), np.array([0, 1, 0, -1])], 1, {}),
    ("DequantizeLinear", [steps(2, 3), SCALE, ZERO], 1, {}),
    ("QLinearSigmoid", [steps(2, 8), SCALE, ZERO, one(1 / 256), one(0, np.uint8)], 1, {}),
    ("Inverse", [real(2, 3, 3)], 1, {}),
]


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda n: f"{CASES[n][0]}-{n}")
def test_the_reference_agrees_with_onnx_runtime(index: int) -> None:
    op, inputs, outputs, attributes = CASES[index]
    names = ["" if value is None else f"x{n}" for n, value in enumerate(inputs)]
    feeds = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    node = helper.make_node(op, names, [f"y{n}" for n in range(outputs)], "node", domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        "one_node",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    original = OnnxOriginal(model)
    truth = original.run(feeds, "float64")
    assert original.notes == []
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for value, result in zip(truth.values(), session.run(None, feeds), strict=True):
        assert value.shape == result.shape
        assert value.dtype == (np.float64 if result.dtype == np.float32 else result.dtype)
        scale = float(np.sqrt(np.mean(value.astype(np.float64) ** 2)))
        np.testing.assert_allclose(result, value, rtol=0, atol=1e-5 * scale)
