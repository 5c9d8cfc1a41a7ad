"""ONNX Runtime's providers: the options that each backend gives them, and where nodes were placed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnexport.errors import InputError, MissingBackendError
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.sessions.providers import CHAINS, RECORD, Placement, chain
from attnexport.runtime.spec import Axis, TensorSpec

FREE = (
    TensorSpec("x", "float32", (Axis(1, 4, 16, "batch"), Axis.fixed(3))),
    TensorSpec("mask", "bool", (Axis(1, 4, 16, "batch"),)),
)
FIXED = (TensorSpec("x", "float32", (Axis.fixed(1), Axis.fixed(3))),)


@pytest.mark.parametrize("backend", CHAINS)
def test_the_wanted_provider_comes_first_and_tf32_is_off(backend: str) -> None:
    made = chain(backend)
    assert tuple(provider.name for provider in made) == CHAINS[backend]
    for provider in made:
        assert all(isinstance(value, str) for value in provider.options.values())
        if provider.name == "CUDAExecutionProvider":
            assert provider.options["use_tf32"] == "0"


@pytest.mark.parametrize(("backend", "prefix"), [("ort-tensorrt", "trt"), ("ort-tensorrt-rtx", "nv")])
def test_tensorrt_gets_the_profile_so_that_it_builds_once(backend: str, prefix: str) -> None:
    options = chain(backend, FREE)[0].options
    assert {key: value for key, value in options.items() if "profile" in key} == {
        f"{prefix}_profile_min_shapes": "x:1x3,mask:1",
        f"{prefix}_profile_opt_shapes": "x:4x3,mask:4",
        f"{prefix}_profile_max_shapes": "x:16x3,mask:16",
    }
    assert not any("profile" in key for key in chain(backend, FIXED)[0].options)


def test_what_tensorrt_builds_is_kept_and_fp16_is_for_models_that_have_it() -> None:
    kept = chain("ort-tensorrt", cache=Path("/c"), half=True)[0].options
    assert (kept["trt_engine_cache_enable"], kept["trt_engine_cache_path"], kept["trt_fp16_enable"]) == ("1", "/c", "1")
    assert chain("ort-tensorrt")[0].options == {"trt_fp16_enable": "0", "trt_cuda_graph_enable": "0"}
    assert chain("ort-tensorrt-rtx", cache=Path("/c"))[0].options["nv_runtime_cache_path"] == "/c"


def test_graphs_are_the_first_providers_matter() -> None:
    assert chain("ort-cuda", cuda_graph=True)[0].options["enable_cuda_graph"] == "1"
    tensorrt, cuda, _ = chain("ort-tensorrt", cuda_graph=True)
    assert (tensorrt.options["trt_cuda_graph_enable"], cuda.options["enable_cuda_graph"]) == ("1", "0")


def test_another_backend_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"backend 'cuda' is not an ONNX Runtime backend\. use one of ort-cpu, ort-cuda"
    ):
        chain("cuda")


def test_the_plug_in_of_rtx_is_asked_for_by_its_package(affine_model: object) -> None:
    try:
        import onnxruntime_ep_nv_tensorrt_rtx  # noqa: F401
    except ImportError:
        expected = r"onnxruntime_ep_nv_tensorrt_rtx is not installed\. install it with: pip install onnxruntime-ep-nv"
    else:
        pytest.skip("the plug-in is installed")
    with pytest.raises(MissingBackendError, match=expected):
        OrtSession(affine_model(2.0), providers=chain("ort-tensorrt-rtx"))  # type: ignore[operator]


def test_onnx_runtime_reports_the_provider_of_each_node(affine_model: object) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.add_session_config_entry(*RECORD)
    model = affine_model(2.0)  # type: ignore[operator]
    placed = Placement.of(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
    assert placed is not None
    assert set(placed.nodes) == {"CPUExecutionProvider"}
    assert placed.nodes["CPUExecutionProvider"].keys() >= {"Mul", "Add"}
    assert placed.describe() == f"CPU {placed.total('CPUExecutionProvider')}"
    with OrtSession(model) as session:
        assert session.placement is None, "on the CPU alone there is nothing to tell"
        np.testing.assert_allclose(session.run({"x": np.ones((1, 3), np.float32)})["y"], 3.0)


def test_what_stays_on_the_cpu_is_counted_by_operator() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    placed = Placement.count([(cuda, "Conv")] * 5 + [(cpu, "GridSample")] * 2 + [(cpu, "Shape")])
    assert placed.on_cpu() == "3 of 8 nodes run on the CPU: GridSample (2), Shape"
    assert placed.describe() == "CUDA 5, CPU 3"
    assert Placement.count([(cuda, "Conv")]).on_cpu() == ""
    many = Placement.count((cpu, f"Op{i}") for i in range(9))
    assert many.on_cpu().endswith("Op5 and 3 operators more")
