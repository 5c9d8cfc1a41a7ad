"""A bundle appears whole or not at all, also after Ctrl-C, a full disk and kill -9; nothing else is ever replaced."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.errors import AttnexportError, BundleError, InputError
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.writer import BundleWriter


def _write(destination: Path, manifest: Manifest, content: bytes = b"model", *, replace: bool = False) -> StoredBundle:
    with BundleWriter(destination, replace=replace) as writer:
        (writer.path / "model.onnx").write_bytes(content)
        writer.add("model.onnx", "model-fp32")
        return writer.commit(manifest)


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_commit_records_size_hash_and_role_of_every_file(tmp_path: Path, plain: Manifest) -> None:
    with BundleWriter(tmp_path / "net.attn") as writer:
        (writer.path / "model.onnx").write_bytes(b"model")
        (writer.path / "engines").mkdir()
        (writer.path / "engines" / "a.plan").write_bytes(b"")
        writer.add("model.onnx", "other")
        assert not (tmp_path / "net.attn").exists()
        bundle = writer.commit(plain, roles={"model.onnx": "model-fp32"})
    assert _names(tmp_path) == ["net.attn"]
    record = bundle.manifest.files["model.onnx"]
    assert (record.role, record.bytes, record.sha256) == ("model-fp32", 5, hashlib.sha256(b"model").hexdigest())
    assert bundle.manifest.files["engines/a.plan"].role == "other"
    assert bundle.manifest.files.keys() == {"model.onnx", "engines/a.plan"}
    StoredBundle.open(tmp_path / "net.attn").verify_files()


def test_the_partial_directory_is_a_hidden_sibling_with_the_process_id(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "net.attn") as writer:
        assert writer.path.name == "net.attn"
        assert writer.path.parent.parent == tmp_path
        assert writer.path.parent.name.startswith(f".net.attn.partial-{os.getpid()}-")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError("x"), MemoryError])
def test_an_exception_leaves_nothing_and_passes_through(tmp_path: Path, error: BaseException) -> None:
    with (
        pytest.raises(error if isinstance(error, type) else type(error)),
        BundleWriter(tmp_path / "net.attn") as writer,
    ):
        (writer.path / "model.onnx").write_bytes(b"model")
        raise error
    assert _names(tmp_path) == []


def test_leaving_without_a_commit_leaves_nothing(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "net.attn") as writer:
        (writer.path / "model.onnx").write_bytes(b"model")
    assert _names(tmp_path) == []
    with pytest.raises(RuntimeError, match="not open"):
        _ = writer.path


def test_an_existing_bundle_is_kept_without_force_and_replaced_with_it(tmp_path: Path, plain: Manifest) -> None:
    destination = tmp_path / "net.attn"
    _write(destination, plain, b"old")
    with pytest.raises(InputError, match="--force"):
        _write(destination, plain, b"new")
    assert (destination / "model.onnx").read_bytes() == b"old"
    _write(destination, plain, b"new", replace=True).verify_files()
    assert (destination / "model.onnx").read_bytes() == b"new"
    assert _names(tmp_path) == ["net.attn"]


def test_a_failed_replacement_keeps_the_old_bundle(tmp_path: Path, plain: Manifest) -> None:
    destination = tmp_path / "net.attn"
    _write(destination, plain, b"old")
    with pytest.raises(ZeroDivisionError), BundleWriter(destination, replace=True) as writer:
        (writer.path / "model.onnx").write_bytes(b"new")
        raise ZeroDivisionError
    StoredBundle.open(destination).verify_files()
    assert (destination / "model.onnx").read_bytes() == b"old"
    assert _names(tmp_path) == ["net.attn"]


def test_replacing_works_where_the_kernel_cannot_exchange(
    tmp_path: Path, plain: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "net.attn", plain, b"old")
    monkeypatch.setattr("attnexport.runtime.files.atomic._exchange", lambda a, b: False)
    _write(tmp_path / "net.attn", plain, b"new", replace=True).verify_files()
    assert (tmp_path / "net.attn" / "model.onnx").read_bytes() == b"new"
    assert _names(tmp_path) == ["net.attn"]


@pytest.mark.parametrize(
    "what", ["file", "folder", "empty folder", "foreign manifest", "damaged manifest", "link", "dangling"]
)
def test_a_directory_that_is_not_a_bundle_is_never_replaced(tmp_path: Path, plain: Manifest, what: str) -> None:
    destination = tmp_path / "net.attn"
    if what == "file":
        destination.write_text("precious")
    elif what == "link":
        _write(tmp_path / "other.attn", plain)
        destination.symlink_to(tmp_path / "other.attn")
    elif what == "dangling":
        destination.symlink_to(tmp_path / "gone")
    else:
        destination.mkdir()
        content = {"folder": "{}", "foreign manifest": '{"format": "npm"}', "damaged manifest": '{"format": "attnex'}
        if what in content:
            (destination / ("photos" if what == "folder" else "manifest.json")).write_text(content[what])
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    with (
        pytest.raises(InputError, match="is not a bundle, so it is never replaced"),
        BundleWriter(destination, replace=True),
    ):
        pass
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_files_of_the_user_in_a_bundle_are_named_and_the_bundle_stays(tmp_path: Path, plain: Manifest) -> None:
    destination = tmp_path / "net.attn"
    _write(destination, plain, b"old")
    (destination / "notes.txt").write_text("mine")
    (destination / "engines").mkdir()
    (destination / "engines" / "mine.plan").symlink_to("/dev/null")
    before = sorted(destination.rglob("*"))
    with pytest.raises(InputError, match=r"'engines/mine\.plan', 'notes\.txt'\. move them") as caught:
        _write(destination, plain, b"new", replace=True)
    assert "its manifest does not list, so it is not replaced" in str(caught.value)
    assert sorted(destination.rglob("*")) == before
    assert (destination / "model.onnx").read_bytes() == b"old"
    assert _names(tmp_path) == ["net.attn"]


def test_a_file_that_the_user_adds_meanwhile_is_kept(tmp_path: Path, plain: Manifest) -> None:
    destination = tmp_path / "net.attn"
    _write(destination, plain, b"old")
    with pytest.raises(InputError, match=r"notes\.txt"), BundleWriter(destination, replace=True) as writer:
        (destination / "notes.txt").write_text("mine")
        writer.commit(plain)
    assert (destination / "notes.txt").read_text() == "mine"
    assert _names(tmp_path) == ["net.attn"]


def test_a_bundle_of_another_schema_may_be_replaced(tmp_path: Path, plain: Manifest) -> None:
    _write(tmp_path / "net.attn", plain)
    manifest = tmp_path / "net.attn" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema": 5', '"schema": 99'))
    _write(tmp_path / "net.attn", plain, b"new", replace=True).verify_files()


def test_a_destination_that_appears_meanwhile_is_kept(tmp_path: Path, plain: Manifest) -> None:
    with pytest.raises(InputError, match="never replaced"), BundleWriter(tmp_path / "net.attn") as writer:
        (tmp_path / "net.attn").mkdir()
        (tmp_path / "net.attn" / "precious").touch()
        writer.commit(plain)
    assert _names(tmp_path) == ["net.attn"]
    assert _names(tmp_path / "net.attn") == ["precious"]


@pytest.mark.parametrize(("parent", "problem"), [("gone", "does not exist"), ("file", "is not a directory")])
def test_an_invalid_parent_directory_is_reported(tmp_path: Path, parent: str, problem: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=problem), BundleWriter(tmp_path / parent / "net.attn"):
        pass
    assert _names(tmp_path) == ["file"]


def test_an_unwritable_parent_is_reported_in_one_line() -> None:
    # /proc refuses new directories to everyone, also to root, whom permissions do not stop.
    with (
        pytest.raises(InputError, match=r"/proc/net\.attn cannot be written") as caught,
        BundleWriter("/proc/net.attn"),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_inside_the_block_is_one_line_and_leaves_nothing(tmp_path: Path, code: int) -> None:
    with (
        pytest.raises(InputError, match=r"no space left to write .*net\.attn") as caught,
        BundleWriter(tmp_path / "net.attn"),
    ):
        raise OSError(code, os.strerror(code))
    assert caught.value.exit_code == 2
    assert _names(tmp_path) == []


def test_another_os_error_inside_the_block_stays_itself(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), BundleWriter(tmp_path / "net.attn") as writer:
        (writer.path / "gone").read_bytes()
    assert _names(tmp_path) == []


def test_a_limit_met_while_the_manifest_is_written_leaves_nothing(tmp_path: Path, plain: Manifest) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(InputError, match="no space left"), BundleWriter(tmp_path / "net.attn") as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            writer.commit(plain)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert _names(tmp_path) == []


def test_an_added_file_must_exist(tmp_path: Path, plain: Manifest) -> None:
    with pytest.raises(BundleError, match=r"'gone\.onnx' was added"), BundleWriter(tmp_path / "net.attn") as writer:
        writer.add("gone.onnx", "model-fp32")
        writer.commit(plain)
    assert _names(tmp_path) == []


def test_a_link_in_the_bundle_is_refused(tmp_path: Path, plain: Manifest) -> None:
    with pytest.raises(BundleError, match="not a plain file"), BundleWriter(tmp_path / "net.attn") as writer:
        (writer.path / "weights").symlink_to("/etc/passwd")
        writer.commit(plain)
    assert _names(tmp_path) == []


def test_a_manifest_that_names_unlisted_files_is_not_published(tmp_path: Path, full: Manifest) -> None:
    with pytest.raises(BundleError, match="does not list"), BundleWriter(tmp_path / "net.attn") as writer:
        writer.commit(full)
    assert _names(tmp_path) == []


def test_a_living_writer_is_left_alone_and_the_first_to_commit_wins(tmp_path: Path, plain: Manifest) -> None:
    destination = tmp_path / "net.attn"
    with BundleWriter(destination) as first:
        (first.path / "model.onnx").write_bytes(b"first")
        with BundleWriter(destination) as second:
            assert first.path.exists()
            (second.path / "model.onnx").write_bytes(b"second")
            second.commit(plain)
        with pytest.raises(InputError, match="exists"):
            first.commit(plain)
    assert (destination / "model.onnx").read_bytes() == b"second"
    assert _names(tmp_path) == ["net.attn"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from attnexport.runtime.bundle import writer
from attnexport.runtime.files import atomic
from attnexport.runtime.bundle.manifest import Manifest

destination, manifest, point, moment = Path(sys.argv[1]), Manifest.loads(sys.stdin.read()), sys.argv[2], sys.argv[3]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def deadly(module, name):
    original = getattr(module, name)
    def wrapped(*args, **kwargs):
        if moment == "before":
            die()
        result = original(*args, **kwargs)
        die()
    setattr(module, name, wrapped)

if point == "move":
    # Where the kernel cannot exchange, between the two renames: the worst moment.
    atomic._exchange = lambda a, b: False
    original = Path.rename
    def rename(self, target):
        done = original(self, target)
        if ".old-" in str(target):
            die()
        return done
    Path.rename = rename
elif point in ("_exchange", "PartialDirectory", "_sync"):
    deadly(writer if point == "PartialDirectory" else atomic, point)
elif point != "file":
    deadly(writer, point)

with writer.BundleWriter(destination, replace=True) as w:
    (w.path / "model.onnx").write_bytes(b"new")
    if point == "file":
        die()
    w.commit(manifest)
"""

