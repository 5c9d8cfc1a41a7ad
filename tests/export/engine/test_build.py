from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest

from attnexport.errors import EngineError, InputError
from attnexport.export.engine import EngineOptions, build, build_engine, gpu_present
from attnexport.export.engine.record import engine_record
from attnexport.runtime.bundle.codec import encode
from attnexport.runtime.files.read import sha256_of
from attnexport.runtime.open.engine_fit import built_from
from attnexport.runtime.spec import Axis, TensorSpec

PLAN_START = b"vtrt"  # seen in every plan of TensorRT-RTX 1.7.1


def in_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """``mixed`` with its softmax in FP16 as well."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = {node.name: node for node in copy.graph.node}
    nodes["gate/to_float"].attribute[0].i = onnx.TensorProto.FLOAT16
    copy.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return copy


def in_fp32(model: onnx.ModelProto) -> onnx.ModelProto:
    """``mixed`` with its convolution in FP32 as well."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = {node.name: node for node in copy.graph.node}
    nodes["stem/to_half"].attribute[0].i = onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.to_array(copy.graph.initializer[0]).astype(np.float32)
    copy.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "w"))
    return copy


@pytest.mark.parametrize(
    ("change", "dtypes"),
    [
        (lambda model: model, {"stem/conv": "float16", "gate/softmax": "float32"}),
        (in_fp16, {"stem/conv": "float16", "gate/softmax": "float16"}),
        (in_fp32, {"stem/conv": "float32", "gate/softmax": "float32"}),
    ],
    ids=["mixed", "fp16", "fp32"],
)
def test_a_real_engine_in_the_precision_of_the_graph(change, dtypes, mixed, image, rtx, origins, reporter) -> None:
    engine = build_engine(change(mixed), [image], rtx, EngineOptions(), origins, reporter)
    assert engine.plan.startswith(PLAN_START)
    assert len(engine.plan) > 10_000
    assert (engine.flavour, engine.version) == ("rtx", rtx.version_string)
    assert engine.seconds > 0
    assert engine.profiles == [{"x": {"min": [1, 3, 8, 8], "opt": [2, 3, 16, 16], "max": [4, 3, 32, 32]}}]
    assert (engine.compute_capabilities, engine.workspace_bytes, engine.tf32) == ((), None, False)
    assert reporter.notes == []
    # The layers are those after fusion: each was made of the nodes it names, and writes the last one's dtype.
    made = {node: layer for layer in engine.layers for node in layer["nodes"]}
    for node, dtype in dtypes.items():
        assert made[node]["outputs"][0]["dtype"] == dtype, made[node]
        assert made[node]["outputs"][0]["shape"] == [-1, 8, -1, -1]
    assert "stem" in made["stem/conv"]["modules"]
    assert "layer1.gate" in made["gate/softmax"]["modules"]


@pytest.mark.skipif(gpu_present(), reason="with a GPU the inspector is asked instead")
def test_without_a_gpu_the_layers_come_from_the_builder(mixed, image, rtx, origins, reporter) -> None:
    engine = build_engine(mixed, [image], rtx, EngineOptions(), origins, reporter)
    assert engine.layers_from == "builder"
    assert engine.layers[-1]["outputs"] == [{"name": "y", "dtype": "float32", "shape": [-1, 8, -1, -1]}]


def test_the_record_is_plain_json_without_the_plan(mixed, image, rtx, origins, reporter) -> None:
    engine = build_engine(mixed, [image], rtx, EngineOptions(), origins, reporter)
    output = TensorSpec("y", "float32", (image.axes[0], Axis.fixed(8), *image.axes[2:]))
    record = engine_record(engine, "engines/fp16.engine", "fp16", "model.fp16.onnx", [output])
    value = json.loads(json.dumps(encode(record)))
    assert value["bytes"] == len(engine.plan)
    assert value["detail"]["layers_from"] == engine.layers_from
    assert [layer["name"] for layer in value["layers"]] == [layer["name"] for layer in engine.layers]
    assert "plan" not in value


def test_a_static_model_needs_no_profile(onnx_model, rtx, reporter) -> None:
    model = onnx_model("net (float[1,4] x) => (float[1,4] y) { [a] t = Relu(x) [b] y = Exp(t) }")
    spec = TensorSpec("x", "float32", (Axis.fixed(1), Axis.fixed(4)))
    engine = build_engine(model, [spec], rtx, EngineOptions(), {}, reporter)
    assert engine.plan.startswith(PLAN_START)
    assert engine.profiles == [{"x": {"min": [1, 4], "opt": [1, 4], "max": [1, 4]}}]


def test_the_plan_says_which_file_it_was_built_from(mixed, image, rtx, reporter, tmp_path: Path) -> None:
    onnx.save(mixed, tmp_path / "model.onnx")
    engine = build_engine(tmp_path / "model.onnx", [image], rtx, EngineOptions(), {}, reporter)
    (tmp_path / "a.engine").write_bytes(engine.plan)
    assert built_from(tmp_path / "a.engine") == engine.model_sha256 == sha256_of(tmp_path / "model.onnx")


