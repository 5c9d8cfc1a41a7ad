"""Fixtures of all stages: a small module through capture, recognising and lowering, and small models in ONNX's text form."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx import ModelProto, TensorProto

from attnexport.export.progress import Silent
from attnexport.export.source import CapturedModel, SourceOptions
from attnexport.export.source.specs import forward_parameters, resolve
from attnexport.export.source.torch_source import module_source
from attnexport.export.stages.models import enter
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.runtime.inputs.feeds import profile_points, random_feeds
from attnexport.runtime.sessions.emulated import open_emulated
from attnexport.runtime.sessions.ort import OrtSession

NAMES = {TensorProto.FLOAT: "f32", TensorProto.FLOAT16: "f16", TensorProto.BFLOAT16: "bf16"}


def _entered(module: torch.nn.Module, *inputs: str, dynamic: tuple[str, ...] = ()) -> CapturedModel:
    module.eval()
    specs, explicit = resolve(SourceOptions(inputs=inputs, dynamic=dynamic), forward_parameters(module.forward))
    source = module_source(module, kind="factory", name="net", inputs=specs, explicit_dynamic=explicit)
    return enter(source, (), 0, Silent())


def _parity(module: torch.nn.Module | CapturedModel, *inputs: str, dynamic: tuple[str, ...] = ()) -> float:
    """The largest error of any output, over the largest value of that output, at the smallest and largest sizes."""
    found = module if isinstance(module, CapturedModel) else _entered(module, *inputs, dynamic=dynamic)
    lowered, _ = lower_for(
        find_windows(found.captured.model), Plan.of(None, None, "fp32"), found.inputs, False, Silent()
    )
    points = profile_points(found.inputs)
    worst = 0.0
    with OrtSession(lowered.model.SerializeToString()) as session:
        for _, sizes in (points[0], points[-1]):
            feeds = random_feeds(found.inputs, sizes, seed=1)
            truth, got = found.original.run(feeds, "float64"), session.run(feeds)
            assert list(truth) == list(got)
            for name, true in truth.items():
                assert true.shape == got[name].shape
                scale = max(float(np.abs(true.astype(np.float64)).max(initial=0.0)), 1e-9)
                worst = max(worst, float(np.abs(got[name].astype(np.float64) - true).max(initial=0.0)) / scale)
    return worst


@pytest.fixture
def entered() -> Callable[..., CapturedModel]:
    """``entered(module, "x=2x3x8", dynamic=("x:1=2:8:16",))``: a module as it enters the pipeline."""
    return _entered


@pytest.fixture
def parity() -> Callable[..., float]:
    """``parity(module, "x=2x3x8")``: the error of the exported FP32 graph; see :func:`_parity`."""
    return _parity


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
        session = open_emulated(typed.SerializeToString())
        outputs = session.run(feeds)
        session.close()
        return [outputs[name] for name in session.output_names]

    return run


@pytest.fixture
def count_calls() -> Callable[..., tuple[int, Any]]:
    """``count_calls(function, *arguments)``: the number of Python calls that it takes, and its result.

    A measure of cost that does not depend on the machine or its load.
    """

    def count(function: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
        calls = 0

        def profile(_frame: Any, event: str, _argument: Any) -> None:
            nonlocal calls
            calls += event == "call"

        sys.setprofile(profile)
        try:
            result = function(*arguments)
        finally:
            sys.setprofile(None)
        return calls, result

    return count
