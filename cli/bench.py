"""``attnexport bench``: time several ways to run one model."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..export.option_table import BENCH, SEED, SOURCE
from .common import Debug, takes
from .limits import HOUR, limited


@limited(HOUR)
@takes((*SOURCE, *BENCH))
def bench(
    model: Annotated[
        Path | None, typer.Argument(help="A bundle, NAME.attn, or a model, which is then exported first.")
    ] = None,
    original: Annotated[
        Path | None,
        typer.Option("--model", help="With a bundle: the model that it was exported from, for PyTorch's contenders."),
    ] = None,
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
    from ..runtime.show.terminal import ConsoleReporter, plain, print_json, show_parts

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

        source = {option.name: options[option.name] for option in (*SOURCE[1:], SEED)}
        export = read_options(model=file, trt=trt, precision=precision, **source)
    values = {option.name: options[option.name] for option in BENCH}
    settings = BenchOptions.from_strings(bundle=bundle, model=export, png=png, **values)
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
        sys.stdout.write(f"\nwritten: {plain('  '.join(written))}\n")
