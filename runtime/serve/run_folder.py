"""Where a running server keeps what it alone needs: its repository, and names for its shared memory. Gone with it.

A folder is locked while its server lives, and the kernel drops the lock with the process. What a killed server left behind,
folder and shared memory, is removed by the next one that starts.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..user_cache import cache_folder

_SHARED = Path("/dev/shm")
_NAME = "attnexport-"


class RunFolder:
    """A fresh folder; use it in a ``with`` block. Raises OSError where it cannot be made."""

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or cache_folder("serve", "runs")
        parent.mkdir(parents=True, exist_ok=True)
        for left in _leftovers(parent):
            _remove(left)
        self.path, self._lock = _locked(parent)
        for folder in (self.packages, self.candidates):
            folder.mkdir()
        # Not the folder's own name: a clone may have any, and the wheel's environment has no attnexport installed.
        (self.path / "python" / "attnexport").symlink_to(Path(__file__).resolve().parents[2])

    @property
    def packages(self) -> Path:
        """What the models' Python imports ``attnexport`` from: the very package that runs here."""
        return self.path / "python"

    @property
    def repository(self) -> Path:
        """Where the model repository goes; it does not exist yet."""
        return self.path / "models"

    @property
    def candidates(self) -> Path:
        """A repository for new versions that are still to be proved."""
        return self.path / "candidates"

    @property
    def examples(self) -> Path:
        """Requests to send by hand."""
        return self.path / "examples"

    @property
    def gates(self) -> Path:
        """A second repository, for what holds readiness back."""
        return self.path / "gates"

    @property
    def shared_memory(self) -> str:
        """How the names of the server's regions in shared memory begin."""
        return f"{self.path.name}-"

    def free_shared_memory(self) -> None:
        """Remove what a server that was killed left in shared memory."""
        _free(self.path.name)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        _remove(self.path)
        os.close(self._lock)


def _locked(parent: Path) -> tuple[Path, int]:
    while True:
        path = parent / f"{_NAME}{secrets.token_hex(6)}"
        path.mkdir(mode=0o700)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():  # between mkdir and lock another server may have taken it for a leftover
            return path, lock
        os.close(lock)


def _leftovers(parent: Path) -> Iterator[Path]:
    for path in parent.glob(f"{_NAME}*"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
        except OSError:
            continue  # its server lives
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    _free(path.name)
    shutil.rmtree(path, ignore_errors=True)


def _free(name: str) -> None:
    for region in _SHARED.glob(f"{name}-*"):
        region.unlink(missing_ok=True)
