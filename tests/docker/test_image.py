"""`make image`: how pip is handed through, and, in the sweep, the image itself, built, confined and asked by real clients."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCKER = Path(__file__).resolve().parents[2] / "docker"


@pytest.fixture(scope="module")
def base() -> ModuleType:
    spec = importlib.util.spec_from_file_location("image_base", DOCKER / "image_base.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pip_is_set_up_in_the_build_as_it_is_here(
    base: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and folders of this machine are mounted elsewhere, and the settings name them there; an index with what lies beside it."""
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    index, wheels, certificates = tmp_path / "mirror" / "simple", tmp_path / "wheels", tmp_path / "ca.crt"
    index.mkdir(parents=True)
    wheels.mkdir()
    certificates.touch()
    (tmp_path / "pip.conf").write_text(
        f"[global]\nextra-index-url = file://{index} https://example.org/simple\nfind-links = {wheels}\n"
        f"cert = {certificates}\nretries = 7\n[freeze]\ntimeout = 3\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    with base.pip_mounts() as mounts:
        volumes = dict(mount.split(":") for mount in mounts)
        (conf,) = [here for here, there in volumes.items() if there == "/etc/pip.conf"]
        lines = Path(conf).read_text().splitlines()
    assert not Path(conf).exists()
    there = {here: place for here, place in volumes.items() if here != conf}
    assert set(there) >= {str(index.parent), str(wheels), str(certificates)}
    assert all(place.startswith("/run/pip/") for place in there.values())
    settings = dict(line.split(" = ") for line in lines[1:])
    assert lines[0] == "[global]"
    assert settings["extra-index-url"] == f"file://{there[str(index.parent)]}/simple https://example.org/simple"
    assert settings["find-links"] == there[str(wheels)]
    assert settings["cert"] == there[str(certificates)]
    assert (settings["retries"], settings["timeout"]) == ("7", "9")


def test_a_missing_triton_library_fails_the_build(tmp_path: Path) -> None:
    """collect-triton.sh fails if a library is missing; here Triton is not installed."""
    if Path("/opt/tritonserver").exists():
        pytest.skip("a Triton is installed here")
    done = subprocess.run(["sh", DOCKER / "collect-triton.sh", tmp_path], capture_output=True, text=True)
    assert done.returncode != 0 and "/opt/tritonserver/bin/tritonserver" in done.stderr


def image(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, DOCKER / "image.py", *words], capture_output=True, text=True)


def test_an_unknown_command_prints_the_usage() -> None:
    done = image("biuld")
    assert done.returncode == 1 and "image.py build" in done.stderr


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_the_cpu_image_is_built_confined_and_answers_the_client_matrix() -> None:
    engine = any(
        shutil.which(name) and not subprocess.run([name, "info"], capture_output=True).returncode
        for name in ("docker", "podman")
    )
    if not engine and (os.geteuid() or not shutil.which("apt-get")):
        pytest.skip("needs a container engine, or root on Debian")
    done = image()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert re.search(r"^image: \S+, [1-6]\d\d MB, built by \w+ in \d+ s$", done.stdout, re.MULTILINE)
    assert re.search(r"^\d+ passed, 1 deselected", done.stdout, re.MULTILINE)

    inside = image(
        "run", "sh", "-c", "id -u; id -g; grep -E 'CapBnd|NoNewPrivs' /proc/self/status; touch /tmp/x && echo scratch"
    )
    assert inside.stdout.split() == ["10001", "10001", "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "scratch"]
    for path in ("/x", "/opt/attnexport/x", "/models/x", "/etc/x", "/home/x"):
        assert "Read-only file system" in image("run", "touch", path).stderr
    for module in ("torch", "onnx", "pip", "setuptools"):
        assert image("run", "python3", "-c", f"import {module}").returncode == 1
    assert image("run", "attnexport", "--version").stdout.startswith("attnexport ")
    refused = image("serve")
    assert (refused.returncode, refused.stdout) == (2, "") and "no bundle *.attn in /models" in refused.stderr
