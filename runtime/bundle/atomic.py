"""Directories that appear whole or not at all, even if the process that writes them is killed.

A writer works in ``.NAME.partial-<pid>-<random>`` beside NAME and holds an advisory lock on that
directory. The kernel releases the lock with the process, so a directory without a lock is a
leftover, even if the process id has been reused or belongs to another container. POSIX only.
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
    """A new, locked, empty directory beside ``destination``. Raise OSError if it cannot be made."""

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
        """Release the lock, once; ``remove`` also deletes the directory."""
        if remove:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _try_lock(descriptor: int) -> bool:
    """Whether the lock is taken now. On a file system without locks it is not, so nothing there counts as a leftover."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sweep(destination: Path) -> None:
    """Remove the leftovers of killed writers of ``destination``; restore an old directory that was not replaced."""
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
    """Write every file and directory under ``root``, and ``root`` itself, to the disk."""
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            _sync(Path(folder, name), os.O_RDONLY)
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Write a directory's entries to the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(partial: Path, destination: Path, *, replace: bool) -> None:
    """Rename a finished directory to its destination, in one step that is on the disk on return.

    With ``replace``, an existing directory is exchanged atomically if the kernel and file system
    can (Linux renameat2). Otherwise it is moved aside first, and :func:`sweep` restores it if the
    process dies in between. Raise OSError.
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
    sync_folder(destination.parent)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step; False if the system cannot."""
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
