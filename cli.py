"""The command line: parse, call one function, print. ``attnexport MODEL`` is the export; the other commands work on bundles."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__
from .errors import AttnexportError, InputError, first_line

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, no_args_is_help=True)

COMMANDS = ("export", "check", "inspect", "decode", "doctor", "models")

HELP = f"""attnexport {__version__}: trained attention models to ONNX and TensorRT FP16, verified against FP64

usage:  attnexport MODEL [options]         export MODEL to the bundle NAME.attn
        attnexport check NAME.attn         prove a bundle again, without torch
        attnexport inspect NAME.attn       what was rewritten and why, precisions, engine layers
        attnexport decode NAME.attn --tokens "5 8 12"   run its encoder and decoder step
        attnexport doctor [--probe]        what works here, what to install; --probe measures it
        attnexport models [NAME]           what --arch knows, counted; NAME: with its options

MODEL:  a checkpoint of attnexport.save, .pt/.pth/.safetensors weights, .pt2, TorchScript, .onnx

  --trt[=rtx|enterprise]     build a TensorRT engine; alone, it takes what is installed and says so
  -o, --out PATH             where the bundle goes (default: NAME.attn);  -f, --force  replace it
  --arch NAME                of a plain state dict;  --factory package.module:callable  your own
  --kwargs JSON              arguments of the architecture;  --random-weights  no weights file
  --input x=1x3x224x224      shape (and :dtype) of an input, where the model does not store it
  --dynamic x:0=1:4:16       min:opt:max of an axis (axis 0 by default);  --static  none is free
  --samples FILE.npz|FOLDER  real inputs, or images (--image-mean, --image-std), for parity
  --limit N  --beam-width W  an encoder-decoder network's decodes;  --whole  as one graph instead
  --outputs attention        attention maps as outputs, for inspect NAME.attn --attention IMAGE
  --precision auto|fp16|bf16|fp32  FP16 by measured error (default) or by rules; BF16; none
  --precision int8|fp8       layers in 8 bits, calibrated on --samples;  --calibration METHOD
  --target ort-cpu|ort-cuda|…  what model.onnx should be quick on;  --tune  time the forms here
  --gate FACTOR              error allowed, a multiple of PyTorch's own (default 2);  --keep-failed
  --allow-pickle             run the code inside a pickled module: only for files that you trust
  --json  --quiet  --debug   for machines; only the result; with tracebacks

