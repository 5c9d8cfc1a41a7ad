"""A confined process writes below its folders only, opens no TCP connection, and cannot undo it; its children neither."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.runtime.confine import describe, landlock_version

pytestmark = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")

PROGRAM = """
import os, pathlib, socket, subprocess, sys
from attnexport.runtime.confine import confine
base = pathlib.Path(sys.argv[1])
assert confine([base / "in", base / "missing"])
attempts = {{
    "write inside": lambda: (base / "in" / "new").write_text("1"),
    "rename inside": lambda: (base / "in" / "new").rename(base / "in" / "newer"),
    "read outside": lambda: (base / "kept").read_text(),
    "device": lambda: pathlib.Path("/dev/null").write_text("1"),
    "write": lambda: (base / "kept").write_text("changed"),
    "make": lambda: (base / "new").write_text("1"),
    "truncate": lambda: os.truncate(base / "kept", 0),
    "remove": lambda: (base / "kept").unlink(),
    "folder": lambda: (base / "folder").mkdir(),
    "rename out": lambda: (base / "in" / "newer").rename(base / "out"),
    "link": lambda: os.link(base / "kept", base / "in" / "link"),
    "through a link": lambda: ((base / "in" / "s").symlink_to(base / "kept"), (base / "in" / "s").write_text("1")),
    "through the parent": lambda: (base / "in" / ".." / "new").write_text("1"),
    "confine again": lambda: confine([base]) and (base / "new").write_text("1"),
    "a child": lambda: subprocess.run(["/bin/sh", "-c", f"echo 1 > {{base}}/new"], check=True, stderr=subprocess.DEVNULL),
    "connect": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2]))),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "end the parent": lambda: os.kill(os.getppid(), 0),
}}
for name, attempt in attempts.items():
    try:
        attempt()
        print(name, "done", sep=": ")
    except (OSError, subprocess.CalledProcessError):
        print(name, "denied", sep=": ")
"""
FREE = {"write inside", "rename inside", "read outside", "device"}


def test_what_a_confined_process_can_do(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "kept").write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = [sys.executable, "-c", PROGRAM.format(), str(tmp_path), str(server.getsockname()[1])]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    results = dict(line.split(": ") for line in done.stdout.splitlines())
    assert len(results) == 18
    assert {name for name, result in results.items() if result == "done"} == FREE
    assert (tmp_path / "kept").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"in", "kept"}


def test_it_is_described() -> None:
    assert describe() == f"Landlock {landlock_version()}: no writes outside the output's folder" + (
        ", no TCP" if landlock_version() >= 4 else ""
    )
