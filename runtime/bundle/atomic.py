"""Directories that appear whole or not at all, whatever kills the process that writes them.

A writer works in ``.NAME.partial-<pid>-<random>`` beside NAME and holds an advisory lock on that directory while it
lives. The kernel drops the lock with the process, so a directory whose lock is free is a leftover, also when the
process id has been reused meanwhile or belongs to another container. POSIX only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _prefix(destination: Path, kind: str) -> str:
    return f".{destination.name}.{kind}-"


class PartialDirectory:
    """A fresh, locked, empty directory beside ``destination``. Raises OSError where it cannot be made."""

    def __init__(self, destination: Path) -> None:
        while True:
            name = f"{_prefix(destination, 'partial')}{os.getpid()}-{secrets.token_hex(4)}"
            self.path = destination.with_name(name)
            self.path.mkdir()
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            _try_lock(self._lock)
            # Between mkdir and lock another writer may have taken it for a leftover.
            if self.path.exists():
                return
            os.close(self._lock)

    def close(self, *, remove: bool) -> None:
        """Let go of the lock, once; ``remove`` takes whatever lies at the path with it."""
        if remove:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _try_lock(descriptor: int) -> bool:
    """Whether the lock is ours now. A file system without locks says no: nothing on it is taken for a leftover."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sweep(destination: Path) -> None:
    """Remove what killed writers of ``destination`` left beside it; put an old back where none took its place."""
    for aside in destination.parent.glob(_glob(_prefix(destination, "old"))):
        if _is_leftover(aside) and not os.path.lexists(destination):
            aside.rename(destination)
    for kind in ("partial", "old"):
        for leftover in destination.parent.glob(_glob(_prefix(destination, kind))):
            if _is_leftover(leftover):
                shutil.rmtree(leftover, ignore_errors=True)


def _glob(prefix: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in prefix) + "*"


def _is_leftover(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return _try_lock(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Put every file and directory under ``root``, and ``root`` itself, on the disk."""
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            _sync(Path(folder, name), os.O_RDONLY)
        _sync(Path(folder), os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(partial: Path, destination: Path, *, replace: bool) -> None:
    """Give a finished directory its name, in one step that is on the disk on return.

    With ``replace``, an existing directory is exchanged for it, atomically where the kernel and file system can
    (Linux renameat2); elsewhere it is moved aside first, and :func:`sweep` puts it back should the process die in
    between. Raises OSError.
    """
    if replace and os.path.lexists(destination):
        if _exchange(partial, destination):
            shutil.rmtree(partial, ignore_errors=True)
        else:
            aside = destination.with_name(f"{_prefix(destination, 'old')}{os.getpid()}-{secrets.token_hex(4)}")
            destination.rename(aside)
            partial.rename(destination)
            shutil.rmtree(aside, ignore_errors=True)
    else:
        partial.rename(destination)
    _sync(destination.parent, os.O_RDONLY | os.O_DIRECTORY)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step; False where that is not offered."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    done = libc.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE)
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(b))
