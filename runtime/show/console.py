"""What a person sees on the terminal: one live line per stage, and tables at the end. JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from ..bundle.codec import decode
from ..bundle.joined import joined
from ..bundle.manifest import Manifest
from ..bundle.sections import DecodeRecord, EngineRecord
from ..open.engine_memory import memory_of
from .decode_table import agreement_table, hypothesis_json
from .divergence_table import print_divergence
from .parity_text import error_lines, headline

if TYPE_CHECKING:
    from ..bundle.divergence import Divergence
    from ..check.check_rows import CheckResult
    from ..decode.hypothesis import Hypothesis
    from ..doctor import Component
    from .inspect import Inspection

PASS, FAIL = "[green]pass[/]", "[bold red]FAIL[/]"


class _Finished(Protocol):
    name: str
    seconds: float
    detail: str


def _console() -> Console:
    # The stream is held: libraries' prints are swallowed by redirecting sys.stdout, and our lines must not go with them.
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 120  # a file or a pipe has no width to fold at
    return console


class ConsoleReporter:
    """A live line for the running stage, a finished line with its time for each stage that is done. ``silent`` shows nothing."""

    def __init__(self, *, silent: bool = False) -> None:
        self._console = _console()
        self._silent = silent
        self._status: Status | None = None
        self._stage = ""
        self._since = 0.0

    def __enter__(self) -> ConsoleReporter:
        if not self._silent and self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        if error is not None and self._stage and not self._silent:
            self._console.print(f"[red]x[/] {self._stage:<8}")

    def started(self, stage: str) -> None:
        """Show the stage as running."""
        self._stage, self._since = stage, time.monotonic()
        self._update(stage)

    def progress(self, done: float, text: str) -> None:
        """Show how far the running stage is."""
        self._update(f"{self._stage} {done:4.0%} {time.monotonic() - self._since:5.1f} s  {text}")

    def note(self, text: str) -> None:
        """Print a fact under the running stage."""
        if not self._silent:
            self._console.print(f"           [dim]{escape(text)}[/]")

    def finished(self, record: _Finished) -> None:
        """Print the stage's line."""
        self._stage = ""
        if not self._silent:
            self._console.print(
                f"[green]+[/] {record.name:<8} [cyan]{record.seconds:6.1f} s[/]  {escape(record.detail)}"
            )

    def _update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(escape(text))


def show_result(result: dict[str, Any], form: Literal["table", "json", "quiet"]) -> None:
    """Print the end of an export: a table of what was written and how it did, then what to type next."""
    if form == "json":
        print_json(result)
        return
    if form == "quiet":
        sys.stdout.write(f"{result['bundle']}\n")
        return
    console = _console()
    manifest = _whole(result)
    console.print(_result_table(manifest))
    for line in error_lines(manifest["attribution"]):
        console.print(escape(line))
    if manifest["decode"] is not None:
        console.print(agreement_table(decode(DecodeRecord, manifest["decode"], "decode").parity, (PASS, FAIL)))
    for failure in result["failures"]:
        console.print(f"{FAIL} {escape(failure)}")
    bundle = escape(result["bundle"])
    console.print(f"\nwritten: [bold]{bundle}[/]")
    console.print(f"next:    attnexport check {bundle}     attnexport inspect {bundle}")


