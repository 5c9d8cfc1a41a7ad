"""Real decodes: encoder and step exported each to ONNX, driven by the loop in ONNX Runtime, against PyTorch token for token.

The oracle has neither state nor parts: it runs the whole network on everything decoded so far, again for every token. The trained
example is decoded in tests/export/sequence/test_dates_bundle.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from attnexport.export import pipeline
from attnexport.export.options import read_options
from attnexport.export.source import checkpoint
from attnexport.export.stages.stage_model import FP32
from attnexport.models import registry
from attnexport.models.seq2seq import PADDING, START, EncoderDecoder, parts
from attnexport.runtime.decode.decoder import Decoder
from attnexport.runtime.decode.search import beam_search, greedy
from attnexport.runtime.sessions.ort import OrtSession

FACTORY = """
from attnexport.models import registry
from attnexport.models.seq2seq import parts

def build(name, options, source, which):
    return parts(registry.build(name, **options).eval(), source)[which].module
"""
NAMES = (
    "seq2seq_bahdanau",
    "seq2seq_luong_concat",
    "seq2seq_luong_local_m",
    "seq2seq_luong_local_p",
    "transformer_base",
)
LIMIT = 9


def export(network: EncoderDecoder, source: dict[str, object], folder: Path) -> list[Path]:
    """Both parts through the whole pipeline, with its parity gates, each as a model on its own."""
    described = registry.describe(network)
    assert described is not None
    (folder / "parts_of_a_network.py").write_text(FACTORY)
    models = []
    for which, part in enumerate(parts(network, source)):
        path = folder / f"part_{which}.pt"
        checkpoint.save(part.module, path, inputs=part.inputs, outputs=part.outputs, arch="part", kwargs={})
        kwargs = {"name": described[0], "options": described[1], "source": source, "which": which}
        options = read_options(
            model=path, trt=None, precision="fp32", kwargs=json.dumps(kwargs), workspace=None, gate=2.0,
            factory="parts_of_a_network:build", out=folder / f"part_{which}.attn",
        )  # fmt: skip
        result = pipeline.run(options)
        assert result.passed
        assert result.bundle is not None
        models.append(result.bundle / FP32)
    return models


def opened(models: list[Path]) -> Iterator[Decoder]:
    with closing(OrtSession(models[0], threads=1)) as encoder, closing(OrtSession(models[1], threads=1)) as step:
        yield Decoder(encoder, step)


# As the others of their family but for one formula; and the Transformer, which tests/models/test_export_sequences.py decodes.
SWEPT = ("seq2seq_bahdanau", "seq2seq_luong_local_m", "transformer_base")


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.sweep] if name in SWEPT else []) for name in NAMES], scope="module"
)
def drawn(request, tmp_path_factory) -> Iterator[tuple[EncoderDecoder, Decoder, Tensor, int]]:
    """A small network of random weights, its decoder, sources of every length, and the token to take for the end."""
    entry = registry.entry(request.param)
    assert entry.reduced_inputs is not None
    torch.manual_seed(4)
    network = registry.build(request.param, **entry.reduced_options).eval()
    assert isinstance(network, EncoderDecoder)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)  # spread the logits, so that sources matter
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        models = export(network, entry.reduced_inputs[0], folder)
    length = 5
    generator = torch.Generator().manual_seed(6)
    source = torch.randint(3, 40, (16, length), generator=generator)
    source = source.masked_fill(torch.arange(length) >= 1 + torch.arange(16)[:, None] % length, PADDING)
    for decoder in opened(models):
        yield network, decoder, source, likely_end(network, source)


def likely_end(network: EncoderDecoder, source: Tensor) -> int:
    """The token with which sentences of a network without training differ most in their lengths."""
    written = [greedy_oracle(network, row, LIMIT, -1)[0] for row in source]

    def lengths(end: int) -> int:
        return len({tokens.index(end) if end in tokens else LIMIT for tokens in written})

    return max({token for tokens in written for token in tokens}, key=lengths)


@torch.no_grad()
def log_probabilities(network: EncoderDecoder, source: Tensor, written: list[int]) -> np.ndarray:
    """Of what follows START and ``written``, for one source, by the whole network."""
    logits = network(source[None], torch.tensor([[START, *written]]))[0, -1]
    return logits.double().log_softmax(0).numpy()


def greedy_oracle(network: EncoderDecoder, source: Tensor, limit: int, end: int) -> tuple[tuple[int, ...], bool]:
    written: list[int] = []
    while len(written) < limit:
        token = int(log_probabilities(network, source, written).argmax())
        if token == end:
            return tuple(written), True
        written.append(token)
    return tuple(written), False


def beam_oracle(
    network: EncoderDecoder, source: Tensor, limit: int, end: int, width: int, alpha: float
) -> list[tuple[int, ...]]:
    """The finished hypotheses of a search to the limit, the best first, by plain lists."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished: list[tuple[float, tuple[int, ...]]] = []
    for length in range(1, limit + 1):
        ways = [
            (total + gain, (*written, token))
            for total, written in live
            for token, gain in enumerate(log_probabilities(network, source, list(written)))
        ]
        live = []
        for total, written in sorted(ways, key=lambda way: -way[0]):
            if len(live) == width:
                break
            if written[-1] == end:
                finished.append((total / ((5 + length) / 6) ** alpha, written[:-1]))
            else:
                live.append((total, written))
    finished.sort(key=lambda entry: -entry[0])
    return [written for _, written in finished[:width]]


def test_greedy_decoding_is_pytorch_s_token_for_token(drawn):
    network, decoder, source, end = drawn
    found = greedy(decoder, {"source": source.numpy()}, start=START, end=end, limit=LIMIT)
    expected = [greedy_oracle(network, row, LIMIT, end) for row in source]
    assert [(h.tokens, h.finished) for h in found] == expected
    assert len({len(tokens) for tokens, _ in expected}) > 1, "sentences should end at different steps"
    for hypothesis, row in zip(found, source, strict=True):
        assert hypothesis.attention is not None
        assert hypothesis.attention.shape == (len(hypothesis.tokens) + hypothesis.finished, len(row))
        assert (hypothesis.attention[:, row.numpy() == PADDING] == 0).all()


@pytest.mark.parametrize(("width", "alpha"), [(3, 0.6), (2, 0.0)])
def test_beam_search_is_pytorch_s_token_for_token(drawn, width, alpha):
    network, decoder, source, end = drawn
    source = source[:5]  # times the width, as many rows as the profile holds
    found = beam_search(
        decoder, {"source": source.numpy()}, start=START, end=end, limit=LIMIT, width=width, alpha=alpha
    )
    finished = 0
    for row, hypotheses in zip(source, found, strict=True):
        expected = beam_oracle(network, row, LIMIT, end, width, alpha)
        assert [h.tokens for h in hypotheses if h.finished] == expected
        finished += len(expected)
    assert finished > 0
