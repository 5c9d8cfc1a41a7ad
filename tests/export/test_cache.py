"""Caches: where they lie, and that none is ever in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnexport.export.cache import cache_file, read, write


def test_a_cache_lies_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_file("tune.json") == tmp_path / "attnexport" / "tune.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_file("tune.json") == tmp_path / ".cache" / "attnexport" / "tune.json"


def test_what_is_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write(path, {"é": {"b": 1.5}})
    assert read(path) == {"é": {"b": 1.5}}
    write(path, {"c": 2})
    assert read(path) == {"c": 2}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff\xfe"])
def test_what_is_damaged_is_as_good_as_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert read(path) == {}
    assert read(tmp_path / "missing.json") == {}


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    write(tmp_path / "file" / "a.json", {"a": 1})
    assert read(tmp_path / "file" / "a.json") == {}
