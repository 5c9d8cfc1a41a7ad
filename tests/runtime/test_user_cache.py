"""Caches: where they lie, and that none is ever in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnexport.runtime.user_cache import cache_folder, read_cache, write_cache


def test_a_cache_lies_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("tune.json") == tmp_path / "attnexport" / "tune.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("tune.json") == tmp_path / ".cache" / "attnexport" / "tune.json"


def test_what_is_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_cache(path, {"é": {"b": 1.5}})
    assert read_cache(path) == {"é": {"b": 1.5}}
    write_cache(path, {"c": 2})
    assert read_cache(path) == {"c": 2}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff\xfe"])
def test_what_is_damaged_is_as_good_as_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert read_cache(path) == {}
    assert read_cache(tmp_path / "missing.json") == {}


def test_a_folder_that_cannot_be_created_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    write_cache(tmp_path / "file" / "a.json", {"a": 1})
    assert read_cache(tmp_path / "file" / "a.json") == {}
