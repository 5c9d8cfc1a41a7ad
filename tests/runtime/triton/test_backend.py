"""Which of Triton's backends serves a bundle: as asked, or what the Triton that is here has for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.bundle.sections import EngineRecord
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec
from attnexport.runtime.triton import backend as backend_module
from attnexport.runtime.triton.config import parse
from attnexport.runtime.triton.options import RepositoryOptions
from attnexport.runtime.triton.repository import write_repository


@pytest.fixture(autouse=True)
def no_triton_here(monkeypatch, tmp_path):
    monkeypatch.setattr(backend_module, "_DEFAULT_HOME", tmp_path / "nowhere")
    monkeypatch.setenv("PATH", str(tmp_path / "no bin"))


@pytest.fixture
def backends(tmp_path):
    """``backends(*names)``: the directory of a Triton's backends."""

    def make(*names: str) -> Path:
        folder = tmp_path / "triton" / "backends"
        for name in names:
            (folder / name).mkdir(parents=True)
        return folder

    return make


def engine(flavour: str) -> EngineRecord:
    version = {"enterprise": "10.13.3.9", "rtx": "1.7.1.116"}[flavour]
    return EngineRecord("engines/fp16.plan", flavour, version, "fp16", None, (), (), 1.0, 4, {}, "model.fp16.onnx")


def with_engine(affine_bundle, flavour: str, **words: Any) -> Path:
    files = {"engines/fp16.plan": (b"plan", "engine")}
    return affine_bundle("net", half=True, files=files, engines=(engine(flavour),), **words)


def config_of(folder: Path) -> Any:
    return parse((folder / "config.pbtxt").read_text(), "config.pbtxt")


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "1").iterdir())


