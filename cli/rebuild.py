"""``attnexport rebuild``: a bundle's engines built anew for what is here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..export.option_table import ENGINE
from .common import AsJson, BundlePath, Debug, takes


@takes(ENGINE)
def rebuild(
    bundle: BundlePath,
    trt: Annotated[str, typer.Option(help="Which TensorRT builds: auto, rtx or enterprise.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="Build from this model: fp16, fp32, …; by default as the engines were.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write another bundle instead of changing this one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="With --out: replace a bundle that is there.")] = False,
    json_output: AsJson = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Build a bundle's engines again from its ONNX models, for the GPU and TensorRT that are here. Needs no torch.

    The kernels' timings stay beside the bundle, in NAME.attn.timing-cache, so that the next build here is quicker.
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
