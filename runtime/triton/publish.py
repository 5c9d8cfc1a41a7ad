"""Move a staged model into the repository: whole if it is new, as one more version if it exists."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ..bundle.atomic import sync_folder
from .config import Config, parse
from .draft import Draft
from .lint import CONFIG, check

_FIXED = ("backend", "platform", "max_batch_size", "input", "output", "ensemble_scheduling")
"""Fields that clients and the existing versions rely on."""
ENSEMBLE = "ensemble"


def check_beside(draft: Draft, folder: Path, *, reconfigure: bool) -> None:
    """Compare a draft with the existing model of its name.

    Raise InputError if the version exists, if inputs or outputs differ, or, without
    ``reconfigure``, if its configuration would change: it may have been edited by hand.
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

    For an existing model, the files that the version needs move first and the version's folder
    last, so that Triton never loads half of it. An ensemble's configuration names the versions of
    its steps, so it moves last. Raise OSError.
    """
    if not folder.exists():
        draft.folder.rename(folder)
        sync_folder(folder.parent)
        return
    version = str(draft.version)
    if draft.backend == ENSEMBLE:
        (draft.folder / version).rename(folder / version)
        (draft.folder / CONFIG).replace(folder / CONFIG)
    else:
        _take_configuration(draft, folder)
        (draft.folder / version).rename(folder / version)
    sync_folder(folder)


def _take_configuration(draft: Draft, folder: Path) -> None:
    """Move the draft's configuration, warm-up data and labels if they differ from the old ones."""
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
    """The names of the fields that differ, fixed ones first."""
    old, new = _comparable(there), _comparable(draft)
    changed = [f.name for f in there.DESCRIPTOR.fields if getattr(old, f.name) != getattr(new, f.name)]
    return sorted(changed, key=lambda name: name not in _FIXED)


def _comparable(config: Config) -> Config:
    """Without the fields of a single version: the versions of an ensemble's steps, the data of a warm-up."""
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
