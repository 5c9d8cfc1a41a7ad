"""Recurrent layers over padded sequences, a cell at a time.

``nn.GRU`` and ``nn.LSTM`` cannot stand here, for three reasons: they read padding unless the sequence is packed, which
does not trace; torch.export fixes their length, so that ONNX's GRU and LSTM gain nothing over unrolled cells; and ONNX
Runtime 1.31 crashes while it optimises an FP16 GRU. A cell is a few matrix products that every runtime has. The length
of a sequence is fixed when it is traced; shorter ones are padded at the end, and padding leaves a state as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RESETS = ("before", "after")


class GRUCell(nn.Module):
    """A gated recurrent unit (Cho et al., 2014): input (N, input_width), state h (N, width) -> the next state.

    ::

        r = sigmoid(W_r x + U_r h);  z = sigmoid(W_z x + U_z h)
        n = tanh(W x + U (r * h))                             reset="before": the paper's
        n = tanh(W x + r * (U h))                             reset="after": cuDNN's, nn.GRUCell's, ONNX's default form
        h' = (1 - z) * n + z * h

    with a bias beside every product. Bahdanau (2015, appendix A.1.1) calls 1 - z what is z here.
    Raises ValueError for an unknown ``reset``.
    """

    def __init__(self, input_width: int, width: int, reset: str = "before") -> None:
        super().__init__()
        if reset not in RESETS:
            raise ValueError(f"reset {reset!r} is not one of {', '.join(RESETS)}")
        self.reset = reset
        self.input = nn.Linear(input_width, 3 * width)
        self.gates = nn.Linear(width, 2 * width)
        self.candidate = nn.Linear(width, width)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """The state after ``x``."""
        return self.advance(self.input(x), h)

    def advance(self, projected: Tensor, h: Tensor) -> Tensor:
        """The state after x, whose product ``self.input(x)`` (N, 3 width) is at hand."""
        x_r, x_z, x_n = projected.chunk(3, dim=1)
        h_r, h_z = self.gates(h).chunk(2, dim=1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        recurrent = self.candidate(r * h) if self.reset == "before" else r * self.candidate(h)
        new: Tensor = (1 - z) * (x_n + recurrent).tanh() + z * h
        return new


class GRULayer(nn.Module):
    """(N, S, input_width), padding (N, S) -> the state at every place (N, S, width), from zeros, in either direction.

    ``backward`` reads from the last place to the first: its first state is the summary of the whole sequence. At
    padding the state stays; that at the end of a shorter sequence, read backwards, is therefore zero until the
    sequence itself begins.
    """

    def __init__(self, input_width: int, width: int, *, backward: bool = False, reset: str = "before") -> None:
        super().__init__()
        self.width, self.backwards = width, backward
        self.cell = GRUCell(input_width, width, reset)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """The states, in the places' order."""
        projected = self.cell.input(x)  # of all places at once
        h = x.new_zeros(x.shape[0], self.width)
        places = range(x.shape[1])
        states: list[Tensor] = []
        for place in reversed(places) if self.backwards else places:
            h = torch.where(padding[:, place, None], h, self.cell.advance(projected[:, place], h))
            states.append(h)
        return torch.stack(states[::-1] if self.backwards else states, dim=1)


class LSTMStack(nn.Module):
    """Layers of long short-term memory, one step: input (N, input_width) and state -> output (N, width) and state.

    The state is hidden and cell, (N, layers, width) each; the output is the last layer's hidden state. ``dropout`` acts
    on the input of every layer but the first (Zaremba et al., 2015), while training.
    """

    def __init__(self, input_width: int, width: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.cells = nn.ModuleList(nn.LSTMCell(input_width if i == 0 else width, width) for i in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Output, hidden and cell after ``x``."""
        hiddens: list[Tensor] = []
        cells: list[Tensor] = []
        for i, unit in enumerate(self.cells):
            h, c = unit(x, (hidden[:, i], cell[:, i]))
            hiddens.append(h)
            cells.append(c)
            x = self.dropout(h)
        return hiddens[-1], torch.stack(hiddens, 1), torch.stack(cells, 1)
