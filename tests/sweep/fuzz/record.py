"""The record of a run: a line of JSON for each graph, so that a run can be stopped and continued; and its table."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from .trial import FINDINGS, Outcome
from .workers import Job


def read(path: Path) -> dict[Job, Outcome]:
    """The last outcome of each graph so far."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = (
        json.loads(line) for line in lines if line.endswith("}")
    )  # the last line of a run that was stopped may be cut
    outcomes = (Outcome(**{**values, "operators": tuple(values["operators"])}) for values in found)
    return {(outcome.kind, outcome.seed): outcome for outcome in outcomes}


def write(path: Path, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Append each outcome when it comes, and yield it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        for outcome in outcomes:
            stream.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
            stream.flush()
            yield outcome


def is_finding(outcome: Outcome) -> bool:
    """Whether somebody has to look at it."""
    return outcome.verdict in {verdict.value for verdict in FINDINGS}


def table(outcomes: Iterable[Outcome]) -> str:
    """Graphs by kind and verdict, refusals by reason, and every finding."""
    found = list(outcomes)
    lines = []
    for kind in sorted({outcome.kind for outcome in found}):
        of_kind = [outcome for outcome in found if outcome.kind == kind]
        counts = Counter(outcome.verdict for outcome in of_kind)
        seconds = sum(outcome.seconds for outcome in of_kind)
        engines = sum("trt" in outcome.options for outcome in of_kind)
        half = sum(outcome.options.get("precision") != "fp32" for outcome in of_kind)
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        lines.append(
            f"{kind}: {len(of_kind)} graphs, {half} in 16 bits, {engines} with an engine, {seconds:.0f} s: {verdicts}"
        )
    reasons = Counter((o.kind, o.verdict, _reason(o.text)) for o in found if o.verdict not in ("pass", "open"))
    lines += [f"  {n} {kind}, {verdict}: {text}" for (kind, verdict, text), n in reasons.most_common(60)]
    lines += [f"{o.kind} {o.seed} {o.verdict}: {', '.join(o.operators)}: {o.text}" for o in found if is_finding(o)]
    return "\n".join(lines)


def _reason(text: str) -> str:
    """Without names and numbers, so that the same reason is counted together."""
    return re.sub(r"'[^']*'|\S*/\S*|\d[\d.e+-]*", "_", text)[:110]
