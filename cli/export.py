"""``attnexport MODEL``: the export."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .common import Debug, takes


@takes()
def export(
    json_output: Annotated[bool, typer.Option("--json", help="Print only one JSON object, at the end.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print only the bundle's path.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Export a model to a verified bundle."""
    from ..export.api.requirements import require_export

    require_export()
    from ..export.options import read_options
    from ..export.pipeline import run
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.result_table import show_result

    with ConsoleReporter(silent=json_output or quiet) as reporter:
        result = run(read_options(**options), reporter)
    show_result(result.to_json(), "json" if json_output else "quiet" if quiet else "table")
    if not result.passed:
        raise typer.Exit(1)
