"""``attnexport scan``: list what a target cannot run, before an export."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..export.option_table import SOURCE
from .common import AsJson, Debug, takes


@takes(SOURCE)
def scan(
    target: Annotated[
        list[str] | None, typer.Option(help="Only this target: ort-cpu, tensorrt-rtx, trt, ...; repeatable.")
    ] = None,
    json_output: AsJson = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """List the operators that each target cannot run or runs slowly, by module and source line. Writes nothing."""
    from ..export.api.requirements import require_export

    require_export()
    from ..export.options import read_options
    from ..export.scan import scan as run_scan
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.scan_text import show_scan

    read = read_options(**options)
    with ConsoleReporter(silent=json_output) as reporter:
        found = run_scan(read, target or (), reporter)
    show_scan(found.to_json(), as_json=json_output)
    if not found.runs:
        raise typer.Exit(1)
