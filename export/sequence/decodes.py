"""Parity of a sequence model: whole decodes, token for token.

The truth is a greedy decode by the ORIGINAL in FP64. Every exported form decodes freely, fed its own tokens and states. Where
a row first differs, the truth must have had a tie: its best and second log-probability nearer than 2 x factor x the largest
error that PyTorch's log-probabilities have at that precision, fed the truth's tokens. (Two log-probabilities can change places
only where both errors together reach their distance.) After that place a row is another sentence and proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.bundle.bundle import StoredBundle
from ...runtime.bundle.figures import ParityRecord, rounding_floor
from ...runtime.bundle.golden import GoldenCase
from ...runtime.bundle.sections import DecodeAgreement, DecodeRecord
from ...runtime.check.check_decode import MARGINS, TOKENS, joined, open_form
from ...runtime.decode.agreement import Agreement, agree, as_rows, lengths
from ...runtime.decode.bundle_decoder import batches
from ...runtime.decode.hypothesis import Hypothesis
from ...runtime.decode.sequence import SequenceDecoder
from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec
from ..progress import Reporter
from ..reference.original import Precision
from ..reference.torch_model import TorchOriginal
from .network import SequencePlan
from .original import OriginalSession, original_of, sources

ROWS = 24
"""Random sources per length."""
MOST_SAMPLES = 256
"""Real sources that are decoded, in FP64 too."""
BEAM = 4
BEAM_ROWS = 16
"""Width of the beam search that is held to the truth's, and rows of it."""


@dataclass
class Decodes:
    """What was found. ``failures`` is empty where every row agrees, ties aside."""

    facts: DecodeRecord
    golden: list[GoldenCase]
    failures: list[str]


def verify_decodes(
    plan: SequencePlan,
    parts: Mapping[str, StoredBundle],
    samples: Samples | None,
    factor: float,
    seed: int,
    reporter: Reporter,
) -> Decodes:
    """Decode with the original and with every form that both parts have run in; see the module's text.

    Failures are collected, not raised. Raises StageError where the original itself cannot be evaluated.
    """
    spec, rows = batches(dict(parts))
    originals = {name: original_of(part) for name, part in plan.parts.items()}
    feeds = _feeds(spec, plan.facts.padding, samples, seed)
    facts = replace(plan.facts, sources="samples" if samples is not None else "random")
    truth = _Truth(_original(plan, originals, "float64", facts, parts), feeds, facts)
    records: list[DecodeAgreement] = []
    failures: list[str] = []
    own: dict[Precision, float] = {}
    forms = list(_forms(parts))
    for number, (stage, files, precision) in enumerate(forms):
        reporter.progress(number / len(forms), stage)
        if precision not in own:
            own[precision] = truth.torch_error(_original(plan, originals, precision, facts, parts), precision)
        record = DecodeAgreement(stage, files, precision, 1, 0, 0, 0, 0, 0, own[precision], factor, True)
        with ExitStack() as stack:
            decoder, _ = open_form(parts, facts, record, stack, reporter.note)
            found = [truth.compare(decoder, 2 * factor * own[precision])]
            if precision == "float32" and rows.max >= BEAM:
                found.append(truth.compare_beams(decoder, 2 * factor * own[precision]))
        for width, agreement in zip((1, BEAM), found, strict=False):
            records.append(_filled(record, width, agreement))
            if agreement.wrong:
                failures.append(_failure(stage, width, agreement))
    return Decodes(replace(facts, parity=tuple(records)), truth.golden(), failures)


def _feeds(spec: TensorSpec, padding: int, samples: Samples | None, seed: int) -> dict[str, np.ndarray]:
    """The sources to decode, by the name of the case: the user's, or random ones of every length of the profile."""
    if samples is not None:
        return {"samples": samples.arrays[spec.name][:MOST_SAMPLES]}
    axis = spec.axes[1]
    sizes = sorted({axis.min, axis.opt, axis.max})
    return {f"random-{size}": sources(spec, padding, ROWS, size, seed + size) for size in sizes}


def _original(
    plan: SequencePlan,
    originals: Mapping[str, TorchOriginal],
    precision: Precision,
    facts: DecodeRecord,
    parts: Mapping[str, StoredBundle],
) -> SequenceDecoder:
    encoder, step = (OriginalSession(originals[name], part, precision) for name, part in plan.parts.items())
    return SequenceDecoder(encoder, step, facts, *batches(parts))


def _forms(parts: Mapping[str, StoredBundle]) -> Iterator[tuple[str, dict[str, str], Precision]]:
    """Stage, files and precision of every form in which both parts were verified."""
    by_stage: list[dict[str, ParityRecord]] = [{r.stage: r for r in part.manifest.parity} for part in parts.values()]
    for stage, record in by_stage[0].items():
        if all(stage in own for own in by_stage):
            folders = [part.path.name for part in parts.values()]
            files = {
                name: f"{folder}/{own[stage].file}" for name, folder, own in zip(parts, folders, by_stage, strict=True)
            }
            yield stage, files, record.precision  # type: ignore[misc]  # one of truth.Precision, written by verify


