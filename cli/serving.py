"""``attnexport triton`` writes a Triton repository; ``attnexport serve`` serves bundles, verified before it is ready."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from .common import AsJson, Debug


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


def triton(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, NAME.attn; each becomes a model NAME.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The repository; models that it has already stay.")],
    backend: Annotated[
        str, typer.Option(help="auto, python, onnxruntime, or tensorrt; auto takes a native one if this Triton has it.")
    ] = "auto",
    session: Annotated[
        str, typer.Option(help="Session of the Python backend: auto, ort-cpu, tensorrt-rtx, ….")
    ] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16, bf16, int8 or fp8; by default the session's.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="ONNX Runtime's threads per operator and instance.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; the bundle's by default.")] = None,
    version: Annotated[int | None, typer.Option(help="The version's number; the next free one by default.")] = None,
    keep: Annotated[int, typer.Option(help="Number of newest versions to serve; 0 for all.")] = 1,
    max_batch: Annotated[int | None, typer.Option(help="Largest batch, below the bundle's own.")] = None,
    batch_axis: Annotated[
        str, typer.Option(help="Name of the free axis 0 along which requests are grouped.")
    ] = "batch",
    delay: Annotated[int, typer.Option(help="Microseconds that a request may wait to be grouped with others.")] = 0,
    max_queue: Annotated[
        int | None, typer.Option(help="Number of requests that may wait; more are refused. Needs two --instances.")
    ] = None,
    instances: Annotated[int, typer.Option(help="Number of parallel copies of the model.")] = 1,
    device: Annotated[
        str, typer.Option(help="Device of a native backend: auto, cpu, or gpu (--instances on each).")
    ] = "auto",
    warmup: Annotated[bool, typer.Option(help="Run golden inputs before the model is ready.")] = True,
    labels: Annotated[Path | None, typer.Option(help="File with the name of one class per line.")] = None,
    beam: Annotated[int, typer.Option(help="Beam width of a sequence model; 1 decodes greedily.")] = 1,
    backends: Annotated[
        Path | None, typer.Option(help="Directory of Triton's backends, for auto, if Triton is not on this machine.")
    ] = None,
    reconfigure: Annotated[
        bool, typer.Option("--reconfigure", help="Change the configuration of a model that exists already.")
    ] = False,
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write bundles as models of a Triton repository: configuration, batching, warm-up, versions."""
    from ..runtime.triton.options import RepositoryOptions
    from ..runtime.triton.repository import write_repository
    from ..runtime.triton.table import show_models

    options = RepositoryOptions(
        backend=backend, session=session, precision=precision, threads=threads, name=name, version=version, keep=keep,
        max_batch=max_batch, batch_axis=batch_axis, delay=delay, max_queue=max_queue, instances=instances, device=device,
        warmup=warmup, labels=labels, beam=beam, backends=backends, reconfigure=reconfigure,
    )  # fmt: skip
    written = write_repository(bundles, out, options)
    show_models(written, out, as_json=json_output)
