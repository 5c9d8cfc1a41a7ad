"""``attnexport check``."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import AsJson, BundlePath, Debug


def check(
    bundle: BundlePath,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="First rebuild engines that were built for another GPU or TensorRT.")
    ] = False,
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Verify a bundle with its golden inputs and outputs, without torch."""
    from ..runtime.check.check import check as run_check
    from ..runtime.show.check_table import show_check
    from ..runtime.show.console import ConsoleReporter

    with ConsoleReporter(silent=json_output) as reporter:
        if rebuild:
            from ..export.rebuild import rebuild_foreign

            rebuild_foreign(bundle, reporter)
        result = run_check(bundle, reporter.note)
    show_check(result, as_json=json_output)
    if not result.passed:
        raise typer.Exit(1)
