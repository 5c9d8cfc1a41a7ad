"""``attnexport scan``: what stands in the way of a model, before any export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def scan(
    model: Annotated[Path | None, typer.Argument(help="A file, or package.module:callable, as for the export.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Only this target: ort-cpu, tensorrt-rtx, trt, ...; repeatable.")
    ] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture of a plain state dict, from the registry.")] = None,
    factory: Annotated[str | None, typer.Option(help="package.module:callable that builds the module.")] = None,
    kwargs: Annotated[str, typer.Option(help="Arguments of the architecture or factory, a JSON object.")] = "{}",
    random_weights: Annotated[bool, typer.Option(help="Seeded weights instead of a file.")] = False,
    allow_pickle: Annotated[
        bool, typer.Option(help="Run code inside a pickled module. Only for trusted files.")
    ] = False,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="NAME=1x3x224x224[:dtype]; repeatable.")] = None,
    dynamic: Annotated[list[str] | None, typer.Option(help="NAME:AXIS=min:opt:max; repeatable.")] = None,
    static: Annotated[bool, typer.Option(help="No symbolic batch.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """List the operators that each target cannot run or runs slowly, by module and source line. Writes nothing."""
    from ..export.requirements import require_export

    require_export()
    from ..export.options import ExportOptions
    from ..export.scan import scan as run_scan
    from ..runtime.console import ConsoleReporter
    from ..runtime.scan_text import show_scan

    options = ExportOptions.from_strings(
        model=model, trt=None, precision="fp32", kwargs=kwargs, workspace=None, gate=2.0, arch=arch, factory=factory,
        random_weights=random_weights, allow_pickle=allow_pickle, inputs=inputs or (), dynamic=dynamic or (), static=static,
    )  # fmt: skip
    with ConsoleReporter(silent=json_output) as reporter:
        found = run_scan(options.model, options.source, target or (), options.seed, reporter)
    show_scan(found.to_json(), as_json=json_output)
    if not found.runs:
        raise typer.Exit(1)
