"""``attnexport doctor``, and with --probe a measurement of the operators on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from typer import Option

from ..errors import InputError
from .common import AsJson, Debug


def doctor(
    probe: Annotated[bool, Option("--probe", help="Measure which operators each target runs on this machine.")] = False,
    target: Annotated[list[str] | None, Option(help="With --probe: only this target; repeatable.")] = None,
    save: Annotated[Path | None, Option(help="With --probe: write the matrix to FILE, or update it.")] = None,
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print what is installed, which targets work here, and how to install the others."""
    if probe:
        _probe(target or (), save, as_json=json_output)
        return
    if target or save:
        raise InputError("--target and --save require --probe", "add --probe")
    from ..runtime.doctor import diagnose
    from ..runtime.show.target_text import show_diagnosis

    show_diagnosis(diagnose(), as_json=json_output)


def _probe(targets: Sequence[str], save: Path | None, *, as_json: bool) -> None:
    from ..export.api.requirements import require_export

    require_export()
    from ..export.probe import differences, keep, probe
    from ..runtime.show.target_text import show_probe
    from ..runtime.show.terminal import ConsoleReporter

    with ConsoleReporter(silent=as_json) as reporter:
        matrices = probe(targets, reporter)
    differing = differences(matrices)
    if save is not None:
        keep(matrices, save)
    show_probe([matrix.to_json() for matrix in matrices], [row.to_json() for row in differing], as_json=as_json)
