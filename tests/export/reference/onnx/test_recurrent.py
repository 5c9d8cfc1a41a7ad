"""RNN, GRU and LSTM against PyTorch in FP64, and their further attributes against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}
"""Of ONNX's gates in PyTorch's: GRU has z, r, n against r, z, n; LSTM i, o, f, c against i, f, g, o."""


def reordered(array, op, hidden):
    return np.concatenate([array[g * hidden : (g + 1) * hidden] for g in ORDER[op]])


def weights(net, op, hidden, directions):
    w, r, b = [], [], []
    for end in ["", "_reverse"][:directions]:
        parts = {
            k: getattr(net, f"{k}_l0{end}").detach().numpy() for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        w.append(reordered(parts["weight_ih"], op, hidden))
        r.append(reordered(parts["weight_hh"], op, hidden))
        b.append(np.concatenate([reordered(parts["bias_ih"], op, hidden), reordered(parts["bias_hh"], op, hidden)]))
    return [np.stack(v) for v in (w, r, b)]


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("lengths", [None, [7, 4, 5]])
def test_against_pytorch(evaluate, draw, op, directions, lengths):
    torch.manual_seed(0)
    hidden, x = 5, draw(7, 3, 4)
    net = getattr(torch.nn, op)(4, hidden, bidirectional=directions == 2)
    w, r, b = weights(net, op, hidden, directions)
    state = draw(directions, 3, hidden), draw(directions, 3, hidden)
    initial = [*state][: 2 if op == "LSTM" else 1]
    sizes = None if lengths is None else np.array(lengths, np.int32)
    more = {"linear_before_reset": 1} if op == "GRU" else {}
    outputs = evaluate(
        op, x, w, r, b, sizes, *initial, outputs=3 if op == "LSTM" else 2, hidden_size=hidden,
        direction="bidirectional" if directions == 2 else "forward", opset=14, **more,
    )  # fmt: skip
    net = net.double()
    wide = [torch.from_numpy(v).double() for v in initial]
    packed = pack_padded_sequence(torch.from_numpy(x).double(), lengths or [7] * 3, enforce_sorted=False)
    truth, last = net(packed, tuple(wide) if op == "LSTM" else wide[0])
    truth, _ = pad_packed_sequence(truth, total_length=7)
    np.testing.assert_allclose(
        outputs[0].transpose(0, 2, 1, 3).reshape(7, 3, -1), truth.detach().numpy(), rtol=1e-10, atol=1e-12
    )
    for result, state in zip(outputs[1:], last if op == "LSTM" else [last], strict=True):
        np.testing.assert_allclose(result, state.detach().numpy(), rtol=1e-10, atol=1e-12)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_lstm_with_peepholes_clip_forget_and_other_activations(evaluate, draw):
    x, w, r, b, p = draw(4, 1, 3), draw(1, 8, 3), draw(1, 8, 2), draw(1, 16), draw(1, 6)
    y, _, last = evaluate(
        "LSTM", x, w, r, b, None, None, None, p, outputs=3, hidden_size=2, clip=0.6, input_forget=1, opset=14,
        activations=["HardSigmoid", "Elu", "Softsign"], activation_alpha=[0.25, 2.0], activation_beta=[0.375],
        direction="reverse",
    )  # fmt: skip
    limit = float(np.float32(0.6))
    h, c = np.zeros(2), np.zeros(2)
    for t in (3, 2, 1, 0):
        total = w[0].astype("d") @ x[t, 0] + r[0].astype("d") @ h + b[0, :8] + b[0, 8:].astype("d")
        i, o, _, g = total.reshape(4, 2)
        i = np.clip(0.25 * np.clip(i + p[0, :2] * c, -limit, limit) + 0.375, 0, 1)
        g = np.clip(g, -limit, limit)
        c = (1 - i) * c + i * np.where(g >= 0, g, 2 * np.expm1(g))
        o = np.clip(0.25 * np.clip(o + p[0, 2:4] * c, -limit, limit) + 0.375, 0, 1)
        h = o * c / (1 + np.abs(c))
        np.testing.assert_allclose(y[t, 0, 0], h, rtol=1e-12)
    np.testing.assert_allclose(last[0, 0], c, rtol=1e-12)


def test_gru_that_resets_before_the_product(evaluate, draw):
    x, w, r, b = draw(3, 1, 2), draw(1, 6, 2), draw(1, 6, 2), draw(1, 12)
    y, _ = evaluate("GRU", x, w, r, b, outputs=2, hidden_size=2, opset=14)
    h = np.zeros(2)
    for t in range(3):
        wz, wr, wh = (w[0].astype("d") @ x[t, 0] + b[0, :6]).reshape(3, 2)
        bz, br, bh = b[0, 6:].reshape(3, 2)
        rz, rr, rh = r[0].astype("d").reshape(3, 2, 2)
        z, reset = sigmoid(wz + rz @ h + bz), sigmoid(wr + rr @ h + br)
        h = (1 - z) * np.tanh(wh + rh @ (reset * h) + bh) + z * h
        np.testing.assert_allclose(y[t, 0, 0], h, rtol=1e-12)
