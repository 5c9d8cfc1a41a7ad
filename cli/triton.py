"""``attnexport triton``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def triton(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, NAME.attn: a model NAME for each.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The repository; what is in it already stays.")],
    backend: Annotated[
        str,
        typer.Option(
            help="auto, python, onnxruntime, or tensorrt; auto takes a native one where the Triton here has it."
        ),
    ] = "auto",
    session: Annotated[
        str, typer.Option(help="What the Python backend opens: auto, ort-cpu, tensorrt-rtx, ….")
    ] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16, bf16, int8 or fp8; by default the session's.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="ONNX Runtime's threads per operator and instance.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; the bundle's by default.")] = None,
    version: Annotated[int | None, typer.Option(help="The version's number; the next free one by default.")] = None,
    keep: Annotated[int, typer.Option(help="So many of the newest versions are served; 0 for all.")] = 1,
    max_batch: Annotated[int | None, typer.Option(help="Group fewer rows than the bundle takes.")] = None,
    batch_axis: Annotated[str, typer.Option(help="The free axis 0 along which requests are grouped.")] = "batch",
    delay: Annotated[int, typer.Option(help="Microseconds that a request may wait for others.")] = 0,
    max_queue: Annotated[
        int | None, typer.Option(help="Refuse requests while so many wait; needs two --instances.")
    ] = None,
    instances: Annotated[int, typer.Option(help="Copies of the model that run side by side.")] = 1,
    device: Annotated[
        str, typer.Option(help="Of a native backend: auto, cpu, or gpu (so many instances on each).")
    ] = "auto",
    warmup: Annotated[bool, typer.Option(help="Run golden inputs before the model is ready.")] = True,
    labels: Annotated[Path | None, typer.Option(help="A file with the name of a class per line.")] = None,
    beam: Annotated[int, typer.Option(help="Width of a sequence model's search; 1 decodes greedily.")] = 1,
    backends: Annotated[
        Path | None, typer.Option(help="The directory of a Triton's backends, for auto, where it is not here.")
    ] = None,
    reconfigure: Annotated[
        bool, typer.Option("--reconfigure", help="Change the configuration of a model that is there.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
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
