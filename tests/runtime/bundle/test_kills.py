"""kill -9 at random moments, the renames included: the bundle is the old one or the new one, and the next run cleans up."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.files.write import write_file

FEW, MANY = 10, 200
LONGEST_S = 0.08
"""A round takes about 10 ms, so that a moment falls into any part of some round."""
WRITER = """
import pathlib, sys
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.files import atomic
from attnexport.runtime.files.write import write_file

if sys.argv[2] == "moved":
    atomic._exchange = lambda a, b: False
manifest = Manifest.loads(pathlib.Path(sys.argv[1], "manifest.json").read_text())
print("ready", flush=True)
number = 0
while True:
    number += 1
    with BundleWriter("net.attn", replace=True) as writer:
        for name in "abc":
            (writer.path / name).write_text(f"{number}" * 5000)
        writer.commit(manifest)
    write_file(pathlib.Path("net.html").absolute(), f"{number}\\n" * 5000)
"""


def moments(count: int, seed: int) -> Iterator[float]:
    draw = random.Random(seed)
    for _ in range(count):
        yield draw.uniform(0, LONGEST_S)


@pytest.mark.parametrize("way", ["exchanged", "moved"])
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.sweep)])
def test_a_kill_at_any_moment_leaves_no_half_bundle(tmp_path: Path, plain: Manifest, way: str, count: int) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "manifest.json").write_text(plain.dumps())
    work = tmp_path / "work"
    work.mkdir()
    (work / ".net.attn.partial-notes").mkdir()
    (work / ".net.attn.partial-notes" / "precious").touch()
    _commit(work, plain)
    left = 0
    for moment in moments(count, seed=count):
        words = [sys.executable, "-c", WRITER, str(tmp_path / "given"), way]
        with subprocess.Popen(words, cwd=work, stdout=subprocess.PIPE) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == b"ready\n"
            time.sleep(moment)
            program.kill()
        assert program.returncode == -signal.SIGKILL
        left += len(list(work.glob(".net.*-*-*")))
        if (work / "net.attn").exists():
            _check(work)
        else:
            assert way == "moved", "where the kernel can exchange, there is always a bundle"
        with BundleWriter(work / "net.attn", replace=True):
            _check(work)  # an old one that was moved aside is back
        lines = set((work / "net.html").read_text().splitlines())
        assert len(lines) == 1
        write_file(work / "net.html", "0\n")
        assert sorted(path.name for path in work.iterdir()) == [".net.attn.partial-notes", "net.attn", "net.html"]
    assert left > count / 4, "the moments fell into the work"


def _commit(work: Path, manifest: Manifest) -> None:
    with BundleWriter(work / "net.attn") as writer:
        for name in "abc":
            (writer.path / name).write_text("0" * 5000)
        writer.commit(manifest)
    write_file(work / "net.html", "0\n")


def _check(work: Path) -> None:
    bundle = StoredBundle.open(work / "net.attn")
    bundle.verify_files()
    assert len({(work / "net.attn" / name).read_text() for name in "abc"}) == 1
