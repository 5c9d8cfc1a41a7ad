"""Cells and layers against torch.nn's, packed where sequences are padded, and against the paper's form of the GRU in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from attnexport.models.recurrent import GRUCell, GRULayer, LSTMStack


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def copy_gru(cell: GRUCell, weights: dict[str, Tensor], suffix: str) -> None:
    """torch's GRU keeps the rows of r, z and n in one matrix per side."""
    width = cell.candidate.out_features
    with torch.no_grad():
        cell.input.weight.copy_(weights[f"weight_ih{suffix}"])
        cell.input.bias.copy_(weights[f"bias_ih{suffix}"])
        for name in ("weight", "bias"):
            recurrent = weights[f"{name}_hh{suffix}"]
            getattr(cell.gates, name).copy_(recurrent[: 2 * width])
            getattr(cell.candidate, name).copy_(recurrent[2 * width :])


def test_a_cell_that_resets_after_is_torch_s():
    cell, oracle = GRUCell(3, 4, "after").double(), nn.GRUCell(3, 4).double()
    copy_gru(cell, dict(oracle.named_parameters()), "")
    x, h = random(5, 3), random(5, 4, seed=1)
    torch.testing.assert_close(cell(x, h), oracle(x, h), rtol=0, atol=1e-12)


def test_a_cell_that_resets_before_is_the_paper_s():
    cell = GRUCell(3, 4).double()
    x, h = random(5, 3), random(5, 4, seed=1)
    p = {name: v.detach().numpy() for name, v in cell.named_parameters()}
    w, b = np.split(p["input.weight"], 3), np.split(p["input.bias"], 3)
    u, c = np.split(p["gates.weight"], 2), np.split(p["gates.bias"], 2)
    expected = np.zeros((5, 4))
    for n, (row, state) in enumerate(zip(x.numpy(), h.numpy(), strict=True)):
        r = 1 / (1 + np.exp(-(w[0] @ row + b[0] + u[0] @ state + c[0])))
        z = 1 / (1 + np.exp(-(w[1] @ row + b[1] + u[1] @ state + c[1])))
        new = np.tanh(w[2] @ row + b[2] + p["candidate.weight"] @ (r * state) + p["candidate.bias"])
        expected[n] = (1 - z) * new + z * state
    np.testing.assert_allclose(cell(x, h).detach().numpy(), expected, rtol=0, atol=1e-12)


def test_an_unknown_reset_is_refused():
    with pytest.raises(ValueError, match="reset 'never' is not one of before, after"):
        GRUCell(3, 4, "never")


@pytest.mark.parametrize("lengths", [[6, 4, 1], [6, 6, 6], [2]])
def test_both_directions_are_a_packed_bidirectional_gru(lengths):
    oracle = nn.GRU(3, 4, batch_first=True, bidirectional=True).double()
    ahead = GRULayer(3, 4, reset="after").double()
    back = GRULayer(3, 4, backward=True, reset="after").double()
    weights = dict(oracle.named_parameters())
    copy_gru(ahead.cell, weights, "_l0")
    copy_gru(back.cell, weights, "_l0_reverse")
    size = 7
    x = random(len(lengths), size, 3)
    padding = torch.arange(size) >= torch.tensor(lengths)[:, None]
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    states, last = oracle(packed)
    expected, _ = pad_packed_sequence(states, batch_first=True, total_length=size)
    both = torch.cat((ahead(x, padding), back(x, padding)), dim=2)
    torch.testing.assert_close(both.masked_fill(padding[:, :, None], 0.0), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(ahead(x, padding)[:, -1], last[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(back(x, padding)[:, 0], last[1], rtol=0, atol=1e-12)
    assert not back(x, padding)[0, max(lengths) :].any() or max(lengths) == size


def test_steps_of_a_stack_are_torch_s_lstm():
    oracle = nn.LSTM(3, 4, 2, batch_first=True).double()
    stack = LSTMStack(3, 4, 2).double()
    with torch.no_grad():
        for i, cell in enumerate(stack.cells):
            for name, parameter in cell.named_parameters():
                parameter.copy_(getattr(oracle, f"{name}_l{i}"))
    x, hidden, cells = random(5, 6, 3), random(5, 2, 4, seed=1), random(5, 2, 4, seed=2)
    expected, (last_hidden, last_cell) = oracle(
        x, (hidden.transpose(0, 1).contiguous(), cells.transpose(0, 1).contiguous())
    )
    outputs = []
    for place in range(6):
        output, hidden, cells = stack(x[:, place], hidden, cells)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(hidden, last_hidden.transpose(0, 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(cells, last_cell.transpose(0, 1), rtol=0, atol=1e-12)


def test_dropout_acts_between_layers_and_only_in_training():
    stack = LSTMStack(3, 4, 2, dropout=0.5).double()
    x, state = random(1, 3), torch.zeros(1, 2, 4, dtype=torch.float64)
    torch.manual_seed(0)
    hiddens = [stack(x, state, state)[1] for _ in range(8)]
    assert all(torch.equal(h[:, 0], hiddens[0][:, 0]) for h in hiddens)
    assert any(not torch.equal(h[:, 1], hiddens[0][:, 1]) for h in hiddens)
    stack.eval()
    assert torch.equal(stack(x, state, state)[1], stack(x, state, state)[1])
