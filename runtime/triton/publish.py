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
ENSEMBLE = "ensemble"


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
    """Move a checked draft to ``folder``.

    Of a model that is there, what the version needs moves first and the version's own folder last, so that no half of it can be
    loaded. An ensemble's configuration is what names the versions of its steps: it is the last to move. Raises OSError.
    """
    if not folder.exists():
        draft.folder.rename(folder)
        _sync(folder.parent)
        return
    version = str(draft.version)
    if draft.backend == ENSEMBLE:
        (draft.folder / version).rename(folder / version)
        (draft.folder / CONFIG).replace(folder / CONFIG)
    else:
        _take_configuration(draft, folder)
        (draft.folder / version).rename(folder / version)
    _sync(folder)


def _take_configuration(draft: Draft, folder: Path) -> None:
    """The draft's configuration, warm-up data and labels, where the old ones are not to stay."""
    if _differences(_read(folder), draft.config):
        for path in sorted(draft.folder.rglob("*")):
            relative = path.relative_to(draft.folder)
            if path.is_file() and relative.parts[0] != str(draft.version) and relative.name != CONFIG:
                (folder / relative).parent.mkdir(exist_ok=True)
                path.replace(folder / relative)  # named by their content: what is replaced is the same
        (draft.folder / CONFIG).replace(folder / CONFIG)


def _read(folder: Path) -> Config:
    return parse((folder / CONFIG).read_text(encoding="utf-8"), CONFIG)


def _differences(there: Config, draft: Config) -> list[str]:
    """The names of the fields that differ, those that nobody may change first."""
    old, new = _comparable(there), _comparable(draft)
    found = [f.name for f in there.DESCRIPTOR.fields if getattr(old, f.name) != getattr(new, f.name)]
    return sorted(found, key=lambda name: name not in _FIXED)


def _comparable(config: Config) -> Config:
    """Without what every version has of its own: the versions of an ensemble's steps, the data of a warm-up."""
    free = type(config)()
    free.CopyFrom(config)
    for step in free.ensemble_scheduling.step:
        step.ClearField("model_version")
    for sample in free.model_warmup:
        for value in sample.inputs.values():
            value.ClearField("input_data_file")
    return free


def _short(config: Config, field: str) -> str:
    text = " ".join(str(getattr(config, field)).replace("[", "").replace("]", "").split()) or "none"
    return text if len(text) <= 120 else f"{text[:117]}..."


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
