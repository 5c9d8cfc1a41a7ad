"""Files of the user in the place of what attnexport is about to write: they are named, and they stay."""

from collections.abc import Collection
from pathlib import Path

from ...errors import InputError

_SHOWN = 5
_HEAD = 1 << 16
"""Bytes at the beginning of a file in which its writer is named."""


def files_below(root: Path) -> list[str]:
    """Every path below ``root`` except directories: relative, forward slashes, sorted. Links are not followed."""
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_symlink() or not p.is_dir())


def refuse_strangers(folder: Path, known: Collection[str], why: str) -> None:
    """Raise InputError if ``folder`` has files besides those in ``known``; ``why`` says how they were told apart."""
    strangers = [name for name in files_below(folder) if name not in known]
    if not strangers:
        return
    rest = f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
    raise InputError(
        f"{folder} has files that {why}, so it is not replaced: {', '.join(map(repr, strangers[:_SHOWN]))}{rest}",
        "move them elsewhere, or give another --out",
    )


def refuse_foreign(path: Path, mark: bytes) -> None:
    """Raise InputError if there is a file at ``path``, a name that the user did not choose, without ``mark`` at its beginning."""
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as stream:
            if mark in stream.read(_HEAD):
                return
    raise InputError(
        f"{path} exists and was not written by attnexport, so it is not replaced", "give a file with --out"
    )