class _Truth:
    """The decodes of the original in FP64."""

    def __init__(self, decoder: SequenceDecoder, feeds: Mapping[str, np.ndarray], facts: DecodeRecord) -> None:
        self._decoder, self._feeds, self._facts = decoder, feeds, facts
        self._tokens = {name: as_rows(decoder.greedy(source), facts.end, facts.limit) for name, source in feeds.items()}
        self._margins = {name: self._measure(name) for name in feeds}
        self._beams: list[list[Hypothesis]] | None = None

    def _measure(self, name: str) -> np.ndarray:
        """How far the best token of each place lies ahead of the second, (N, limit); infinite after the end."""
        tokens = self._tokens[name]
        margins = np.full(tokens.shape, np.inf)
        for rows, place, scores in self._decoder.forced(self._feeds[name], tokens):
            if scores.shape[1] > 1:
                best = np.partition(scores, -2, axis=1)[:, -2:]
                margins[rows, place] = best[:, 1] - best[:, 0]
        margins[np.arange(tokens.shape[1]) >= lengths(tokens, self._facts.end)[:, None]] = np.inf
        return margins

    def torch_error(self, decoder: SequenceDecoder, precision: str) -> float:
        """The largest error of ``decoder``'s log-probabilities, fed the truth's tokens; at least one rounding of the precision."""
        largest = most = 0.0
        for name, source in self._feeds.items():
            tokens = self._tokens[name]
            count = lengths(tokens, self._facts.end)
            pairs = zip(self._decoder.forced(source, tokens), decoder.forced(source, tokens), strict=True)
            for (rows, place, true), (_, _, scores) in pairs:
                lives = place < count[rows]
                if lives.any():
                    largest = max(largest, float(np.abs(true - scores)[lives].max()))
                    most = max(most, float(np.abs(true[lives]).max()))
        return max(largest, rounding_floor(precision, most))

    def compare(self, decoder: SequenceDecoder, tie: float) -> Agreement:
        """Greedy decodes by ``decoder`` beside these."""
        end, limit = self._facts.end, self._facts.limit
        return joined(
            [
                agree(self._tokens[n], as_rows(decoder.greedy(s), end, limit), self._margins[n], end=end, tie=tie)
                for n, s in self._feeds.items()
            ]
        )

    def compare_beams(self, decoder: SequenceDecoder, tie: float) -> Agreement:
        """The best hypotheses of a beam search by ``decoder`` beside the truth's; a row whose search was close anywhere is a tie."""
        source = next(iter(self._feeds.values()))[:BEAM_ROWS]
        if self._beams is None:
            self._beams = self._decoder.beam_search(source, width=BEAM)
        end, limit = self._facts.end, self._facts.limit
        true = as_rows([found[0] for found in self._beams], end, limit)
        got = as_rows([found[0] for found in decoder.beam_search(source, width=BEAM)], end, limit)
        closest = np.array([found[0].closest for found in self._beams])
        return agree(true, got, np.broadcast_to(closest[:, None], true.shape), end=end, tie=tie)

    def golden(self) -> list[GoldenCase]:
        """What the bundle keeps."""
        name = self._decoder.source.name
        return [
            GoldenCase(case, {name: source}, {TOKENS: self._tokens[case], MARGINS: self._margins[case]})
            for case, source in self._feeds.items()
        ]


def _filled(record: DecodeAgreement, width: int, found: Agreement) -> DecodeAgreement:
    return replace(
        record, width=width, rows=found.rows, equal_rows=found.equal_rows, tokens=found.tokens,
        equal_tokens=found.equal_tokens, ties=found.ties, passed=not found.wrong,
    )  # fmt: skip


def _failure(stage: str, width: int, found: Agreement) -> str:
    how = "greedily" if width == 1 else f"by a beam of {width}"
    row, place = found.wrong[0]
    return (
        f"decoded {how}, {len(found.wrong)} of {found.rows} rows of {stage} differ from the original's where it had no tie "
        f"(the first at token {place} of row {row})"
    )


def summary(records: Sequence[DecodeAgreement]) -> str:
    """One line for the stage: the form whose greedy decodes agree least."""
    greedy = [record for record in records if record.width == 1]
    if not greedy:
        return "nothing was decoded"
    worst = min(greedy, key=lambda r: r.equal_tokens / max(r.tokens, 1))
    ties = f", {worst.ties} ties" if worst.ties else ""
    return (
        f"{len(greedy)} forms; the least alike, {worst.stage}: {worst.equal_rows} of {worst.rows} rows and "
        f"{worst.equal_tokens} of {worst.tokens} tokens the original's{ties}"
    )
