"""The two models of an encoder-decoder network: an encoder that checks its tokens, and the decode loop around the step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import BundleError, InputError
from ..bundle.bundle import StoredBundle
from ..bundle.sections import DecodeRecord
from ..closing import Closing
from ..decode.agreement import as_rows
from ..decode.bundle_decoder import ENCODER, STEP, parts_of
from ..decode.decoder import NEXT, TOKEN, Decoder, Hypothesis
from ..decode.search import beam_search, greedy
from ..decode.sequence import check_tokens
from ..open.select import open_bundle
from ..spec import Axis, TensorSpec
from .grouping import Arrays
from .model import PRECISION, SESSION, BundleModel, Served, ServedModel

BEAM = "beam"
"""Parameter of the configuration: the beam width."""
LENGTH, LOG_PROBABILITY, FINISHED, TOKENS = "length", "log_probability", "finished", "tokens"


class EncoderModel(BundleModel):
    """An encoder that refuses unknown tokens, for which a graph would read another token's row."""

    def open(self, bundle: StoredBundle, parameters: Mapping[str, str], threads: int | None) -> Served:
        """Open the bundle."""
        served = super().open(bundle, parameters, threads)

        def checked(feeds: dict[str, np.ndarray]) -> Arrays:
            for spec in served.inputs:
                tokens = feeds[spec.name]
                if tokens.dtype.kind in "iu" and spec.high is not None and tokens.size:
                    check_tokens(spec, tokens)
            return served.run(feeds)

        return replace(served, run=checked)


class DecodeModel(ServedModel):
    """Memory and first state in, tokens out: a search over the step of a bundle."""

    def open(self, bundle: StoredBundle, parameters: Mapping[str, str], threads: int | None) -> Served:
        """Open the step and the search around it."""
        facts, parts = parts_of(bundle)
        inputs, width = decode_inputs(parts), int(parameters.get(BEAM, "1"))
        step = open_bundle(
            parts[STEP], parameters.get(SESSION, "auto"), precision=parameters.get(PRECISION), threads=threads
        )
        decoder = Decoder(_Encoded([spec.name for spec in inputs]), step)

        def run(feeds: dict[str, np.ndarray]) -> Arrays:
            return decoded(search(decoder, feeds, facts, width), facts)

        how = f"{step.file} on {step.how}, {'greedy' if width == 1 else f'beam of {width}'}"
        return Served(run, inputs, decode_batch(parts, width), step.close, how, step.notes)


class _Encoded(Closing):
    """An encoder that returns its inputs: another model has run it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.input_names = self.output_names = tuple(names)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The feeds."""
        return dict(feeds)

    def close(self) -> None:
        """Nothing is open."""


def search(decoder: Decoder, feeds: Arrays, facts: DecodeRecord, width: int) -> list[Hypothesis]:
    """The best hypothesis of each row."""
    if width == 1:
        return greedy(decoder, feeds, start=facts.start, end=facts.end, limit=facts.limit)
    hypotheses = beam_search(decoder, feeds, start=facts.start, end=facts.end, limit=facts.limit, width=width)
    return [row[0] for row in hypotheses]


def decoded(hypotheses: Sequence[Hypothesis], facts: DecodeRecord) -> dict[str, np.ndarray]:
    """Hypotheses as arrays: tokens (N, limit), filled up with the end; length, log-probability and finished, (N, 1) each."""
    return {
        TOKENS: as_rows(hypotheses, facts.end, facts.limit),
        LENGTH: np.array([[len(h.tokens)] for h in hypotheses], np.int64),
        LOG_PROBABILITY: np.array([[h.log_probability] for h in hypotheses], np.float64),
        FINISHED: np.array([[h.finished] for h in hypotheses], np.bool_),
    }


def decode_outputs(facts: DecodeRecord, batch: Axis) -> tuple[TensorSpec, ...]:
    """The specs of :func:`decoded`."""
    single = Axis.fixed(1)
    return (
        TensorSpec(TOKENS, "int64", (batch, Axis.fixed(facts.limit))),
        TensorSpec(LENGTH, "int64", (batch, single)),
        TensorSpec(LOG_PROBABILITY, "float64", (batch, single)),
        TensorSpec(FINISHED, "bool", (batch, single)),
    )


def decode_inputs(parts: Mapping[str, StoredBundle]) -> tuple[TensorSpec, ...]:
    """The tensors from the encoder to the step: memory and first state. Raise BundleError if they do not fit."""
    memory = {spec.name: spec for spec in parts[ENCODER].manifest.outputs}
    inputs = [spec for spec in parts[STEP].manifest.inputs if spec.name != TOKEN]
    for spec in inputs:
        if spec.name not in memory or memory[spec.name].dtype != spec.dtype:
            raise BundleError(f"the step takes {spec.describe()}, which the encoder does not return")
    batch = parts[STEP].manifest.inputs[0].axes[0]
    if not all(spec.axes and spec.axes[0] == batch for spec in inputs):
        raise BundleError(f"axis 0 of an input of the step is not the batch {batch.to_json()}")
    carried = {spec.name.removeprefix(NEXT) for spec in parts[STEP].manifest.outputs if spec.name.startswith(NEXT)}
    return tuple(sorted(inputs, key=lambda spec: spec.name in carried))


def decode_batch(parts: Mapping[str, StoredBundle], width: int) -> Axis:
    """The number of rows that are decoded at once, if the step runs ``width`` for each. Raise InputError if none fits."""
    rows = parts[STEP].manifest.inputs[0].axes[0]
    least, most = -(-rows.min // width), rows.max // width
    if least > most:
        raise InputError(
            f"a beam of {width} runs the step on {least * width} rows at least, and it takes {rows.min} to {rows.max}",
            f"export with --beam-width {width}, or decode with a smaller beam",
        )
    return Axis(least, min(max(rows.opt // width, least), most), most, rows.symbol)