example: attnexport examples/digits_stn_cbam.pt --trt --samples examples/digits_samples.npz
All options: attnexport export --help.  Exit codes: 0 good, 1 a failed stage or gate, 2 bad input.
"""


@app.command()
def export(
    model: Annotated[Path | None, typer.Argument(help="The file to export; none with --random-weights.")] = None,
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
    precision_backend: Annotated[
        str, typer.Option(help="What inserts the casts of fp16 and bf16: own, or autocast (NVIDIA Model Optimizer).")
    ] = "own",
    calibration: Annotated[
        str,
        typer.Option(help="Ranges of int8 and fp8: minmax, percentile, entropy, or auto for the better of the first."),
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
    inputs: Annotated[list[str] | None, typer.Option("--input", help="NAME=1x3x224x224[:dtype]; repeatable.")] = None,
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
    from .export.requirements import require_export

    require_export()
    from .export.options import ExportOptions
    from .export.pipeline import run
    from .runtime.console import ConsoleReporter, show_result

    options = ExportOptions.from_strings(
        model=model, out=out, force=force, trt=trt, precision=precision, io_precision=io_precision, precision_backend=precision_backend,
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


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="The bundle, NAME.attn.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Prove a bundle again from its golden inputs and outputs; needs no torch."""
    from .runtime.check import check as run_check
    from .runtime.console import ConsoleReporter, show_check

    with ConsoleReporter(silent=json_output) as reporter:
        result = run_check(bundle, reporter.note)
    show_check(result, as_json=json_output)
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(help="The bundle, NAME.attn.")],
    layers: Annotated[bool, typer.Option(help="List every layer of the engines.")] = False,
    attention: Annotated[
        Path | None, typer.Option(help="Draw the attention maps over this image instead; needs matplotlib.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="With --attention: the PNG; IMAGE.attention.png by default.")
    ] = None,
    mean: Annotated[
        str, typer.Option(help="With --attention: subtracted from pixels in 0..1, as 0.5 or 0.4,0.5,0.6.")
    ] = "0",
    std: Annotated[str, typer.Option(help="With --attention: what pixels are divided by, likewise.")] = "1",
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Show what a bundle holds: rewrites with reasons, operators, precisions, engine layers, parity."""
    if attention is not None:
        from .runtime.attention_picture import draw_attention
        from .runtime.console import show_picture
        from .runtime.picture import numbers

        picture = draw_attention(bundle, attention, out, mean=numbers(mean, "--mean"), std=numbers(std, "--std"))
        show_picture(picture, as_json=json_output)
        return
    if out is not None or (mean, std) != ("0", "1"):
        raise InputError("--out, --mean and --std belong to --attention", "add --attention IMAGE")
    from .runtime.console import show_inspection
    from .runtime.inspect import inspect as run_inspect

    show_inspection(run_inspect(bundle), layers=layers, as_json=json_output)


@app.command("decode")
def decode_command(
    bundle: Annotated[Path, typer.Argument(help="A bundle of an encoder-decoder network, NAME.attn.")],
    tokens: Annotated[list[str] | None, typer.Option(help="Source tokens of one row, as '5 8 12'; repeatable.")] = None,
    beam: Annotated[int, typer.Option(help="Width of a beam search; 1 decodes greedily.")] = 1,
    alpha: Annotated[float, typer.Option(help="With --beam: how much length counts, 0 for not at all.")] = 0.6,
    limit: Annotated[int | None, typer.Option(help="Fewer tokens than the bundle's limit.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp16 or fp32; fp16 where the bundle has it.")] = None,
    backend: Annotated[
        str, typer.Option(help="onnxruntime, emulated (rounded to 16 bits after every node), or tensorrt.")
    ] = "onnxruntime",
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with every hypothesis and its score.")
    ] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Decode source tokens with a bundle's encoder and step: a line of target tokens per row; '...' where no end came."""
    from .runtime.console import show_decodes
    from .runtime.decode import open_decoder

    rows = [token_row(text) for text in tokens or ()]
    with open_decoder(bundle, precision=precision, backend=backend) as decoder:
        source = decoder.padded(rows)
        if beam == 1:
            found = [[one] for one in decoder.greedy(source, limit=limit)]
        else:
            found = decoder.beam_search(source, width=beam, alpha=alpha, limit=limit)
        how = f"{decoder.how}, {decoder.precision}"
    show_decodes(found, how, as_json=json_output)


@app.command()
def doctor(
    probe: Annotated[bool, typer.Option("--probe", help="Measure here which operators each target runs.")] = False,
    target: Annotated[list[str] | None, typer.Option(help="With --probe: only this target; repeatable.")] = None,
    save: Annotated[Path | None, typer.Option(help="With --probe: write the matrix, or bring FILE up to date.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Say what is installed, which targets work here, and what to install for the rest."""
    if probe:
        _probe(target or (), save, as_json=json_output)
        return
    if target or save:
        raise InputError("--target and --save belong to --probe", "add --probe")
    from .runtime.console import show_diagnosis
    from .runtime.doctor import diagnose

    show_diagnosis(diagnose(), as_json=json_output)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="One of them, with its options.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON: a list, or one object.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """List the networks that --arch knows: parameters, multiply-adds, input, paper."""
    from .export.requirements import require_export

    require_export()
    from .export.catalogue import catalogue
    from .runtime.console import ConsoleReporter
    from .runtime.model_table import show_models

    with ConsoleReporter(silent=json_output) as reporter:
        rows = catalogue(name, reporter)
    show_models(rows, one=name is not None, as_json=json_output)


def _probe(targets: Sequence[str], save: Path | None, *, as_json: bool) -> None:
    from .export.requirements import require_export

    require_export()
    from .export.probe import differences, keep, probe
    from .runtime.console import ConsoleReporter, show_probe

    with ConsoleReporter(silent=as_json) as reporter:
        found = probe(targets, reporter)
    differing = differences(found)
    if save is not None:
        keep(found, save)
    show_probe([one.to_json() for one in found], [one.to_json() for one in differing], as_json=as_json)


def token_row(text: str) -> list[int]:
    """``5 8 12`` or ``5,8,12`` as whole numbers. Raises InputError naming the word that is none."""
    row: list[int] = []
    for word in text.replace(",", " ").split():
        try:
            row.append(int(word))
        except ValueError as error:
            raise InputError(f"token {word!r} in --tokens is no whole number", "write them as '5 8 12'") from error
    return row


def arguments(argv: Sequence[str]) -> list[str]:
    """The words as typer takes them: ``export`` is understood where no command stands, and a bare ``--trt`` is ``--trt=auto``."""
    words = list(argv)
    if words and words[0] not in COMMANDS:
        words.insert(0, "export")
    return ["--trt=auto" if word == "--trt" else word for word in words]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"--help", "-h"}:
        sys.stdout.write(HELP)
        sys.exit(0)
    if words[0] == "--version":
        sys.stdout.write(f"attnexport {__version__}\n")
        sys.exit(0)
    try:
        app(args=arguments(words), prog_name="attnexport")
    except KeyboardInterrupt:
        sys.stderr.write("attnexport: interrupted, nothing was written\n")
        sys.exit(130)
    except Exception as error:
        if "--debug" in words:
            traceback.print_exception(error)
        sys.exit(_fail(error, as_json="--json" in words))


def _fail(error: Exception, *, as_json: bool) -> int:
    """Print one line for an error and give its exit code. An error that nobody foresaw is said to be one."""
    if isinstance(error, AttnexportError):
        code, text = error.exit_code, str(error)
    elif isinstance(error, OSError):
        shown = InputError(f"{error.strerror or error}: {error.filename or ''}", "check the path and the space on disk")
        code, text = shown.exit_code, str(shown)
    else:
        code = 1
        text = (
            f"a fault in attnexport, {type(error).__name__}: {first_line(error)}. Run again with --debug and report it."
        )
    if as_json:
        import json

        fields: dict[str, Any] = {"error": text, "kind": type(error).__name__, "exit_code": code}
        sys.stdout.write(json.dumps(fields) + "\n")
    else:
        sys.stderr.write(f"attnexport: {text}\n")
    return code
