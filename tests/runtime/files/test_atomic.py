"""Only what attnexport marked is ever removed; a folder of the user stays, whatever its name."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.runtime.files.atomic import MARKER, leftovers, locked_directory, sweep

PID, RANDOM = "4194305", "0123456789ab"
"""No process can have this id."""


def _mark() -> bytes:
    """What a marker holds, as written by a process that was killed."""
    program = (
        "import os, pathlib, sys; from attnexport.runtime.files.atomic import *; "
        "locked_directory(pathlib.Path(sys.argv[1]), '.x.partial-'); os.kill(os.getpid(), 9)"
    )
    folder = Path(os.environ["PYTEST_TMP"])
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = folder.glob(".x.partial-*")
    return (left / MARKER).read_bytes()


@pytest.fixture
def mark(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setenv("PYTEST_TMP", str(tmp_path_factory.mktemp("mark")))
    return _mark()


def _tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.mark.parametrize(
    "name",
    [
        ".m.attn.old-from-2025", ".m.attn.partial-backup", ".m.attn.partial-", f".m.attn.partial-{PID}-{RANDOM}",
        f".m.attn.old-{PID}-{RANDOM}", f".m.attn.partial-{PID}-{RANDOM}0", f".m.attn.partial-x{PID}-{RANDOM}",
        f".m.attn.partial-{PID}-{RANDOM.upper()}", f".m.attn.partial-{PID}-{RANDOM}.bak", f"m.attn.partial-{PID}-{RANDOM}",
        f".n.attn.partial-{PID}-{RANDOM}",
    ],
)  # fmt: skip
def test_a_folder_of_the_user_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious").write_text("precious")
    before = _tree(tmp_path)
    sweep(tmp_path / "m.attn")
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("name", [f".m.attn.old-from-2025-{RANDOM}", f".m.attn.partial-backup-{RANDOM}"])
def test_a_marker_alone_is_not_enough(tmp_path: Path, mark: bytes, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / MARKER).write_bytes(mark)
    sweep(tmp_path / "m.attn")
    assert (tmp_path / name / MARKER).exists()


@pytest.mark.parametrize("content", [b"", b"my notes about attnexport\n", None])
def test_a_file_of_the_user_with_the_name_of_the_marker_is_not_one(
    tmp_path: Path, mark: bytes, content: bytes | None
) -> None:
    folder = tmp_path / f".m.attn.partial-{PID}-{RANDOM}"
    folder.mkdir()
    (folder / "precious").touch()
    if content is None:
        (tmp_path / "mark").write_bytes(mark)
        (folder / MARKER).symlink_to(tmp_path / "mark")
    else:
        (folder / MARKER).write_bytes(content)
    sweep(tmp_path / "m.attn")
    assert (folder / "precious").exists()


@pytest.mark.parametrize("kind", ["partial", "old"])
@pytest.mark.parametrize("state", ["empty", "marker without content", "marker", "content"])
def test_what_a_killed_process_left_is_removed(tmp_path: Path, mark: bytes, kind: str, state: str) -> None:
    folder = tmp_path / f".m.attn.{kind}-{PID}-{RANDOM}"
    folder.mkdir()
    if state != "empty":
        (folder / MARKER).write_bytes(b"" if state == "marker without content" else mark)
    (tmp_path / "m.attn").mkdir()
    if state == "content":
        (folder / "m.attn" / "deep").mkdir(parents=True)
        (folder / "m.attn" / "deep" / "model.onnx").touch()
    sweep(tmp_path / "m.attn")
    assert _tree(tmp_path) == ["m.attn"]


def test_an_old_folder_that_was_not_replaced_comes_back(tmp_path: Path, mark: bytes) -> None:
    folder = tmp_path / f".m.attn.old-{PID}-{RANDOM}"
    (folder / "m.attn").mkdir(parents=True)
    (folder / MARKER).write_bytes(mark)
    (folder / "m.attn" / "model.onnx").touch()
    sweep(tmp_path / "m.attn")
    assert _tree(tmp_path) == ["m.attn", "m.attn/model.onnx"]


def test_a_link_with_the_exact_name_is_not_followed(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / MARKER).write_bytes(mark)
    (tmp_path / f".m.attn.partial-{PID}-{RANDOM}").symlink_to(tmp_path / "elsewhere")
    sweep(tmp_path / "m.attn")
    assert (tmp_path / "elsewhere" / MARKER).exists()


def test_a_locked_folder_is_not_a_leftover(tmp_path: Path) -> None:
    path, lock = locked_directory(tmp_path, "work-")
    assert list(leftovers(tmp_path, "work-")) == []
    os.close(lock)
    assert list(leftovers(tmp_path, "work-")) == [path]
