"""Limits of a command: it ends at them, in one line that says what it was at, and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from attnexport.cli.limits import Limits, family, resident
from attnexport.errors import InputError

WORK = {
    "aborts": "os.abort()",
    "sleeps": "time.sleep(600)",
    "has_children": "subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])",
    "fills": "kept = [bytearray(b'1') * 2**24 for _ in range(1000) if not time.sleep(0.01)]",
    "ends": "sys.exit(7)",
    "writes": "BundleWriter('net.attn').__enter__().path.joinpath('half').write_text('1'); os.abort()",
}
PROGRAM = """
import os, pathlib, subprocess, sys, time
from attnexport.cli import limits, run
from attnexport.runtime import whereabouts
from attnexport.runtime.bundle.writer import BundleWriter

@limits.limited(600)
def command() -> None:
    whereabouts.at_stage("verify")
    whereabouts.at_work("node", "conv_1", "(Conv)")
    pathlib.Path("started").write_text(str(os.getpid()))
    {work}

run.app.command()(command)
run.COMMANDS += ("command",)
run.main()
"""


def heed_signals() -> None:
    """The tests themselves may run in the background of a shell or under nohup, which ignore these."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def run(folder: Path, work: str, *options: str, program: str = "") -> subprocess.Popen[str]:
    """Start a program with one more command, ``command``, which does what ``WORK`` says; or ``program`` instead."""
    (folder / "tmp").mkdir()
    words = [
        sys.executable,
        "-c",
        program or PROGRAM.format(work=WORK[work]),
        *(() if program else ("command",)),
        *options,
    ]
    return subprocess.Popen(
        words, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(folder), "TMPDIR": str(folder / "tmp")},
        preexec_fn=heed_signals,
    )  # fmt: skip


def left(folder: Path) -> list[str]:
    names = [path.name for path in (*folder.iterdir(), *(folder / "tmp").iterdir())]
    return [name for name in names if name not in ("started", "tmp", "__pycache__") and not name.endswith(".py")]


def ended(pid: int) -> bool:
    """Whether a process ends within ten seconds; nobody may have asked for its exit code yet."""
    for _ in range(200):
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


AT = "attnexport: verify: stopped, at node conv_1 (Conv): "


@pytest.mark.parametrize(
    ("work", "options", "said"),
    [
        (
            "aborts",
            (),
            "attnexport: verify: a native library ended the process with SIGABRT, at node conv_1 (Conv). nothing was",
        ),
        ("writes", (), "attnexport: verify: a native library ended the process with SIGABRT"),
        ("sleeps", ("--time-limit", "2"), f"{AT}--time-limit of 2 s is over. raise that limit"),
        ("has_children", ("--time-limit", "2"), f"{AT}--time-limit of 2 s is over"),
        ("fills", ("--memory-limit", "400M"), "GB of memory are used, and --memory-limit is 0.4 GB. raise that limit"),
    ],
)
def test_a_limit_ends_in_one_line_and_leaves_nothing(
    tmp_path: Path, work: str, options: tuple[str, ...], said: str
) -> None:
    program = run(tmp_path, work, *options)
    _, errors = program.communicate(timeout=120)
    lines = errors.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]
    assert program.returncode == 1
    assert left(tmp_path) == []
    assert ended(int((tmp_path / "started").read_text()))


def test_an_export_that_a_library_aborts_is_one_object_of_json(tmp_path: Path) -> None:
    network = """
        import os, torch
        class Net(torch.nn.Module):
            def forward(self, x):
                os.abort()
        """
    (tmp_path / "net.py").write_text(textwrap.dedent(network))
    options = ("net:Net", "--input", "x=1x3", "--json")
    program = run(tmp_path, "", *options, program="from attnexport.cli import main; main()")
    out, errors = program.communicate(timeout=120)
    assert (errors, program.returncode) == ("", 1)
    assert json.loads(out)["error"].startswith("capture: a native library ended the process with SIGABRT")
    assert left(tmp_path) == []


def test_an_exit_code_passes_through(tmp_path: Path) -> None:
    assert run(tmp_path, "ends").wait(timeout=120) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_reaches_the_work_and_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    program = run(tmp_path, "sleeps")
    wait_for(tmp_path / "started", program)
    program.send_signal(number)
    program.communicate(timeout=60)
    assert program.returncode == 128 + number
    assert left(tmp_path) == []
    assert ended(int((tmp_path / "started").read_text()))


def test_the_work_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = run(tmp_path, "sleeps")
    wait_for(tmp_path / "started", program)
    program.kill()
    program.communicate(timeout=60)
    assert ended(int((tmp_path / "started").read_text()))


def wait_for(file: Path, program: subprocess.Popen[str]) -> None:
    while not (file.exists() and file.read_text()):
        assert program.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("seconds", "memory", "said"),
    [
        (0.0, None, "--time-limit 0"), (-1.0, None, "--time-limit -1"), (float("nan"), None, "--time-limit nan"),
        (float("inf"), None, "--time-limit inf"), (1.0, "", "--memory-limit ''"), (1.0, "0G", "--memory-limit '0G'"),
        (1.0, "-1G", "--memory-limit '-1G'"), (1.0, "8 parsecs", "--memory-limit '8 parsecs'"),
        (1.0, "9" * 30, "is not a size"), (1.0, "1.5G", "--memory-limit '1.5G'"),
    ],
)  # fmt: skip
def test_limits_that_are_none_are_refused(seconds: float, memory: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Limits.of(seconds, memory)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("512M", 2**29), ("8G", 2**33), ("8g", 2**33), ("1000", 1000), ("1T", 2**40)]
)
def test_sizes_are_read(text: str, bytes_: int) -> None:
    assert Limits.of(1.0, text).memory == bytes_


def test_memory_and_children_are_those_of_the_system() -> None:
    before, kept = resident(os.getpid()), np.ones(2**25)  # 256 MiB
    assert resident(os.getpid()) - before > 0.9 * kept.nbytes
    child = subprocess.Popen(["sleep", "60"])
    assert child.pid in family(os.getpid())
    child.kill()
    child.wait()
    assert resident(child.pid) == 0
