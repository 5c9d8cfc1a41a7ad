"""Print the end of an export and of a rebuild: files, errors and verdicts, then the next commands."""

from __future__ import annotations

import sys
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from ..bundle.codec import decode
from ..bundle.manifest import Manifest, joined
from ..bundle.sections import DecodeRecord, EngineRecord
from ..open.engine_memory import memory_of
from .decode_table import agreement_table
from .parity_text import error_lines, headline
from .terminal import FAIL, PASS, number, print_json, size, stdout_console


def show_result(result: dict[str, Any], form: Literal["table", "json", "quiet"]) -> None:
    """Print the result of an export: the files with their errors, then the next commands."""
    if form == "json":
        print_json(result)
        return
    if form == "quiet":
        sys.stdout.write(f"{result['bundle']}\n")
        return
    console = stdout_console()
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
    """The manifest of a result, joined with the manifests of its parts."""
    if not result.get("parts"):
        manifest: dict[str, Any] = result["manifest"]
        return manifest
    parts = {name: Manifest.from_json(part) for name, part in result["parts"].items()}
    return joined(Manifest.from_json(result["manifest"]), parts).to_json()


def _result_table(manifest: dict[str, Any]) -> Table:
    """Stage, file, size, error ratio, the task's metric and verdict; the output's name if there are several."""
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
    table.caption = "error: rms against the original in FP64, as a multiple of PyTorch's error at that precision"
    table.caption_justify = "left"
    return table


def show_rebuilt(result: dict[str, Any], *, as_json: bool) -> None:
    """Print the engines that were rebuilt, and their errors on the golden cases."""
    if as_json:
        print_json(result)
        return
    console = stdout_console()
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
        console.print(f"kept:  {escape(result['timing_cache'])}, the kernels' timings: the next build here is faster")
    console.print(f"next:  attnexport check {escape(result['bundle'])}")
