"""Read a file as data that may be hostile: a regular file, of a size that is expected, without following a link."""

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST_BYTES = 64 << 20
OPTION_BYTES = 1 << 20
"""The largest manifest, and the largest JSON of an option, a benchmark, or a cache: far above every real one."""
MOST_NESTED = 64
"""Brackets in brackets in JSON. Real manifests have 8."""
_CHUNK = 1 << 20
_RACY_S = 2.0
"""A file that changed so recently may change again without another time stamp."""
_Key = tuple[int, int, int, int, int]
_digests: dict[_Key, str] = {}


class RefusedFileError(ValueError):
    """The file is not what may be read here; the message says why in a few words."""


@contextmanager
def open_regular(path: Path, *, follow: bool = False) -> Iterator[int]:
    """A descriptor for reading. A pipe is never waited for, and a link is opened only with ``follow``.

    Raise RefusedFileError for what is not a regular file, OSError if it cannot be opened.
    """
    if not follow and path.is_symlink():
        raise RefusedFileError("it is a link")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RefusedFileError("it is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def read_regular(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """The content of a regular file of at most ``limit`` bytes. Raise RefusedFileError or OSError."""
    with open_regular(path, follow=follow) as descriptor, os.fdopen(os.dup(descriptor), "rb") as stream:
        if (size := os.fstat(descriptor).st_size) > limit:
            raise RefusedFileError(f"it has {size} bytes, and at most {limit} are read")
        content = stream.read(limit + 1)
    if len(content) > limit:  # it grows while it is read, as files of /proc do
        raise RefusedFileError(f"it has more than {limit} bytes")
    return content


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raise RefusedFileError for invalid or deeply nested text, NaN, and names that repeat."""
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except RefusedFileError:
        raise
    except RecursionError as error:
        raise RefusedFileError("it is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError and an integer of 5,000 digits among them
        raise RefusedFileError(f"it is not valid JSON ({error})") from error
    if _depth(value) > MOST_NESTED:
        raise RefusedFileError(f"it is nested more than {MOST_NESTED} deep")
    return value


def read_json(path: Path, limit: int = OPTION_BYTES, *, follow: bool = True) -> Any:
    """The value of a JSON file. Raise RefusedFileError or OSError."""
    return parse_json(read_regular(path, limit, follow=follow))


def _no_constant(word: str) -> Any:
    raise RefusedFileError(f"it is not valid JSON ({word} is not a number in JSON)")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RefusedFileError(f"it has the name {twice[:60]!r} twice in one object")
    return made


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth - 1


def sha256_of(path: Path, *, follow: bool = False) -> str:
    """The SHA-256 of a regular file's content in hexadecimal, computed once while the file does not change.

    Whether it changed is seen from its inode, size, and times of modification and change. Raise RefusedFileError or OSError.
    """
    with open_regular(path, follow=follow) as descriptor:
        key = _key(descriptor)
        if key in _digests:
            return _digests[key]
        digest = hashlib.sha256()
        while piece := os.read(descriptor, _CHUNK):
            digest.update(piece)
        if key == _key(descriptor) and time.time() - max(key[3:]) / 1e9 > _RACY_S:
            _digests[key] = digest.hexdigest()
        return digest.hexdigest()


def _key(descriptor: int) -> _Key:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
