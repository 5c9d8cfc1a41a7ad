"""The folder of a running server: its repository and the names of its shared memory. It is removed with the server.

The server locks its folder, and the kernel releases the lock with the process. The next server that
starts removes the folder and the shared memory of a killed one.
"""

import os
import shutil
from pathlib import Path

from ..closing import Closing
from ..files.atomic import leftovers, locked_directory
from ..user_cache import cache_folder

_SHARED = Path("/dev/shm")
_NAME = "attnexport-"


class RunFolder(Closing):
    """A new folder; use it in a ``with`` block. Raise OSError if it cannot be made.

    ``packages``: where the models import ``attnexport`` from, the package that runs here.
    ``repository``: the model repository, which does not exist yet; ``candidates``: one for new
    versions that are not verified yet; ``gates``: one for the models of the readiness gate.
    ``examples``: example requests. ``shared_memory``: the prefix of the server's shared memory.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or cache_folder("serve", "runs")
        parent.mkdir(parents=True, exist_ok=True)
        for leftover in leftovers(parent, _NAME):
            _remove(leftover)
        self.path, self._lock = locked_directory(parent, _NAME, 0o700)
        self.repository, self.examples, self.gates = (self.path / name for name in ("models", "examples", "gates"))
        self.packages, self.candidates = self.path / "python", self.path / "candidates"
        self.shared_memory = f"{self.path.name}-"
        for folder in (self.packages, self.candidates):
            folder.mkdir()
        # A clone's folder may have any name, and the wheel's environment has no attnexport installed.
        (self.packages / "attnexport").symlink_to(Path(__file__).resolve().parents[2])

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
