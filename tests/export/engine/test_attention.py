"""Attention layers build at every type and head size, since they may be taken apart."""

from __future__ import annotations

import pytest

from attnexport.export.engine import EngineOptions, build_engine
from attnexport.export.engine.operators import allow_decomposition
from attnexport.export.engine.parse import parsed
from attnexport.runtime.spec import Axis, TensorSpec

ATTENTION = """
    net ({kind}[N,4,32,{size}] q, {kind}[N,4,32,{size}] k, {kind}[N,4,32,{size}] v) => ({kind}[N,4,32,{size}] y)
    {{ [attn__sdpa] y = Attention (q, k, v) }}
"""


def specs(size: int, dtype: str) -> list[TensorSpec]:
    axes = (Axis(1, 2, 4, "N"), *map(Axis.fixed, (4, 32, size)))
    return [TensorSpec(name, dtype, axes) for name in "qkv"]


@pytest.mark.parametrize(
    ("kind", "dtype", "size"),
    [("float", "float32", 64), ("float", "float32", 8), ("float16", "float16", 8), ("float16", "float16", 512)],
)
def test_what_has_no_kernel_of_its_own_still_builds(kind, dtype, size, onnx_model, rtx, reporter) -> None:
    model = onnx_model(ATTENTION.format(kind=kind, size=size), opset=23)
    assert len(build_engine(model, specs(size, dtype), rtx, EngineOptions(), {}, reporter).plan) > 10_000


def test_each_attention_is_marked_once(onnx_model, mixed, rtx) -> None:
    with parsed(onnx_model(ATTENTION.format(kind="float", size=64), opset=23), rtx, {}) as network:
        assert allow_decomposition(network.trt, network.network) == 1
    with parsed(mixed, rtx, {}) as network:
        assert allow_decomposition(network.trt, network.network) == 0


def test_a_tensorrt_without_the_layer_is_left_alone() -> None:
    assert allow_decomposition(object(), None) == 0
