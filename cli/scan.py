"""``attnexport scan``: what stands in the way of a model, before any export."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .borrow import SOURCE, borrows, read


@borrows(SOURCE)
def scan(
    target: Annotated[
        list[str] | None, typer.Option(help="Only this target: ort-cpu, tensorrt-rtx, trt, ...; repeatable.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
    **words: Any,
) -> None:
    """List the operators that each target cannot run or runs slowly, by module and source line. Writes nothing."""
    from ..export.api.requirements import require_export

    require_export()
    from ..export.scan import scan as run_scan
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.scan_text import show_scan

    options = read(words)
    with ConsoleReporter(silent=json_output) as reporter:
        found = run_scan(options, target or (), reporter)
    show_scan(found.to_json(), as_json=json_output)
    if not found.runs:
        raise typer.Exit(1)
