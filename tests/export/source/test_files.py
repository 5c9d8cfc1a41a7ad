"""What is no model is told by its content, and the line says what it is and what to do."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch


def tar_bytes():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("model.pt"))
    return buffer.getvalue()


def zip_bytes(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_npy", ".npy"), content)
    return buffer.getvalue()


def array_bytes():
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (b"", ["is empty"]),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", ["is an HTML page", "download the file itself"]),
        (b"\n\n  <html>", ["is an HTML page"]),
        (LFS, ["git-lfs pointer", "git lfs pull"]),
        (gzip.compress(b"weights"), ["gzip-compressed", "unpack"]),
        (tar_bytes(), ["tar archive", "unpack"]),
        (array_bytes(), ["a NumPy array"]),
        (zip_bytes(a_npy=b"x"), ["an archive of NumPy arrays"]),
        (zip_bytes(readme="hello"), ["zip archive without a PyTorch model"]),
        (zip_bytes(m__data__aotinductor__x="code"), ["compiled AOTInductor package"]),
        (zip_bytes(m__data="x")[:30], ["truncated or damaged zip"]),
        (b'{"weights": [1, 2]}', ["is a JSON text"]),
        (b"\x89PNG\r\n\x1a\n", ["a PNG image"]),
        (b"GGUF\x03\x00", ["a GGUF file"]),
        (b"\x7fELF\x02\x01", ["a program or a shared library"]),
        (b"\x00\x01\x02\x03random", ["is not a known model format", "begins with"]),
        (b"import torch\nprint('hello')\n", ["is not a known model format"]),
        (b"\x80\x04\x95\x00", ["damaged or truncated pickle"]),
    ],
)
def test_other_content(here, refused, content, fragments):
    (here / "model.pt").write_bytes(content)
    message = refused(here / "model.pt")
    assert all(f in message for f in ["model.pt", *fragments]), message


@pytest.mark.parametrize("suffix", ["pt", "pt2"])
def test_truncated_archives(here, net, refused, suffix):
    torch.save(net.state_dict(), here / "whole.pt")
    content = (here / "whole.pt").read_bytes()
    (here / f"cut.{suffix}").write_bytes(content[: len(content) // 2])
    assert "truncated or damaged zip" in refused(here / f"cut.{suffix}", factory="tinynet:build")


def test_damaged_members(here, net, refused):
    torch.save(net.state_dict(), here / "w.pt")
    with zipfile.ZipFile(here / "w.pt") as old, zipfile.ZipFile(here / "bad.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"\x80\x02garbage" if name.endswith("data.pkl") else old.read(name))
    message = refused(here / "bad.pt", factory="tinynet:build")
    assert "bad.pt" in message


def test_truncated_safetensors(here, refused):
    (here / "w.safetensors").write_bytes((1000).to_bytes(8, "little") + b'{"a":')
    assert "truncated safetensors" in refused(here / "w.safetensors")
    (here / "w.safetensors").write_bytes((30).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [1]}}')
    assert "damaged safetensors" in refused(here / "w.safetensors", factory="tinynet:build")


def test_missing_file_names_near_misses(here, refused):
    (here / "resnet_cbam.pt").write_bytes(b"x")
    message = refused(here / "resnet_cbm.pt")
    assert "does not exist" in message
    assert "resnet_cbam.pt" in message
    assert "was not found" in refused(here / "nowhere" / "m.pt")


def test_broken_link(here, refused):
    (here / "m.pt").symlink_to("gone.pt")
    message = refused(here / "m.pt")
    assert "is a link to gone.pt" in message


def test_directories(here, refused):
    for name, inside, fragment in [
        ("plain", None, "is a directory"),
        ("holds", "w.safetensors", "give a file in it: w.safetensors"),
        ("tf", "saved_model.pb", "TensorFlow SavedModel"),
        ("net.attn", None, "attnexport check"),
        ("renamed", "manifest.json", "attnexport check"),
    ]:
        (here / name).mkdir()
        if inside:
            (here / name / inside).write_text("")
        assert fragment in refused(here / name)


def test_a_pipe_is_not_waited_for(here, refused):
    os.mkfifo(here / "pipe.pt")
    assert "not a regular file" in refused(here / "pipe.pt")


def test_permission_denied(here, refused, monkeypatch):
    """As another user would see it; root may read whatever the mode says, so the refusal is raised where open would."""
    path = here / "m.pt"
    path.write_bytes(b"x")
    if os.geteuid() != 0:
        path.chmod(0)
    else:
        from pathlib import Path

        def denied(self, *args, **kwargs):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", denied)
    assert "may not be read: permission denied" in refused(path)


def test_options_that_contradict(here, net, refused):
    torch.save(net.state_dict(), here / "w.pt")
    path = here / "w.pt"
    assert "are both given" in refused(path, arch="digits_sasa", factory="tinynet:build")
    assert "--static and --dynamic contradict" in refused(path, static=True, dynamic=("x:0=1:2:3",))
    assert "no model file is given" in refused(None)
    assert "--random-weights is given beside" in refused(path, random_weights=True)
    assert "needs an architecture" in refused(None, random_weights=True)