def _whole(result: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a result; of a bundle with parts, with what each of them says."""
    if not result.get("parts"):
        manifest: dict[str, Any] = result["manifest"]
        return manifest
    parts = {name: Manifest.from_json(part) for name, part in result["parts"].items()}
    return joined(Manifest.from_json(result["manifest"]), parts).to_json()


def _result_table(manifest: dict[str, Any]) -> Table:
    """Stage, file, size, error ratio, the task's figure and verdict; the output's name where there are several."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    several = len(manifest["outputs"]) > 1
    for column in ("stage", *(("output",) if several else ()), "file"):
        table.add_column(column, no_wrap=True)
    for column in ("size", "error", "result"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    files = manifest["files"]
    ran: set[str] = set()
    for record in manifest["parity"]:
        file, gate = record["file"], record["gate"]
        table.add_row(
            record["stage"],
            *((escape(record["output"]),) if several else ()),
            escape(file),
            size(files[file]["bytes"]),
            f"{number(gate['ratio']):.2f}x",
            headline(record["detail"]),
            PASS if gate["passed"] else FAIL,
        )
        ran.add(file)
    for engine in manifest["engines"]:
        if engine["file"] not in ran:
            row = (escape(engine["file"]), size(engine["bytes"]), "-", "-", "[yellow]built[/], not run: no GPU")
            table.add_row(f"engine-{engine['precision']}", *(("-",) if several else ()), *row)
    table.caption = "error: rms against the original in FP64, as a multiple of PyTorch's own error at that precision"
    table.caption_justify = "left"
    return table


def show_check(result: CheckResult, *, as_json: bool) -> None:
    """Print what a check proved: a row per file and output, and the verdict."""
    if as_json:
        print_json(result.to_json())
        return
    console = _console()
    console.print(f"{result.files} files match their hashes; {result.cases} golden cases")
    table = _table("stage", "file", "output", "error", "verdict", "run by")
    for row in result.rows:
        verdict = {"passed": PASS, "failed": FAIL}.get(row.verdict, f"[yellow]{row.verdict}[/]")
        error = "-" if row.ratio is None else f"{row.ratio:.2f}x"
        table.add_row(row.stage, escape(row.file), escape(row.output), error, verdict, escape(row.how or row.reason))
    console.print(table)
    for row in result.rows:
        if row.verdict == "failed":
            console.print(f"{FAIL} {escape(row.file)}, output {escape(row.output)}: {escape(row.reason)}")
    console.print("[green]the bundle holds[/]" if result.passed else "[bold red]the bundle does not hold[/]")


def show_rebuilt(result: dict[str, Any], *, as_json: bool) -> None:
    """Print what was built anew, and how it did on the golden cases."""
    if as_json:
        print_json(result)
        return
    console = _console()
    for engine in result["engines"]:
        what = f"{size(engine['bytes'])}, {engine['layers']} layers, {engine['seconds']:.1f} s"
        console.print(f"built: {escape(engine['file'])} from {escape(engine['model'])} ({what})")
        memory = memory_of(decode(EngineRecord, {**engine, "layers": []}, "engine"))
        for line in memory.describe(size) if memory is not None else ():
            console.print(f"       {line}")
    for row in (result["checked"] or {"rows": ()})["rows"]:
        if any(row["file"].endswith(engine["file"]) for engine in result["engines"]):
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}x of {row['factor']:g}x"
            console.print(
                f"       {escape(row['file'])} output {escape(row['output'])}: {row['verdict']}, error {ratio}"
            )
    if result["timing_cache"] is not None:
        console.print(f"kept:  {escape(result['timing_cache'])}, the kernels' timings: the next build here is quicker")
    console.print(f"next:  attnexport check {escape(result['bundle'])}")


def show_inspection(found: Inspection, *, layers: bool, as_json: bool) -> None:
    """Print what a bundle says of itself: facts, rewrites with reasons, operators, precisions, engines, parity."""
    if as_json:
        print_json(found.to_json())
        return
    console = _console()
    facts = _table("", "", header=False)
    for what, value in found.facts:
        facts.add_row(what, escape(value))
    console.print(facts)
    _show_rewrites(console, found)
    _show_precision(console, found)
    counts = _table("operator", *found.models)
    for operator in found.operators:
        counts.add_row(operator.op, *map(str, operator.counts))
    console.print("\n[bold]operators[/]", counts, sep="\n")
    _show_engines(console, found, layers)
    parity = _table("stage", "output", "rms error", "PyTorch's own", "ratio", "allowed", "result", "verdict")
    for row in found.parity:
        parity.add_row(
            row.stage, escape(row.output), f"{row.rms:.2e}", f"{row.own_rms:.2e}", f"{row.ratio:.2f}x", f"{row.factor:g}x",
            row.result, PASS if row.passed else FAIL,
        )  # fmt: skip
    console.print("\n[bold]parity[/]", parity, sep="\n")
    for line in error_lines(found.attribution, most=len(found.attribution)):
        console.print(escape(line))
    if found.decode:
        console.print("\n[bold]decodes[/]", agreement_table(found.decode, (PASS, FAIL)), sep="\n")
    for note in found.notes:
        console.print(f"note: {escape(note)}")


def show_divergence(
    found: Divergence, form: Literal["table", "json", "quiet"], *, every: bool = False, tensors: bool = False
) -> None:
    """Print where a stage parts from the original; ``quiet``: the command that reproduces it."""
    if form == "json":
        print_json(found.to_json())
    elif form == "table":
        print_divergence(_console(), found, every=every, tensors=tensors)
    elif found.reproducer is not None:
        sys.stdout.write(f"{found.reproducer.command}\n")


def show_decodes(found: Sequence[Sequence[Hypothesis]], how: str, *, as_json: bool) -> None:
    """Print the tokens of each row's best hypothesis, a line per row; as JSON all hypotheses."""
    if as_json:
        print_json({"run_by": how, "rows": [[hypothesis_json(one) for one in row] for row in found]})
        return
    for row in found:
        best = row[0]
        sys.stdout.write(" ".join(map(str, best.tokens)) + ("" if best.finished else " ...") + "\n")


def show_picture(path: Path, *, as_json: bool) -> None:
    """Print where a picture was written."""
    if as_json:
        print_json({"picture": str(path)})
    else:
        _console().print(f"written: {escape(str(path))}", soft_wrap=True)


def show_page(path: Path, *, as_json: bool) -> None:
    """Print where a report was written."""
    if as_json:
        print_json({"report": str(path)})
    else:
        _console().print(f"written: {escape(str(path))}", soft_wrap=True)


def show_parts(parts: Iterable[RenderableType], *, width: int = 140) -> None:
    """Print tables and lines that were put together elsewhere; ``width``: of a file or a pipe."""
    console = _console()
    if not console.is_terminal:
        console.width = width
    for part in parts:
        console.print(part)


def _show_rewrites(console: Console, found: Inspection) -> None:
    console.print("\n[bold]rewrites[/]")
    if not found.rewrites:
        console.print("none: the graph had standard operators only")
    for row in found.rewrites:
        what = row.found or row.op
        console.print(f"{len(row.nodes)} {escape(what)} -> {row.lowering or 'nothing'}  [dim]in {escape(row.model)}[/]")
        for module in row.modules:
            console.print(f"    in {escape(module)}")
        for name, reason in row.refused:
            said = "not recognised as local attention" if name == "recognise" else f"not {name}"
            console.print(f"    [dim]{said}: {escape(reason)}[/]")
        if row.milliseconds:
            times = ", ".join(f"{name} {taken:.2f} ms" for name, taken in row.milliseconds)
            console.print(f"    [dim]measured: {times}[/]")


def _show_precision(console: Console, found: Inspection) -> None:
    if not found.precision_counts:
        return
    said = ", ".join(f"{count} {what}" for what, count in found.precision_counts.items())
    console.print(f"\n[bold]precision[/] of the 16-bit model: nodes {said}")
    for row in found.kept:
        console.print(f"{len(row.nodes)} in FP32: {escape(row.reason)}")
        console.print(f"    in {escape(', '.join(row.modules))}")


def _show_engines(console: Console, found: Inspection, layers: bool) -> None:
    for engine in found.engines:
        gpu = f"compute capability {engine.compute_capability}" if engine.compute_capability else "any supported GPU"
        console.print(
            f"\n[bold]engine[/] {escape(engine.file)}: {engine.library}, {engine.precision}, {gpu}, {size(engine.bytes)}, "
            f"{len(engine.layers)} layers, built in {engine.seconds:.1f} s"
        )
        for i, profile in enumerate(engine.profiles):
            for name, shapes in profile.items():
                points = ", ".join(f"{point} {'x'.join(map(str, shape))}" for point, shape in shapes.items())
                console.print(f"    profile {i}: {escape(name)} {points}")
        for i, line in enumerate(engine.memory.describe(size) if engine.memory is not None else ()):
            console.print(f"    profile {i}: {line}")
        if layers:
            table = _table("layer", "type", "outputs")
            for layer in engine.layers:
                outputs = ", ".join(f"{o.get('dtype', '')}" for o in layer.get("outputs", ()))
                table.add_row(escape(str(layer.get("name", ""))), str(layer.get("type", "")), outputs)
            console.print(table)
    if found.engines and not layers:
        console.print("    every layer: add --layers")


def show_diagnosis(findings: Sequence[Component], *, as_json: bool) -> None:
    """Print what is installed and which targets work here, then what to type for the rest."""
    if as_json:
        print_json([finding.to_json() for finding in findings])
        return
    marks = {"ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "broken": "[bold red]broken[/]"}
    table = _table("", "version", "", "")
    for finding in findings:
        table.add_row(
            finding.component, finding.version, marks.get(finding.status, finding.status), escape(finding.detail)
        )
    console = _console()
    console.print(table)
    for remedy in dict.fromkeys(f.remedy for f in findings if f.remedy):
        console.print(f"[dim]$[/] {escape(remedy)}" if remedy.startswith("pip") else escape(remedy))


def show_probe(measured: Sequence[dict[str, Any]], differing: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print where operators do otherwise here than the shipped matrix says, or that none does."""
    if as_json:
        print_json({"measured": measured, "differences": differing})
        return
    console = _console()
    if differing:
        table = _table("target", "operator", "here", "shipped", "why")
        for entry in differing:
            here, shipped = entry["here"], entry["shipped"] or {"status": "not measured"}
            facts = " ".join(f"{name}={value}" for name, value in here["facts"].items())
            words = (entry["target"], f"{here['op']}-{here['opset']} {facts}", here["status"], shipped["status"])
            table.add_row(*map(escape, words), escape(here.get("reason", "")))
        console.print(table)
    count = sum(len(one["rows"]) for one in measured)
    said = f"{len(differing)} differ from" if differing else "all agree with"
    console.print(f"{count} measurements, {said} the matrix that attnexport ships")


def _table(*columns: str, header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), show_header=header)
    for column in columns:
        table.add_column(column)
    return table


def size(count: int) -> str:
    """Bytes as people read them."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def number(value: float | str) -> float:
    """A figure of a manifest, where NaN and infinities are strings."""
    return float(value)


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")
