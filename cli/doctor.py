"""``attnexport doctor``, and with --probe the operator matrix measured here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError


def doctor(
    probe: Annotated[bool, typer.Option("--probe", help="Measure here which operators each target runs.")] = False,
    target: Annotated[list[str] | None, typer.Option(help="With --probe: only this target; repeatable.")] = None,
    save: Annotated[Path | None, typer.Option(help="With --probe: write the matrix, or bring FILE up to date.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Say what is installed, which targets work here, and what to install for the rest."""
    if probe:
        _probe(target or (), save, as_json=json_output)
        return
    if target or save:
        raise InputError("--target and --save belong to --probe", "add --probe")
    from ..runtime.doctor import diagnose
    from ..runtime.show.doctor_table import show_diagnosis

    show_diagnosis(diagnose(), as_json=json_output)


def _probe(targets: Sequence[str], save: Path | None, *, as_json: bool) -> None:
    from ..export.api.requirements import require_export

    require_export()
    from ..export.probe import differences, keep, probe
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.doctor_table import show_probe

    with ConsoleReporter(silent=as_json) as reporter:
        found = probe(targets, reporter)
    differing = differences(found)
    if save is not None:
        keep(found, save)
    show_probe([one.to_json() for one in found], [one.to_json() for one in differing], as_json=as_json)
