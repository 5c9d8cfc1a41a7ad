"""What TensorRT-RTX makes of Q/DQ, with real engines for GPUs that are not here: which layers compute in 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from attnexport.errors import EngineError
from attnexport.export.engine import EngineOptions, build_engine
from attnexport.export.engine.flavour import Flavour, find_flavour
from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.progress import Silent
from attnexport.export.quantise.formats import FP8, INT8
from attnexport.export.quantise.half import in_half
from attnexport.export.quantise.layers import find_layers
from attnexport.export.quantise.pairs import with_pairs
from attnexport.runtime.spec import Axis, TensorSpec

LAYERS = {
    "conv": ("Conv <pads=[1,1,1,1]> (x, w)", (3, 16, 8, 8), (16, 16, 3, 3), (16, 8, 8)),
    "depthwise": ("Conv <group=16> (x, w)", (3, 16, 8, 8), (16, 1, 1, 1), (16, 8, 8)),
    "gemm": ("Gemm <transB=1> (x, w)", (3, 64), (32, 64), (32,)),
    "matmul": ("MatMul(x, w)", (3, 8, 64), (64, 32), (8, 32)),
}


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    return find_flavour("rtx")


def built(made, rtx: Flavour, layer: str, kind, capability: str) -> dict[str, list[str]]:
    """Output types of the engine's layers by the ONNX nodes that they were made of."""
    call, shape, weight, out = LAYERS[layer]

    def typed(sizes: tuple[int, ...]) -> str:
        return f"float[N,{','.join(map(str, sizes))}]"

    w = np.random.default_rng(0).standard_normal(weight).astype("f4")
    model = made(
        f"net ({typed(shape[1:])} x) => ({typed(out)} y) {{ r = Relu(x)  y = {call.replace('(x', '(r')} }}", {"w": w}
    )
    index = GraphIndex(normalise(model))
    eight = in_half(with_pairs(index, find_layers(index, {})[0], {"r": 3.0}, kind), []).model
    spec = TensorSpec("x", "float32", (Axis(1, 2, 3, "N"), *(Axis.fixed(size) for size in shape[1:])))
    options = EngineOptions(compute_capabilities=(capability,))
    engine: Any = build_engine(eight, [spec], rtx, options, {}, Silent())
    assert len(engine.plan) > 10_000
    return {one["name"]: [o["dtype"] for o in one["outputs"]] for one in engine.layers}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("kind", "capability", "dtype"), [(INT8, "8.6", "int8"), (FP8, "8.9", "FP8")], ids=["int8", "fp8"]
)
def test_a_layer_reads_8_bits(made, rtx: Flavour, layer: str, kind, capability: str, dtype: str) -> None:
    layers = built(made, rtx, layer, kind, capability)
    assert [dtype] in layers.values(), layers


def test_before_ampere_convolutions_are_dequantised_and_products_are_not(made, rtx: Flavour) -> None:
    assert ["int8"] not in built(made, rtx, "conv", INT8, "7.5").values()
    assert ["int8"] in built(made, rtx, "matmul", INT8, "7.5").values()


def test_fp8_has_no_engine_before_ada(made, rtx: Flavour) -> None:
    with pytest.raises(EngineError, match=r"Cannot compile for target.*sm86.*fp8"):
        built(made, rtx, "matmul", FP8, "8.6")
