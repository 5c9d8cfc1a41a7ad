"""Verify whole decodes of a sequence model, token by token.

The reference is a greedy decode by the original in FP64. Every exported variant decodes with its own tokens and states. At the
first difference of a row the reference must have a tie: its best two log-probabilities are closer than 2 x factor x the largest
error of PyTorch's log-probabilities at that precision for the reference's tokens. (Two log-probabilities can swap only if both
errors together reach their distance.) After a tie the rest of the row is another sentence and is not compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.bundle.bundle import StoredBundle
from ...runtime.bundle.figures import ParityRecord, rounding_floor
from ...runtime.bundle.golden import GoldenCase
from ...runtime.bundle.sections import DecodeAgreement, DecodeRecord
from ...runtime.check.check_decode import MARGINS, TOKENS, open_form
from ...runtime.closing import Closing
from ...runtime.decode.agreement import Agreement, agree, as_rows, joined, lengths
from ...runtime.decode.bundle_decoder import batches
from ...runtime.decode.decoder import Hypothesis
from ...runtime.decode.sequence import SequenceDecoder
from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec
from ..progress import Reporter
from ..reference.original import Precision
from ..reference.torch_model import TorchOriginal
from ..source import ModuleSource
from .network import SequencePlan

ROWS = 24
"""Random sources of each length."""
MOST_SAMPLES = 256
"""Samples that are decoded at most."""
BEAM = 4
BEAM_ROWS = 16
"""Width and rows of the beam search that is compared with the reference."""


@dataclass
class Decodes:
    """The result of the comparison. ``failures`` is empty if all rows agree, except for ties."""

    facts: DecodeRecord
    golden: list[GoldenCase]
    failures: list[str]


def verify_decodes(
    plan: SequencePlan, parts: Mapping[str, StoredBundle], samples: Samples | None, factor: float, seed: int,
    reporter: Reporter,
) -> Decodes:  # fmt: skip
    """Decode with the original and with every variant that both parts have; see the docstring of this module.

    Failures are in the result, not raised. Raises StageError if the original cannot be evaluated.
    """
    spec, rows = batches(dict(parts))
    originals = {name: original_of(part) for name, part in plan.parts.items()}
    feeds = _feeds(spec, plan.facts.padding, samples, seed)
    facts = replace(plan.facts, sources="samples" if samples is not None else "random")
    reference = _Reference(_original(plan, originals, "float64", facts, parts), feeds, facts)
    records: list[DecodeAgreement] = []
    failures: list[str] = []
    torch_errors: dict[Precision, float] = {}
    variants = list(_variants(parts))
    for number, (stage, files, precision) in enumerate(variants):
        reporter.progress(number / len(variants), stage)
        if precision not in torch_errors:
            rounded = _original(plan, originals, precision, facts, parts)
            torch_errors[precision] = reference.torch_error(rounded, precision)
        error = torch_errors[precision]
        record = DecodeAgreement(stage, files, precision, 1, 0, 0, 0, 0, 0, error, factor, True)
        with ExitStack() as stack:
            decoder, _ = open_form(parts, facts, record, stack, reporter.note)
            agreements = [reference.compare(decoder, 2 * factor * error)]
            if precision == "float32" and rows.max >= BEAM:
                agreements.append(reference.compare_beams(decoder, 2 * factor * error))
        for width, agreement in zip((1, BEAM), agreements, strict=False):
            records.append(_filled(record, width, agreement))
            if agreement.wrong:
                failures.append(_failure(stage, width, agreement))
    return Decodes(replace(facts, parity=tuple(records)), reference.golden(), failures)


def _feeds(spec: TensorSpec, padding: int, samples: Samples | None, seed: int) -> dict[str, np.ndarray]:
    """Return the sources to decode by case: the samples, or random sources of the profile's min, opt and max length."""
    if samples is not None:
        return {"samples": samples.arrays[spec.name][:MOST_SAMPLES]}
    axis = spec.axes[1]
    sizes = sorted({axis.min, axis.opt, axis.max})
    return {f"random-{size}": sources(spec, padding, ROWS, size, seed + size) for size in sizes}


