"""``attnexport bench``: time several ways to run one model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..export.option_table import SEED, SOURCE
from .common import Debug, takes


@takes((*SOURCE, SEED))
def bench(
    model: Annotated[
        Path | None, typer.Argument(help="A bundle, NAME.attn, or a model, which is then exported first.")
    ] = None,
    original: Annotated[
        Path | None,
        typer.Option("--model", help="With a bundle: the model that it was exported from, for PyTorch's contenders."),
    ] = None,
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            help="Contenders, as eager,compile,plain,attnexport,openvino,tensorrt; default: all that run here."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The contender to compare the others with; default: plain, else eager.")
    ] = None,
    batch: Annotated[
        list[str] | None,
        typer.Option(help="Batch sizes: 8, or 1,4,16, or 1:16 for 1, 2, 4, 8, 16; default: the profile's min and opt."),
    ] = None,
    size: Annotated[list[str] | None, typer.Option(help="SYMBOL=SIZE of another dynamic axis; repeatable.")] = None,
    target_latency: Annotated[
        str | None, typer.Option(help="Find the largest batch within this latency, such as 20ms.")
    ] = None,
    latency_of: Annotated[
        str, typer.Option(help="With --target-latency: the statistic to compare, p95 or median.")
    ] = "p95",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU if there is one.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads of each contender on the CPU; default: all cores.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Largest number of rounds for each batch.")] = 20,
    seconds: Annotated[float, typer.Option(help="Seconds after which no further round of a batch starts.")] = 20.0,
    memory: Annotated[
        bool, typer.Option(help="Measure peak memory, with a separate process for each contender.")
    ] = True,
    trt: Annotated[
        str | None, typer.Option(help="With a model: also build an engine: auto, rtx or enterprise.")
    ] = None,
    precision: Annotated[str, typer.Option(help="With a model: precision of the export.")] = "fp32",
    json_output: Annotated[
        Path | None, typer.Option("--json", help="Write the results to FILE as JSON; - prints them instead of tables.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw a chart to FILE; requires matplotlib.")] = None,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Time contenders on one model in interleaved rounds, with their peak memory. A contender with wrong outputs is not timed."""
    from ..export.bench import BenchOptions
    from ..export.bench import bench as run
    from ..export.bench.table import tables
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.terminal import print_json, show_parts

    bundle = model if model is not None and model.is_dir() else None
    if bundle is None and original is not None:
        raise InputError(f"--model {original} belongs to a bundle, and {model} is none", "leave --model out")
    if bundle is not None and (trt is not None or precision != "fp32"):
        raise InputError(
            f"--trt and --precision are for a model that is exported first, and {bundle} is a bundle",
            f"leave them out; attnexport rebuild {bundle} builds an engine",
        )
    for path in (json_output, png):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path} cannot be written: {path.parent} is not a folder", "create it first")
    file = original if bundle is not None else model
    export = None
    if bundle is None or file is not None or options["arch"] or options["factory"]:
        from ..export.api.requirements import require_export

        require_export()
        from ..export.options import read_options

        export = read_options(**{**options, "model": file, "trt": trt, "precision": precision})
    settings = BenchOptions.from_strings(
        bundle=bundle, model=export, contenders=contenders or (), baseline=baseline, batches=batch or (), sizes=size or (),
        target_latency=target_latency, statistic=latency_of, device=device, threads=threads, rounds=rounds, seconds=seconds,
        memory=memory, seed=options["seed"], png=png,
    )  # fmt: skip
    on_stdout = json_output == Path("-")
    with ConsoleReporter(silent=on_stdout) as reporter:
        report = run(settings, reporter)
    if png is not None:
        from ..export.bench.chart import write_png

        write_png(report, png)
    if on_stdout:
        print_json(report.to_json())
        return
    show_parts(tables(report))
    if json_output is not None:
        report.write(json_output)
    if written := [str(path) for path in (json_output, png) if path is not None]:
        sys.stdout.write(f"\nwritten: {'  '.join(written)}\n")
