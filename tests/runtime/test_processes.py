"""Every place of the package that starts a process, and what a child may find: not the current folder, not the user's variables."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
from pathlib import Path

import pytest

from attnexport.runtime import processes

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("cli", "export", "runtime", "models")
FILES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py")) + sorted(ROOT.glob("*.py"))

MODULES = {"subprocess", "multiprocessing", "concurrent.futures.process", "pty", "commands", "popen2"}
CALLS = {"fork", "forkpty", "system", "popen", "posix_spawn", "posix_spawnp", "startfile", "ProcessPoolExecutor"} | {
    f"{kind}{end}" for kind in ("exec", "spawn") for end in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")
}
STARTERS = {
    "runtime/processes.py": {"subprocess"},  # all but the following
    "cli/limits.py": {"os.fork"},  # a copy of the command itself
    # Triton and its front: with an environment of their own, through launch.py in an isolated Python
    "runtime/serve/process.py": {"subprocess"},
    "runtime/serve/launch.py": {"os.execv"},
}


def starters(path: Path) -> set[str]:
    found = set()
    hidden: set[int] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            hidden |= {id(part) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom) and node.module in {*MODULES, "os"}:
            found |= {f"{node.module}.{a.name}" for a in node.names if node.module in MODULES or a.name in CALLS}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("os", "posix"):
            found |= {f"os.{node.attr}"} if node.attr in CALLS else set()
        elif isinstance(node, ast.Name) and node.id == "ProcessPoolExecutor":
            found.add(node.id)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_processes_are_started_in_one_place(path):
    allowed = STARTERS.get(str(path.relative_to(ROOT)), set())
    assert starters(path) <= allowed


@pytest.mark.parametrize("path", sorted((ROOT / "runtime" / "serve").glob("*.py")), ids=lambda p: p.name)
def test_triton_has_an_environment_of_its_own(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.Popen", "subprocess.run"):
            assert {"env", "cwd"} <= {keyword.arg for keyword in node.keywords}
            assert '"-I", "-S"' in ast.unparse(node.args[0]).replace("'", '"')


@pytest.fixture
def hostile(tmp_path, monkeypatch) -> Path:
    """A current folder with a module and a program of usual names, and variables that would load code."""
    for name in ("numpy.py", "json.py", "subprocess.py", "sitecustomize.py", "usercustomize.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n")
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ntouch {tmp_path / 'canary'}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "numpy.py"))
    monkeypatch.setenv("PYTHONWARNINGS", "error::numpy.Warning")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}:")
    return tmp_path


def test_a_child_runs_nothing_of_the_current_folder(hostile, monkeypatch):
    monkeypatch.syspath_prepend("")
    code = "import numpy, json, attnexport; print(numpy.__file__, attnexport.__file__)"
    done = processes.run(processes.python(code), hostile)
    assert done.returncode == 0, done.stderr
    assert str(hostile) not in done.stdout
    assert str(ROOT.resolve()) in str(Path(done.stdout.split()[1]).resolve())
    assert not (hostile / "canary").exists()


def test_a_program_is_not_found_in_the_current_folder(hostile):
    with contextlib.suppress(FileNotFoundError):
        processes.run(["nvidia-smi"])
    assert not (hostile / "canary").exists()


def test_the_package_is_found_from_its_own_home(monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p or ".") / "attnexport").is_dir()])
    assert processes.search_path()[-1] == str(ROOT.parent)


def test_variables_that_load_code_are_left_out(monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV"):
        monkeypatch.setenv(name, "/tmp/x")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib::lib:.")
    monkeypatch.setenv("HOME", "/home/user")
    child = processes.child_environment(EXTRA="1")
    assert not {
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONINSPECT",
        "LD_PRELOAD",
        "LD_AUDIT",
        "BASH_ENV",
    } & set(child)
    assert (child["PYTHONHASHSEED"], child["LD_LIBRARY_PATH"], child["HOME"], child["EXTRA"]) == (
        "0",
        "/opt/lib",
        "/home/user",
        "1",
    )
