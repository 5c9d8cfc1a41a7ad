"""An engine is held to what is here, in words: what it was made for, what is here, the command that rebuilds it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from attnexport.errors import BundleError, ForeignEngineError, MissingBackendError
from attnexport.runtime.bundle.sections import EngineRecord, Gpu
from attnexport.runtime.open.engine_fit import Here, check_fit, made_for

L4, H100 = ("NVIDIA L4", "8.9"), ("NVIDIA H100", "9.0")
BUNDLE = Path("net.attn")


def _engine(
    flavour: str = "enterprise", version: str = "10.13.3.9", capability: str | None = None, gpu: Any = None
) -> EngineRecord:
    detail = {} if gpu is None else {"gpu": {"name": gpu[0], "compute_capability": gpu[1]}}
    return EngineRecord("engines/a.engine", flavour, version, "fp16", capability, (), (), 1.0, 4, detail)


def _here(gpu: tuple[str, str] = L4, **versions: str) -> Here:
    runs = {flavour: flavour == "enterprise" or gpu != H100 for flavour in versions}
    return Here(gpu, versions or {"enterprise": "10.13.3.9"}, runs if versions else {"enterprise": True})


@pytest.mark.parametrize(
    ("engine", "here"),
    [
        (_engine(gpu=L4), _here()),
        (_engine(version="10.13.3.1", gpu=L4), _here()),  # the same patch
        (_engine(capability="8.6, 8.9", flavour="rtx", version="1.7.1"), _here(rtx="1.7.1.116")),
        (_engine(flavour="rtx", version="1.7.1"), _here(rtx="1.7.1", enterprise="11.1.0")),
        (_engine(flavour="rtx", version="1.7.1", capability="current", gpu=L4), _here(rtx="1.7.1")),
        (_engine(flavour="rtx", version="1.7.1", capability="7.5"), _here(("RTX 2080 Ti", "7.5"), rtx="1.7.1")),
    ],
)
def test_an_engine_for_this_machine_fits(engine: EngineRecord, here: Here) -> None:
    check_fit(BUNDLE, engine, None, here)


@pytest.mark.parametrize(
    ("engine", "here", "made", "is_here", "why"),
    [
        pytest.param(
            _engine(gpu=H100),
            _here(),
            "TensorRT 10.13.3.9 and NVIDIA H100, compute capability 9.0",
            "TensorRT 10.13.3.9 on NVIDIA L4, compute capability 8.9",
            "another GPU",
            id="enterprise, another GPU",
        ),
        pytest.param(
            _engine(flavour="rtx", version="1.7.1"),
            _here(("RTX 2080 Ti", "7.5"), rtx="1.7.1"),
            "TensorRT-RTX 1.7.1 and any GPU that it knows",
            "TensorRT-RTX 1.7.1 on RTX 2080 Ti, compute capability 7.5",
            "a plan for any GPU leaves compute capability 7.5 out",
            id="rtx for any GPU, on Turing",
        ),
        pytest.param(
            _engine(version="10.13.2", gpu=L4),
            _here(),
            "TensorRT 10.13.2",
            "TensorRT 10.13.3.9",
            "another version",
            id="patch",
        ),
        pytest.param(
            _engine(flavour="rtx", version="1.7.1", capability="8.6"),
            _here(rtx="1.7.1"),
            "TensorRT-RTX 1.7.1 and compute capability 8.6",
            "TensorRT-RTX 1.7.1 on NVIDIA L4, compute capability 8.9",
            "another GPU",
            id="rtx for one capability",
        ),
        pytest.param(
            _engine(flavour="rtx", version="1.7.1", capability="current", gpu=("RTX 3060", "8.6")),
            _here(rtx="1.7.1"),
            "RTX 3060, compute capability 8.6",
            "8.9",
            "another GPU",
            id="rtx for the one it was built beside",
        ),
        pytest.param(
            _engine(flavour="rtx", version="1.7.1"),
            _here(),
            "TensorRT-RTX 1.7.1 and any GPU that it knows",
            "TensorRT 10.13.3.9",
            "another flavour, TensorRT-RTX is not installed",
            id="another flavour",
        ),
        pytest.param(
            _engine(flavour="rtx", version="1.7.1"),
            _here(H100, rtx="1.7.1", enterprise="11.1.0"),
            "TensorRT-RTX 1.7.1",
            "TensorRT-RTX 1.7.1 and TensorRT 11.1.0 on NVIDIA H100",
            "TensorRT-RTX does not run on this GPU",
            id="a GPU that RTX does not know",
        ),
    ],
)
def test_an_engine_made_for_elsewhere_is_refused(
    engine: EngineRecord, here: Here, made: str, is_here: str, why: str
) -> None:
    with pytest.raises(ForeignEngineError) as caught:
        check_fit(BUNDLE, engine, None, here)
    error = caught.value
    assert isinstance(error, BundleError)
    assert error.exit_code == 2
    assert error.problem.startswith("engine 'engines/a.engine' was made for TensorRT")
    told, _, found = error.problem.partition("; here is ")
    assert made in told
    assert is_here in found
    assert found.endswith(why)
    assert re.search(r"attnexport rebuild net\.attn", error.remedy)


def test_the_command_names_the_flavour_that_can_run_here() -> None:
    with pytest.raises(ForeignEngineError) as caught:
        check_fit(BUNDLE, _engine(flavour="rtx", version="1.7.1"), None, _here(H100, rtx="1.7.1", enterprise="11.1.0"))
    assert caught.value.remedy.endswith("attnexport rebuild net.attn --trt=enterprise")
    with pytest.raises(ForeignEngineError) as caught:
        check_fit(BUNDLE, _engine(flavour="rtx", version="1.7.1"), None, _here(H100, rtx="1.7.1"))
    assert "pip install 'attnexport[trt]'" in caught.value.remedy


def test_an_enterprise_engine_of_an_older_bundle_was_made_beside_the_exports_gpu() -> None:
    check_fit(BUNDLE, _engine(), Gpu(*L4), _here())
    with pytest.raises(ForeignEngineError, match=r"NVIDIA H100, compute capability 9\.0"):
        check_fit(BUNDLE, _engine(), Gpu(*H100), _here())
    assert made_for(_engine(), None) == "TensorRT 10.13.3.9 and any GPU that it knows"


def test_without_any_tensorrt_its_package_is_named() -> None:
    with pytest.raises(MissingBackendError, match=r"tensorrt is not installed\. install it with: pip install"):
        check_fit(BUNDLE, _engine(), None, Here(L4, {}, {}))


def test_what_is_here_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnexport.runtime.open.engine_fit.cuda_device", lambda: None)
    assert Here.look() is None
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("attnexport.runtime.open.engine_fit.cuda_device", lambda: H100)
    here = Here.look()
    assert here is not None
    assert here.gpu == H100
    assert here.versions["rtx"].startswith("1.")
    assert here.runs_here["rtx"] is False
