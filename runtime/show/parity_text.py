"""Parity as text: the path of an output's error, the task's metric, and how decodes agree with the original's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from ..bundle.attribution import Attribution
from ..bundle.sections import DecodeAgreement
from .terminal import plain_table

MOST = 4
"""Outputs with a line at the end of an export; ``attnexport inspect`` prints all."""


def headline(detail: Mapping[str, Any]) -> str:
    """The task's metric in a parity record's detail: ``top-1 100.00%``, ``IoU 99.98%``, ``62.1 dB``; else ``-``."""
    if figures := detail.get("top1"):
        return f"top-1 {figures['agreement']:.2%}"
    if figures := detail.get("iou"):
        return f"IoU {figures['mean']:.2%}"
    if figures := detail.get("tokens"):
        return f"tokens {figures['accuracy']:.2%}"
    if figures := detail.get("psnr"):
        return f"{float(figures['decibels']):.1f} dB"
    return "-"


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
            record.stage,
            "greedy" if record.width == 1 else f"beam of {record.width}",
            f"{record.equal_rows}/{record.rows}",
            f"{record.equal_tokens}/{record.tokens}",
            str(record.ties),
            verdicts[0] if record.passed else verdicts[1],
        )
    return table
