"""A TensorRT-RTX engine of each layer, FP32 and FP16: whether it builds, and whether windows are gathered in it. Needs no GPU."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from torch import Tensor, nn

from attnexport.benchmarks.local_attention_contenders import Model, attnexport_model, specs_of
from attnexport.errors import AttnexportError
from attnexport.export.engine.build import build_engine
from attnexport.export.engine.config import EngineOptions
from attnexport.export.engine.flavour import find_flavour
from attnexport.export.precision import convert
from attnexport.export.progress import Silent
from attnexport.runtime.spec import TensorSpec

TARGET = "tensorrt-rtx"
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


@dataclass(frozen=True)
class Built:
    """One engine: its layers and those of them that gather, or why there is none."""

    layers: int = 0
    gathering: tuple[str, ...] = ()
    failure: str | None = None

    @property
    def good(self) -> bool:
        """It builds and gathers no windows."""
        return self.failure is None and not self.gathering

    def __str__(self) -> str:
        if self.failure is not None:
            return f"FAILED: {self.failure}"
        return f"{self.layers} layers, " + (
            f"gathers in {', '.join(self.gathering)}" if self.gathering else "no gather"
        )


def engines(module: nn.Module, x: Tensor) -> dict[str, Built]:
    """Build both engines of attnexport's model for TensorRT-RTX."""
    model = attnexport_model(module, x, TARGET)
    return {precision: build(model, specs_of(x), precision) for precision in ("fp32", "fp16")}


def build(model: Model, specs: Sequence[TensorSpec], precision: str) -> Built:
    """One engine of an FP32 model; ``precision`` fp16 converts it first, by attnexport's own policy."""
    try:
        proto = convert(model.proto).model if precision == "fp16" else model.proto
        engine = build_engine(proto, specs, find_flavour("rtx"), EngineOptions(), model.origins, Silent())
    except AttnexportError as error:
        return Built(failure=error.problem)
    return Built(len(engine.layers), tuple(gathering(engine.layers, gathered_values(proto))))


def gathered_values(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes that gather from floating-point values: index arithmetic on shapes is no gather of windows."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    kinds |= {weight.name: weight.data_type for weight in graph.initializer}
    return {
        node.name
        for node in graph.node
        if node.op_type.startswith("Gather") and kinds.get(node.input[0], FLOATS[0]) in FLOATS
    }


def gathering(layers: Sequence[Mapping[str, Any]], gathered: Collection[str]) -> list[str]:
    """Names of the engine's layers that one of the nodes went into, or that TensorRT itself calls a gather (``Gath`` in a fused name)."""
    return [str(a["name"]) for a in layers if "Gath" in str(a["name"]) or not set(a["nodes"]).isdisjoint(gathered)]
