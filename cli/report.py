"""``attnexport report``: write a bundle's report again, with a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import AsJson, BundlePath, Debug


def report(
    bundle: BundlePath,
    bench: Annotated[
        Path | None, typer.Option(help="The file that attnexport bench --json wrote for this bundle.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page to write; default NAME.html.")] = None,
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write a bundle's report as one page again. The report inside the bundle does not change."""
    from ..export.report.page import write_page
    from ..runtime.bundle.bench_report import BenchReport
    from ..runtime.bundle.bundle import StoredBundle
    from ..runtime.show.written import show_written

    opened = StoredBundle.open(bundle)
    measured = BenchReport.read(bench) if bench is not None else None
    path = write_page(opened, out or Path(f"{opened.manifest.name}.html"), measured)
    show_written(path, "report", as_json=json_output)