def test_a_file_with_external_data(mixed, image, rtx, reporter, tmp_path: Path) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(mixed)
    path = tmp_path / "größe.onnx"
    onnx.save(copy, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert build_engine(path, [image], rtx, EngineOptions(), {}, reporter).plan.startswith(PLAN_START)
    with pytest.raises(InputError, match=r"refers to external data\. save it and pass its path"):
        build_engine(onnx.load(path, load_external_data=False), [image], rtx, EngineOptions(), {}, reporter)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(EngineError, match=r"Failed to import initializer: w.*external data files are whole"):
        build_engine(path, [image], rtx, EngineOptions(), {}, reporter)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read: No such file"), (b"<html>", "is not an ONNX model"), (b"", "has no outputs")],
)
def test_a_file_that_is_no_model(content, words, image, rtx, reporter, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        build_engine(path, [image], rtx, EngineOptions(), {}, reporter)


def test_nothing_is_printed(mixed, image, rtx, reporter, capfd) -> None:
    build_engine(mixed, [image], rtx, EngineOptions(), {}, reporter)
    with pytest.raises(EngineError):
        build_engine(mixed, [image], rtx, EngineOptions(workspace_bytes=1), {}, reporter)
    assert capfd.readouterr() == ("", "")


def test_a_workspace_that_is_too_small(mixed, image, rtx, reporter) -> None:
    options = EngineOptions(workspace_bytes=1)
    with pytest.raises(EngineError, match=r"within workspace limit.*raise the workspace limit \(1 bytes\)"):
        build_engine(mixed, [image], rtx, options, {}, reporter)
    engine = build_engine(mixed, [image], rtx, EngineOptions(workspace_bytes=64 << 20), {}, reporter)
    assert engine.workspace_bytes == 64 << 20


@pytest.fixture
def configs(monkeypatch) -> list:
    """The configs that TensorRT was given: a plan does not tell how it was built."""
    seen: list = []
    configure = build._configure
    monkeypatch.setattr(build, "_configure", lambda config, *rest: (configure(config, *rest), seen.append(config)))
    return seen


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_off_unless_asked_for(tf32, mixed, image, rtx, reporter, configs) -> None:
    engine = build_engine(mixed, [image], rtx, EngineOptions(tf32=tf32), {}, reporter)
    assert configs[0].get_flag(rtx.module.BuilderFlag.TF32) is tf32
    assert engine.tf32 is tf32


@pytest.mark.parametrize(("level", "expected"), [(None, 3), (0, 0), (5, 5)])
def test_optimization_levels(level, expected, mixed, image, rtx, reporter, configs) -> None:
    options = EngineOptions(optimization_level=level)
    assert build_engine(mixed, [image], rtx, options, {}, reporter).plan.startswith(PLAN_START)
    assert configs[0].builder_optimization_level == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workspace_bytes": 0}, "workspace of 0 bytes"),
        ({"optimization_level": 6}, "optimization level 6 is not known. pass 0 to 5"),
        ({"optimization_level": -1}, "optimization level -1"),
        ({"time_limit_s": 0.0}, "time limit of 0.0 s is not positive"),
        ({"time_limit_s": float("nan")}, "time limit of nan s"),
    ],
)
def test_options_that_make_no_sense(options, words) -> None:
    with pytest.raises(InputError, match=words):
        EngineOptions(**options)


def test_float64_inside_the_model_is_said(onnx_model, rtx, reporter) -> None:
    model = onnx_model("""net (float[2,4] x) => (float[2,4] y) {
        [up] d = Cast<to=11>(x) [root] r = Sqrt(d) [down] y = Cast<to=1>(r) }""")
    spec = TensorSpec("x", "float32", (Axis.fixed(2), Axis.fixed(4)))
    build_engine(model, [spec], rtx, EngineOptions(), {}, reporter)
    assert reporter.notes == ["TensorRT has no float64: d (1 values in total) become float32"]


def test_warnings_are_kept_once_and_clean(onnx_model, rtx, reporter) -> None:
    model = onnx_model("""net (float[5,3] x, int64[2,1] i, int64[2,1] j) => (float[2,3] y, float[2,3] z) {
        [a] y = GatherND(x, i) [b] z = GatherND(x, j) }""")
    specs = [
        TensorSpec("x", "float32", (Axis.fixed(5), Axis.fixed(3))),
        *(TensorSpec(name, "int64", (Axis.fixed(2), Axis.fixed(1))) for name in "ij"),
    ]
    engine = build_engine(model, specs, rtx, EngineOptions(), {}, reporter)
    assert [w for w in engine.warnings if "binding" in w] == [
        "Make sure input i has Int64 binding",
        "Make sure input j has Int64 binding",
    ]


def test_two_builds_at_once_keep_their_messages_apart(mixed, image, rtx, reporter) -> None:
    # A message does not say which build it is of, so the builds take turns.
    small = TensorSpec(image.name, image.dtype, (Axis.fixed(1), *image.axes[1:]))
    engines = {}

    def work(name: str, spec: TensorSpec) -> None:
        engines[name] = build_engine(mixed, [spec], rtx, EngineOptions(), {}, reporter)

    threads = [threading.Thread(target=work, args=arguments) for arguments in (("a", image), ("b", small))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, batch in (("a", 4), ("b", 1)):
        alone = build_engine(mixed, [image if name == "a" else small], rtx, EngineOptions(), {}, reporter)
        assert engines[name].profiles[0]["x"]["max"][0] == batch
        assert engines[name].needs == alone.needs
        assert [layer["nodes"] for layer in engines[name].layers] == [layer["nodes"] for layer in alone.layers]


@pytest.mark.gpu
@pytest.mark.skipif(not gpu_present(), reason="no GPU: a plan cannot be deserialised")
def test_the_plan_deserialises_and_the_inspector_lists_its_layers(mixed, image, rtx, origins, reporter) -> None:
    options = EngineOptions(compute_capabilities=("current",))
    engine = build_engine(mixed, [image], rtx, options, origins, reporter)
    assert engine.layers_from == "inspector"
    assert {"stem/conv", "gate/softmax"} <= {node for layer in engine.layers for node in layer["nodes"]}
    assert engine.needs is not None
    assert engine.needs.weights > 0
    assert engine.needs.activations[0] > 0
