"""Print decodes: how they agree with the original's, and the tokens of given sources."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from ..bundle.sections import DecodeAgreement
from ..decode.hypothesis import Hypothesis
from .terminal import print_json


def agreement_table(records: Sequence[DecodeAgreement], verdicts: tuple[str, str]) -> Table:
    """A row for each variant and search; ``verdicts`` are the words for passed and failed."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("decode", "search"):
        table.add_column(column, no_wrap=True)
    for column in ("rows alike", "tokens alike", "ties"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for record in records:
        table.add_row(
            record.stage,
            "greedy" if record.width == 1 else f"beam of {record.width}",
            f"{record.equal_rows}/{record.rows}",
            f"{record.equal_tokens}/{record.tokens}",
            str(record.ties),
            verdicts[0] if record.passed else verdicts[1],
        )
    table.caption = "alike: as the original decodes in FP64; a row may leave it only where the original has a tie"
    table.caption_justify = "left"
    return table


def hypothesis_json(hypothesis: Hypothesis) -> dict[str, Any]:
    """A plain dictionary, without the attention."""
    return {
        "tokens": list(hypothesis.tokens),
        "finished": hypothesis.finished,
        "log_probability": hypothesis.log_probability,
        "score": hypothesis.score,
    }


def show_decodes(decodes: Sequence[Sequence[Hypothesis]], how: str, *, as_json: bool) -> None:
    """Print the tokens of each row's best hypothesis, a line per row; as JSON all hypotheses."""
    if as_json:
        print_json({"run_by": how, "rows": [[hypothesis_json(hypothesis) for hypothesis in row] for row in decodes]})
        return
    for row in decodes:
        best = row[0]
        sys.stdout.write(" ".join(map(str, best.tokens)) + ("" if best.finished else " ...") + "\n")
