"""One node of the domain, lowered: run on ONNX Runtime, built by TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from attnexport.export.domain import DOMAIN, OPERATORS, VERSION
from attnexport.export.lower import LOWERINGS, Applied, lower

NODE = "block.attn/op"


@dataclass(frozen=True)
class Lowered:
    """A lowered one-node model."""

    model: onnx.ModelProto
    applied: Applied
    op: str
    attrs: dict[str, Any]

    def run(self, inputs: Mapping[str, np.ndarray | None]) -> np.ndarray:
        """Its output on ONNX Runtime's CPU provider."""
        session = onnxruntime.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        wanted = {entry.name for entry in session.get_inputs()}
        (y,) = session.run(None, {name: value for name, value in inputs.items() if name in wanted})
        return y

    def check(self, inputs: Mapping[str, np.ndarray | None], atol: float = 0.0) -> None:
        """The output is that of the FP64 reference, in the first input's type."""
        wide = [
            value.astype(np.float64) if value is not None and value.dtype.kind == "f" else value
            for value in inputs.values()
        ]
        expected = OPERATORS[self.op].reference(*wide, **self.attrs)
        y = self.run(inputs)
        assert y.dtype == next(iter(inputs.values())).dtype
        assert y.shape == expected.shape
        np.testing.assert_allclose(y.astype(expected.dtype), expected, rtol=0, atol=atol)

    def op_types(self) -> set[str]:
        """The operators of the graph."""
        return {node.op_type for node in self.model.graph.node}


def one_node(
    op: str,
    given: Mapping[str, np.ndarray | None],
    attrs: Mapping[str, Any],
    dynamic: Collection[str] | bool,
    constants: Collection[str],
    opset: int = 18,
) -> onnx.ModelProto:
    """A model of one node; ``dynamic`` names symbolic axes (``x2``), True means all axes of tensors.

    An optional input that is None is left out.
    """
    inputs = {name: value for name, value in given.items() if value is not None}

    def dims(name: str, value: np.ndarray) -> list[int | str]:
        if value.ndim == 1:  # a shift or an output size
            return list(value.shape)
        symbols = [f"{name}{axis}" for axis in range(value.ndim)]
        kept = symbols if dynamic is True else dynamic or ()
        return [symbol if symbol in kept else size for symbol, size in zip(symbols, value.shape, strict=True)]

    def info(name: str, value: np.ndarray) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), dims(name, value))

    rank = OPERATORS[op].reference(*given.values(), **attrs).ndim
    kind = helper.np_dtype_to_tensor_dtype(next(iter(inputs.values())).dtype)
    names = [name if name in inputs else "" for name in given]
    node = helper.make_node(op, names, ["y"], name=NODE, domain=DOMAIN, **attrs)
    graph = helper.make_graph(
        [node],
        "one_node",
        [info(name, value) for name, value in inputs.items() if name not in constants],
        [helper.make_tensor_value_info("y", kind, [f"y{axis}" for axis in range(rank)])],
        [onnx.numpy_helper.from_array(inputs[name], name) for name in constants],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


@pytest.fixture(scope="session")
def lowered() -> Callable[..., Lowered]:
    """``lowered(op, inputs, attrs, dynamic=True, constants=(), only=None, targets=both, opset=18, prefer="ort-cpu")``.

    ``only`` names the one lowering that may be used; without it the cheapest is.
    """

    def make(
        op: str,
        inputs: Mapping[str, np.ndarray | None],
        attrs: Mapping[str, Any],
        *,
        dynamic: Collection[str] | bool = True,
        constants: Collection[str] = (),
        only: str | None = None,
        targets: Collection[str] = ("ort", "tensorrt"),
        opset: int = 18,
        prefer: str = "ort-cpu",
    ) -> Lowered:
        model = one_node(op, inputs, attrs, dynamic, constants, opset)
        rules = [rule for rule in LOWERINGS if only in (None, rule.name)]
        result = lower(model, targets, rules, prefer=prefer)
        (applied,) = result.applied
        graph = result.model.graph
        assert only in (None, applied.lowering)
        assert all(node.domain == "" and node.name.startswith(f"{NODE}/") for node in graph.node)
        assert len({node.name for node in graph.node}) == len(graph.node)
        assert [(entry.domain, entry.version) for entry in result.model.opset_import] == [("", opset)]
        assert list(graph.input) == list(model.graph.input)
        assert list(graph.output) == list(model.graph.output)
        return Lowered(result.model, applied, op, dict(attrs))

    return make


@pytest.fixture(scope="session")
def builds() -> Callable[[Lowered, Mapping[str, np.ndarray]], None]:
    """``builds(lowered, inputs)``: TensorRT-RTX makes an engine, dynamic axes going from the inputs' sizes up by 4."""
    trt = pytest.importorskip("tensorrt_rtx", reason="pip install 'attnexport[rtx]'")
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)

    def build(model: Lowered, inputs: Mapping[str, np.ndarray]) -> None:
        assert not model.op_types() & {"Col2Im", "AffineGrid", "ScatterND", "ScatterElements"}
        builder = trt.Builder(logger)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        parsed = parser.parse(model.model.SerializeToString())
        assert parsed, [parser.get_error(index).desc() for index in range(parser.num_errors)]
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            value = inputs[tensor.name]
            if tensor.is_shape_tensor:
                profile.set_shape_input(tensor.name, value.tolist(), value.tolist(), value.tolist())
                continue
            assert any(size < 0 for size in tensor.shape), "the test must leave an axis dynamic"
            most = [
                size + 4 if declared < 0 else size for size, declared in zip(value.shape, tensor.shape, strict=True)
            ]
            profile.set_shape(tensor.name, value.shape, value.shape, most)
        config = builder.create_builder_config()
        config.add_optimization_profile(profile)
        engine = builder.build_serialized_network(network, config)
        assert engine is not None and engine.nbytes > 1000

    return build
