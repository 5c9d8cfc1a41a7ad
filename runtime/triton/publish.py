"""A staged model takes its place: whole where it is new, as one more version where it is there already."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import InputError
from .config import Config, parse
from .draft import Draft
from .lint import CONFIG, check

_FIXED = ("backend", "platform", "max_batch_size", "input", "output", "ensemble_scheduling")
"""What clients, and the versions that are there, rely on."""
_FREE = ("model_warmup",)
"""What does not matter to anybody: the old one stays."""


def check_beside(draft: Draft, folder: Path, *, reconfigure: bool) -> None:
    """Hold a draft to the model of its name that is in the repository, if there is one.

    Raises InputError where the version exists, where the model takes or gives something else, and, without ``reconfigure``, where
    its configuration would change otherwise: it may have been edited by hand.
    """
    if not folder.exists():
        return
    check(folder)
    if (folder / str(draft.version)).exists():
        raise InputError(
            f"version {draft.version} of {draft.name!r} exists and is never overwritten", "leave out --version"
        )
    there = _read(folder)
    for field in _differences(there, draft.config):
        problem = (
            f"model {draft.name!r} has {field} {_short(there, field)}, and this would be {_short(draft.config, field)}"
        )
        if field in _FIXED:
            raise InputError(problem, "give the model another --name: a version answers as the others do")
        if not reconfigure:
            raise InputError(problem, "give the options that it was written with, or --reconfigure")


def publish(draft: Draft, folder: Path) -> None:
    """Move a checked draft to ``folder``. The version's own folder is the last to move, so that nothing is served half.

    Raises OSError where it cannot be moved.
    """
    if not folder.exists():
        draft.folder.rename(folder)
        _sync(folder.parent)
        return
    if _differences(_read(folder), draft.config):
        for path in sorted(draft.folder.rglob("*")):
            relative = path.relative_to(draft.folder)
            if path.is_file() and relative.parts[0] != str(draft.version) and relative.name != CONFIG:
                (folder / relative).parent.mkdir(exist_ok=True)
                path.replace(folder / relative)  # named by their content: what is replaced is the same
        (draft.folder / CONFIG).replace(folder / CONFIG)
    (draft.folder / str(draft.version)).rename(folder / str(draft.version))
    _sync(folder)


def _read(folder: Path) -> Config:
    return parse((folder / CONFIG).read_text(encoding="utf-8"), CONFIG)


def _differences(there: Config, draft: Config) -> list[str]:
    """The names of the fields that differ, those that nobody may change first."""
    fields = [f.name for f in there.DESCRIPTOR.fields if f.name not in _FREE]
    found = [name for name in fields if getattr(there, name) != getattr(draft, name)]
    return sorted(found, key=lambda name: name not in _FIXED)


def _short(config: Config, field: str) -> str:
    text = " ".join(str(getattr(config, field)).replace("[", "").replace("]", "").split()) or "none"
    return text if len(text) <= 120 else f"{text[:117]}..."


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
