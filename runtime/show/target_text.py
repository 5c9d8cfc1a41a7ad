"""Print what the targets can run: what is installed here, measured operators, and the result of a scan."""

from collections.abc import Sequence
from typing import Any

from ..doctor import Component
from .terminal import inert, plain_table, print_json, show_parts, stdout_console


def show_diagnosis(components: Sequence[Component], *, as_json: bool) -> None:
    """Print the installed components and the targets that work here, then the commands that install the others."""
    if as_json:
        print_json([component.to_json() for component in components])
        return
    marks = {"ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "broken": "[bold red]broken[/]"}
    table = plain_table("", "version", "", "")
    for c in components:
        table.add_row(inert(c.component), inert(c.version), marks.get(c.status, c.status), inert(c.detail))
    console = stdout_console()
    console.print(table)
    for remedy in dict.fromkeys(c.remedy for c in components if c.remedy):
        console.print(f"[dim]$[/] {inert(remedy)}" if remedy.startswith("pip") else inert(remedy))


def show_probe(measured: Sequence[dict[str, Any]], differing: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print the operators whose measured status differs from the shipped matrix."""
    if as_json:
        print_json({"measured": measured, "differences": differing})
        return
    console = stdout_console()
    if differing:
        table = plain_table("target", "operator", "here", "shipped", "why")
        for entry in differing:
            here, shipped = entry["here"], entry["shipped"] or {"status": "not measured"}
            facts = " ".join(f"{name}={value}" for name, value in here["facts"].items())
            words = (entry["target"], f"{here['op']}-{here['opset']} {facts}", here["status"], shipped["status"])
            table.add_row(*map(inert, words), inert(here.get("reason", "")))
        console.print(table)
    count = sum(len(matrix["rows"]) for matrix in measured)
    difference = f"{len(differing)} differ from" if differing else "all agree with"
    console.print(f"{count} measurements, {difference} the matrix that attnexport ships")


_WORDS = {
    "cannot": "[bold red]cannot run[/]",
    "wrong": "[bold red]wrong[/]",
    "slow": "[yellow]slow[/]",
    "left": "[yellow]copies windows[/]",
}


def show_scan(scan: dict[str, Any], *, as_json: bool) -> None:
    """Print the result of ``Scan.to_json``, or the JSON itself."""
    if as_json:
        print_json(scan)
        return
    parts: list[Any] = []
    if scan["nodes"]:
        recognised = ", ".join(f"{count} {what}" for what, count in scan["recognised"].items())
        parts.append(f"{scan['nodes']} nodes; recognised: {inert(recognised) or 'no local attention'}")
    else:
        parts.append("[bold red]cannot be exported[/]: what follows has no translation to ONNX")
    verdicts = plain_table("target", "runs", "cannot", "slow")
    for target in scan["targets"]:
        failures = [finding for finding in scan["findings"] if target in finding["targets"]]
        counts = [
            sum(finding["count"] for finding in failures if finding["status"] in kinds)
            for kinds in (("cannot", "wrong"), ("slow", "left"))
        ]
        verdicts.add_row(
            target, "[bold red]no[/]" if counts[0] else "[green]yes[/]", *(str(count or "") for count in counts)
        )
    parts.append(verdicts)
    if scan["findings"]:
        findings = plain_table("", "operator", "", "targets", "module", "source", "why", overflow="fold")
        for finding in scan["findings"]:
            every = set(finding["targets"]) == set(scan["targets"])
            targets = "all" if every else ", ".join(finding["targets"])
            more = len(finding["modules"]) - 1
            module = (finding["module"] or "<root>") + (f" and {more} more" if more > 0 else "")
            kind = f" ({finding['kind']})" if finding["kind"] else ""
            findings.add_row(
                _WORDS[finding["status"]], inert(finding["operator"]), f"x{finding['count']}", targets,
                inert(module + kind), inert(finding["source"]), inert(finding["reason"]),
            )  # fmt: skip
        parts.append(findings)
    else:
        parts.append("no measured operator prevents the export")
    show_parts(parts)
