"""Parity figures as people read them: one line for the way of an output's error, one word for how well a task holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..bundle.attribution import Attribution
from ..bundle.codec import decode

MOST = 4
"""Outputs that get a line at the end of an export; all do in ``attnexport inspect``."""


def headline(detail: Mapping[str, Any]) -> str:
    """The task's own figure in a parity record's detail: ``top-1 100.00%``, ``IoU 99.98%``, ``62.1 dB``; else ``-``."""
    if found := detail.get("top1"):
        return f"top-1 {found['agreement']:.2%}"
    if found := detail.get("iou"):
        return f"IoU {found['mean']:.2%}"
    if found := detail.get("tokens"):
        return f"tokens {found['accuracy']:.2%}"
    if found := detail.get("psnr"):
        return f"{float(found['decibels']):.1f} dB"
    return "-"


def error_lines(entries: Sequence[Attribution | Mapping[str, Any]], most: int = MOST) -> list[str]:
    """For each output the way of its error to the last form, and to any other that somebody is to blame for.

    ``entries``: as they are in the manifest, or in its JSON. Beyond ``most`` outputs, only those with blame.
    """
    found = [e if isinstance(e, Attribution) else decode(Attribution, e, "attribution") for e in entries]
    last = {entry.output: entry for entry in found}
    shown = [
        entry
        for entry in found
        if entry.blame is not None or (entry is last[entry.output] and list(last).index(entry.output) < most)
    ]
    lines = []
    for entry in shown:
        to_blame = f"   <- {entry.blame.describe()}" if entry.blame is not None else ""
        lines.append(f"{entry.output}: {entry.line()}{to_blame}")
    if hidden := len(last) - len({entry.output for entry in shown}):
        lines.append(f"and {hidden} more outputs: attnexport inspect")
    return lines
