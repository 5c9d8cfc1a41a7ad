"""``attnexport triton``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import AsJson, Debug


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
