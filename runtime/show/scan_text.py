"""Print the result of a scan: a verdict for each target, then each operator with module, line and reason."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from .terminal import print_json, show_parts

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
        parts.append(f"{scan['nodes']} nodes; recognised: {escape(recognised) or 'no local attention'}")
    else:
        parts.append("[bold red]cannot be exported[/]: what follows has no translation to ONNX")
    verdicts = _table("target", "runs", "cannot", "slow")
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
        findings = _table("", "operator", "", "targets", "module", "source", "why")
        for finding in scan["findings"]:
            every = set(finding["targets"]) == set(scan["targets"])
            targets = "all" if every else ", ".join(finding["targets"])
            more = len(finding["modules"]) - 1
            module = (finding["module"] or "<root>") + (f" and {more} more" if more > 0 else "")
            kind = f" ({finding['kind']})" if finding["kind"] else ""
            findings.add_row(
                _WORDS[finding["status"]], escape(finding["operator"]), f"x{finding['count']}", targets,
                escape(module + kind), escape(finding["source"]), escape(finding["reason"]),
            )  # fmt: skip
        parts.append(findings)
    else:
        parts.append("no measured operator prevents the export")
    show_parts(parts)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
