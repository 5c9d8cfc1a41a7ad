"""One thing broken on purpose in the real pipeline, and the report names the stage and the module."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from attnexport.errors import BundleError, ParityError
from attnexport.export.lower import LOWERINGS
from attnexport.export.pipeline import ExportResult
from attnexport.export.stages import build as building
from attnexport.export.stages import models, rewrite, typed, verification
from attnexport.runtime.bundle.attribution import Attribution, Blame
from attnexport.runtime.check.check import check
from attnexport.runtime.cuda import cuda_device
from attnexport.runtime.sessions.ort import OrtSession

Export = Callable[..., ExportResult]


def blame(result: ExportResult, form: str, output: str = "output_0") -> Blame:
    """Whom the bundle's report blames; the failure's own words must say the same."""
    found = entry(result, form, output).blame
    assert found is not None
    said = [text for text in result.failures if f"{output!r} of {form}" in text]
    assert said, result.failures
    assert said[0].endswith(f"; the error comes in at {found.describe()}")
    return found


def entry(result: ExportResult, form: str, output: str = "output_0") -> Attribution:
    (found,) = (a for a in result.manifest.attribution if (a.variant, a.output) == (form, output))
    return found


def edit_weight(model: onnx.ModelProto, shape: tuple[int, ...], factor: float) -> onnx.ModelProto:
    """A copy with the only weight of this shape scaled."""
    edited = onnx.ModelProto()
    edited.CopyFrom(model)
    (tensor,) = (t for t in edited.graph.initializer if tuple(t.dims) == shape)
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), tensor.name))
    return edited


def test_without_a_fault_nobody_is_to_blame_and_each_step_has_its_figures(export: Export) -> None:
    result = export(precision="fp16")
    assert result.passed
    assert [(a.variant, a.output) for a in result.manifest.attribution] == [
        (form, output) for form in ("onnx-fp32", "emulated-fp16") for output in ("output_0", "output_1")
    ]
    for found in result.manifest.attribution:
        assert found.blame is None
        assert found.notes == ()
        stages_run = ["capture", "recognise", "lower", *(["typed"] if found.variant == "emulated-fp16" else [])]
        assert [step.stage for step in found.steps] == stages_run
        for step in found.steps:
            assert 0 < step.figures.rms <= step.figures.max_abs
            assert step.figures.cosine == pytest.approx(1.0)
            assert 0 < step.ratio <= 2.0
        first, second, third, *last = found.steps
        assert first.added == first.figures.rms, "the first step is added to the truth"
        assert second.growth == pytest.approx(second.ratio - first.ratio)
        if last:
            assert last[0].precision == "float16"
            assert last[0].growth == last[0].ratio, "of another precision than the step before"
            assert last[0].added > 100 * third.added


def test_a_wrong_rewrite_is_blamed_on_recognise_and_the_attention(
    export: Export, monkeypatch: pytest.MonkeyPatch, net_line: Callable[[str], str]
) -> None:
    find = rewrite.recognise

    def faulty(model: onnx.ModelProto) -> Any:
        found = find(model)
        (node,) = (n for n in found.model.graph.node if n.op_type == "LocalAttention")
        for attribute in node.attribute:
            if attribute.name == "scale":
                attribute.f *= 1.01
        return found

    monkeypatch.setattr(rewrite, "recognise", faulty)
    found = blame(export(), "onnx-fp32")
    assert (found.stage, found.module, found.kind) == ("recognise", "layer.attn", "Attention")
    assert found.source.startswith("planted_net.py:")


def test_a_wrong_lowering_is_blamed_on_lower_its_form_and_the_attention(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(emit: Any, node: Any) -> Any:
        return emit.op("Mul", right.build(emit, node), emit.constant(1.0001, np.float32))

    (right,) = (form for form in LOWERINGS if form.name == "local_attention_windows")
    forms = [replace(right, build=wrong), *(form for form in LOWERINGS if form.op != "LocalAttention")]
    monkeypatch.setattr(rewrite, "LOWERINGS", forms)
    found = blame(export(), "onnx-fp32")
    assert (found.stage, found.module, found.kind) == ("lower", "layer.attn", "Attention")
    assert found.detail == "LocalAttention as local_attention_windows"


def test_a_wrong_weight_in_the_captured_graph_is_blamed_on_capture_and_its_layer(
    export: Export, monkeypatch: pytest.MonkeyPatch, net_line: Callable[[str], str]
) -> None:
    enter = models.enter

    def faulty(*arguments: Any, **options: Any) -> Any:
        entered = enter(*arguments, **options)
        model = edit_weight(entered.captured.model, (4, 8, 1, 1), 1.001)
        return replace(entered, captured=replace(entered.captured, model=model))

    monkeypatch.setattr(models, "enter", faulty)
    result = export()
    for output in ("output_0", "output_1"):
        found = blame(result, "onnx-fp32", output)
        assert (found.stage, found.module, found.kind) == ("capture", "layer.after", "Conv2d")
        assert found.source == net_line("return self.after(self.norm(self.attn(self.before(x))))")


def test_a_model_that_came_as_onnx_is_held_against_its_own_graph(
    export: Export, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
    ends = [helper.make_tensor_value_info(n, 1, [2, c, 8, 9]) for n, c in (("x", 3), ("y", 4))]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="stem/conv", pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c"], ["s"], name="stem/sigmoid"),
        helper.make_node("Tanh", ["s"], ["y"], name="head/tanh"),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "net.onnx")
    enter = models.enter

    def faulty(*arguments: Any, **options: Any) -> Any:
        entered = enter(*arguments, **options)
        model = edit_weight(entered.captured.model, (4, 3, 3, 3), 1.001)
        return replace(entered, captured=replace(entered.captured, model=model))

    monkeypatch.setattr(models, "enter", faulty)
    options = {"model": tmp_path / "net.onnx", "factory": None, "random_weights": False, "inputs": []}
    found = blame(export(**options), "onnx-fp32", "y")
    assert (found.stage, found.node) == ("capture", "stem/conv")


def test_a_wrong_weight_in_the_typed_model_is_blamed_on_the_typed_stage_and_its_layer(
    export: Export, monkeypatch: pytest.MonkeyPatch, net_line: Callable[[str], str]
) -> None:
    convert = typed.convert

    def faulty(*arguments: Any, **options: Any) -> Any:
        result = convert(*arguments, **options)
        return replace(result, model=edit_weight(result.model, (8, 3, 3, 3), 1.05))

    monkeypatch.setattr(typed, "convert", faulty)
    result = export(precision="fp16")
    found = blame(result, "emulated-fp16")
    assert (found.stage, found.module, found.kind) == ("fp16", "layer.before", "Conv2d")
    assert all(a.blame is None for a in result.manifest.attribution if a.variant == "onnx-fp32")


def test_an_fp16_overflow_is_blamed_on_the_typed_stage_and_the_module_that_overflows(
    export: Export, net_line: Callable[[str], str]
) -> None:
    result = export(precision="fp16", kwargs='{"gain": 800.0}')
    found = blame(result, "emulated-fp16")
    assert (found.stage, found.module, found.kind) == ("fp16", "layer.norm", "Gain")
    assert found.source == net_line("return torch.relu(loud * self.gain) / self.gain ** 2")
    assert any("Inf of" in text or "NaN of" in text for text in result.failures)


class Engine:
    """What stands for a TensorRT session where no GPU is: a model on ONNX Runtime instead of the plan."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session = OrtSession(model.SerializeToString())
        self.input_names, self.output_names = self._session.input_names, self._session.output_names
        self.input_dtypes = self._session.input_dtypes

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._session.run(feeds)

    def close(self) -> None:
        self._session.close()


