"""Print the results of export, rebuild, check, decode and triton; parity in words: the path of an error, metrics, agreements of decodes."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from ..bundle.attribution import Attribution
from ..bundle.codec import decode
from ..bundle.figures import MatchCounts, ParityRecord
from ..bundle.manifest import Manifest, joined
from ..bundle.sections import DecodeAgreement, EngineRecord
from ..check.check_rows import CheckResult
from ..decode.decoder import Hypothesis
from ..open.engine_memory import memory_of
from .terminal import FAIL, PASS, command_word, inert, plain, plain_table, print_json, show_parts, size, stdout_console

MOST = 4
"""Outputs with a line at the end of an export; ``attnexport inspect`` prints all."""


def headline(detail: Mapping[str, Any], agreement: MatchCounts | None = None) -> str:
    """The metric of a parity record: ``top-1 100.00%``, ``IoU 99.98%``, ``62.1 dB``, ``98.0% agree``; else ``-``."""
    if figures := detail.get("top1"):
        return f"top-1 {figures['agreement']:.2%}"
    if figures := detail.get("iou"):
        return f"IoU {figures['mean']:.2%}"
    if figures := detail.get("tokens"):
        return f"tokens {figures['accuracy']:.2%}"
    if figures := detail.get("psnr"):
        return f"{float(figures['decibels']):.1f} dB"
    return "-" if agreement is None else f"{agreement.share:.1%} agree"


def agreement_lines(records: Sequence[ParityRecord]) -> list[str]:
    """One line for each variant whose selected rows or discrete values differ from the reference's, though they pass."""
    lines: dict[str, None] = {}
    for record in records:
        agreement = record.agreement
        if agreement is not None and agreement.equal < agreement.count:
            what = "rows" if agreement.moved or record.figures.count != agreement.count else "values"
            lines[f"{record.stage}: of {agreement.count} {what}, {agreement.describe()}"] = None
    return list(lines)


def verdict_text(verdict: str) -> str:
    """A gate's verdict with its colour: ``pass``, ``unstable`` or ``fail``."""
    return {"pass": PASS, "fail": FAIL}.get(verdict, f"[yellow]{verdict}[/]")


def error_lines(entries: Sequence[Attribution], most: int = MOST) -> list[str]:
    """For each output the path of its error to the last variant, and to any other variant with a cause.

    Beyond ``most`` outputs, only those with a cause.
    """
    last = {entry.output: entry for entry in entries}
    shown = [
        entry
        for entry in entries
        if entry.blame is not None or (entry is last[entry.output] and list(last).index(entry.output) < most)
    ]
    lines = []
    for entry in shown:
        to_blame = f"   <- {entry.blame.describe()}" if entry.blame is not None else ""
        lines.append(f"{entry.output}: {entry.line()}{to_blame}")
    if hidden := len(last) - len({entry.output for entry in shown}):
        lines.append(f"and {hidden} more outputs: attnexport inspect")
    return lines


def agreement_table(records: Sequence[DecodeAgreement], verdicts: tuple[str, str]) -> Table:
    """A row for each variant and search; ``verdicts`` are the words for passed and failed."""
    figures = ("rows alike", "tokens alike", "ties")
    caption = "alike: as the original decodes in FP64; a row may leave it only where the original has a tie"
    table = plain_table("decode", "search", *figures, "verdict", right=figures, caption=caption, no_wrap=True)
    for record in records:
        table.add_row(
            inert(record.stage),
            "greedy" if record.width == 1 else f"beam of {record.width}",
            f"{record.equal_rows}/{record.rows}",
            f"{record.equal_tokens}/{record.tokens}",
            str(record.ties),
            verdicts[0] if record.passed else verdicts[1],
        )
    return table


def show_result(result: dict[str, Any], form: Literal["table", "json", "quiet"]) -> None:
    """Print the result of an export: the files with their errors, then the next commands."""
    if form == "json":
        print_json(result)
        return
    if form == "quiet":
        sys.stdout.write(f"{plain(result['bundle'])}\n")
        return
    console = stdout_console()
    manifest = Manifest.from_json(result["manifest"])
    if result.get("parts"):
        manifest = joined(manifest, {name: Manifest.from_json(part) for name, part in result["parts"].items()})
    console.print(_result_table(manifest))
    for line in (*agreement_lines(manifest.parity), *error_lines(manifest.attribution)):
        console.print(inert(line))
    if manifest.decode is not None:
        console.print(agreement_table(manifest.decode.parity, (PASS, FAIL)))
    for failure in result["failures"]:
        console.print(f"{FAIL} {inert(failure)}")
    bundle = command_word(result["bundle"])
    console.print(f"\nwritten: [bold]{inert(result['bundle'])}[/]")
    console.print(f"next:    attnexport check {bundle}     attnexport inspect {bundle}")


