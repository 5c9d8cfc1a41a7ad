"""RNN, GRU and LSTM with all attributes: directions, sequence lengths, initial states, peepholes, clip, layout.

    RNN  : h = f(W x + R h + Wb + Rb)
    GRU  : z = f(.), r = f(.), c = g(W x + r (R h) + ...), h = (1 - z) c + z h        gates z, r, c
    LSTM : i = f(.), o = f(.), f = f(.), c = f c + i g(.), h = o h(c)                  gates i, o, f, c

A sequence shorter than the batch's longest gives zeros after its end, its last state is that of its last step, and the
reverse direction starts at its end. Source: the ONNX specification of opset 14; clip applies to the inputs of
activations.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .call import Array, Call, Kernel, NotCovered

Function = Callable[[Array], Array]


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


_DEFAULTS = {"affine": (1.0, 0.0), "elu": (1.0, 0.0), "hardsigmoid": (0.2, 0.5), "leakyrelu": (0.01, 0.0),
             "scaledtanh": (1.0, 1.0), "thresholdedrelu": (1.0, 0.0)}  # fmt: skip
_TWO = frozenset({"affine", "hardsigmoid", "scaledtanh"})
"""Activations that also read a beta."""
_FUNCTIONS: dict[str, Callable[[Array, float, float], Array]] = {
    "affine": lambda x, a, b: a * x + b,
    "elu": lambda x, a, b: np.where(x >= 0, x, a * np.expm1(np.minimum(x, 0))),
    "hardsigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "leakyrelu": lambda x, a, b: np.where(x >= 0, x, a * x),
    "relu": lambda x, a, b: np.maximum(x, 0),
    "scaledtanh": lambda x, a, b: a * np.tanh(b * x),
    "sigmoid": lambda x, a, b: _sigmoid(x),
    "softplus": lambda x, a, b: np.logaddexp(x, 0),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "tanh": lambda x, a, b: np.tanh(x),
    "thresholdedrelu": lambda x, a, b: np.where(x >= a, x, 0),
}


@dataclass(frozen=True)
class _Cell:
    """The weights, without the axis of directions, and activations of one direction."""

    w: Array
    r: Array
    wb: Array
    rb: Array
    peepholes: Array | None
    functions: list[Function]
    clip: float
    linear_before_reset: bool
    input_forget: bool

    def clipped(self, x: Array) -> Array:
        return np.clip(x, -self.clip, self.clip) if self.clip > 0 else x


State = tuple[Array, ...]
Step = Callable[[_Cell, Array, State], State]


def _rnn_step(cell: _Cell, x: Array, state: State) -> State:
    total = x @ cell.w.T + state[0] @ cell.r.T + cell.wb + cell.rb
    return (cell.functions[0](cell.clipped(total)),)


def _gru_step(cell: _Cell, x: Array, state: State) -> State:
    (h,), size = state, state[0].shape[-1]
    f, g = cell.functions
    wz, wr, wh = np.split(x @ cell.w.T + cell.wb, 3, -1)
    rbz, rbr, rbh = np.split(cell.rb, 3)
    rz, rr = np.split(h @ cell.r[: 2 * size].T, 2, -1)
    z, r = f(cell.clipped(wz + rz + rbz)), f(cell.clipped(wr + rr + rbr))
    weight = cell.r[2 * size :].T
    recurrent = r * (h @ weight + rbh) if cell.linear_before_reset else (r * h) @ weight + rbh
    return ((1 - z) * g(cell.clipped(wh + recurrent)) + z * h,)


def _lstm_step(cell: _Cell, x: Array, state: State) -> State:
    h, c = state
    f, g, activate = cell.functions
    i, o, forget, new = np.split(x @ cell.w.T + h @ cell.r.T + cell.wb + cell.rb, 4, -1)
    pi, po, pf = np.split(cell.peepholes, 3) if cell.peepholes is not None else (np.zeros(1),) * 3
    i = f(cell.clipped(i + pi * c))
    keep = 1 - i if cell.input_forget else f(cell.clipped(forget + pf * c))
    c = keep * c + i * g(cell.clipped(new))
    o = f(cell.clipped(o + po * c))
    return o * activate(c), c


def _activations(call: Call, names: list[str]) -> list[Function]:
    """Alphas and betas go, in order, to the activations that read them; the others have defaults."""
    alphas, betas = iter(call.numbers("activation_alpha")), iter(call.numbers("activation_beta"))
    functions = []
    for name in names:
        if name not in _FUNCTIONS:
            raise NotCovered
        a, b = _DEFAULTS.get(name, (0.0, 0.0))
        alpha = next(alphas, a) if name in _DEFAULTS else 0.0
        beta = next(betas, b) if name in _TWO else 0.0
        functions.append(_bound(_FUNCTIONS[name], float(np.float32(alpha)), float(np.float32(beta))))
    return functions


def _bound(function: Callable[[Array, float, float], Array], a: float, b: float) -> Function:
    return lambda x: function(x, a, b)


def _cells(call: Call, defaults: list[str], peepholes: int | None) -> Iterator[_Cell]:
    w, r = call.real(1), call.real(2)
    directions, rows = w.shape[0], w.shape[1]
    bias = call.real(3) if call.present(3) else np.zeros((directions, 2 * rows))
    names = [n.decode() if isinstance(n, bytes) else n for n in call.attributes.get("activations", ())]
    functions = _activations(call, [n.lower() for n in names] or defaults * directions)
    each = len(defaults)
    for d in range(directions):
        yield _Cell(
            w[d], r[d], bias[d, :rows], bias[d, rows:],
            call.real(peepholes)[d] if peepholes is not None and call.present(peepholes) else None,
            functions[d * each : (d + 1) * each],
            call.number("clip", 0.0), call.flag("linear_before_reset"), call.flag("input_forget"),
        )  # fmt: skip


def _unrolled(cell: _Cell, step: Step, x: Array, lengths: Array, state: State, reverse: bool) -> tuple[Array, State]:
    """x (seq, batch, in), lengths (batch,), state of (batch, hidden) -> y (seq, batch, hidden) and the last state."""
    y = np.zeros((*x.shape[:2], state[0].shape[-1]))
    for t in range(x.shape[0]):
        live = np.flatnonzero(t < lengths)
        if not live.size:
            break
        at = lengths[live] - 1 - t if reverse else np.full(live.size, t)
        new = step(cell, x[at, live], tuple(s[live] for s in state))
        state = tuple(s.copy() for s in state)
        for whole, part in zip(state, new, strict=True):
            whole[live] = part
        y[at, live] = new[0]
    return y, state


def _recurrent(call: Call, step: Step, defaults: list[str], states: list[int], peepholes: int | None) -> list[Array]:
    batch_first = call.flag("layout")
    x = call.real(0)
    x = x.swapaxes(0, 1) if batch_first else x
    seq, batch = x.shape[:2]
    hidden = call.real(2).shape[-1]
    lengths = call.array(4).astype(np.int64) if call.present(4) else np.full(batch, seq)
    direction = call.text("direction", "forward").lower()
    outputs, last = [], []
    for d, cell in enumerate(_cells(call, defaults, peepholes)):
        initial = []
        for index in states:
            value = call.real(index) if call.present(index) else None
            part = np.zeros((batch, hidden)) if value is None else (value[:, d] if batch_first else value[d])
            initial.append(part)
        y, state = _unrolled(cell, step, x, lengths, tuple(initial), direction == "reverse" or d == 1)
        outputs.append(y)
        last.append(state)
    y = np.stack(outputs, 1)
    finals = [np.stack(parts, 0) for parts in zip(*last, strict=True)]
    if batch_first:
        return [y.transpose(2, 0, 1, 3), *(f.swapaxes(0, 1) for f in finals)]
    return [y, *finals]


KERNELS: dict[str, Kernel] = {
    "GRU": lambda call: _recurrent(call, _gru_step, ["sigmoid", "tanh"], [5], None),
    "LSTM": lambda call: _recurrent(call, _lstm_step, ["sigmoid", "tanh", "tanh"], [5, 6], 7),
    "RNN": lambda call: _recurrent(call, _rnn_step, ["tanh"], [5], None),
}
"""By operator of the standard domain."""
