"""The user's cache folder: files that can be deleted at any time."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files.write import write_file


def cache_folder(*parts: str) -> Path:
    """``attnexport/PARTS`` in the user's cache folder (XDG_CACHE_HOME, else ``~/.cache``); it may not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache").joinpath("attnexport", *parts)


def read_cache(path: Path) -> dict[str, Any]:
    """The JSON object of a file; empty if it is missing, damaged, or not an object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_cache(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object as :func:`write_cached_bytes` does."""
    write_cached_bytes(path, json.dumps(content, indent=0, sort_keys=True).encode())


def write_cached_bytes(path: Path, content: bytes) -> None:
    """Write the file, whole or not at all. Errors are ignored: it is only a cache."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
