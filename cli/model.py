"""The commands on a model: export, debug, scan; and what there is: doctor for this machine, models for the registry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Exit, Option

from ..errors import InputError
from ..export.option_table import SOURCE
from .common import AsJson, Debug, takes
from .limits import HOUR, limited


@limited(HOUR)
@takes()
def export(
    json_output: Annotated[bool, Option("--json", help="Print only one JSON object, at the end.")] = False,
    quiet: Annotated[bool, Option(help="Print only the bundle's path.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Export a model to a verified bundle."""
    from ..export.api.requirements import require_export

    require_export()
    from ..export.options import read_options
    from ..export.pipeline import run
    from ..runtime.show.result_text import show_result
    from ..runtime.show.terminal import ConsoleReporter

    with ConsoleReporter(silent=json_output or quiet) as reporter:
        result = run(read_options(**options), reporter)
    show_result(result.to_json(), "json" if json_output else "quiet" if quiet else "table")
    if not result.passed:
        raise Exit(1)


@limited(HOUR)
@takes()
def debug(
    model: Annotated[Path | None, Argument(help="The model, as for an export; or a bundle, NAME.attn.")] = None,
    original: Annotated[
        Path | None, Option("--model", help="With a bundle: the model that it was exported from.")
    ] = None,
    stage: Annotated[
        str | None,
        Option(
            help="capture, simplify, raise, recognise, lower, or the type exported to; the first that fails by default."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="Folder for the files that reproduce the error; default NAME.debug."),
    ] = None,
    force: Annotated[bool, Option("--force", "-f", help="Replace that folder.")] = False,
    every: Annotated[bool, Option("--all", help="List every module, not only those near the error.")] = False,
    tensors: Annotated[bool, Option("--tensors", help="Also list every tensor.")] = False,
    json_output: AsJson = False,
    quiet: Annotated[bool, Option(help="Print only the command that reproduces the error.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Compare a stage with the original in FP64, tensor by tensor; find the first difference and write files that reproduce it.

    Takes the options of the export. Exits with 1 if the error of an output is above the export's gate.
    """
    from ..export.api.requirements import require_export

    require_export()
    from ..export.debug import debug as run
    from ..export.options import read_options
    from ..export.pipeline import destination
    from ..runtime.show.divergence_table import show_divergence
    from ..runtime.show.terminal import ConsoleReporter

    bundle = model if model is not None and model.is_dir() else None
    if original is not None and bundle is None:
        raise InputError(f"--model {original} belongs to a bundle", "give NAME.attn --model MODEL, or MODEL alone")
    read = read_options(**{**options, "model": original if bundle is not None else model})
    folder = out or Path(f"{(bundle or destination(read)).stem}.debug")
    with ConsoleReporter(silent=json_output or quiet) as reporter:
        found = run(read, reporter, stage=stage, bundle=bundle, folder=folder, replace=force)
    form: Literal["table", "json", "quiet"] = "json" if json_output else "quiet" if quiet else "table"
    show_divergence(found, form, every=every, tensors=tensors)
    if not found.passed:
        raise Exit(1)


@limited(HOUR)
@takes(SOURCE)
def scan(
    target: Annotated[
        list[str] | None, Option(help="Only this target: ort-cpu, tensorrt-rtx, trt, ...; repeatable.")
    ] = None,
    json_output: AsJson = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """List the operators that each target cannot run or runs slowly, by module and source line. Writes nothing."""
    from ..export.api.requirements import require_export

    require_export()
    from ..export.options import read_options
    from ..export.scan import scan as run_scan
    from ..runtime.show.target_text import show_scan
    from ..runtime.show.terminal import ConsoleReporter

    read = read_options(**options)
    with ConsoleReporter(silent=json_output) as reporter:
        found = run_scan(read, target or (), reporter)
    show_scan(found.to_json(), as_json=json_output)
    if not found.runs:
        raise Exit(1)


def models(
    name: Annotated[str | None, Argument(help="Print only this network, with its options.")] = None,
    json_output: Annotated[bool, Option("--json", help="Print JSON: a list, or one object.")] = False,
    debug: Debug = False,
) -> None:
    """List the networks that --arch knows: parameters, multiply-adds, input, paper."""
    from ..export.api.requirements import require_export

    require_export()
    from ..export.source.catalogue import catalogue
    from ..runtime.show.model_table import show_models
    from ..runtime.show.terminal import ConsoleReporter

    with ConsoleReporter(silent=json_output) as reporter:
        rows = catalogue(name, reporter)
    show_models(rows, single=name is not None, as_json=json_output)


def doctor(
    probe: Annotated[bool, Option("--probe", help="Measure which operators each target runs on this machine.")] = False,
    target: Annotated[list[str] | None, Option(help="With --probe: only this target; repeatable.")] = None,
    save: Annotated[Path | None, Option(help="With --probe: write the matrix to FILE, or update it.")] = None,
    json_output: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print what is installed, which targets work here, and how to install the others."""
    if probe:
        _probe(target or (), save, as_json=json_output)
        return
    if target or save:
        raise InputError("--target and --save require --probe", "add --probe")
    from ..runtime.doctor import diagnose
    from ..runtime.show.target_text import show_diagnosis

    show_diagnosis(diagnose(), as_json=json_output)


def _probe(targets: Sequence[str], save: Path | None, *, as_json: bool) -> None:
    from ..export.api.requirements import require_export

    require_export()
    from ..export.probe import differences, keep, probe
    from ..runtime.show.target_text import show_probe
    from ..runtime.show.terminal import ConsoleReporter

    with ConsoleReporter(silent=as_json) as reporter:
        matrices = probe(targets, reporter)
    differing = differences(matrices)
    if save is not None:
        keep(matrices, save)
    show_probe([matrix.to_json() for matrix in matrices], [row.to_json() for row in differing], as_json=as_json)
