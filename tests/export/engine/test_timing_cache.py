from __future__ import annotations

from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.export.engine import EngineOptions, Flavour, build_engine
from attnexport.export.engine.config import attach_timing_cache, store_timing_cache
from attnexport.export.engine.logger import logger_of

ENTERPRISE = Flavour("enterprise", (10, 13), "10.13.3.9")


def test_rtx_has_none_and_says_so(mixed, image, rtx, reporter, tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    path.write_bytes(b"of another TensorRT")
    engine = build_engine(mixed, [image], rtx, EngineOptions(timing_cache=path), {}, reporter)
    assert engine.plan
    (note,) = reporter.notes
    assert note == (f"{rtx.title} has no timing cache (its builds measure no kernels): {path} is not used")
    assert path.read_bytes() == b"of another TensorRT"


@pytest.fixture
def config(rtx):
    """A real config: RTX's cache calls are there, and do nothing, so the enterprise steps run on it."""
    builder = rtx.module.Builder(logger_of(rtx.module)[0])
    return builder.create_builder_config()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_new_cache_is_attached(config, reporter, tmp_path: Path) -> None:
    cache = attach_timing_cache(config, tmp_path / "none.cache", ENTERPRISE, reporter)
    assert cache is not None
    assert reporter.notes == []
    assert not (tmp_path / "none.cache").exists()


class Refusing:
    """A config as TensorRT 10 and 11 have it where a cache is damaged, or of another version or GPU; RTX takes anything."""

    def __init__(self, creates: bool) -> None:
        self.creates, self.taken = creates, []

    def create_timing_cache(self, data: bytes) -> bytes | None:
        return data if self.creates or not data else None

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.taken.append(cache)
        return not cache


@pytest.mark.parametrize("creates", [False, True], ids=["damaged", "of another GPU"])
def test_a_cache_that_does_not_match_is_replaced_and_said(creates: bool, reporter, tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    path.write_bytes(b"of another TensorRT")
    config = Refusing(creates)
    assert attach_timing_cache(config, path, ENTERPRISE, reporter) == b""
    assert config.taken[-1] == b""
    assert reporter.notes == [f"timing cache {path} belongs to another TensorRT or GPU: it will be replaced"]


@pytest.mark.parametrize("creates", [False, True])
def test_a_file_without_the_name_of_a_cache_is_not_replaced(creates: bool, reporter, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match=r"photo\.jpg is not a timing cache of this TensorRT.*ends in \.timing-cache"):
        attach_timing_cache(Refusing(creates), path, ENTERPRISE, reporter)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_that_cannot_be_read(config, reporter, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: Is a directory\. name a file"):
        attach_timing_cache(config, tmp_path, ENTERPRISE, reporter)


def test_store_replaces_the_whole_file(reporter, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "timing.cache"
    assert store_timing_cache(b"first, and longer", path, reporter)
    assert store_timing_cache(memoryview(b"second"), path, reporter)
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_a_note(reporter) -> None:
    path = Path("/sys/timing.cache")  # nobody may make a file there, root included
    assert not store_timing_cache(b"data", path, reporter)
    (note,) = reporter.notes
    assert note.startswith(f"timing cache {path} cannot be written: ")


def test_a_path_that_is_a_folder_is_a_note_and_leaves_nothing(reporter, tmp_path: Path) -> None:
    (tmp_path / "timing.cache").mkdir()
    assert not store_timing_cache(b"data", tmp_path / "timing.cache", reporter)
    assert "cannot be written: Is a directory" in reporter.notes[0]
    assert [p.name for p in tmp_path.iterdir()] == ["timing.cache"]
