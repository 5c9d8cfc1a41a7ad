"""What needs no server: options, ports, folders, log lines, and which Triton is started."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from attnexport.errors import InputError, MissingBackendError
from attnexport.runtime.serve import private, program
from attnexport.runtime.serve.log import LineLog
from attnexport.runtime.serve.options import Endpoints, ServeOptions, find_endpoints
from attnexport.runtime.serve.run_folder import RunFolder

BUNDLES = (Path("net.attn"),)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bundles": ()}, "there is no bundle"),
        ({"http_port": 65536}, "--http-port 65536 is not a port"),
        ({"grpc_port": -1}, "--grpc-port -1 is not a port"),
        ({"grpc_port": 8000}, "--http-port 8000, --grpc-port 8000, --metrics-port 8002 are the same"),
        ({"drain": 0}, "--drain 0 is below 1"),
        ({"start": 0}, "--start 0 is below 1"),
        ({"restarts": -1}, "--restarts -1 is below 0"),
        ({"max_body": 0}, "--max-body 0 is below 1"),
        ({"receive": 0}, "--receive 0 is below 1"),
        ({"connections": 1}, "--connections 1 is below 2"),
        ({"admin_key": "short"}, "the admin key is not 8 to 256 letters"),
        ({"admin_key": "eight,or=more"}, "the admin key is not 8 to 256 letters"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        ServeOptions(**{"bundles": BUNDLES, **changes})


def test_a_key_is_not_shown() -> None:
    assert "secret-of-ours" not in repr(ServeOptions(BUNDLES, admin_key="secret-of-ours"))


def test_ports_of_0_are_three_free_ones() -> None:
    found = find_endpoints(ServeOptions(BUNDLES, http_port=0, grpc_port=0, metrics_port=0))
    assert found.address == "127.0.0.1"
    assert len({found.http, found.grpc, found.metrics, 0}) == 4
    with socket.socket() as stream:
        stream.bind((found.address, found.http))


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("no.such.host.invalid", "is not an IPv4 address"),
        ("::1", "is not an IPv4 address"),
        ("192.0.2.1", "is not an address of this machine"),
    ],
)
def test_a_host_that_is_not_here_is_refused(host: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        find_endpoints(ServeOptions(BUNDLES, host=host, http_port=0, grpc_port=0, metrics_port=0))


@pytest.mark.parametrize(("address", "local"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")])
def test_every_address_is_reached_by_loopback(address: str, local: str) -> None:
    assert Endpoints(address, 1, 2, 3).to_json() == {
        "http": f"http://{local}:1", "grpc": f"{local}:2", "metrics": f"http://{local}:3/metrics",
    }  # fmt: skip


def test_a_log_line_is_json_with_the_fields_of_the_event() -> None:
    stream = io.StringIO()
    say = LineLog(stream)
    say("info", "ready", "all is well", models=["net"], path=Path("x"))
    say("debug", "triton", "not said")
    record = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", record.pop("time"))
    assert record == {"level": "info", "event": "ready", "message": "all is well", "models": ["net"], "path": "x"}


def test_a_log_line_for_a_person_has_the_level_where_it_matters() -> None:
    stream = io.StringIO()
    say = LineLog(stream, "text", verbose=True)
    say("debug", "triton", "one")
    say("error", "crashed", "two")
    lines = [line.partition(" ")[2] for line in stream.getvalue().splitlines()]
    assert lines == ["triton    one", "crashed   error: two"]


def test_a_run_folder_goes_with_its_server_and_a_killed_ones_with_the_next(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from attnexport.runtime.serve.run_folder import RunFolder\n"
        "folder = RunFolder(Path(sys.argv[1])); print(folder.path, flush=True)\n"
        "Path('/dev/shm', f'{folder.shared_memory}region').write_bytes(b'x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    killed = Path(done.stdout.strip())
    region = Path("/dev/shm", f"{killed.name}-region")
    assert killed.is_dir()
    assert region.exists()
    with RunFolder(tmp_path) as first:
        assert not killed.exists()
        assert not region.exists()
        assert (first.packages / "attnexport" / "runtime").is_dir()
        assert first.path.stat().st_mode & 0o777 == 0o700
        with RunFolder(tmp_path) as second:  # which leaves alone what a living server has
            assert first.path.is_dir()
            assert second.path != first.path
    assert list(tmp_path.iterdir()) == []


def silent(*_: Any, **__: Any) -> None: ...


@pytest.fixture
def tritonserver(tmp_path: Path) -> Path:
    """A program of that name with a folder of backends, as an image has it."""
    path = tmp_path / "opt" / "bin" / "tritonserver"
    path.parent.mkdir(parents=True)
    (tmp_path / "opt" / "backends" / "python").mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("how", ["named", "path", "image"])
def test_a_triton_that_is_here_is_taken(monkeypatch: pytest.MonkeyPatch, tritonserver: Path, how: str) -> None:
    monkeypatch.setattr(program, "IMAGE", tritonserver if how == "image" else Path("/nothing"))
    monkeypatch.setenv("PATH", f"{tritonserver.parent if how == 'path' else '/nothing'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    found = program.find_triton(tritonserver if how == "named" else None, silent)
    assert found.program == tritonserver
    assert found.backends == tritonserver.parent.parent / "backends"
    environment = found.environment(Path("/packages"))
    assert environment["PYTHONPATH"] == "/packages"
    assert environment["PATH"].startswith(f"{Path(sys.executable).parent}:")
    assert "PYTHONHOME" not in environment


def test_without_the_index_no_environment_is_left_and_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(MissingBackendError) as refused:
        private.private_environment(silent)
    assert "there is no Triton, and nvidia-pytriton==0.7.0 cannot be installed: ERROR:" in refused.value.problem
    assert "--triton" in refused.value.remedy
    assert [path.suffix for path in (tmp_path / "attnexport" / "serve").iterdir()] == [".lock"]


def test_a_python_without_a_shared_library_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(private.sysconfig, "get_config_var", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(private.ctypes.util, "find_library", lambda _: None)
    with pytest.raises(MissingBackendError, match=r"has no shared library libpython3\.\d+\.so\.1\.0"):
        private.shared_python()


def test_numpy_stays_below_2_and_onnx_runtime_is_the_one_that_is_here() -> None:
    from importlib.metadata import version

    needed = private.requirements()
    assert "numpy>=1.26,<2" in needed
    here = version("onnxruntime-gpu")
    assert f"onnxruntime=={here}" in needed or f"onnxruntime-gpu=={here}" in needed