def _original(
    plan: SequencePlan, originals: Mapping[str, TorchOriginal], precision: Precision, facts: DecodeRecord,
    parts: Mapping[str, StoredBundle],
) -> SequenceDecoder:  # fmt: skip
    encoder, step = (OriginalSession(originals[name], part, precision) for name, part in plan.parts.items())
    return SequenceDecoder(encoder, step, facts, *batches(parts))


def _variants(parts: Mapping[str, StoredBundle]) -> Iterator[tuple[str, dict[str, str], Precision]]:
    """Yield stage, files and precision of every variant in which both parts are verified."""
    by_stage: list[dict[str, ParityRecord]] = [{r.stage: r for r in part.manifest.parity} for part in parts.values()]
    for stage, record in by_stage[0].items():
        if all(stage in records for records in by_stage):
            pairs = zip(parts.items(), by_stage, strict=True)
            files = {name: f"{part.path.name}/{records[stage].file}" for (name, part), records in pairs}
            yield stage, files, record.precision  # type: ignore[misc]  # one of Precision, written by verify


class _Reference:
    """The decodes of the original in FP64."""

    def __init__(self, decoder: SequenceDecoder, feeds: Mapping[str, np.ndarray], facts: DecodeRecord) -> None:
        self._decoder, self._feeds, self._facts = decoder, feeds, facts
        self._tokens = {name: as_rows(decoder.greedy(source), facts.end, facts.limit) for name, source in feeds.items()}
        self._margins = {name: self._measure(name) for name in feeds}
        self._beams: list[list[Hypothesis]] | None = None

    def _measure(self, name: str) -> np.ndarray:
        """Return the margin of the best token over the second at each place, (N, limit); infinite after the end."""
        tokens = self._tokens[name]
        margins = np.full(tokens.shape, np.inf)
        for rows, place, scores in self._decoder.forced(self._feeds[name], tokens):
            if scores.shape[1] > 1:
                best = np.partition(scores, -2, axis=1)[:, -2:]
                margins[rows, place] = best[:, 1] - best[:, 0]
        margins[np.arange(tokens.shape[1]) >= lengths(tokens, self._facts.end)[:, None]] = np.inf
        return margins

    def torch_error(self, decoder: SequenceDecoder, precision: str) -> float:
        """Return the largest error of ``decoder``'s log-probabilities for the reference's tokens, at least one rounding."""
        largest = most = 0.0
        for name, source in self._feeds.items():
            tokens = self._tokens[name]
            count = lengths(tokens, self._facts.end)
            pairs = zip(self._decoder.forced(source, tokens), decoder.forced(source, tokens), strict=True)
            for (rows, place, expected), (_, _, scores) in pairs:
                active = place < count[rows]
                if active.any():
                    largest = max(largest, float(np.abs(expected - scores)[active].max()))
                    most = max(most, float(np.abs(expected[active]).max()))
        return max(largest, rounding_floor(precision, most))

    def compare(self, decoder: SequenceDecoder, tie: float) -> Agreement:
        """Compare greedy decodes by ``decoder`` with the reference."""
        end, limit = self._facts.end, self._facts.limit
        rows = {name: as_rows(decoder.greedy(source), end, limit) for name, source in self._feeds.items()}
        return joined([agree(self._tokens[n], found, self._margins[n], end=end, tie=tie) for n, found in rows.items()])

    def compare_beams(self, decoder: SequenceDecoder, tie: float) -> Agreement:
        """Compare the best hypotheses of a beam search. A row is a tie if any choice of its search is close."""
        source = next(iter(self._feeds.values()))[:BEAM_ROWS]
        if self._beams is None:
            self._beams = self._decoder.beam_search(source, width=BEAM)
        end, limit = self._facts.end, self._facts.limit
        expected = as_rows([hypotheses[0] for hypotheses in self._beams], end, limit)
        tokens = as_rows([hypotheses[0] for hypotheses in decoder.beam_search(source, width=BEAM)], end, limit)
        closest = np.array([hypotheses[0].closest for hypotheses in self._beams])
        return agree(expected, tokens, np.broadcast_to(closest[:, None], expected.shape), end=end, tie=tie)

    def golden(self) -> list[GoldenCase]:
        """Return the golden cases of the bundle."""
        name = self._decoder.source.name
        return [
            GoldenCase(case, {name: source}, {TOKENS: self._tokens[case], MARGINS: self._margins[case]})
            for case, source in self._feeds.items()
        ]


