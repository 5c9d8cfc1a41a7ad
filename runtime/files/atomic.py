"""Directories that appear whole or not at all, even if the process that writes them is killed.

A writer works in ``.NAME.partial-<pid>-<random>/`` beside NAME, a directory with a marker in it and an advisory lock on it;
what it writes is ``NAME`` in there. The kernel releases the lock with the process, so a marked directory without a lock is
a leftover, even if the process id has been reused or belongs to another container. Nothing else is ever removed: a
directory of the user has no marker, whatever its name. POSIX only.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import whereabouts

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RANDOM = 6
"""Random bytes of a name, two hexadecimal digits each."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MARKER = ".attnexport"
"""The file that says that a directory is a temporary one of attnexport."""
_MARK = b"A temporary directory of attnexport. The next run removes it.\n"


def _prefix(destination: Path, kind: str) -> str:
    return f".{destination.name}.{kind}-"


class PartialDirectory:
    """A new, empty directory ``path`` in a locked one beside ``destination``. Raise OSError if it cannot be made."""

    def __init__(self, destination: Path) -> None:
        whereabouts.writes(str(destination))
        self._around, self._lock = locked_directory(destination.parent, _prefix(destination, "partial"))
        self.path = self._around / destination.name
        self.path.mkdir()

    def close(self) -> None:
        """Remove what was not published and release the lock, once."""
        if self._lock >= 0:
            shutil.rmtree(self._around, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def locked_directory(parent: Path, prefix: str, mode: int = 0o777) -> tuple[Path, int]:
    """Make ``parent/PREFIX<pid>-<random>`` with the marker, and lock it.

    Return the path and the descriptor that holds the lock. Raise OSError.
    """
    while True:
        path = parent / f"{prefix}{os.getpid()}-{secrets.token_hex(_RANDOM)}"
        path.mkdir(mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):  # on a file system without locks nothing counts as a leftover
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():  # between mkdir and lock another process may have taken it for a leftover
            try:
                (path / MARKER).write_bytes(_MARK)
            except OSError:
                os.close(descriptor)
                shutil.rmtree(path, ignore_errors=True)
                raise
            return path, descriptor
        os.close(descriptor)


def leftovers(parent: Path, prefix: str) -> Iterator[Path]:
    """The marked directories ``parent/PREFIX<pid>-<random>`` whose process has ended; each is locked until the next is taken.

    An empty one, of a process that was killed before it could mark it, is removed here.
    """
    name = re.compile(rf"{re.escape(prefix)}\d+-[0-9a-f]{{{2 * _RANDOM}}}", re.ASCII)
    for path in sorted(path for path in parent.iterdir() if name.fullmatch(path.name)):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_marked(path):
                yield path
            else:
                path.rmdir()
        except OSError:
            continue  # its process runs, there are no locks, or it is a folder of the user
        finally:
            os.close(descriptor)


def _is_marked(path: Path) -> bool:
    marker = path / MARKER
    if marker.is_symlink() or not marker.is_file() or marker.stat().st_size > len(_MARK):
        return False
    content = marker.read_bytes()
    # A killed process may have left an empty marker.
    return content == _MARK or (not content and [p.name for p in path.iterdir()] == [MARKER])


def sweep(destination: Path) -> None:
    """Remove the leftovers of killed writers of ``destination``; restore an old directory that was not replaced."""
    for aside in leftovers(destination.parent, _prefix(destination, "old")):
        if not os.path.lexists(destination) and (aside / destination.name).exists():
            (aside / destination.name).rename(destination)
    for kind in ("partial", "old"):
        for leftover in leftovers(destination.parent, _prefix(destination, kind)):
            shutil.rmtree(leftover, ignore_errors=True)


def sync_tree(root: Path) -> None:
    """Write every file and directory under ``root``, and ``root`` itself, to the disk."""
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            sync_file(Path(folder, name))
        sync_folder(Path(folder))


def sync_file(path: Path) -> None:
    """Write a file to the disk."""
    _sync(path, os.O_RDONLY)


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
    process dies in between. The caller has made sure that all of it is attnexport's. Raise OSError.
    """
    if replace and os.path.lexists(destination):
        if _exchange(partial, destination):
            shutil.rmtree(partial, ignore_errors=True)
        else:
            aside, lock = locked_directory(destination.parent, _prefix(destination, "old"))
            try:
                destination.rename(aside / destination.name)
                partial.rename(destination)
                shutil.rmtree(aside, ignore_errors=True)
            finally:
                os.close(lock)
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
