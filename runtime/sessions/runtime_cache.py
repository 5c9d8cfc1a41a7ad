"""TensorRT-RTX's runtime cache, which keeps compiled kernels from one process to the next.

The library itself refuses a cache of another GPU, driver or version, so a file that does not fit
does no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from ..user_cache import write_cached_bytes


def cache_path(folder: Path, plan: bytes, version: str, gpu: str) -> Path:
    """One file per plan, library version and GPU."""
    digest = hashlib.sha256(plan)
    digest.update(f"\0{version}\0{gpu}".encode())
    return folder / f"{digest.hexdigest()[:32]}.cache"


class RuntimeCache:
    """The cache of one engine. ``attach`` adds it to a runtime configuration; ``save`` writes new kernels."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cache: Any = None
        self._known = b""

    def attach(self, configuration: Any) -> bool:
        """Read the file and use it; return whether it fits. A file that cannot be read counts as empty."""
        self._cache = configuration.create_runtime_cache()
        with contextlib.suppress(OSError):
            self._known = self.path.read_bytes()
        fits = bool(self._known) and bool(self._cache.deserialize(self._known))
        configuration.set_runtime_cache(self._cache)
        return fits

    def save(self) -> bool:
        """Write the file, whole or not at all, if there is something new; return whether it was written. Nothing is raised."""
        if self._cache is None:
            return False
        content = self._cache.serialize()
        data = bytes(content) if content is not None else b""
        if not data or data == self._known:
            return False
        if not write_cached_bytes(self.path, data):
            return False
        self._known = data
        return True