def _result_table(manifest: Manifest) -> Table:
    """Stage, file, size, error ratio, the task's metric and verdict; the output's name if there are several."""
    several = len(manifest.outputs) > 1
    figures = ("size", "error", "relative", "cosine", "result")
    caption = (
        "error: rms against the original in FP64, as a multiple of PyTorch's error at that precision; relative: of the rms "
        "of the output"
    )
    columns = ("stage", *(("output",) if several else ()), "file", *figures, "verdict")
    table = plain_table(*columns, right=figures, gap=1, caption=caption, no_wrap=True)
    for record in manifest.parity:
        table.add_row(
            inert(record.stage),
            *((inert(record.output),) if several else ()),
            inert(record.file),
            size(manifest.files[record.file].bytes),
            f"{record.gate.ratio:.2f}x",
            f"{record.gate.relative:.1e}",
            f"{record.gate.cosine:.5f}",
            headline(record.detail, record.agreement),
            verdict_text(record.gate.verdict),
        )
    ran = {record.file for record in manifest.parity}
    for engine in manifest.engines:
        if engine.file not in ran:
            row = (inert(engine.file), size(engine.bytes), *("-",) * 4, "[yellow]built[/], not run: no GPU")
            table.add_row(f"engine-{inert(engine.precision)}", *(("-",) if several else ()), *row)
    return table


def show_rebuilt(result: dict[str, Any], *, as_json: bool) -> None:
    """Print the engines that were rebuilt, and their errors on the golden cases."""
    if as_json:
        print_json(result)
        return
    console = stdout_console()
    for engine in result["engines"]:
        what = f"{size(engine['bytes'])}, {engine['layers']} layers, {engine['seconds']:.1f} s"
        console.print(f"built: {inert(engine['file'])} from {inert(engine['model'])} ({what})")
        memory = memory_of(decode(EngineRecord, {**engine, "layers": []}, "engine"))
        for line in memory.describe(size) if memory is not None else ():
            console.print(f"       {line}")
    for row in (result["checked"] or {"rows": ()})["rows"]:
        if any(row["file"].endswith(engine["file"]) for engine in result["engines"]):
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}x of {row['factor']:g}x"
            console.print(f"       {inert(row['file'])} output {inert(row['output'])}: {row['verdict']}, error {ratio}")
    if result["timing_cache"] is not None:
        console.print(f"kept:  {inert(result['timing_cache'])}, the kernels' timings: the next build here is faster")
    console.print(f"next:  attnexport check {command_word(result['bundle'])}")


def show_check(result: CheckResult, *, as_json: bool) -> None:
    """Print a row for each file and output, each failure, and the verdict."""
    if as_json:
        print_json(result.to_json())
        return
    console = stdout_console()
    console.print(f"{result.files} files match their hashes; {result.cases} golden cases")
    table = plain_table("stage", "file", "output", "error", "relative", "cosine", "verdict", "run by")
    for row in result.rows:
        verdict = {"passed": PASS, "failed": FAIL}.get(row.verdict, f"[yellow]{row.verdict}[/]")
        error = "-" if row.ratio is None else f"{row.ratio:.2f}x"
        relative = "-" if row.relative is None else f"{row.relative:.1e}"
        cosine = "-" if row.cosine is None else f"{row.cosine:.5f}"
        agreement = "" if row.agreement is None else f"{row.agreement:.1%} agree; "
        limit = (
            ""
            if row.recorded in (None, row.factor)
            else f"limit {row.factor:g}x, the manifest says {row.recorded:g}x; "
        )
        remark = inert(limit + agreement + (row.how or row.reason))
        table.add_row(inert(row.stage), inert(row.file), inert(row.output), error, relative, cosine, verdict, remark)
    console.print(table)
    for row in result.rows:
        if row.verdict in ("failed", "unstable"):
            mark = FAIL if row.verdict == "failed" else "[yellow]unstable[/]"
            console.print(f"{mark} {inert(row.file)}, output {inert(row.output)}: {inert(row.reason)}")
    console.print("[green]bundle verified[/]" if result.passed else "[bold red]bundle not verified[/]")


def show_decodes(decodes: Sequence[Sequence[Hypothesis]], how: str, *, as_json: bool) -> None:
    """Print the tokens of each row's best hypothesis, a line per row; as JSON all hypotheses."""
    if as_json:
        fields = ("tokens", "finished", "log_probability", "score")
        rows = [[{name: getattr(hypothesis, name) for name in fields} for hypothesis in row] for row in decodes]
        print_json({"run_by": how, "rows": rows})
        return
    for row in decodes:
        best = row[0]
        sys.stdout.write(" ".join(map(str, best.tokens)) + ("" if best.finished else " ...") + "\n")


def show_repository(models: Sequence[Mapping[str, Any]], out: Path, *, as_json: bool) -> None:
    """Print the models that were written to a Triton repository, as ``WrittenModel.to_json`` returns them, and remarks on each."""
    if as_json:
        print_json({"repository": str(out), "models": list(models)})
        return
    table = plain_table("model", "version", "backend", "grouped", "runs")
    for model in models:
        grouped = f"up to {model['max_batch']}" if model["max_batch"] else "no"
        table.add_row(*map(inert, (model["name"], str(model["version"]), model["backend"], grouped, model["how"])))
    notes = [f"[dim]{inert(model['name'])}: {inert(note)}[/]" for model in models for note in model["notes"]]
    served = ", ".join(model["name"] for model in models if model["role"] in ("model", "ensemble"))
    where = (
        f"\nwritten: [bold]{inert(str(out))}[/]   serve it: tritonserver --model-repository={command_word(str(out))}"
    )
    show_parts([table, *notes, where, f"clients call {inert(served)}"])
