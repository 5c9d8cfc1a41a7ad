"""The commands on a bundle: check, inspect, rebuild, report, decode."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option

from ..errors import InputError
from ..export.option_table import ENGINE
from .common import AsJson, BundlePath, Debug, takes
from .limits import HOUR, MINUTE, confined, limited


@limited(10 * MINUTE)
def check(
    bundle: BundlePath,
    rebuild: Annotated[
        bool, Option("--rebuild", help="First rebuild engines that were built for another GPU or TensorRT.")
    ] = False,
    allow_unstable: Annotated[
        bool, Option("--allow-unstable", help="Accept outputs on which PyTorch at that precision is far off, too.")
    ] = False,
    gate: Annotated[
        float, Option(help="Largest allowed error, as a multiple of PyTorch's; the manifest's is only printed.")
    ] = 2.0,
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Verify a bundle with its golden inputs and outputs, without torch."""
    from ..runtime.check.check import check as run_check
    from ..runtime.show.result_text import show_check
    from ..runtime.show.terminal import ConsoleReporter

    with ConsoleReporter(silent=json_output) as reporter:
        if rebuild:
            from ..export.rebuild import rebuild_foreign

            rebuild_foreign(bundle, reporter)
        result = run_check(bundle, reporter.note, allow_unstable=allow_unstable, gate=gate)
    show_check(result, as_json=json_output)
    if not result.passed:
        raise Exit(1)


@confined
def inspect(
    bundle: BundlePath,
    layers: Annotated[bool, Option(help="List every layer of the engines.")] = False,
    attention: Annotated[
        Path | None, Option(help="Draw the attention maps over this image instead; requires matplotlib.")
    ] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="With --attention: the PNG; IMAGE.attention.png by default.")
    ] = None,
    mean: Annotated[
        str, Option(help="With --attention: mean that is subtracted from pixels in 0..1, as 0.5 or 0.4,0.5,0.6.")
    ] = "0",
    std: Annotated[
        str, Option(help="With --attention: standard deviation that pixels are divided by, likewise.")
    ] = "1",
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print the contents of a bundle: rewrites with reasons, operators, precisions, engine layers, parity."""
    if attention is not None:
        from ..runtime.inputs.picture import Scale, numbers
        from ..runtime.show.attention_picture import draw_attention
        from ..runtime.show.terminal import show_written

        picture = draw_attention(bundle, attention, out, Scale(numbers(mean, "--mean"), numbers(std, "--std")))
        show_written(picture, "picture", as_json=json_output)
        return
    if out is not None or (mean, std) != ("0", "1"):
        raise InputError("--out, --mean and --std require --attention", "add --attention IMAGE")
    from ..runtime.show.inspect import inspect as run_inspect
    from ..runtime.show.inspection_text import show_inspection

    show_inspection(run_inspect(bundle), layers=layers, as_json=json_output)


@limited(HOUR)
@takes(ENGINE)
def rebuild(
    bundle: BundlePath,
    trt: Annotated[str, Option(help="TensorRT to build with: auto, rtx or enterprise.")] = "auto",
    precision: Annotated[
        str | None,
        Option(help="Build from this model: fp16, fp32, …; default: the model of the existing engines."),
    ] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Write another bundle instead of changing this one.")
    ] = None,
    force: Annotated[bool, Option("--force", "-f", help="With --out: replace an existing bundle.")] = False,
    json_output: AsJson = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Rebuild a bundle's engines from its ONNX models for this GPU and TensorRT, without torch.

    Kernel timings are kept beside the bundle, in NAME.attn.timing-cache, so that the next build is faster.
    """
    from ..export.options import read_engine_options
    from ..export.rebuild import rebuild as run_rebuild
    from ..runtime.show.result_text import show_rebuilt
    from ..runtime.show.terminal import ConsoleReporter

    engine = read_engine_options(**options)
    with ConsoleReporter(silent=json_output) as reporter:
        done = run_rebuild(
            bundle, trt=trt, precision=precision, out=out, force=force, options=engine, reporter=reporter
        )
    show_rebuilt(done.to_json(), as_json=json_output)


@confined
def report(
    bundle: BundlePath,
    bench: Annotated[Path | None, Option(help="The file that attnexport bench --json wrote for this bundle.")] = None,
    out: Annotated[Path | None, Option("--out", "-o", help="The page to write; default NAME.html.")] = None,
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write a bundle's report as one page again. The report inside the bundle does not change."""
    from ..export.report.page import write_page
    from ..runtime.bundle.bench_report import BenchReport
    from ..runtime.bundle.bundle import StoredBundle
    from ..runtime.show.terminal import show_written

    opened = StoredBundle.open(bundle)
    measured = BenchReport.read(bench) if bench is not None else None
    path = write_page(opened, out, measured)
    show_written(path, "report", as_json=json_output)


@limited(10 * MINUTE)
def decode(
    bundle: Annotated[Path, Argument(help="A bundle of an encoder-decoder network, NAME.attn.")],
    tokens: Annotated[list[str] | None, Option(help="Source tokens of one row, as '5 8 12'; repeatable.")] = None,
    beam: Annotated[int, Option(help="Width of a beam search; 1 decodes greedily.")] = 1,
    alpha: Annotated[float, Option(help="With --beam: strength of the length normalisation; 0 for none.")] = 0.6,
    limit: Annotated[int | None, Option(help="Most tokens per row, below the bundle's own limit.")] = None,
    precision: Annotated[str | None, Option(help="fp16 or fp32; fp16 if the bundle has it.")] = None,
    backend: Annotated[
        str, Option(help="onnxruntime, emulated (rounded to 16 bits after every node), or tensorrt.")
    ] = "onnxruntime",
    json_output: Annotated[
        bool, Option("--json", help="Print one JSON object, with every hypothesis and its score.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Decode source tokens and print a line of target tokens per row, with '...' if the row has no end token."""
    from ..runtime.decode import open_decoder
    from ..runtime.show.result_text import show_decodes

    rows = [token_row(text) for text in tokens or ()]
    with open_decoder(bundle, precision=precision, backend=backend) as decoder:
        source = decoder.padded(rows)
        if beam == 1:
            hypotheses = [[best] for best in decoder.greedy(source, limit=limit)]
        else:
            hypotheses = decoder.beam_search(source, width=beam, alpha=alpha, limit=limit)
        how = f"{decoder.how}, {decoder.precision}"
    show_decodes(hypotheses, how, as_json=json_output)


def token_row(text: str) -> list[int]:
    """``5 8 12`` or ``5,8,12`` as integers. Raise InputError for a word that is not one."""
    row: list[int] = []
    for word in text.replace(",", " ").split():
        try:
            row.append(int(word))
        except ValueError as error:
            raise InputError(f"token {word!r} in --tokens is not an integer", "write them as '5 8 12'") from error
    return row
