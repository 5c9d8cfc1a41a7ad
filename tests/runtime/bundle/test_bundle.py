"""A bundle is opened with suspicion: damage and attacks each have their own message."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import BundleError
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.files.read import MANIFEST_BYTES

Make = Callable[[], Path]


def _edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = path / "manifest.json"
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def _reseal(path: Path, name: str) -> None:
    """Write a file's hash and size into the manifest, as an attacker can."""
    content = (path / name).read_bytes()
    record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    _edit(path, lambda v: v["files"][name].update(record))


def test_a_good_bundle_opens_verifies_and_gives_its_golden_cases(make_bundle: Make) -> None:
    bundle = StoredBundle.open(make_bundle())
    bundle.verify_files()
    assert {n: r.role for n, r in bundle.manifest.files.items()} == {
        "engines/net.plan": "engine",
        "golden.npz": "golden",
        "model.onnx": "model-fp32",
    }
    assert bundle.with_role("model-fp32") == ["model.onnx"]
    (case,) = bundle.golden()
    assert case.name == "opt"
    assert case.reference["y"].dtype == np.float64
    np.testing.assert_array_equal(case.reference["y"], case.feeds["x"].astype(np.float64) / 3)


def test_a_bundle_opens_through_a_link_to_its_directory(make_bundle: Make, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(make_bundle())
    StoredBundle.open(tmp_path / "current").verify_files()


def test_a_path_that_is_not_a_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, problem in (("gone", "does not exist"), ("file", "is a file"), ("empty", "has no manifest.json")):
        with pytest.raises(BundleError, match=problem):
            StoredBundle.open(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]"], ids=["empty", "truncated", "not-utf8", "list"])
def test_a_damaged_manifest_names_the_bundle(make_bundle: Make, content: bytes) -> None:
    path = make_bundle()
    (path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError) as caught:
        StoredBundle.open(path)
    assert str(path) in caught.value.problem


def test_a_manifest_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.attn" / "manifest.json").mkdir(parents=True)
    with pytest.raises(BundleError, match="cannot be read"):
        StoredBundle.open(tmp_path / "net.attn")


@pytest.mark.parametrize(
    "name",
    ["../outside", "a/../../outside", "/etc/passwd", "", ".", "..", "./model.onnx", "a//b", "..\\outside", "a\0b",
     "manifest.json", "a/"],
)  # fmt: skip
def test_a_path_that_could_leave_the_bundle_is_refused(make_bundle: Make, name: str) -> None:
    path = make_bundle()
    _edit(path, lambda v: v["files"].update({name: v["files"]["model.onnx"]}))
    with pytest.raises(BundleError, match="is refused"):
        StoredBundle.open(path)


@pytest.mark.parametrize("where", ["model.onnx", "engines"])
def test_a_symbolic_link_out_of_the_bundle_is_refused(make_bundle: Make, tmp_path: Path, where: str) -> None:
    path = make_bundle()
    outside = tmp_path / "outside"
    (path / where).rename(outside)
    (path / where).symlink_to(outside)
    with pytest.raises(BundleError, match="leads out of the bundle"):
        StoredBundle.open(path)


def test_a_section_that_names_an_unlisted_file_is_refused(make_bundle: Make, full: Any) -> None:
    path = make_bundle()
    _edit(path, lambda v: v.update(parity=full.to_json()["parity"]))
    StoredBundle.open(path)  # model.onnx is listed
    _edit(path, lambda v: v["parity"][0].update(file="../model.onnx"))
    with pytest.raises(BundleError, match=r"stage 'onnx-fp32' of the parity section names file '\.\./model\.onnx'"):
        StoredBundle.open(path)


def test_verify_files_tells_missing_changed_resized_and_extra_apart(make_bundle: Make) -> None:
    path = make_bundle()
    bundle = StoredBundle.open(path)
    model = path / "model.onnx"
    model.write_bytes(b"MODEL")
    with pytest.raises(BundleError, match=r"'model\.onnx' .* has changed: sha256"):
        bundle.verify_files()
    model.write_bytes(b"model and more")
    with pytest.raises(BundleError, match="has 14 bytes and the manifest says 5"):
        bundle.verify_files()
    model.unlink()
    with pytest.raises(BundleError, match=r"'model\.onnx' .* is missing"):
        bundle.verify_files()
    model.write_bytes(b"model")
    (path / "engines" / "other.plan").write_bytes(b"")
    with pytest.raises(BundleError, match=r"'engines/other\.plan' .* is not listed"):
        bundle.verify_files()


def test_a_dangling_link_beside_the_files_is_extra(make_bundle: Make) -> None:
    path = make_bundle()
    (path / "link").symlink_to("nowhere")
    with pytest.raises(BundleError, match=r"'link' .* is not listed"):
        StoredBundle.open(path).verify_files()


def test_an_unlisted_file_is_not_handed_out(make_bundle: Make) -> None:
    with pytest.raises(BundleError, match="lists no file 'secret'"):
        StoredBundle.open(make_bundle()).file("secret")


class _Plants:
    """Unpickled, it creates a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("as_npz", [True, False])
def test_a_pickle_in_golden_is_never_run(make_bundle: Make, tmp_path: Path, as_npz: bool) -> None:
    path = make_bundle()
    planted = tmp_path / "planted"
    evil = np.array([_Plants(str(planted))], dtype=object)
    with (path / "golden.npz").open("wb") as stream:
        if as_npz:
            np.savez(stream, cases=evil)
        else:
            pickle.dump(evil, stream)
    _reseal(path, "golden.npz")
    with pytest.raises(BundleError, match="cannot be read"):
        StoredBundle.open(path).golden()
    assert not planted.exists()


def test_a_bundle_without_golden_cases_is_refused(make_bundle: Make) -> None:
    path = make_bundle()
    _edit(path, lambda v: v["files"].pop("golden.npz"))
    with pytest.raises(BundleError, match="has no golden cases"):
        StoredBundle.open(path).golden()


@pytest.mark.parametrize("what", ["link", "link out", "pipe", "device", "directory", "too large"])
def test_a_manifest_that_is_not_a_plain_file_is_refused(
    make_bundle: Make, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bundle()
    file = path / "manifest.json"
    content = file.read_bytes()
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "directory":
        file.mkdir()
    elif what == "too large":
        with file.open("wb") as stream:
            stream.truncate(MANIFEST_BYTES + 1)
    else:
        (tmp_path / "elsewhere").write_bytes(content)
        file.symlink_to({"link": tmp_path / "elsewhere", "link out": "/etc/passwd", "device": "/dev/zero"}[what])
    said = {"pipe": "not a regular file", "directory": "not a regular file", "too large": "at most 67108864 are read"}
    with pytest.raises(BundleError, match=f"manifest.json of .* cannot be read .*{said.get(what, 'it is a link')}"):
        StoredBundle.open(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ' * 1000 + "1" + "}" * 1000, "nested"), ('{"a": NaN}', "NaN is not a number in JSON"),
        ('{"a": -Infinity}', "-Infinity is not a number"), ('{"a": 1, "a": 2}', "has the name 'a' twice"),
        ('{"a": ' + "1" * 5000 + "}", "not valid JSON"), ("[" * 200_000, "nested"), ('"' + "\\ud800" + '"', "has format None"),
    ],
)  # fmt: skip
def test_hostile_json_is_refused(make_bundle: Make, text: str, said: str) -> None:
    path = make_bundle()
    (path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=said):
        StoredBundle.open(path)


def test_a_changed_file_is_found_by_whatever_uses_it(make_bundle: Make) -> None:
    path = make_bundle()
    (path / "model.onnx").write_bytes(b"modeL")
    bundle = StoredBundle.open(path)
    with pytest.raises(BundleError, match=r"'model\.onnx' .* has changed: sha256"):
        bundle.file("model.onnx")
    assert bundle.located("model.onnx").read_bytes() == b"modeL"
    assert bundle.file("engines/net.plan").is_file()


def test_a_listed_file_that_became_a_link_or_a_pipe_is_refused(make_bundle: Make) -> None:
    path = make_bundle()
    (path / "copy").write_bytes(b"model")
    bundle = StoredBundle.open(path)
    (path / "model.onnx").unlink()
    (path / "model.onnx").symlink_to("copy")
    with pytest.raises(BundleError, match="is refused: it is a link"):
        bundle.file("model.onnx")
    (path / "model.onnx").unlink()
    os.mkfifo(path / "model.onnx")
    with pytest.raises(BundleError, match="has 0 bytes and the manifest says 5"):
        bundle.file("model.onnx")
    _edit(path, lambda v: v["files"]["model.onnx"].update(bytes=0))
    with pytest.raises(BundleError, match="is not a regular file"):
        StoredBundle.open(path).file("model.onnx")


@pytest.mark.parametrize("link", [False, True])
def test_a_model_that_reads_an_unlisted_file_is_refused(make_bundle: Make, link: bool) -> None:
    path = make_bundle()
    (path / "model.onnx").write_bytes(b"location weights.bin")
    _reseal(path, "model.onnx")
    StoredBundle.open(path).file("model.onnx")
    (path / "unrelated").touch()
    StoredBundle.open(path).file("model.onnx")
    (path / "weights.bin").symlink_to("/etc/passwd") if link else (path / "weights.bin").touch()
    with pytest.raises(
        BundleError, match=r"'model\.onnx' of .* reads 'weights\.bin', which the manifest does not list"
    ):
        StoredBundle.open(path).file("model.onnx")


def test_the_manifest_of_a_part_is_that_of_the_whole(make_bundle: Make, tmp_path: Path) -> None:
    part = make_bundle()
    whole = tmp_path / "whole.attn"
    whole.mkdir()
    part.rename(whole / "step")
    content = (whole / "step" / "manifest.json").read_bytes()
    record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "role": "part"}
    manifest = json.loads(content) | {"parts": {"step": "step"}, "files": {"step/manifest.json": record}}
    (whole / "manifest.json").write_text(json.dumps(manifest))
    assert StoredBundle.open(whole).part("step").manifest.name == "net"
    (whole / "step" / "manifest.json").write_bytes(content.replace(b'"net"', b'"ten"'))
    with pytest.raises(BundleError, match=r"'step/manifest\.json' .* has changed"):
        StoredBundle.open(whole).part("step")
