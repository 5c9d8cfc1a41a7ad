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


def show_scan(found: dict[str, Any], *, as_json: bool) -> None:
    """Print the result of ``Scan.to_json``, or the JSON itself."""
    if as_json:
        print_json(found)
        return
    parts: list[Any] = []
    if found["nodes"]:
        recognised = ", ".join(f"{count} {what}" for what, count in found["recognised"].items())
        parts.append(f"{found['nodes']} nodes; recognised: {escape(recognised) or 'no local attention'}")
    else:
        parts.append("[bold red]cannot be exported[/]: what follows has no translation to ONNX")
    verdicts = _table("target", "runs", "cannot", "slow")
    for target in found["targets"]:
        mine = [one for one in found["findings"] if target in one["targets"]]
        counts = [
            sum(one["count"] for one in mine if one["status"] in kinds)
            for kinds in (("cannot", "wrong"), ("slow", "left"))
        ]
        verdicts.add_row(
            target, "[bold red]no[/]" if counts[0] else "[green]yes[/]", *(str(count or "") for count in counts)
        )
    parts.append(verdicts)
    if found["findings"]:
        findings = _table("", "operator", "", "targets", "module", "source", "why")
        for one in found["findings"]:
            every = set(one["targets"]) == set(found["targets"])
            more = len(one["modules"]) - 1
            module = (one["module"] or "<root>") + (f" and {more} more" if more > 0 else "")
            kind = f" ({one['kind']})" if one["kind"] else ""
            findings.add_row(
                _WORDS[one["status"]], escape(one["operator"]), f"x{one['count']}", "all" if every else ", ".join(one["targets"]),
                escape(module + kind), escape(one["source"]), escape(one["reason"]),
            )  # fmt: skip
        parts.append(findings)
    else:
        parts.append("nothing stands in the way, as far as operators were measured")
    show_parts(parts)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