def test_onnxruntime_gets_the_model_under_the_name_that_it_looks_for(affine_bundle, tmp_path):
    bundle = affine_bundle(half=True)
    (written,) = write_repository([bundle], tmp_path / "repo", RepositoryOptions(backend="onnxruntime"))
    config = config_of(written.folder)
    assert (written.backend, config.backend, config.platform) == ("onnxruntime", "onnxruntime", "onnxruntime_onnx")
    assert contents(written.folder) == ["model.onnx"]
    assert (written.folder / "1" / "model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()
    assert [group.kind for group in config.instance_group] == [0]  # KIND_AUTO
    assert not config.parameters
    assert config.dynamic_batching is not None
    assert config.max_batch_size == 4


@pytest.mark.parametrize(
    ("options", "file", "kind"),
    [
        ({}, "model.onnx", 0),
        ({"device": "cpu"}, "model.onnx", 2),
        ({"device": "gpu"}, "model.fp16.onnx", 1),
        ({"device": "gpu", "precision": "fp32"}, "model.onnx", 1),
        ({"precision": "fp16"}, "model.fp16.onnx", 0),
    ],
)
def test_a_gpu_gets_the_smaller_model_unless_another_is_asked_for(affine_bundle, tmp_path, options, file, kind):
    bundle = affine_bundle(half=True)
    (written,) = write_repository([bundle], tmp_path / "repo", RepositoryOptions(backend="onnxruntime", **options))
    assert (written.folder / "1" / "model.onnx").read_bytes() == (bundle / file).read_bytes()
    assert [group.kind for group in config_of(written.folder).instance_group] == [kind]


def test_weights_beside_a_model_keep_the_name_that_the_model_has_for_them(affine_bundle, tmp_path):
    onnx = pytest.importorskip("onnx")
    bundle = affine_bundle()
    model = onnx.load(bundle / "model.onnx")
    split = tmp_path / "split"
    split.mkdir()
    onnx.save_model(
        model, split / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0
    )
    files = {
        name: ((split / name).read_bytes(), role)
        for name, role in (("model.onnx", "model-fp32"), ("model.onnx.data", "weights"))
    }
    files["model.fp16.onnx.data"] = (b"of another model", "weights")
    bundle = affine_bundle(files=files)
    (written,) = write_repository([bundle], tmp_path / "repo", RepositoryOptions(backend="onnxruntime"))
    assert contents(written.folder) == ["model.onnx", "model.onnx.data"]
    with OrtSession(written.folder / "1" / "model.onnx") as session:
        np.testing.assert_array_equal(
            session.run({"x": np.ones((1, 3), np.float32)})["y"], np.full((1, 3), 3, np.float32)
        )


def test_a_native_model_is_declared_in_the_types_of_its_own_border(affine_bundle, tmp_path, affine_model):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(affine_model(2.0, True))
    half = onnx.TensorProto.FLOAT16
    model.graph.input[0].type.tensor_type.elem_type = half
    model.graph.output[0].type.tensor_type.elem_type = half
    model.graph.node[-1].attribute[0].i = half
    bundle = affine_bundle(files={"model.fp16.onnx": (model.SerializeToString(), "model-fp16")})
    options = RepositoryOptions(backend="onnxruntime", precision="fp16")
    (written,) = write_repository([bundle], tmp_path / "repo", options)
    config = config_of(written.folder)
    assert [tensor.data_type for tensor in (*config.input, *config.output)] == [10, 10]  # TYPE_FP16
    (warm,) = (written.folder / "warmup").iterdir()
    assert warm.read_bytes() == (np.arange(3, dtype=np.float32) / 7).astype(np.float16).tobytes()


def test_tensorrt_gets_the_plan_and_says_which_library_loads_it(affine_bundle, tmp_path):
    bundle = with_engine(affine_bundle, "enterprise")
    (written,) = write_repository([bundle], tmp_path / "repo", RepositoryOptions(backend="tensorrt"))
    config = config_of(written.folder)
    assert (written.backend, config.platform) == ("tensorrt", "tensorrt_plan")
    assert contents(written.folder) == ["model.plan"]
    assert (written.folder / "1" / "model.plan").read_bytes() == b"plan"
    assert written.notes == ("engines/fp16.plan runs in a Triton with TensorRT 10.13.3.9 only",)


def test_an_engine_of_tensorrt_rtx_is_not_one_of_the_tensorrt_backends(affine_bundle, tmp_path):
    bundle = with_engine(affine_bundle, "rtx")
    with pytest.raises(
        InputError,
        match=r"is TensorRT-RTX's, which Triton's tensorrt backend cannot load\. serve it with --backend python",
    ):
        write_repository([bundle], tmp_path / "repo", RepositoryOptions(backend="tensorrt"))


def test_a_plan_that_takes_no_single_row_is_for_the_python_backend(affine_bundle, backends, tmp_path):
    tensors = [(TensorSpec(name, "float32", (Axis(2, 2, 4, "batch"), Axis.fixed(3))),) for name in "xy"]
    bundle = with_engine(affine_bundle, "enterprise", inputs=tensors[0], outputs=tensors[1])
    with pytest.raises(
        InputError, match=r"engine 'engines/fp16\.plan' runs 2 rows at least, and a request may have one"
    ):
        write_repository([bundle], tmp_path / "repo", RepositoryOptions(backend="tensorrt"))
    options = RepositoryOptions(backends=backends("tensorrt", "onnxruntime"))
    assert [model.backend for model in write_repository([bundle], tmp_path / "repo", options)] == ["python"]


def test_a_bundle_without_an_engine_is_not_for_tensorrt(affine_bundle, tmp_path):
    with pytest.raises(InputError, match="has no engine for the tensorrt backend"):
        write_repository([affine_bundle()], tmp_path / "repo", RepositoryOptions(backend="tensorrt"))


@pytest.mark.parametrize(
    ("flavour", "offered", "backend"),
    [
        (None, (), "python"),
        (None, ("python",), "python"),
        (None, ("python", "onnxruntime", "tensorrt"), "onnxruntime"),
        ("enterprise", ("python", "onnxruntime", "tensorrt"), "tensorrt"),
        ("enterprise", ("python", "onnxruntime"), "python"),
        ("rtx", ("python", "onnxruntime", "tensorrt"), "python"),
    ],
)
def test_auto_takes_the_native_backend_that_the_triton_has_for_the_bundle(
    affine_bundle, backends, tmp_path, flavour, offered, backend
):
    bundle = affine_bundle() if flavour is None else with_engine(affine_bundle, flavour)
    options = RepositoryOptions(backends=backends(*offered) if offered else None)
    (written,) = write_repository([bundle], tmp_path / "repo", options)
    assert written.backend == backend


def test_auto_looks_where_the_triton_on_the_path_has_its_backends(affine_bundle, backends, tmp_path, monkeypatch):
    binary = backends("onnxruntime").parent / "bin" / "tritonserver"
    binary.parent.mkdir()
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(binary.parent))
    (written,) = write_repository([affine_bundle()], tmp_path / "repo")
    assert written.backend == "onnxruntime"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"backend": "onnxruntime", "session": "ort-cpu"}, "require the Python backend, and the backend is onnxruntime"),
        ({"backend": "onnxruntime", "threads": 2}, "--session and --threads require the Python backend"),
        ({"backend": "onnxruntime", "precision": "int8"}, "has no int8 model. it has fp32"),
        ({"backends": Path("/nowhere/backends")}, "/nowhere/backends is not a directory of Triton's backends"),
    ],
)  # fmt: skip
def test_what_a_backend_cannot_do_is_refused(affine_bundle, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        write_repository([affine_bundle()], tmp_path / "repo", RepositoryOptions(**options))
