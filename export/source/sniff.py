"""What a file is, told by its content: the suffix is only believed where the content cannot tell."""

from __future__ import annotations

import difflib
import stat
import zipfile
from enum import Enum
from pathlib import Path

from ...errors import InputError
from .pickles import is_pickle


class FileFormat(Enum):
    """The forms that can be loaded."""

    TORCH = "zip written by torch.save"
    LEGACY = "pickle"
    TORCHSCRIPT = "TorchScript archive"
    EXPORTED = "torch.export archive"
    SAFETENSORS = "safetensors file"
    ONNX = "ONNX model"


HEAD = 4096
_USABLE = "give a .pt, .pth, .safetensors, .pt2 or .onnx file"
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", "a git-lfs pointer, not the file itself", "run git lfs pull"),
    (0, b"\x1f\x8b", "gzip-compressed", "unpack it first: gunzip, or tar -xzf"),
    (0, b"BZh", "bzip2-compressed", "unpack it first"),
    (0, b"\xfd7zXZ\x00", "xz-compressed", "unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed", "unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (0, b"Rar!", "a RAR archive", "unpack it first"),
    (257, b"ustar", "a tar archive", "unpack it with tar -xf and give the model file in it"),
    (0, b"\x89HDF\r\n", "an HDF5 file (Keras?)", "convert the model to ONNX and give the .onnx file"),
    (4, b"TFL3", "a TensorFlow Lite model", "convert it to ONNX and give the .onnx file"),
    (0, b"GGUF", "a GGUF file", _USABLE),
    (0, b"\x93NUMPY", "a NumPy array", _USABLE),
    (0, b"\x89PNG", "a PNG image", _USABLE),
    (0, b"\xff\xd8\xff", "a JPEG image", _USABLE),
    (0, b"%PDF", "a PDF document", _USABLE),
    (0, b"\x7fELF", "a program or a shared library", _USABLE),
    (0, b"ptrt", "a TensorRT engine", "give the model that it was built from"),
    (0, b"ftrt", "a TensorRT engine", "give the model that it was built from"),
)  # fmt: skip


def sniff(path: Path) -> FileFormat:
    """The form of a file. Raises InputError for what is missing, unreadable, or no model, saying what it is instead."""
    head = _read_head(path)
    if not head:
        raise InputError(f"{path} is empty", "the download or the copy that made it did not finish")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        raise InputError(f"{path} is an HTML page", "the link answered with a web page; download the file itself")
    for offset, magic, what, remedy in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            raise InputError(f"{path} is {what}", remedy)
    if head.startswith(b"PK"):
        return _sniff_zip(path)
    if _is_safetensors(path, head):
        return FileFormat.SAFETENSORS
    if path.suffix.lower() == ".onnx" or (head[0] == 0x08 and head[1:2] < b"\x20"):
        return FileFormat.ONNX
    if is_pickle(path):
        return FileFormat.LEGACY
    if head[:1] == b"\x80":
        raise InputError(f"{path} is a damaged or truncated pickle", "copy or download it again")
    if text.startswith((b"{", b"[", b"<?xml")):
        raise InputError(f"{path} is a {'XML' if text.startswith(b'<') else 'JSON'} text", _USABLE)
    if path.suffix.lower() == ".safetensors":
        raise InputError(f"{path} is a damaged or truncated safetensors file", "copy or download it again")
    raise InputError(f"{path} is no model that is known: it begins with {head[:8]!r}", _USABLE)


def _read_head(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _directory(path)
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is not a regular file", _USABLE)
        with path.open("rb") as file:
            return file.read(HEAD)
    except PermissionError as error:
        raise InputError(f"{path} may not be read: permission denied", "check its owner and mode with ls -l") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(path) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", "check the path and the disk") from error


def _missing(path: Path) -> InputError:
    if path.is_symlink():
        return InputError(f"{path} is a link to {path.readlink()}, which does not exist", "restore that file")
    folder = path.parent
    if not folder.is_dir():
        return InputError(f"{path} does not exist: there is no folder {folder}", "check the path")
    near = difflib.get_close_matches(path.name, sorted(p.name for p in folder.iterdir()), n=3, cutoff=0.6)
    return InputError(
        f"{path} does not exist", f"perhaps {' or '.join(str(folder / n) for n in near)}" if near else "check the path"
    )


def _directory(path: Path) -> InputError:
    if path.suffix == ".attn" or (path / "manifest.json").is_file():
        return InputError(f"{path} is a bundle, already exported", f"prove it with attnexport check {path}")
    if (path / "saved_model.pb").is_file():
        return InputError(f"{path} is a TensorFlow SavedModel", "convert it to ONNX and give the .onnx file")
    suffixes = {".pt", ".pth", ".pt2", ".onnx", ".safetensors", ".bin"}
    inside = sorted(p.name for p in path.iterdir() if p.suffix in suffixes)
    return InputError(f"{path} is a directory", f"give a file in it: {', '.join(inside[:3])}" if inside else _USABLE)


def _sniff_zip(path: Path) -> FileFormat:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is a truncated or damaged zip archive", "copy or download it again") from error
    inner = {name.partition("/")[2] for name in names} | set(names)
    if (
        any(n.startswith("models/") and n.endswith(".json") for n in inner)
        or "serialized_exported_program.json" in inner
    ):
        return FileFormat.EXPORTED
    if "constants.pkl" in inner and any(n.startswith("code/") for n in inner):
        return FileFormat.TORCHSCRIPT
    if "data.pkl" in inner:
        return FileFormat.TORCH
    if "data/aotinductor" in " ".join(inner):
        raise InputError(f"{path} is a compiled AOTInductor package", "give the .pt2 that torch.export.save writes")
    if names and all(n.endswith(".npy") for n in names):
        raise InputError(f"{path} is an archive of NumPy arrays", _USABLE)
    raise InputError(f"{path} is a zip archive without a PyTorch model", "unpack it and give the model file in it")


def _is_safetensors(path: Path, head: bytes) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 9 and head[8:9] == b"{" and 2 <= length <= path.stat().st_size - 8
