"""``attnexport serve``: bundles behind a Triton that is proved before it is ready."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer


def serve(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, NAME.attn; each is a model of its name.")],
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for every one.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="HTTP; 0 for any free port, which the ready line names.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="gRPC.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="Prometheus metrics, at /metrics.")] = 8002,
    instances: Annotated[
        int | None, typer.Option(help="Copies of each model that run side by side; 1, and 2 with --max-queue.")
    ] = None,
    max_queue: Annotated[
        int | None, typer.Option(help="Requests that may wait for a model before more are refused at once.")
    ] = None,
    backend: Annotated[
        str, typer.Option(help="Triton's: python, onnxruntime, tensorrt, or auto: a native one where it is here.")
    ] = "auto",
    session: Annotated[
        str, typer.Option(help="What the Python backend opens: auto, ort-cpu, ort-cuda, tensorrt, …")
    ] = "auto",
    precision: Annotated[str | None, typer.Option(help="fp32, fp16, bf16, int8 or fp8.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="ONNX Runtime's, of each instance; the cores shared among the instances.")
    ] = None,
    delay: Annotated[int, typer.Option(help="Microseconds that a request may wait for others to be run with.")] = 0,
    triton: Annotated[
        Path | None, typer.Option(help="A tritonserver; by default the one on PATH or in the image, else the wheel's.")
    ] = None,
    drain: Annotated[int, typer.Option(help="Seconds for requests in flight when the server is told to stop.")] = 30,
    start: Annotated[int, typer.Option(help="Seconds to load the models and to answer the golden inputs.")] = 600,
    restarts: Annotated[int, typer.Option(help="Failures in a row after which the server gives up.")] = 5,
    admin_key: Annotated[
        str | None,
        typer.Option(envvar="ATTNEXPORT_ADMIN_KEY", help="Opens Triton's calls that load models; nobody's by default."),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="A web page, too, that shows what the models make of an image.")
    ] = False,
    demo_port: Annotated[int, typer.Option(help="The page's port; 0 for any free one.")] = 8080,
    log_format: Annotated[str, typer.Option(help="json, text, or auto: text for a terminal.")] = "auto",
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what Triton says, too, not its warnings alone.")
    ] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Serve bundles with Triton, ready once golden inputs have been answered correctly; until SIGTERM or Ctrl-C."""
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
    say = LineLog(sys.stdout, log_format, verbose=verbose)
    with ExitStack() as stack:
        page = stack.enter_context(Demo(host, demo_port, say)) if demo else None
        code = run(options, say, () if page is None else (page.ready,))
    if code:
        raise typer.Exit(code)
