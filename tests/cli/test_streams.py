"""Neither a reader that leaves, a full disk behind standard output, nor a closed one changes what a command does."""

import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from attnexport.runtime.bundle.bundle import StoredBundle

GATED = Path(__file__).resolve().parents[1] / "data" / "gated.attn"
PROGRAM = f"{shlex.quote(sys.executable)} -c 'from attnexport.cli import main; main()'"
BROKEN = (
    "| true",
    "| head -1",
    "| head -c 1",
    "> /dev/full",
    ">&-",
    "2>&1 | true",
    "> /dev/full 2>&1",
    "> /dev/full 2>&-",
)
NETWORK = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 3)
    def forward(self, x):
        return torch.softmax(self.layer(x), -1)
"""


def shell(folder: Path, words: str, ending: str) -> subprocess.CompletedProcess[str]:
    """Run a command in bash with ``ending``, and return the exit code of the command itself, not of what reads it."""
    script = f"set -o pipefail; {{ {PROGRAM} {words}; echo $? > code; }} {ending}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(folder / "cache")},
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, int((folder / "code").read_text()), done.stdout, done.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(GATED, tmp_path / "net.attn")
    (tmp_path / "net.py").write_text(textwrap.dedent(NETWORK))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        *(("check net.attn", ending) for ending in BROKEN[1:6]),
        *(("check net.attn --json", ending) for ending in BROKEN[:4:3]),
        *(pytest.param("check net.attn", ending, marks=pytest.mark.sweep) for ending in (BROKEN[0], *BROKEN[6:])),
    ],
)
def test_the_code_of_a_verdict_is_that_of_the_bundle(folder: Path, words: str, ending: str) -> None:
    assert shell(folder, words, ending).returncode == 0
    assert shell(folder, f"{words} --gate 1e-6", ending).returncode == 1, "so strict that none can pass"


@pytest.mark.parametrize("ending", ["2>&1 | true", "> /dev/full"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0), ("--version", 0), ("check --help", 0), ("inspect net.attn", 0), ("inspect net.attn --json", 0),
        ("report net.attn", 0), ("triton net.attn --out repository", 0), ("check gone.attn", 2), ("check gone.attn --json", 2),
        ("no-such-command", 2), ("check --no-such-option", 2),
    ],
)  # fmt: skip
def test_quick_commands(folder: Path, words: str, code: int, ending: str) -> None:
    done = shell(folder, words, ending)
    assert done.returncode == code
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if words.startswith("report"):
        assert (folder / "net.html").read_text().rstrip().endswith("</html>")
    if words.startswith("triton"):
        assert (folder / "repository" / "net" / "config.pbtxt").is_file()


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        ("net:Net --input x=1x3 --precision fp32", "| true"),
        ("net:Net --input x=1x3 --precision fp32 --json", "> /dev/full"),
        pytest.param("scan net:Net --input x=1x3 --json", "| true", marks=pytest.mark.sweep),
        pytest.param("debug net:Net --input x=1x3 --precision fp32", "| head -c 1", marks=pytest.mark.sweep),
        ("bench net.attn --rounds 1 --json bench.json --contenders attnexport", "> /dev/full"),
        ("models digits_stn_cbam", "| head -1"),
        ("doctor", "> /dev/full"),
    ],
)
def test_work_is_done_to_its_end(folder: Path, words: str, ending: str) -> None:
    shutil.rmtree(folder / "net.attn") if words.startswith("net:") else None
    done = shell(folder, words, ending)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if words.startswith("net:"):
        StoredBundle.open(folder / "Net.attn").verify_files()
    if "bench.json" in words:
        assert json.loads((folder / "bench.json").read_text())["format"] == "attnexport-bench"


def test_a_full_standard_output_is_named_once(folder: Path) -> None:
    done = shell(folder, "inspect net.attn", "> /dev/full")
    assert done.stderr == "attnexport: standard output cannot be written (No space left on device)\n"
    assert shell(folder, "inspect net.attn", "| true").stderr == ""


SLOW = """
import os, pathlib, subprocess, sys, time
from attnexport.cli import run
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.files.write import new_file
{decorator}
def command() -> None:
    with BundleWriter("net2.attn") as writer, new_file(pathlib.Path("a.html").absolute()) as file:
        (writer.path / "half").touch(); file.touch()
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path("started").write_text(f"{{os.getpid()}} {{child.pid}}")
        {work}
run.app.command()(command)
run.COMMANDS += ("command",)
run.main()
"""
LIMITED = "from attnexport.cli import limits\n@limits.limited(600)"
NATIVE = "import ctypes; libc = ctypes.PyDLL(None); [libc.sleep(60) for _ in range(9)]"
"""Holds the interpreter, as a native library may: no handler of Python runs."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize(
    ("decorator", "work"),
    [("", "time.sleep(600)"), (LIMITED, "time.sleep(600)"), (LIMITED, NATIVE)],
    ids=["here", "in a child", "in native code"],
)
def test_a_signal_ends_the_command_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, decorator: str, work: str
) -> None:
    words = [sys.executable, "-c", SLOW.format(decorator=decorator, work=work), "command"]
    # The tests themselves may run in the background of a shell or under nohup, which ignore SIGINT and SIGHUP.
    heed = functools.partial(signal.signal, number, signal.SIG_DFL)
    with subprocess.Popen(words, cwd=tmp_path, text=True, stderr=subprocess.PIPE, preexec_fn=heed) as program:
        while not (tmp_path / "started").exists() or not (tmp_path / "started").read_text():
            assert program.poll() is None
            time.sleep(0.05)
        program.send_signal(number)
        _, errors = program.communicate(timeout=60)
    assert program.returncode == 128 + number
    assert errors == f"attnexport: stopped by {number.name}\n"
    left = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".a.html"))
    assert left == ["started"]
    if work != NATIVE:  # the file's folder is removed by the next write
        assert not list(tmp_path.glob(".a.html*"))
    if decorator:
        for pid in map(int, (tmp_path / "started").read_text().split()):
            assert not Path(f"/proc/{pid}").exists()


def test_nohup_keeps_a_command_alive(tmp_path: Path) -> None:
    work = "time.sleep(8); pathlib.Path('done').touch()"
    script = (
        f"trap '' HUP; exec {shlex.join([sys.executable, '-c', SLOW.format(decorator=LIMITED, work=work), 'command'])}"
    )
    with subprocess.Popen(["bash", "-c", script], cwd=tmp_path) as program:
        while not (tmp_path / "started").exists():
            assert program.poll() is None
            time.sleep(0.05)
        program.send_signal(signal.SIGHUP)
        program.wait(timeout=60)
    assert program.returncode == 0
    assert (tmp_path / "done").exists()
