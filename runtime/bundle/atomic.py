"""Directories that appear whole or not at all, even if the process that writes them is killed.

A writer works in ``.NAME.partial-<pid>-<random>`` beside NAME and holds an advisory lock on that
directory. The kernel releases the lock with the process, so a directory without a lock is a
leftover, even if the process id has been reused or belongs to another container. POSIX only.
"""

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import whereabouts

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _prefix(destination: Path, kind: str) -> str:
    return f".{destination.name}.{kind}-"


class PartialDirectory:
    """A new, locked, empty directory beside ``destination``. Raise OSError if it cannot be made."""

    def __init__(self, destination: Path) -> None:
        whereabouts.writes(str(destination))
        self.path, self._lock = locked_directory(destination.parent, f"{_prefix(destination, 'partial')}{os.getpid()}-")

    def close(self, *, remove: bool) -> None:
        """Release the lock, once; ``remove`` also deletes the directory."""
        if remove:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def locked_directory(parent: Path, prefix: str, mode: int = 0o777) -> tuple[Path, int]:
    """Make ``parent/PREFIX<random>`` and lock it; return the path and the descriptor that holds the lock. Raise OSError."""
    while True:
        path = parent / f"{prefix}{secrets.token_hex(6)}"
        path.mkdir(mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):  # on a file system without locks nothing counts as a leftover
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():  # between mkdir and lock another process may have taken it for a leftover
            return path, descriptor
        os.close(descriptor)


def leftovers(parent: Path, prefix: str) -> Iterator[Path]:
    """The directories ``parent/PREFIX*`` whose process has ended. Each stays locked until the next one is taken."""
    for path in sorted(parent.glob(f"{glob.escape(prefix)}*")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
        except OSError:
            continue  # its process runs, or there are no locks
        finally:
            os.close(descriptor)


def sweep(destination: Path) -> None:
    """Remove the leftovers of killed writers of ``destination``; restore an old directory that was not replaced."""
    for aside in leftovers(destination.parent, _prefix(destination, "old")):
        if not os.path.lexists(destination):
            aside.rename(destination)
    for kind in ("partial", "old"):
        for leftover in leftovers(destination.parent, _prefix(destination, kind)):
            shutil.rmtree(leftover, ignore_errors=True)


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
