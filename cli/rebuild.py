"""``attnexport rebuild``: a bundle's engines built anew for what is here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def rebuild(
    bundle: Annotated[Path, typer.Argument(help="The bundle, NAME.attn.")],
    trt: Annotated[str, typer.Option(help="Which TensorRT builds: auto, rtx or enterprise.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="Build from this model: fp16, fp32, …; by default as the engines were.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write another bundle instead of changing this one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="With --out: replace a bundle that is there.")] = False,
    workspace: Annotated[str | None, typer.Option(help="Memory that TensorRT may use, such as 512M or 4G.")] = None,
    timing_cache: Annotated[Path | None, typer.Option(help="TensorRT timing cache to read and write.")] = None,
    compute_capability: Annotated[
        list[str] | None, typer.Option(help="RTX: build for this GPU, such as 8.9; repeatable.")
    ] = None,
    optimization_level: Annotated[int | None, typer.Option(help="TensorRT builder level, 0 to 5.")] = None,
    build_time_limit: Annotated[float | None, typer.Option(help="Give up after so many seconds.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Build a bundle's engines again from its ONNX models, for the GPU and TensorRT that are here. Needs no torch."""
    from ..export.engine.options import EngineOptions, parse_bytes
    from ..export.rebuild import rebuild as run_rebuild
    from ..runtime.console import ConsoleReporter, show_rebuilt

    options = EngineOptions(
        workspace_bytes=None if workspace is None else parse_bytes(workspace, "--workspace"),
        timing_cache=timing_cache,
        compute_capabilities=tuple(compute_capability or ()),
        optimization_level=optimization_level,
        time_limit_s=build_time_limit,
    )
    with ConsoleReporter(silent=json_output) as reporter:
        done = run_rebuild(
            bundle, trt=trt, precision=precision, out=out, force=force, options=options, reporter=reporter
        )
    show_rebuilt(done.to_json(), as_json=json_output)
