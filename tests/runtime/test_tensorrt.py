"""The engine session: without a GPU it says so in one line; with one, a real engine gives the model's numbers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from attnexport.errors import AttnexportError, BundleError, InputError, MissingBackendError
from attnexport.runtime.cuda import cuda_device
from attnexport.runtime.sessions import Session
from attnexport.runtime.sessions.tensorrt import TensorRTSession
from attnexport.runtime.sessions.trt_library import check_supported, load_library

GPU = cuda_device()
RTX_LISTED = ("SM75", "SM86", "SM89", "SM120", "SM121")


def _build(module: Any, model: bytes) -> bytes:
    """A plan for (1..4, 3) of the affine model."""
    logger = module.Logger(module.Logger.ERROR)
    builder = module.Builder(logger)
    strong = getattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strong is None else 1 << int(strong))
    parser = module.OnnxParser(network, logger)
    assert parser.parse(model)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("x", (1, 3), (2, 3), (4, 3))
    config.add_optimization_profile(profile)
    return bytes(builder.build_serialized_network(network, config))


@pytest.mark.skipif(GPU is not None, reason="a GPU is here")
def test_without_a_gpu_a_real_engine_is_refused_in_one_line(tmp_path: Path, affine_model: Callable[..., bytes]) -> None:
    module = pytest.importorskip("tensorrt_rtx")
    (tmp_path / "net.engine").write_bytes(_build(module, affine_model(2.0)))
    with pytest.raises(MissingBackendError) as caught:
        TensorRTSession(tmp_path / "net.engine", "rtx")
    assert "CUDA driver" in str(caught.value)
    assert "run on a machine with an NVIDIA GPU" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_flavour_and_a_missing_file_are_the_users() -> None:
    with pytest.raises(InputError, match=r"flavour 'lite' is not known. use one of enterprise, rtx"):
        TensorRTSession(b"", "lite")
    with pytest.raises(InputError, match=r"gone\.engine cannot be read \(No such file"):
        TensorRTSession("gone.engine", "rtx")


@pytest.mark.parametrize("capability", ["9.0", "7.0", "10.0"])
def test_rtx_refuses_the_gpus_that_it_does_not_list(capability: str) -> None:
    rtx = SimpleNamespace(
        __name__="tensorrt_rtx", __version__="1.7", ComputeCapability=SimpleNamespace(__members__=RTX_LISTED)
    )
    with pytest.raises(MissingBackendError, match=f"does not run on NVIDIA X, compute capability {capability}"):
        check_supported(rtx, "NVIDIA X", capability)
    check_supported(rtx, "NVIDIA L4", "8.9")
    check_supported(SimpleNamespace(__name__="tensorrt"), "NVIDIA X", capability)


def test_the_installed_rtx_lists_gpus_as_expected() -> None:
    module = pytest.importorskip("tensorrt_rtx")
    assert set(RTX_LISTED) <= set(module.ComputeCapability.__members__)


def _runnable() -> str | None:
    """The flavour that runs on this machine's GPU, if any."""
    if GPU is None:
        return None
    for flavour in ("enterprise", "rtx"):
        try:
            check_supported(load_library(flavour), *GPU)
        except AttnexportError:
            continue
        return flavour
    return None


needs_engine = pytest.mark.skipif(_runnable() is None, reason=f"no TensorRT runs here (GPU: {GPU or 'none'})")


@pytest.mark.gpu
@needs_engine
def test_a_real_engine_gives_the_models_numbers(affine_model: Callable[..., bytes]) -> None:
    flavour = _runnable()
    assert flavour is not None
    plan = _build(load_library(flavour), affine_model(2.0))
    with TensorRTSession(plan, flavour) as opened:
        session: Session = opened
        assert (session.input_names, session.output_names) == (("x",), ("y",))
        assert (opened.input_dtypes, opened.output_dtypes) == ({"x": "float32"}, {"y": "float32"})
        for batch in (1, 2, 4, 1):
            x = np.random.default_rng(batch).normal(size=(batch, 3)).astype(np.float32)
            np.testing.assert_allclose(session.run({"x": x})["y"], x * 2 + 1, rtol=1e-6, strict=True)
        with pytest.raises(InputError, match=r"has shape \(5, 3\)"):
            session.run({"x": np.zeros((5, 3), np.float32)})
        with pytest.raises(InputError, match="has dtype float64"):
            session.run({"x": np.zeros((2, 3))})
        with pytest.raises(InputError, match="takes x"):
            session.run({})
    with pytest.raises(RuntimeError, match="closed"):
        opened.run({})


@pytest.mark.gpu
@needs_engine
def test_a_damaged_engine_is_one_line(affine_model: Callable[..., bytes]) -> None:
    flavour = _runnable()
    assert flavour is not None
    with pytest.raises(BundleError, match="cannot be loaded by") as caught:
        TensorRTSession(b"junk" * 100, flavour)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@needs_engine
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_graphs_and_threads_give_the_same_numbers_on_a_real_gpu(
    affine_model: Callable[..., bytes], cuda_graph: bool, tmp_path: Path
) -> None:
    flavour = _runnable()
    assert flavour is not None
    plan = _build(load_library(flavour), affine_model(2.0))
    with TensorRTSession(plan, flavour, cuda_graph=cuda_graph, cache=tmp_path) as session:

        def work(seed: int) -> bool:
            rng = np.random.default_rng(seed)
            given = [rng.normal(size=(batch, 3)).astype(np.float32) for batch in (1, 1, 1, 4, 4, 4, 2)]
            return all(np.allclose(session.run({"x": x})["y"], x * 2 + 1, rtol=1e-6) for x in given)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(4))) == [True] * 4
        assert work(9)
    assert bool(list(tmp_path.iterdir())) == (flavour == "rtx"), "RTX keeps what it compiled"


@pytest.mark.gpu
@needs_engine
def test_tensors_of_torch_go_in_and_out_without_leaving_a_real_gpu(affine_model: Callable[..., bytes]) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch has no CUDA here")
    flavour = _runnable()
    assert flavour is not None
    with TensorRTSession(_build(load_library(flavour), affine_model(2.0)), flavour) as session:
        for batch in (2, 4):
            x = torch.randn(batch, 3, device="cuda")
            np.testing.assert_allclose(session.run({"x": x})["y"], (x * 2 + 1).cpu().numpy(), rtol=1e-6)
            kept = torch.from_dlpack(session.run_on_device({"x": x})["y"])
            assert kept.is_cuda
            torch.testing.assert_close(kept, x * 2 + 1)
    torch.testing.assert_close(kept, x * 2 + 1)
