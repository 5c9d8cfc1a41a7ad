"""``attnexport rebuild``: rebuild a bundle's engines for this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..export.option_table import ENGINE
from .common import AsJson, BundlePath, Debug, takes


@takes(ENGINE)
def rebuild(
    bundle: BundlePath,
    trt: Annotated[str, typer.Option(help="TensorRT to build with: auto, rtx or enterprise.")] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(help="Build from this model: fp16, fp32, …; default: the model of the existing engines."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write another bundle instead of changing this one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="With --out: replace an existing bundle.")] = False,
    json_output: AsJson = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Rebuild a bundle's engines from its ONNX models for this GPU and TensorRT, without torch.

    Kernel timings are kept beside the bundle, in NAME.attn.timing-cache, so that the next build is faster.
    """
    from ..export.options import read_engine_options
    from ..export.rebuild import rebuild as run_rebuild
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.result_table import show_rebuilt

    engine = read_engine_options(**options)
    with ConsoleReporter(silent=json_output) as reporter:
        done = run_rebuild(
            bundle, trt=trt, precision=precision, out=out, force=force, options=engine, reporter=reporter
        )
    show_rebuilt(done.to_json(), as_json=json_output)
