"""Verify the decodes of a bundle with encoder and step: greedy, from the golden sources, token by token.

The golden cases have source tokens, the tokens that the original decoded from them in FP64, and at
every place the margin of its best token over the second. A row may first differ only at a tie, as
the manifest's record defines it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from ...errors import AttnexportError, BundleError, MissingBackendError
from ..bundle.bundle import StoredBundle
from ..bundle.golden import GoldenCase
from ..bundle.sections import DecodeAgreement, DecodeRecord
from ..decode.agreement import agree, as_rows, joined
from ..decode.bundle_decoder import batches, parts_of
from ..decode.sequence import SequenceDecoder
from ..open.select import open_stage
from ..sessions import Session
from .check_rows import FAILED, NOT_RUN, PASSED, CheckRow

TOKENS, MARGINS = "tokens", "margins"
"""The reference of a golden decode: (N, limit) int64, filled up with the end token; (N, limit) float64."""


def check_decodes(bundle: StoredBundle, note: Callable[[str], None], factor: float) -> list[CheckRow]:
    """A row for each variant that decoded at the export, and for engines that no GPU has run yet.

    Raise BundleError if the golden decodes are not those of this bundle.
    """
    facts, parts = parts_of(bundle)
    cases = bundle.golden()
    for case in cases:
        _check_case(bundle, facts, case)
    records = [record for record in facts.parity if record.width == 1]
    if not records:
        raise BundleError(f"{bundle.path} has no decode to verify")
    return [_check(parts, facts, record, cases, note, factor) for record in (*records, *_unverified(parts, records))]


def _check_case(bundle: StoredBundle, facts: DecodeRecord, case: GoldenCase) -> None:
    where = f"golden case {case.name!r} of {bundle.path}"
    source = next(iter(case.feeds.values()))
    tokens, margins = case.reference.get(TOKENS), case.reference.get(MARGINS)
    if tokens is None or margins is None or set(case.reference) != {TOKENS, MARGINS}:
        raise BundleError(f"{where} holds {', '.join(case.reference)} and no decode")
    if not tokens.shape == margins.shape == (len(source), facts.limit) or tokens.dtype != np.int64:
        raise BundleError(f"{where} has tokens {tokens.shape} and margins {margins.shape}")


def _unverified(parts: Mapping[str, StoredBundle], records: Sequence[DecodeAgreement]) -> list[DecodeAgreement]:
    """Records for engines that were built without a GPU, with the ties of the models of their precision."""
    unverified = []
    verified = {file for record in records for file in record.files.values()}
    engines = [{engine.precision: engine.file for engine in part.manifest.engines} for part in parts.values()]
    for precision in set.intersection(*map(set, engines)):
        files = {
            name: f"{part.path.name}/{files_of[precision]}"
            for (name, part), files_of in zip(parts.items(), engines, strict=True)
        }
        like = next((r for r in records if r.stage.endswith(precision)), None)
        if like is not None and not verified & set(files.values()):
            unverified.append(replace(like, stage=f"engine-{precision}", files=files))
    return unverified


def _check(
    parts: Mapping[str, StoredBundle],
    facts: DecodeRecord,
    record: DecodeAgreement,
    cases: Sequence[GoldenCase],
    note: Callable[[str], None],
    factor: float,
) -> CheckRow:
    try:
        with ExitStack() as stack:
            decoder, how = open_form(parts, facts, record, stack, note)
            agreements = [
                agree(
                    case.reference[TOKENS],
                    as_rows(decoder.greedy(case.feeds[decoder.source.name]), facts.end, facts.limit),
                    case.reference[MARGINS], end=facts.end, tie=2 * factor * record.torch_error,
                )
                for case in cases
            ]  # fmt: skip
    except MissingBackendError as error:
        return _row(record, factor, NOT_RUN, error.problem)
    except AttnexportError as error:
        return _row(record, factor, FAILED, error.problem)
    total = joined(agreements)
    reason = "" if not total.wrong else f"{len(total.wrong)} rows differ from the original's where it had no tie"
    return _row(record, factor, FAILED if total.wrong else PASSED, reason, f"{how}: {total.describe()}")


def open_form(
    parts: Mapping[str, StoredBundle],
    facts: DecodeRecord,
    record: DecodeAgreement,
    stack: ExitStack,
    note: Callable[[str], None],
) -> tuple[SequenceDecoder, str]:
    """Return the decoder over a record's files, and a description. ``stack`` closes its sessions.

    Raise MissingBackendError for a backend that is not installed.
    """
    sessions: list[Session] = []
    how = ""
    for name, part in parts.items():
        if name not in record.files:
            raise BundleError(f"the decode of {record.stage} names no file of part {name!r}")
        file = record.files[name].partition("/")[2]
        session, how = open_stage(part, record.stage, file, note)
        stack.callback(session.close)
        sessions.append(session)
    encoder, step = sessions
    source, rows = batches(parts)
    return SequenceDecoder(encoder, step, facts, source, rows), how


def _row(record: DecodeAgreement, factor: float, verdict: str, reason: str, how: str = "") -> CheckRow:
    stage, files = f"decode: {record.stage}", " + ".join(record.files.values())
    return CheckRow(stage, files, "tokens", None, None, None, None, None, factor, record.factor, verdict, reason, how)
