"""The timing cache: a file with kernel timings of earlier builds. Enterprise only: RTX measures no kernels in a build."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..progress import Reporter
from .flavour import Flavour


def attach(config: Any, path: Path, flavour: Flavour, reporter: Reporter) -> Any | None:
    """Set the cache in ``path`` on ``config``, or a new one if there is no matching cache. Return it; None for RTX.

    Keep the result alive until the engine is built, then :func:`store` it. Raises InputError if the file
    cannot be read.
    """
    if not flavour.has_timing_cache:
        reporter.note(f"{flavour.title} has no timing cache (its builds measure no kernels): {path} is not used")
        return None
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"timing cache {path} cannot be read: {error.strerror}", "name a file") from error
    if data:
        cache = config.create_timing_cache(data)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
        reporter.note(f"timing cache {path} belongs to another TensorRT or GPU: it will be replaced")
    cache = config.create_timing_cache(b"")
    config.set_timing_cache(cache, False)
    return cache


def store(data: bytes | memoryview, path: Path, reporter: Reporter) -> bool:
    """Write a serialised cache atomically. Return success; a failure is only a note, because the engine is built."""
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
