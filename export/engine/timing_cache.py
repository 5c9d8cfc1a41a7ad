"""The timing cache: kernel timings of earlier builds, kept in a file. Enterprise only: RTX times nothing in a build."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..progress import Reporter
from .flavour import Flavour


def attach(config: Any, path: Path, flavour: Flavour, reporter: Reporter) -> Any | None:
    """Give ``config`` the cache in ``path``, or a new one where there is none or it does not match; None for RTX.

    Keep what is returned alive until the engine is built, then :func:`store` it. Raises InputError where the file
    cannot be read.
    """
    if not flavour.has_timing_cache:
        reporter.note(
            f"{flavour.title} keeps no timing cache (it times no kernels when it builds): {path} is left alone"
        )
        return None
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"timing cache {path} cannot be read: {error.strerror}", "name a file") from error
    if data:
        cache = config.create_timing_cache(data)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
        reporter.note(f"timing cache {path} is of another TensorRT or GPU: it will be replaced")
    cache = config.create_timing_cache(b"")
    config.set_timing_cache(cache, False)
    return cache


def store(data: bytes | memoryview, path: Path, reporter: Reporter) -> bool:
    """Write a serialised cache whole or not at all. Returns success; the engine is built, so a failure is a note."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        reporter.note(f"timing cache {path} cannot be written: {error.strerror}")
        return False
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return True
