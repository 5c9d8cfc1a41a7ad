from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from attnexport.errors import EngineError, InputError, MissingBackendError
from attnexport.export.engine.flavour import Flavour, choose, find_flavour, parse_version


@pytest.mark.parametrize(
    ("wish", "enterprise", "rtx", "gpu", "name", "reason"),
    [
        ("auto", True, True, True, "enterprise", "there is a GPU"),
        ("auto", True, False, True, "enterprise", "there is a GPU"),
        ("auto", True, True, False, "rtx", "tensorrt needs a GPU to build, and there is none"),
        ("auto", False, True, False, "rtx", "tensorrt is not installed"),
        ("auto", False, True, True, "rtx", "tensorrt is not installed"),
        ("rtx", True, True, True, "rtx", "requested"),
        ("enterprise", True, True, True, "enterprise", "requested"),
    ],
)
def test_the_choice_and_its_reason(wish, enterprise, rtx, gpu, name, reason) -> None:
    chosen, said = choose(wish, {"enterprise": enterprise, "rtx": rtx}, gpu)
    assert chosen == name
    assert said.endswith(reason)


@pytest.mark.parametrize(
    ("wish", "enterprise", "rtx", "gpu", "error", "words"),
    [
        ("auto", False, False, True, MissingBackendError, ["no TensorRT", "attnexport[rtx]", "attnexport[trt]"]),
        ("rtx", True, False, True, MissingBackendError, ["TensorRT-RTX", "pip install 'attnexport[rtx]'"]),
        ("enterprise", False, True, True, MissingBackendError, ["module tensorrt)", "pip install 'attnexport[trt]'"]),
        ("enterprise", True, True, False, EngineError, ["needs a GPU to build", "--trt=rtx"]),
        ("auto", True, False, False, EngineError, ["needs a GPU to build", "attnexport[rtx]"]),
        ("11", True, True, True, InputError, ["'11' is not known", "auto, rtx or enterprise"]),
    ],
)
def test_what_cannot_be_chosen(wish, enterprise, rtx, gpu, error, words) -> None:
    with pytest.raises(error) as caught:
        choose(wish, {"enterprise": enterprise, "rtx": rtx}, gpu)
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "version"),
    [("10.13.3.9", (10, 13, 3, 9)), ("11.2.1", (11, 2, 1)), ("1.7.1.116", (1, 7, 1, 116)), ("10.3.post1", (10, 3))],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("name", "version", "flag", "cache", "capabilities"),
    [
        ("enterprise", "10.3.0", True, True, False),
        ("enterprise", "10.13.3.9", True, True, False),
        ("enterprise", "11.0.0", False, True, False),
        ("enterprise", "11.4.0", False, True, False),
        ("rtx", "1.2.0.54", False, False, True),
        ("rtx", "1.7.1.116", False, False, True),
    ],
)
def test_the_differences_between_versions(name, version, flag, cache, capabilities) -> None:
    flavour = Flavour(name, parse_version(version), version)
    assert flavour.asks_for_strong_typing is flag
    assert flavour.has_timing_cache is cache
    assert flavour.has_compute_capabilities is capabilities


def test_the_installed_rtx(rtx: Flavour) -> None:
    import tensorrt_rtx

    assert rtx.module is tensorrt_rtx
    assert rtx.version_string == tensorrt_rtx.__version__
    assert rtx.version >= (1, 2)
    assert rtx.title == f"TensorRT-RTX {tensorrt_rtx.__version__}"


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_enterprise_that_is_not_installed() -> None:
    with pytest.raises(MissingBackendError, match=r"attnexport\[trt\]"):
        find_flavour("enterprise")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise ImportError('libnvinfer.so.11: no such file')", ["does not load", "libnvinfer.so.11"]),
        ("__version__ = '0.9.1'", ["0.9.1 is too old", "install 1.0 or newer"]),
    ],
)
def test_an_installed_module_that_is_of_no_use(source, words, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt_rtx.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt_rtx", raising=False)
    with pytest.raises(InputError) as caught:
        find_flavour("rtx")
    for word in words:
        assert word in str(caught.value)


def test_importing_the_package_loads_no_backend() -> None:
    backends = ("torch", "onnx", "tensorrt", "tensorrt_rtx")
    code = f"import sys, attnexport.export.engine; print([m for m in {backends} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_flavour_is_a_value() -> None:
    one = Flavour("rtx", (1, 7, 1), "1.7.1", ModuleType("a"), "requested")
    assert one == Flavour("rtx", (1, 7, 1), "1.7.1", ModuleType("b"), "tensorrt is not installed")
