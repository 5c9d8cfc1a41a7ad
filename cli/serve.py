"""``attnexport serve``: serve bundles with Triton, verified before it is ready."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from .common import Debug


def serve(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, NAME.attn; each becomes a model NAME.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="HTTP port; 0 for any free port, printed in the ready line.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="gRPC port.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="Port of the Prometheus metrics, at /metrics.")] = 8002,
    instances: Annotated[
        int | None, typer.Option(help="Number of parallel copies of each model; 1, or 2 with --max-queue.")
    ] = None,
    max_queue: Annotated[
        int | None, typer.Option(help="Number of requests that may wait for a model; more are refused.")
    ] = None,
    backend: Annotated[
        str,
        typer.Option(help="Triton's backend: python, onnxruntime, tensorrt, or auto: a native one if Triton has it."),
    ] = "auto",
    session: Annotated[
        str, typer.Option(help="Session of the Python backend: auto, ort-cpu, ort-cuda, tensorrt, …")
    ] = "auto",
    precision: Annotated[str | None, typer.Option(help="fp32, fp16, bf16, int8 or fp8.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="ONNX Runtime's threads per instance; by default the instances share the cores.")
    ] = None,
    delay: Annotated[int, typer.Option(help="Microseconds that a request may wait to be grouped with others.")] = 0,
    triton: Annotated[
        Path | None,
        typer.Option(help="Path of tritonserver; by default the one on PATH or in NVIDIA's image, else the wheel's."),
    ] = None,
    drain: Annotated[int, typer.Option(help="Seconds for requests in flight after a stop signal.")] = 30,
    start: Annotated[int, typer.Option(help="Seconds to load the models and to verify them.")] = 600,
    restarts: Annotated[int, typer.Option(help="Number of failures in a row before the server gives up.")] = 5,
    admin_key: Annotated[
        str | None,
        typer.Option(
            envvar="ATTNEXPORT_ADMIN_KEY", help="Key for Triton's calls that load models; a random secret by default."
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Also serve a web page that runs the models on an image.")
    ] = False,
    demo_port: Annotated[int, typer.Option(help="Port of the page; 0 for any free port.")] = 8080,
    log_format: Annotated[str, typer.Option(help="json, text, or auto: text for a terminal.")] = "auto",
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log every line of Triton, not only its warnings.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Serve bundles with Triton until SIGTERM or Ctrl-C; ready once the golden inputs are answered correctly."""
    from ..errors import InputError
    from ..runtime.serve.demo.server import Demo
    from ..runtime.serve.log import FORMATS, LineLog
    from ..runtime.serve.options import ServeOptions
    from ..runtime.serve.supervisor import serve as run
    from ..runtime.triton.options import RepositoryOptions

    if log_format not in FORMATS:
        raise InputError(f"--log-format {log_format!r} is not known", f"use one of {', '.join(FORMATS)}")
    models = RepositoryOptions(
        backend=backend, session=session, precision=precision, threads=threads, delay=delay, max_queue=max_queue,
        instances=instances or (1 if max_queue is None else 2),
    )  # fmt: skip
    options = ServeOptions(
        tuple(bundles), host, http_port, grpc_port, metrics_port, models, triton, drain, start, restarts, admin_key
    )
    log = LineLog(sys.stdout, log_format, verbose=verbose)
    with ExitStack() as stack:
        page = stack.enter_context(Demo(host, demo_port, log)) if demo else None
        code = run(options, log, () if page is None else (page.ready,))
    if code:
        raise typer.Exit(code)
