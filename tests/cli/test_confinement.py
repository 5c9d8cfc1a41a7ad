"""A command may write beside its output, in its temporary folder and in caches; code that the user names is not confined."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from attnexport.cli import confinement
from attnexport.runtime.confine import landlock_version

COMMAND = """
import pathlib, sys
from attnexport.cli import confinement, limits
limits.is_program()
def command(out=None, factory=None, allow_pickle=False):
    for name, folder in (("there", sys.argv[1]), ("elsewhere", sys.argv[2])):
        try:
            pathlib.Path(folder, "written").write_text("1")
            print(name)
        except OSError:
            pass
{wrapped}(out=pathlib.Path(sys.argv[1], "new", "m.attn"), {more})
"""


def run(tmp_path: Path, wrapped: str, more: str = "") -> list[str]:
    for name in ("there", "elsewhere", "here", "home"):
        (tmp_path / name).mkdir()
    code = COMMAND.format(wrapped=wrapped, more=more)
    words = [sys.executable, "-c", code, str(tmp_path / "there"), str(tmp_path / "elsewhere")]
    private = {"TMPDIR": str(tmp_path / "here"), "HOME": str(tmp_path / "home")}
    environment = {k: v for k, v in os.environ.items() if k != "XDG_CACHE_HOME"} | private
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path / "here")
    return done.stdout.split()


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_a_command_writes_where_its_output_is(tmp_path):
    assert run(tmp_path, "limits.confined(command)") == ["there"]


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_the_child_of_a_command_does(tmp_path):
    assert run(tmp_path, "limits.limited(100.0)(command)", "time_limit=None, memory_limit=None") == ["there"]


@pytest.mark.parametrize("trust", ["factory='a:b'", "allow_pickle=True"])
def test_code_that_the_user_trusts_is_not_confined(tmp_path, trust):
    assert run(tmp_path, "limits.confined(command)", trust) == ["there", "elsewhere"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["."]),
        ({"out": Path("a/m.attn")}, ["a"]),
        ({"out": Path("a/missing/m.attn")}, ["a"]),
        ({"bundle": Path("b/m.attn")}, ["b", "."]),
        ({"model": Path("b/m.attn"), "json_output": Path("a/x.json")}, ["a", "b"]),
        ({"model": Path("b/m.pt")}, ["."]),
        ({"json_output": True}, ["."]),
    ],
)
def test_the_folders_of_a_command(tmp_path, monkeypatch, options, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "m.attn").mkdir(parents=True)
    found = [path for path in confinement.folders(options) if path.is_relative_to(tmp_path) and path.name != "t"]
    assert [path.relative_to(tmp_path) for path in found] == [Path(name) for name in expected]
