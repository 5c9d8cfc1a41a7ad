"""Files of the user in a folder that attnexport is about to replace: they are named, and the folder stays."""

from collections.abc import Collection
from pathlib import Path

from ...errors import InputError

_SHOWN = 5


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
