"""The format of a file, recognised by its content; the suffix counts only if the content does not decide."""

import difflib
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from .pickles import is_pickle


@dataclass(frozen=True)
class FileContent:
    """What a format is recognised by: the first bytes and, in a zip archive, the names of its members."""

    path: Path
    head: bytes
    members: frozenset[str] = frozenset()
    """Each member's name with and without its first folder; empty if the file is not a zip archive."""

    @property
    def is_zip(self) -> bool:
        """Whether the file begins as a zip archive does."""
        return self.head.startswith(b"PK")


@dataclass(frozen=True)
class FileFormat:
    """A file format that can be loaded. ``matches`` decides by the content."""

    title: str
    matches: Callable[[FileContent], bool]


def _is_program(content: FileContent) -> bool:
    names = content.members
    return "serialized_exported_program.json" in names or any(
        n.startswith("models/") and n.endswith(".json") for n in names
    )


def _is_torchscript(content: FileContent) -> bool:
    return "constants.pkl" in content.members and any(n.startswith("code/") for n in content.members)


def _is_safetensors(content: FileContent) -> bool:
    length = int.from_bytes(content.head[:8], "little")
    return len(content.head) > 9 and content.head[8:9] == b"{" and 2 <= length <= content.path.stat().st_size - 8


def _is_onnx(content: FileContent) -> bool:
    begins = content.head[0] == 0x08 and content.head[1:2] < b"\x20"
    return not content.is_zip and (content.path.suffix.lower() == ".onnx" or begins)


EXPORTED = FileFormat("torch.export archive", _is_program)
TORCHSCRIPT = FileFormat("TorchScript archive", _is_torchscript)
TORCH = FileFormat("zip written by torch.save", lambda content: "data.pkl" in content.members)
SAFETENSORS = FileFormat("safetensors file", _is_safetensors)
ONNX = FileFormat("ONNX model", _is_onnx)
LEGACY = FileFormat("pickle", lambda content: not content.is_zip and is_pickle(content.path))

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


def sniff(path: Path, formats: Iterable[FileFormat]) -> FileFormat:
    """Return the first of ``formats`` that matches the file.

    Raises InputError if the file is missing, unreadable, or in none of the formats; the message says what it is instead.
    """
    head = _read_head(path)
    if not head:
        raise InputError(f"{path} is empty", "the download or the copy that made it did not finish")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        raise InputError(f"{path} is an HTML page", "the link answered with a web page; download the file itself")
    for offset, magic, what, remedy in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            raise InputError(f"{path} is {what}", remedy)
    members = _members(path) if head.startswith(b"PK") else frozenset()
    content = FileContent(path, head, members)
    for file_format in formats:
        if file_format.matches(content):
            return file_format
    if content.is_zip:
        raise _unknown_zip(content)
    if head[:1] == b"\x80":
        raise InputError(f"{path} is a damaged or truncated pickle", "copy or download it again")
    if text.startswith((b"{", b"[", b"<?xml")):
        raise InputError(f"{path} is a {'XML' if text.startswith(b'<') else 'JSON'} text", _USABLE)
    if path.suffix.lower() == ".safetensors":
        raise InputError(f"{path} is a damaged or truncated safetensors file", "copy or download it again")
    raise InputError(f"{path} is not a known model format: it begins with {head[:8]!r}", _USABLE)


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
        return InputError(f"{path} does not exist: folder {folder} was not found", "check the path")
    near = difflib.get_close_matches(path.name, sorted(p.name for p in folder.iterdir()), n=3, cutoff=0.6)
    return InputError(
        f"{path} does not exist", f"perhaps {' or '.join(str(folder / n) for n in near)}" if near else "check the path"
    )


def _directory(path: Path) -> InputError:
    if path.suffix == ".attn" or (path / "manifest.json").is_file():
        return InputError(f"{path} is a bundle, already exported", f"verify it with attnexport check {path}")
    if (path / "saved_model.pb").is_file():
        return InputError(f"{path} is a TensorFlow SavedModel", "convert it to ONNX and give the .onnx file")
    suffixes = {".pt", ".pth", ".pt2", ".onnx", ".safetensors", ".bin"}
    inside = sorted(p.name for p in path.iterdir() if p.suffix in suffixes)
    return InputError(f"{path} is a directory", f"give a file in it: {', '.join(inside[:3])}" if inside else _USABLE)


def _members(path: Path) -> frozenset[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is a truncated or damaged zip archive", "copy or download it again") from error
    return frozenset(names) | {name.partition("/")[2] for name in names}


def _unknown_zip(content: FileContent) -> InputError:
    path, names = content.path, [name for name in content.members if name]
    if "data/aotinductor" in " ".join(names):
        return InputError(f"{path} is a compiled AOTInductor package", "give the .pt2 that torch.export.save writes")
    if names and all(name.endswith(".npy") for name in names):
        return InputError(f"{path} is an archive of NumPy arrays", _USABLE)
    return InputError(f"{path} is a zip archive without a PyTorch model", "unpack it and give the model file in it")