def _filled(record: DecodeAgreement, width: int, agreement: Agreement) -> DecodeAgreement:
    return replace(
        record, width=width, rows=agreement.rows, equal_rows=agreement.equal_rows, tokens=agreement.tokens,
        equal_tokens=agreement.equal_tokens, ties=agreement.ties, passed=not agreement.wrong,
    )  # fmt: skip


def _failure(stage: str, width: int, agreement: Agreement) -> str:
    search = "greedy decoding" if width == 1 else f"a beam search of width {width}"
    row, place = agreement.wrong[0]
    return (
        f"{stage}, {search}: {len(agreement.wrong)} of {agreement.rows} rows differ from the original's without a tie "
        f"(the first at token {place} of row {row})"
    )


def summary(records: Sequence[DecodeAgreement]) -> str:
    """Return one line about the variant whose greedy decodes agree least."""
    greedy = [record for record in records if record.width == 1]
    if not greedy:
        return "nothing was decoded"
    worst = min(greedy, key=lambda r: r.equal_tokens / max(r.tokens, 1))
    ties = f", {worst.ties} ties" if worst.ties else ""
    return (
        f"{len(greedy)} variants; the worst is {worst.stage}: {worst.equal_rows} of {worst.rows} rows and "
        f"{worst.equal_tokens} of {worst.tokens} tokens equal the original's{ties}"
    )


class OriginalSession(Closing):
    """One part in PyTorch as a session.

    Below FP64, outputs are FP32, as those of exported models: a state is converted at every step.
    """

    def __init__(self, original: TorchOriginal, part: ModuleSource, precision: Precision) -> None:
        self._original, self._precision = original, precision
        self.input_names: tuple[str, ...] = tuple(spec.name for spec in part.inputs)
        self.output_names: tuple[str, ...] = tuple(part.outputs)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name. Raises StageError if the network cannot be evaluated at this precision."""
        outputs = self._original.run(feeds, self._precision)
        if self._precision == "float64":
            return outputs
        return {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in outputs.items()}

    def close(self) -> None:
        """Do nothing."""


def original_of(part: ModuleSource) -> TorchOriginal:
    """Return the reference model of a part. It serves all precisions, so the FP64 copy is made once."""
    return TorchOriginal(part.module, [spec.name for spec in part.inputs], part.outputs)


def sources(spec: TensorSpec, padding: int, rows: int, length: int, seed: int) -> np.ndarray:
    """Return seeded sources (rows, length): random tokens of random lengths, padded at the end."""
    generator = np.random.default_rng(seed)
    low = int(spec.low or 0)
    high = int(spec.high) if spec.high is not None else low + 2
    vocabulary = [token for token in range(low, min(high, low + 1_000_000)) if token != padding] or [low]
    tokens = generator.choice(np.array(vocabulary), (rows, length))
    counts = generator.integers(1, length + 1, rows)
    counts[0] = length  # at least one row without padding
    if low <= padding < high:
        tokens[np.arange(length) >= counts[:, None]] = padding
    return np.asarray(tokens.astype(spec.numpy_dtype))
