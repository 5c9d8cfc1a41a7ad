"""The folder of a running server: its repository and the names of its shared memory. It is removed with the server.

The server locks its folder, and the kernel releases the lock with the process. The next server that
starts removes the folder and the shared memory of a killed one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..bundle.atomic import leftovers, locked_directory
from ..closing import Closing
from ..user_cache import cache_folder

_SHARED = Path("/dev/shm")
_NAME = "attnexport-"


class RunFolder(Closing):
    """A new folder; use it in a ``with`` block. Raise OSError if it cannot be made."""

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or cache_folder("serve", "runs")
        parent.mkdir(parents=True, exist_ok=True)
        for leftover in leftovers(parent, _NAME):
            _remove(leftover)
        self.path, self._lock = locked_directory(parent, _NAME, 0o700)
        for folder in (self.packages, self.candidates):
            folder.mkdir()
        # A clone's folder may have any name, and the wheel's environment has no attnexport installed.
        (self.path / "python" / "attnexport").symlink_to(Path(__file__).resolve().parents[2])

    @property
    def packages(self) -> Path:
        """The folder that the models import ``attnexport`` from: the package that runs here."""
        return self.path / "python"

    @property
    def repository(self) -> Path:
        """The path of the model repository; it does not exist yet."""
        return self.path / "models"

    @property
    def candidates(self) -> Path:
        """A repository for new versions that are not verified yet."""
        return self.path / "candidates"

    @property
    def examples(self) -> Path:
        """Example requests."""
        return self.path / "examples"

    @property
    def gates(self) -> Path:
        """A second repository, for the models of the readiness gate."""
        return self.path / "gates"

    @property
    def shared_memory(self) -> str:
        """The prefix of the names of the server's shared memory."""
        return f"{self.path.name}-"

    def free_shared_memory(self) -> None:
        """Remove the shared memory of a killed server."""
        _free(self.path.name)

    def close(self) -> None:
        """Remove the folder and the shared memory."""
        _remove(self.path)
        os.close(self._lock)


def _remove(path: Path) -> None:
    _free(path.name)
    shutil.rmtree(path, ignore_errors=True)


def _free(name: str) -> None:
    for region in _SHARED.glob(f"{name}-*"):
        region.unlink(missing_ok=True)
