"""The user's cache folder: what any run can do without, and makes again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """``attnexport/PARTS`` in the user's cache folder (XDG_CACHE_HOME, else ``~/.cache``); it may not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache").joinpath("attnexport", *parts)
