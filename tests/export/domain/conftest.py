"""One node of the domain as a model: with its body it is checked ONNX and runs on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from attnexport.export import domain

MakeModel = Callable[..., onnx.ModelProto]


@pytest.fixture(scope="session", autouse=True)
def _schemas() -> None:
    domain.register_schemas()


@pytest.fixture(scope="session")
def one_node() -> MakeModel:
    """``one_node(op, inputs, attrs, output_rank)``: axes of tensors are symbols, those of int64 vectors are numbers."""

    def make(op: str, inputs: Mapping[str, np.ndarray], attrs: Mapping[str, Any], rank: int) -> onnx.ModelProto:
        declared = [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(value.dtype),
                [f"{name}{axis}" if value.ndim > 1 else size for axis, size in enumerate(value.shape)],
            )
            for name, value in inputs.items()
        ]
        kind = helper.np_dtype_to_tensor_dtype(next(iter(inputs.values())).dtype)
        output = helper.make_tensor_value_info("y", kind, [f"y{axis}" for axis in range(rank)])
        node = helper.make_node(op, list(inputs), ["y"], name=op, domain=domain.DOMAIN, **attrs)
        imports = [helper.make_opsetid("", 18), helper.make_opsetid(domain.DOMAIN, domain.VERSION)]
        graph = helper.make_graph([node], "one_node", declared, [output])
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    return make


@pytest.fixture(scope="session")
def run_body(one_node: MakeModel) -> Callable[..., np.ndarray]:
    """``run_body(op, inputs, attrs, output_rank)``: the output of the body on ONNX Runtime's CPU provider."""

    def run(op: str, inputs: Mapping[str, np.ndarray], attrs: Mapping[str, Any], rank: int) -> np.ndarray:
        model = domain.add_bodies(one_node(op, inputs, attrs, rank))
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, dict(inputs))
        return y

    return run


@pytest.fixture(scope="session")
def inferred_shape() -> Callable[..., list[int | str]]:
    """``inferred_shape(op, shapes, attrs, constants)``: what the schema infers about the output."""

    def infer(
        op: str,
        shapes: Mapping[str, list[int | str]],
        attrs: Mapping[str, Any],
        constants: Mapping[str, Any] | None = None,
    ) -> list[int | str]:
        values = {name: np.asarray(value, np.int64) for name, value in (constants or {}).items()}
        declared = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims) for name, dims in shapes.items()]
        node = helper.make_node(op, [*shapes, *values], ["t"], domain=domain.DOMAIN, **attrs)
        keep = helper.make_node("Identity", ["t"], ["y"])
        initializers = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
        output = onnx.ValueInfoProto(name="y")
        graph = helper.make_graph([node, keep], "inferred", declared, [output], initializers)
        imports = [helper.make_opsetid("", 18), helper.make_opsetid(domain.DOMAIN, domain.VERSION)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=10)
        found = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.value_info[0]
        assert found.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        return [
            dim.dim_value if dim.HasField("dim_value") else "" if dim.dim_param.startswith("unk__") else dim.dim_param
            for dim in found.type.tensor_type.shape.dim
        ]

    return infer
