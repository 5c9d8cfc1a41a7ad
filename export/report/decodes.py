"""What an encoder and its step write together: agreement with the original's decodes, and a few of them token by token."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from ...errors import AttnexportError
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.bundle.golden import read_golden
from ...runtime.bundle.sections import DecodeAgreement, DecodeRecord
from ...runtime.check.check_decode import TOKENS, open_form
from ...runtime.decode.agreement import as_rows
from ..verify.shown import GOLDEN, MAX_SAMPLES
from . import show_values, words
from .content import Content
from .markup import Content as Html
from .markup import Markup, join, tag
from .tables import RIGHT, section, table


def decodes(content: Content) -> Markup | None:
    """Tables of a bundle with encoder and step; None for one graph."""
    facts = content.own.decode
    if facts is None:
        return None
    columns = [
        ("form", ""), ("search", ""), ("rows alike", RIGHT), ("tokens alike", RIGHT), ("ties", RIGHT), ("verdict", ""),
    ]  # fmt: skip
    rows: list[list[Html]] = [
        [
            words.stage(record.stage), "greedy" if record.width == 1 else f"beam of {record.width}",
            f"{record.equal_rows} of {record.rows}", f"{record.equal_tokens:,} of {record.tokens:,}", str(record.ties),
            tag("span", "pass" if record.passed else "fail", class_=f"pill {'good' if record.passed else 'bad'}"),
        ]
        for record in facts.parity
    ]  # fmt: skip
    said = f"Alike: token for token as the original decodes in FP64, from {facts.sources} sources. A row may leave it only at a tie."
    return section("decodes", "Decodes", said, table(columns, rows), _written(content, facts))


def _written(content: Content, facts: DecodeRecord) -> Markup | None:
    """Sources beside what PyTorch and ONNX Runtime write for them, up to the end token."""
    path = content.folder / GOLDEN
    if not path.is_file():
        return None
    case = read_golden(path)[0]
    source = next(iter(case.feeds.values()))[:MAX_SAMPLES]
    reference = case.reference[TOKENS][:MAX_SAMPLES]
    found: dict[str, np.ndarray | str] = {}
    for record in facts.parity:
        if record.width == 1 and record.stage.startswith("onnx-"):
            found[record.stage] = _decode(content, facts, record, source)
    columns = [("source", ""), ("PyTorch, FP64", ""), *((words.stage(stage), "") for stage in found)]
    rows: list[list[Html]] = []
    for i in range(len(source)):
        given = source[i][source[i] != facts.padding]
        own = _ended(reference[i], facts.end)
        cells: list[Html] = [show_values.tokens(given), show_values.tokens(own)]
        for tokens in found.values():
            cells.append(tokens if isinstance(tokens, str) else show_values.tokens(*_level(tokens[i], own, facts.end)))
        rows.append(cells)
    return join(tag("h3", "As they are written"), table(columns, rows, class_="gallery"))


def _decode(content: Content, facts: DecodeRecord, record: DecodeAgreement, source: np.ndarray) -> np.ndarray | str:
    """The tokens of each source, or why there are none."""
    try:
        with ExitStack() as stack:
            parts = {graph.name: StoredBundle.open(graph.folder) for graph in content.graphs}
            decoder, _ = open_form(parts, facts, record, stack, lambda _: None)
            return as_rows(decoder.greedy(source), facts.end, facts.limit)
    except AttnexportError as error:
        return error.problem


def _ended(tokens: np.ndarray, end: int) -> np.ndarray:
    """A row up to its first end token, without it."""
    places = np.flatnonzero(tokens == end)
    return tokens[: places[0]] if places.size else tokens


def _level(tokens: np.ndarray, reference: np.ndarray, end: int) -> Sequence[np.ndarray]:
    """A row and its reference, both as long as the longer of them."""
    own = _ended(tokens, end)
    size = max(len(own), len(reference))
    return [np.pad(row, (0, size - len(row)), constant_values=end) for row in (own, reference)]
