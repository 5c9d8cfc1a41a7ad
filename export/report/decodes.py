"""Decodes of an encoder and its step: agreement with the original, and a few decodes token by token."""

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
from .markup import RIGHT, Html, Markup, join, pill, section, table, tag


def decodes(content: Content) -> Markup | None:
    """Return the tables of a bundle with encoder and step; None for one graph."""
    facts = content.own.decode
    if facts is None:
        return None
    columns = [
        ("variant", ""), ("search", ""), ("equal rows", RIGHT), ("equal tokens", RIGHT), ("ties", RIGHT), ("verdict", ""),
    ]  # fmt: skip
    rows: list[list[Html]] = [
        [
            words.stage(record.stage), "greedy" if record.width == 1 else f"beam of {record.width}",
            f"{record.equal_rows} of {record.rows}", f"{record.equal_tokens:,} of {record.tokens:,}", str(record.ties),
            pill(record.passed),
        ]
        for record in facts.parity
    ]  # fmt: skip
    lead = f"Compared token by token with the original in FP64, for {facts.sources} sources. A row may differ only at a tie."
    return section("decodes", "Decodes", lead, table(columns, rows), _written(content, facts))


def _written(content: Content, facts: DecodeRecord) -> Markup | None:
    """Sources beside the decodes of PyTorch and ONNX Runtime, up to the end token."""
    path = content.folder / GOLDEN
    if not path.is_file():
        return None
    case = read_golden(path)[0]
    source = next(iter(case.feeds.values()))[:MAX_SAMPLES]
    reference = case.reference[TOKENS][:MAX_SAMPLES]
    decoded = {
        record.stage: _decode(content, facts, record, source)
        for record in facts.parity
        if record.width == 1 and record.stage.startswith("onnx-")
    }
    columns = [("source", ""), ("PyTorch, FP64", ""), *((words.stage(stage), "") for stage in decoded)]
    rows: list[list[Html]] = []
    for i in range(len(source)):
        unpadded = source[i][source[i] != facts.padding]
        expected = _ended(reference[i], facts.end)
        cells = [
            tokens if isinstance(tokens, str) else show_values.tokens(*_level(tokens[i], expected, facts.end))
            for tokens in decoded.values()
        ]
        rows.append([show_values.tokens(unpadded), show_values.tokens(expected), *cells])
    return join(tag("h3", "Token by token"), table(columns, rows, class_="gallery"))


def _decode(content: Content, facts: DecodeRecord, record: DecodeAgreement, source: np.ndarray) -> np.ndarray | str:
    """The tokens of each source, or the message of an error."""
    try:
        with ExitStack() as stack:
            parts = {graph.name: StoredBundle.open(graph.folder) for graph in content.graphs}
            decoder, _ = open_form(parts, facts, record, stack, lambda _: None)
            return as_rows(decoder.greedy(source), facts.end, facts.limit)
    except AttnexportError as error:
        return error.problem


def _ended(tokens: np.ndarray, end: int) -> np.ndarray:
    """The tokens before the first end token."""
    places = np.flatnonzero(tokens == end)
    return tokens[: places[0]] if places.size else tokens


def _level(tokens: np.ndarray, reference: np.ndarray, end: int) -> Sequence[np.ndarray]:
    """A row and its reference, padded to the same length."""
    row = _ended(tokens, end)
    size = max(len(row), len(reference))
    return [np.pad(part, (0, size - len(part)), constant_values=end) for part in (row, reference)]