# The moments that every writer comes by, and those of a replacement alone.
POINTS = [
    ("PartialDirectory", "after"), ("file", "now"), ("sha256_of", "before"), ("sha256_of", "after"),
    ("sync_tree", "before"),
    ("_sync", "after"), ("sync_tree", "after"), ("publish", "before"), ("publish", "after"),
]  # fmt: skip
REPLACING = [("_exchange", "after"), ("move", "now")]
KILLS = [(*p, False) for p in POINTS] + [(*p, True) for p in POINTS + REPLACING]


@pytest.mark.parametrize(("point", "moment", "existing"), KILLS)
def test_kill_9_leaves_the_old_bundle_the_new_one_or_none(
    tmp_path: Path, plain: Manifest, point: str, moment: str, existing: bool
) -> None:
    destination = tmp_path / "net.attn"
    if existing:
        _write(destination, plain, b"old")
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(destination), point, moment], input=plain.dumps(), text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL

    published = point in ("_exchange", "publish") and moment == "after"
    if destination.exists():
        StoredBundle.open(destination).verify_files()
        assert (destination / "model.onnx").read_bytes() == (b"new" if published else b"old")
    else:
        assert not published
        assert not existing or point == "move"

    with BundleWriter(tmp_path / "other.attn"):
        pass  # another destination's writer touches nothing of this one's
    if point == "move":
        with BundleWriter(destination, replace=True):
            assert (destination / "model.onnx").read_bytes() == b"old"  # put back
    _write(destination, plain, b"next", replace=True).verify_files()
    assert _names(tmp_path) == ["net.attn"], "the next writer sweeps what the killed one left"


def test_a_refused_start_still_raises_our_error(tmp_path: Path) -> None:
    name = "n" * 250 + ".attn"  # with its prefix and suffix longer than a file system allows
    with pytest.raises(AttnexportError, match="cannot be written"), BundleWriter(tmp_path / name):
        pass
    assert _names(tmp_path) == []
