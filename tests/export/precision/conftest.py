"""Helpers over small hand-built models in ONNX's text form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import ModelProto, TensorProto

from attnexport.runtime.sessions.emulated import EmulatedSession

NAMES = {TensorProto.FLOAT: "f32", TensorProto.FLOAT16: "f16", TensorProto.BFLOAT16: "bf16"}


def is_cast(name: str) -> bool:
    """Whether the converter put a node in."""
    return "/to_f" in name or "/to_bf" in name


def parse(text: str, opset: int = 18) -> ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def model() -> Callable[..., ModelProto]:
    """A checked model from text; a node is named as its first output."""
    return parse


@pytest.fixture
def types() -> Callable[[ModelProto], dict[str, str]]:
    """``{node: type of its first output}`` of a typed model, casts and integers left out; holds it to the checker."""

    def of(typed: ModelProto) -> dict[str, str]:
        onnx.checker.check_model(typed, full_check=True)
        graph = typed.graph
        declared = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
        bare = ModelProto()
        bare.CopyFrom(typed)
        del bare.graph.value_info[:]
        inferred = onnx.shape_inference.infer_shapes(bare, strict_mode=True).graph
        for value in (*inferred.value_info, *inferred.output):
            assert declared[value.name] == value.type.tensor_type.elem_type, value.name
        names = [node.name for node in graph.node]
        assert len(names) == len(set(names))
        return {
            n.name: NAMES[declared[n.output[0]]]
            for n in graph.node
            if not is_cast(n.name) and declared[n.output[0]] in NAMES
        }

    return of


@pytest.fixture
def casts() -> Callable[[ModelProto], list[str]]:
    """The names of the inserted casts, in graph order."""
    return lambda typed: [node.name for node in typed.graph.node if is_cast(node.name)]


@pytest.fixture
def emulated() -> Callable[..., list[np.ndarray]]:
    """Run a typed model under emulation: arrays by input name to the list of outputs."""

    def run(typed: ModelProto, **feeds: np.ndarray) -> list[np.ndarray]:
        session = EmulatedSession(typed.SerializeToString())
        outputs = session.run(feeds)
        session.close()
        return [outputs[name] for name in session.output_names]

    return run