def with_tf32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Both operands of Conv, Gemm and MatMul with a mantissa of 10 bits, by Veltkamp's splitting: ``c = (2^13 + 1) x; c - (c - x)``."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.initializer.append(numpy_helper.from_array(np.float32(2**13 + 1), "veltkamp"))
    nodes = []
    for node in changed.graph.node:
        for i, name in enumerate(node.input[:2]) if node.op_type in ("Conv", "Gemm", "MatMul") else ():
            c, d, rounded = (f"{node.name}/{i}/{part}" for part in ("c", "d", "tf32"))
            nodes.append(helper.make_node("Mul", [name, "veltkamp"], [c]))
            nodes.append(helper.make_node("Sub", [c, name], [d]))
            nodes.append(helper.make_node("Sub", [c, d], [rounded]))
            node.input[i] = rounded
        nodes.append(node)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def other_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    return edit_weight(model, (4, 8, 1, 1), -1.0)


@pytest.mark.parametrize("fault", [with_tf32, other_weights])
def test_what_only_the_engine_does_is_blamed_on_the_engine(
    export: Export, monkeypatch: pytest.MonkeyPatch, fault: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> None:
    """The engine is built for real; a session that computes as the faulty one would stands for it on this machine."""

    def session(path: Path, flavour: str) -> Engine:
        assert flavour == "rtx"
        assert path.suffix == ".engine"
        return Engine(fault(onnx.load(path.parents[1] / "model.onnx")))

    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(verification, "cuda_device", lambda: ("NVIDIA X", "8.9"))
    monkeypatch.setattr("attnexport.runtime.sessions.open.TensorRTSession", session)
    result = export(trt="rtx")
    assert blame(result, "engine-fp32") == Blame("engine")
    found = entry(result, "engine-fp32")
    assert [step.stage for step in found.steps] == ["capture", "recognise", "lower", "engine"]
    assert found.steps[-1].growth > 10 * max(step.ratio for step in found.steps[:-1])
    assert entry(result, "onnx-fp32").blame is None


@pytest.fixture
def built_for_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real builder is given a model of other weights."""
    pytest.importorskip("tensorrt_rtx")
    build = building.build_engine

    def faulty(model: Path, *arguments: Any) -> Any:
        onnx.save(other_weights(onnx.load(model)), tmp_path / "other.onnx")
        return build(tmp_path / "other.onnx", *arguments)

    monkeypatch.setattr(building, "build_engine", faulty)


@pytest.mark.gpu
@pytest.mark.skipif(cuda_device() is None, reason="no GPU is here")
@pytest.mark.usefixtures("built_for_others")
def test_a_real_engine_for_other_weights_is_blamed_on_the_engine(export: Export) -> None:
    assert blame(export(trt="rtx"), "engine-fp32") == Blame("engine")


@pytest.mark.usefixtures("built_for_others")
def test_a_real_engine_for_other_weights_is_refused_by_check_without_a_gpu(export: Export, tmp_path: Path) -> None:
    export(trt="rtx")
    with pytest.raises(BundleError, match=r"was built from another model than 'model\.onnx'"):
        check(tmp_path / "net.attn")
    manifest = tmp_path / "net.attn" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["engines"][0]["model_sha256"] = content["files"]["model.onnx"]["sha256"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"the plan of engine .* was built from another model"):
        check(tmp_path / "net.attn")


def test_the_error_of_a_failed_export_says_who_is_to_blame(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    find = rewrite.recognise

    def faulty(model: onnx.ModelProto) -> Any:
        found = find(model)
        return replace(found, model=edit_weight(found.model, (4, 8, 1, 1), 1.01))

    monkeypatch.setattr(rewrite, "recognise", faulty)
    with pytest.raises(
        ParityError,
        match=r"output 'output_0' of onnx-fp32: error on .* inputs is .*x PyTorch's FP32 error; the limit is 2x; "
        r"the error comes in at recognise, module layer\.after \(planted_net\.py:\d+\)",
    ):
        export(keep_failed=False)
