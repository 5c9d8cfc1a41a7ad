"""A hash is computed once while a file does not change, and again whenever it may have."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from attnexport.runtime.files import read
from attnexport.runtime.files.read import RefusedFileError, read_regular, sha256_of


def _of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is hashed, each time."""
    seen: list[str] = []
    real = hashlib.sha256

    def count(*content: bytes) -> object:
        seen.append("")
        return real(*content)

    monkeypatch.setattr(read.hashlib, "sha256", count)
    return seen


def test_a_file_that_rests_is_hashed_once(tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"content")
    now, expected = time.time(), _of(b"content")
    monkeypatch.setattr(read.time, "time", lambda: now + 10)
    assert [sha256_of(file) for _ in range(3)] == [expected] * 3
    hashed.clear()
    sha256_of(file)
    assert hashed == []


def test_a_file_that_has_just_changed_is_hashed_again(tmp_path: Path) -> None:
    """Another write may get the same time stamp."""
    file = tmp_path / "a"
    for content in (b"one", b"two", b"six"):
        file.write_bytes(content)
        os.utime(file, ns=(0, 0))
        assert sha256_of(file) == _of(content)


@pytest.mark.parametrize("change", ["content", "inode", "size", "times put back"])
def test_a_changed_file_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    now = time.time()
    monkeypatch.setattr(read.time, "time", lambda: now + 10)
    assert sha256_of(file) == _of(b"one")
    status = file.stat()
    time.sleep(0.02)
    if change == "inode":
        (tmp_path / "b").write_bytes(b"two")
        (tmp_path / "b").rename(file)
    else:
        file.write_bytes(b"more" if change == "size" else b"two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sha256_of(file) == _of(b"more" if change == "size" else b"two")


@pytest.mark.parametrize(
    ("path", "why"), [("/proc/self/maps", "more than 10 bytes"), ("/dev/zero", "not a regular file")]
)
def test_a_file_without_an_end_is_not_read(path: str, why: str) -> None:
    with pytest.raises(RefusedFileError, match=why):
        read_regular(Path(path), 10)
