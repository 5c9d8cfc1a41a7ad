"""``attnexport MODEL``: every option of the export, handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[
        Path | None, typer.Argument(help="A file, or package.module:callable; none with --random-weights.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The bundle to write, or a folder for it; NAME.attn by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a bundle that is already there.")] = False,
    trt: Annotated[str | None, typer.Option(help="Build a TensorRT engine: auto, rtx or enterprise.")] = None,
    precision: Annotated[
        str,
        typer.Option(help="auto: FP16 by measured error; fp16, bf16, int8, fp8: that type by rules; fp32: FP32 alone."),
    ] = "auto",
    precision_target: Annotated[
        float | None, typer.Option(help="auto: the error aimed at, as a multiple of PyTorch's own FP16 error; 1.5.")
    ] = None,
    precision_time: Annotated[float, typer.Option(help="auto: seconds that the search may take.")] = 120.0,
    io_precision: Annotated[
        str, typer.Option(help="fp32: inputs and outputs of the 16-bit model are FP32; same: FP16 as inside.")
    ] = "fp32",
    calibration: Annotated[
        str,
        typer.Option(help="How int8 and fp8 find ranges: minmax, percentile, or auto for the better of the two."),
    ] = "auto",
    target: Annotated[
        str | None,
        typer.Option(help="What model.onnx should be quick on: ort-cpu (default), ort-cuda, tensorrt-rtx, ..."),
    ] = None,
    tune: Annotated[
        bool, typer.Option(help="Time the forms of each operator instead of estimating; ort-cpu and ort-cuda.")
    ] = False,
    arch: Annotated[str | None, typer.Option(help="Architecture of a plain state dict, from the registry.")] = None,
    factory: Annotated[str | None, typer.Option(help="package.module:callable that builds the module.")] = None,
    kwargs: Annotated[str, typer.Option(help="Arguments of the architecture or factory, a JSON object.")] = "{}",
    random_weights: Annotated[bool, typer.Option(help="Seeded weights instead of a file.")] = False,
    allow_pickle: Annotated[
        bool, typer.Option(help="Run code inside a pickled module. Only for trusted files.")
    ] = False,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="NAME=1x3x224x224[:dtype[:LOW..HIGH]]; repeatable.")
    ] = None,
    dynamic: Annotated[list[str] | None, typer.Option(help="NAME:AXIS=min:opt:max; repeatable.")] = None,
    static: Annotated[bool, typer.Option(help="No symbolic batch.")] = False,
    output: Annotated[list[str] | None, typer.Option(help="A name per output, in order; repeatable.")] = None,
    outputs: Annotated[
        str | None, typer.Option(help="attention: export the attention maps as further outputs.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="An encoder-decoder network as the one graph that training runs.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Encoder-decoder networks: most tokens of a decode, its end included.")
    ] = None,
    beam_width: Annotated[
        int, typer.Option(help="Encoder-decoder networks: the step takes so many rows for each source.")
    ] = 1,
    samples: Annotated[
        Path | None, typer.Option(help="Real inputs: .npz by input name, .npy, or a folder of .npy or images.")
    ] = None,
    image_mean: Annotated[
        str | None, typer.Option(help="With images as samples: subtracted from pixels in 0..1, as 0.5 or 0.4,0.5,0.6.")
    ] = None,
    image_std: Annotated[str | None, typer.Option(help="What they are divided by, likewise.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random inputs and weights.")] = 0,
    gate: Annotated[float, typer.Option(help="Error allowed, as a multiple of PyTorch's own.")] = 2.0,
    keep_failed: Annotated[bool, typer.Option(help="Keep the bundle when a parity gate fails.")] = False,
    workspace: Annotated[str | None, typer.Option(help="Memory that TensorRT may use, such as 512M or 4G.")] = None,
    timing_cache: Annotated[Path | None, typer.Option(help="TensorRT timing cache to read and write.")] = None,
    compute_capability: Annotated[
        list[str] | None, typer.Option(help="RTX: build for this GPU, such as 8.9; repeatable.")
    ] = None,
    optimization_level: Annotated[int | None, typer.Option(help="TensorRT builder level, 0 to 5.")] = None,
    build_time_limit: Annotated[
        float | None, typer.Option(help="Give up an engine build after so many seconds.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object at the end, nothing else.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="Print the bundle's path only.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Export a model to a verified bundle."""
    from ..export.api.requirements import require_export

    require_export()
    from ..export.options import ExportOptions
    from ..export.pipeline import run
    from ..runtime.show.console import ConsoleReporter
    from ..runtime.show.result_table import show_result

    options = ExportOptions.from_strings(
        model=model, out=out, force=force, trt=trt, precision=precision, io_precision=io_precision,
        calibration=calibration, target=target, tune=tune, arch=arch,
        factory=factory, kwargs=kwargs, random_weights=random_weights, allow_pickle=allow_pickle, inputs=inputs or (),
        dynamic=dynamic or (), static=static, precision_target=precision_target, precision_time=precision_time,
        outputs=output or (), extra_outputs=outputs, whole=whole,
        limit=limit,
        beam_width=beam_width, samples=samples, seed=seed, gate=gate,
        keep_failed=keep_failed, workspace=workspace, timing_cache=timing_cache,
        compute_capabilities=compute_capability or (), optimization_level=optimization_level,
        build_time_limit=build_time_limit, image_mean=image_mean, image_std=image_std,
    )  # fmt: skip
    reporter = ConsoleReporter(silent=json_output or quiet)
    with reporter:
        result = run(options, reporter)
    show_result(result.to_json(), "json" if json_output else "quiet" if quiet else "table")
    if not result.passed:
        raise typer.Exit(1)
