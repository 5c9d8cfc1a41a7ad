"""``attnexport models``: the networks of the registry and their sizes."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import Debug


def models(
    name: Annotated[str | None, typer.Argument(help="Print only this network, with its options.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON: a list, or one object.")] = False,
    debug: Debug = False,
) -> None:
    """List the networks that --arch knows: parameters, multiply-adds, input, paper."""
    from ..export.api.requirements import require_export

    require_export()
    from ..export.source.catalogue import catalogue
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.model_table import show_models

    with ConsoleReporter(silent=json_output) as reporter:
        rows = catalogue(name, reporter)
    show_models(rows, single=name is not None, as_json=json_output)
