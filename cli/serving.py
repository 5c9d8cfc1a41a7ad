"""``attnexport triton`` writes a Triton repository; ``attnexport serve`` serves bundles, verified before it is ready."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..export.option_table import Option
from .common import AsJson, Debug, takes

_MODELS = (
    Option("backend", str, "auto", "python, onnxruntime, tensorrt; auto takes a native one if this Triton has it."),
    Option("session", str, "auto", "Session of the Python backend: auto, ort-cpu, ort-cuda, tensorrt-rtx, …"),
    Option("precision", str, None, "fp32, fp16, bf16, int8 or fp8; by default the session's."),
    Option("threads", int, None, "ONNX Runtime's threads per instance; by default the instances share the cores."),
    Option("delay", int, 0, "Microseconds that a request may wait to be grouped with others."),
    Option("max_queue", int, None, "Number of requests that may wait; more are refused. Needs two --instances."),
)
"""The options of both commands: how a bundle becomes a model."""

_REPOSITORY = (
    *_MODELS,
    Option("name", str, None, "The model's name; the bundle's by default."),
    Option("version", int, None, "The version's number; the next free one by default."),
    Option("keep", int, 1, "Number of newest versions to serve; 0 for all."),
    Option("max_batch", int, None, "Largest batch, below the bundle's own."),
    Option("batch_axis", str, "batch", "Name of the free axis 0 along which requests are grouped."),
    Option("instances", int, 1, "Number of parallel copies of the model."),
    Option("device", str, "auto", "Device of a native backend: auto, cpu, or gpu (--instances on each)."),
    Option("warmup", bool, True, "Run golden inputs before the model is ready."),
    Option("labels", Path, None, "File with the name of one class per line."),
    Option("beam", int, 1, "Beam width of a sequence model; 1 decodes greedily."),
    Option("backends", Path, None, "Directory of Triton's backends, for auto, if Triton is not on this machine."),
    Option("reconfigure", bool, False, "Change the configuration of an existing model.", ("--reconfigure",)),
)

_SERVER = (
    Option("host", str, "127.0.0.1", "Address to listen on; 0.0.0.0 for all."),
    Option("http_port", int, 8000, "HTTP port; 0 for any free port, printed in the ready line."),
    Option("grpc_port", int, 8001, "gRPC port."),
    Option("metrics_port", int, 8002, "Port of the Prometheus metrics, at /metrics."),
    Option(
        "triton", Path, None, "Path of tritonserver; by default the one on PATH or in NVIDIA's image, else the wheel's."
    ),
    Option("drain", int, 30, "Seconds for requests in flight after a stop signal."),
    Option("start", int, 600, "Seconds to load the models and to verify them."),
    Option("restarts", int, 5, "Number of failures to survive; 10 s in service give one back."),
    Option("front", bool, True, "Let Envoy read every request before Triton; it needs the extra front."),
    Option("max_body", int, None, "MiB of the largest request; by default what the models take, as JSON."),
    Option("receive", int, 30, "Seconds for a client to send a request."),
    Option("connections", int, 512, "Number of connections to a port; one client gets a half of them."),
)

Bundles = Annotated[list[Path], typer.Argument(help="Bundles, NAME.attn; each becomes a model NAME.")]


@takes(_REPOSITORY)
def triton(
    bundles: Bundles,
    out: Annotated[Path, typer.Option("--out", "-o", help="The repository; models that it has already stay.")],
    json_output: AsJson = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Write bundles as models of a Triton repository: configuration, batching, warm-up, versions."""
    from ..runtime.show.result_text import show_repository
    from ..runtime.triton.options import RepositoryOptions
    from ..runtime.triton.repository import write_repository

    written = write_repository(bundles, out, RepositoryOptions(**options))
    show_repository([model.to_json() for model in written], out, as_json=json_output)


@takes((*_MODELS, *_SERVER))
def serve(
    bundles: Bundles,
    instances: Annotated[
        int | None, typer.Option(help="Number of parallel copies of each model; 1, or 2 with --max-queue.")
    ] = None,
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
    **options: Any,
) -> None:
    """Serve bundles with Triton until SIGTERM or Ctrl-C; ready once the golden inputs are answered correctly."""
    from ..runtime.serve.demo.server import Demo
    from ..runtime.serve.log import FORMATS, LineLog
    from ..runtime.serve.options import ServeOptions
    from ..runtime.serve.supervisor import serve as run
    from ..runtime.triton.options import RepositoryOptions

    if log_format not in FORMATS:
        raise InputError(f"--log-format {log_format!r} is not known", f"use one of {', '.join(FORMATS)}")
    chosen = {option.name: options.pop(option.name) for option in _MODELS}
    models = RepositoryOptions(**chosen, instances=instances or (1 if chosen["max_queue"] is None else 2))
    settings = ServeOptions(tuple(bundles), models=models, admin_key=admin_key, **options)
    log = LineLog(sys.stdout, log_format, verbose=verbose)
    with ExitStack() as stack:
        page = stack.enter_context(Demo(settings.host, demo_port, log)) if demo else None
        code = run(settings, log, () if page is None else (page.ready,))
    if code:
        raise typer.Exit(code)
