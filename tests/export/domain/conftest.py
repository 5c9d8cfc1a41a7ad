"""One node of the domain as a model: with its body it is checked ONNX and runs on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import helper

from attnexport.export import domain

MakeModel = Callable[..., onnx.ModelProto]


@pytest.fixture(scope="session", autouse=True)
def _schemas() -> None:
    domain.register_schemas()


@pytest.fixture(scope="session")
def one_node() -> MakeModel:
    """``one_node(op, inputs, attrs, output_rank)``: axes of tensors are symbols, those of int64 vectors are numbers.

    An optional input that is None is left out.
    """

    def make(op: str, given: Mapping[str, np.ndarray | None], attrs: Mapping[str, Any], rank: int) -> onnx.ModelProto:
        inputs = {name: value for name, value in given.items() if value is not None}
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
        names = [name if name in inputs else "" for name in given]
        node = helper.make_node(op, names, ["y"], name=op, domain=domain.DOMAIN, **attrs)
        imports = [helper.make_opsetid("", 18), helper.make_opsetid(domain.DOMAIN, domain.VERSION)]
        graph = helper.make_graph([node], "one_node", declared, [output])
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    return make


@pytest.fixture(scope="session")
def run_body(one_node: MakeModel) -> Callable[..., np.ndarray]:
    """``run_body(op, inputs, attrs, output_rank)``: the output of the body on ONNX Runtime's CPU provider."""

    def run(op: str, inputs: Mapping[str, np.ndarray | None], attrs: Mapping[str, Any], rank: int) -> np.ndarray:
        model = domain.add_bodies(one_node(op, inputs, attrs, rank))
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {name: value for name, value in inputs.items() if value is not None})
        return y

    return run


@dataclass(frozen=True)
class Windowed:
    """A window geometry over n space axes with random tensors that fit it, and torch's own windows as an oracle."""

    attrs: dict[str, list[int]]
    space: tuple[int, ...]

    @property
    def positions(self) -> tuple[int, ...]:
        """Lengths of the position axes, as torch counts them."""
        return tuple(self.windows(torch.zeros(1, 1, 1, *self.space)).shape[4:])

    @property
    def places(self) -> int:
        """K."""
        return int(np.prod(self.attrs["kernel"]))

    def windows(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, D, *S) -> (N, H, D, K, *Q) by F.pad, Tensor.unfold and strided indexing."""
        n, lead = len(self.space), x.ndim - len(self.space)
        pads = self.attrs["pads"]
        x = F.pad(x, [amount for axis in reversed(range(n)) for amount in (pads[axis], pads[axis + n])])
        for axis in range(n):
            kernel, dilation = self.attrs["kernel"][axis], self.attrs["dilation"][axis]
            reach = dilation * (kernel - 1) + 1
            x = x.unfold(lead + axis, reach, self.attrs["stride"][axis])[..., ::dilation]
        return x.flatten(-n).movedim(-1, lead)


GEOMETRIES = {
    "1-D": Windowed({"kernel": [5], "dilation": [2], "pads": [3, 4], "stride": [2]}, (11,)),
    "2-D": Windowed({"kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1]}, (5, 6)),
    "2-D uneven": Windowed({"kernel": [3, 2], "dilation": [2, 1], "pads": [1, 0, 2, 3], "stride": [2, 1]}, (6, 7)),
    "3-D": Windowed(
        {"kernel": [2, 3, 1], "dilation": [1, 2, 1], "pads": [1, 0, 0, 0, 2, 1], "stride": [1, 2, 1]}, (4, 6, 3)
    ),
}


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def geometry(request: pytest.FixtureRequest) -> Windowed:
    """A window over one, two or three space axes."""
    found: Windowed = request.param
    return found


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
