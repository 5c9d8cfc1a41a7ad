"""Encoder-decoder networks against their papers' equations, and their two parts against the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from attnexport.models import registry
from attnexport.models.bahdanau import Bahdanau
from attnexport.models.luong import Luong, LuongOptions
from attnexport.models.seq2seq import END, PADDING, START, EncoderDecoder, parts
from attnexport.runtime.spec import TensorSpec

NAMES = [name for name in registry.names() if name.startswith(("seq2seq_", "transformer_"))]


def build(name: str) -> EncoderDecoder:
    torch.manual_seed(3)
    network = registry.build(name, **registry.entry(name).reduced_options).double().eval()
    assert isinstance(network, EncoderDecoder)
    return network


def sentences(name: str, rows: int = 3) -> tuple[Tensor, Tensor]:
    """Sources of different lengths, padded, and targets that begin with START, within the reduced inputs' sizes."""
    specs = [TensorSpec.from_json(spec) for spec in registry.entry(name).reduced_inputs or ()]
    (length, steps), high = (spec.axes[1].opt for spec in specs), specs[1].high
    generator = torch.Generator().manual_seed(5)
    source = torch.randint(3, 40, (rows, length), generator=generator)
    source = source.masked_fill(torch.arange(length) >= length - torch.arange(rows)[:, None], PADDING)
    target = torch.randint(3, high, (rows, steps), generator=generator)
    target[:, 0] = START
    return source, target


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def test_bahdanau_follows_appendix_a():
    """Sentence by sentence, without padding, each product a matrix of its own."""
    torch.manual_seed(0)
    network = Bahdanau(12, 9, embedding=3, width=4, attention=5, readout=6).double().eval()
    p = {name: v.detach().numpy() for name, v in network.named_parameters()}

    def gru(prefix: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        w, b = np.split(p[f"{prefix}.input.weight"], 3), np.split(p[f"{prefix}.input.bias"], 3)
        u, c = np.split(p[f"{prefix}.gates.weight"], 2), np.split(p[f"{prefix}.gates.bias"], 2)
        r, z = (sigmoid(w[i] @ x + b[i] + u[i] @ h + c[i]) for i in (0, 1))
        new = np.tanh(w[2] @ x + b[2] + p[f"{prefix}.candidate.weight"] @ (r * h) + p[f"{prefix}.candidate.bias"])
        return (1 - z) * new + z * h

    source, target = np.array([4, 7, 11, 5, 3]), np.array([1, 8, 3])
    x = p["source.weight"][source]
    ahead, back = [np.zeros(4)], [np.zeros(4)]
    for place in range(5):
        ahead.append(gru("ahead.cell", x[place], ahead[-1]))
        back.append(gru("back.cell", x[4 - place], back[-1]))
    memory = [np.concatenate(pair) for pair in zip(ahead[1:], back[:0:-1], strict=True)]
    s = np.tanh(p["start.weight"] @ back[-1] + p["start.bias"])
    expected = []
    for token in target:
        y = p["target.weight"][token]
        e = [
            p["attention.score.weight"][0] @ np.tanh(p["attention.query.weight"] @ s + p["attention.key.weight"] @ h)
            for h in memory
        ]
        c = softmax(np.array(e)) @ np.stack(memory)
        t = p["readout.weight"] @ np.concatenate([s, y, c]) + p["readout.bias"]
        t = np.array([max(t[2 * k], t[2 * k + 1]) for k in range(6)])
        expected.append(p["output.1.weight"] @ t + p["output.1.bias"])
        s = gru("cell", np.concatenate([y, c]), s)
    padded = torch.tensor([[*source, PADDING, PADDING]])
    for given in (torch.from_numpy(source)[None], padded):
        logits = network(given, torch.from_numpy(target)[None])[0].detach().numpy()
        np.testing.assert_allclose(logits, np.stack(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", ["global", "local_m", "local_p"])
def test_luong_follows_its_sections_3_and_4(window):
    torch.manual_seed(0)
    network = Luong(LuongOptions(12, 9, embedding=3, width=4, layers=2, window=window, reach=1)).double().eval()
    p = {name: v.detach().numpy() for name, v in network.named_parameters()}

    def lstm(prefix: str, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        both = p[f"{prefix}.weight_ih"] @ x + p[f"{prefix}.bias_ih"] + p[f"{prefix}.weight_hh"] @ h
        i, f, g, o = np.split(both + p[f"{prefix}.bias_hh"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    source, target = np.array([4, 7, 11, 5]), np.array([1, 8, 3])
    state = [(np.zeros(4), np.zeros(4))] * 2
    memory = []
    for token in source:
        x = p["source.weight"][token]
        for layer in range(2):
            state[layer] = lstm(f"encoder.cells.{layer}", x, *state[layer])
            x = state[layer][0]
        memory.append(x)
    feed, expected = np.zeros(4), []
    for t, token in enumerate(target):
        x = np.concatenate([p["target.weight"][token], feed])
        for layer in range(2):
            state[layer] = lstm(f"decoder.cells.{layer}", x, *state[layer])
            x = state[layer][0]
        if window == "local_p":
            inner = np.tanh(p["attention.centre.0.weight"] @ x)
            centre = 4 * sigmoid(p["attention.centre.2.weight"][0] @ inner)
        else:
            centre = t
        places = [s for s in range(4) if window == "global" or abs(s - centre) <= 1]
        weights = softmax(np.array([x @ p["attention.key.weight"] @ memory[s] for s in places]))
        if window == "local_p":
            weights = weights * np.exp([-((s - centre) ** 2) / (2 * 0.5**2) for s in places])
        context = weights @ np.stack([memory[s] for s in places])
        feed = np.tanh(p["combine.weight"] @ np.concatenate([context, x]))
        expected.append(p["output.weight"] @ feed)
    padded = torch.tensor([[*source, PADDING, PADDING]])
    for given in (torch.from_numpy(source)[None], padded):
        logits = network(given, torch.from_numpy(target)[None])[0].detach().numpy()
        np.testing.assert_allclose(logits, np.stack(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_taken_together_are_the_whole(name):
    network = build(name)
    source, target = sentences(name)
    encoder, step = parts(network, (registry.entry(name).reduced_inputs or ())[0])
    carried = dict(zip(encoder.outputs, encoder.module(source), strict=True))
    names = [spec["name"] for spec in step.inputs]
    logits = []
    for place in range(target.shape[1]):
        feeds = {"token": target[:, place], **carried}
        given = dict(zip(step.outputs, step.module(*(feeds[n] for n in names)), strict=True))
        logits.append(given["logits"])
        assert (given["attention"][source == PADDING] == 0).all()
        assert (given["attention"] >= 0).all()
        if "local_p" not in name:
            torch.testing.assert_close(given["attention"].sum(1), torch.ones(3, dtype=torch.float64))
        carried |= {n.removeprefix("next_"): array for n, array in given.items() if n.startswith("next_")}
    torch.testing.assert_close(torch.stack(logits, 1), network(source, target), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_part_says_what_it_takes_and_gives(name):
    network = build(name)
    source, target = sentences(name)
    encoder, step = parts(network, (registry.entry(name).reduced_inputs or ())[0])
    assert encoder.outputs == network.memory_names + network.state_names
    assert step.outputs == ("logits", "attention", *(f"next_{state}" for state in network.state_names))
    specs = [TensorSpec.from_json(spec) for spec in step.inputs]
    assert [spec.name for spec in specs] == ["token", *encoder.outputs]
    for spec, array in zip(specs, (target[:, 0], *encoder.module(source)), strict=True):
        assert spec.axes[0].symbol == "batch"
        assert str(array.dtype) == f"torch.{spec.dtype}"
        for axis, size in zip(spec.axes[1:], array.shape[1:], strict=True):
            assert axis.min <= size <= axis.max
            assert axis.symbol in (None, "source_length")
        assert array.dtype != torch.int64 or int(array.max()) < (spec.high or 0)
    shared = {id(p) for p in network.parameters()}
    assert all(id(p) in shared for part in (encoder, step) for p in part.module.parameters())


def test_the_transformer_s_source_length_is_free_and_its_caches_are_not():
    name = "transformer_base"
    _, step = parts(build(name), (registry.entry(name).reduced_inputs or ())[0])
    free = {
        spec["name"]: [i for i, axis in enumerate(spec["axes"]) if i and not isinstance(axis, int)]
        for spec in step.inputs
    }
    assert free == {
        "token": [], "memory_keys": [3], "memory_values": [3], "padding": [1], "keys": [], "values": [], "position": [],
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_the_rest_of_the_batch_change_nothing(name):
    network = build(name)
    source, target = sentences(name)
    together = network(source, target)
    for row in range(len(source)):
        own = source[row : row + 1, : int((source[row] != PADDING).sum())]
        torch.testing.assert_close(network(own, target[row : row + 1])[0], together[row], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_of_nothing_but_padding_stays_finite_with_its_gradients(name):
    network = build(name).train()
    source, target = sentences(name)
    source[1] = PADDING
    network(source, target).sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name):
    network = build(name)
    source, target = sentences(name)
    network(source, target).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert silent == []


def test_the_papers_sizes_are_the_defaults():
    """Bahdanau 2015, appendix A.2 and B; Luong 2015, section 4.1; Vaswani 2017, table 3."""
    with torch.device("meta"):
        bahdanau, luong = registry.build("seq2seq_bahdanau"), registry.build("seq2seq_luong_local_p")
    assert (bahdanau.source.weight.shape, bahdanau.target.weight.shape) == ((30000, 620), (30000, 620))
    assert (bahdanau.cell.candidate.out_features, bahdanau.attention.score.in_features) == (1000, 1000)
    assert bahdanau.output[1].in_features == 500
    assert (len(luong.encoder.cells), len(luong.decoder.cells), luong.width) == (4, 4, 1000)
    assert (luong.source.weight.shape, luong.attention.reach, luong.dropout.p) == ((50000, 1000), 10, 0.2)


def test_the_tokens_that_mean_something_are_the_first_three():
    assert (PADDING, START, END) == (0, 1, 2)
