"""LSTM, GRU and RNN: directions, layouts, sequence lengths, initial states, peepholes, clips and activations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from attnexport.benchmarks.reference_sweep.case import Case, Input, across, newest
from attnexport.benchmarks.reference_sweep.draws import f32

_STEPS, _BATCH, _IN, _HIDDEN = 5, 3, 4, 2
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_OUTPUTS = {"LSTM": ("y0", "y1", "y2"), "GRU": ("y0", "y1"), "RNN": ("y0", "y1")}
_DIRECTIONS = ("forward", "reverse", "bidirectional")
_LENGTHS = np.asarray([5, 2, 4], np.int32)
_ACTIVATIONS: dict[str, dict[str, Any]] = {
    "Relu": {},
    "LeakyRelu": {"activation_alpha": [0.1]},
    "HardSigmoid": {"activation_alpha": [0.3], "activation_beta": [0.4]},
    "ScaledTanh": {"activation_alpha": [1.5], "activation_beta": [0.7]},
    "ThresholdedRelu": {"activation_alpha": [0.2]},
    "Elu": {"activation_alpha": [0.8]},
    "Affine": {"activation_alpha": [0.9], "activation_beta": [0.1]},
    "Softsign": {},
    "Softplus": {},
    "Sigmoid": {},
}


def cases() -> Iterator[Case]:
    """All recurrences."""
    for operator, direction in product(_GATES, _DIRECTIONS):
        yield from _plain(operator, direction)
        yield from _further(operator, direction)
    yield from _activations()
    yield from _peepholes()
    yield from _linear_before_reset()


def _weights(operator: str, direction: str) -> tuple[list[Input], int]:
    directions = 2 if direction == "bidirectional" else 1
    gates = _GATES[operator] * _HIDDEN
    w, r, b = f32(directions, gates, _IN), f32(directions, gates, _HIDDEN), f32(directions, 2 * gates)
    return [f32(_STEPS, _BATCH, _IN), w, r, b], directions


def _plain(operator: str, direction: str) -> Iterator[Case]:
    inputs, directions = _weights(operator, direction)
    base = {"hidden_size": _HIDDEN, "direction": direction}
    outputs = _OUTPUTS[operator]
    yield from across(operator, inputs[:3], base, outputs=outputs, constants=(1, 2))
    yield from across(operator, inputs, base, outputs=outputs)
    yield from across(operator, [*inputs, _LENGTHS], base, outputs=outputs)
    yield from across(operator, [*inputs, _LENGTHS], base, outputs=outputs, constants=(4,))
    state = f32(directions, _BATCH, _HIDDEN)
    states: list[Input] = [state, f32(directions, _BATCH, _HIDDEN, kind="unit")] if operator == "LSTM" else [state]
    yield from across(operator, [*inputs, None, *states], base, outputs=outputs)
    yield from across(operator, [*inputs, _LENGTHS, *states], base, outputs=outputs)


def _further(operator: str, direction: str) -> Iterator[Case]:
    inputs, _ = _weights(operator, direction)
    base = {"hidden_size": _HIDDEN, "direction": direction}
    outputs = _OUTPUTS[operator]
    yield from newest(operator, [*inputs, _LENGTHS], base, outputs=outputs[:1])
    yield from newest(operator, [*inputs, _LENGTHS], base, outputs=("", *outputs[1:]))
    for clip in (0.3, 0.8):
        yield from newest(operator, inputs, {**base, "clip": clip}, outputs=outputs)


def _activations() -> Iterator[Case]:
    for operator, (name, numbers), direction in product(_GATES, _ACTIVATIONS.items(), ("forward", "bidirectional")):
        inputs, directions = _weights(operator, direction)
        last = {"LSTM": ["Sigmoid", name, "Tanh"], "GRU": ["Sigmoid", name], "RNN": [name]}[operator]
        attributes = {"hidden_size": _HIDDEN, "direction": direction, "activations": last * directions}
        attributes |= {key: value * directions for key, value in numbers.items()}
        yield from newest(operator, inputs, attributes, outputs=_OUTPUTS[operator])
    yield from newest(
        "LSTM", _weights("LSTM", "forward")[0], {"hidden_size": _HIDDEN, "activations": ["HardSigmoid", "Tanh", "Relu"]}
    )
    yield from newest(
        "GRU", _weights("GRU", "forward")[0], {"hidden_size": _HIDDEN, "activations": ["HardSigmoid", "Relu"]}
    )


def _peepholes() -> Iterator[Case]:
    for direction, lengths, coupled in product(_DIRECTIONS, (None, _LENGTHS), (0, 1)):
        inputs, directions = _weights("LSTM", direction)
        peepholes = f32(directions, 3 * _HIDDEN)
        attributes = {"hidden_size": _HIDDEN, "direction": direction, "input_forget": coupled}
        yield from newest("LSTM", [*inputs, lengths, None, None, peepholes], attributes, outputs=_OUTPUTS["LSTM"])
        if coupled:
            yield from newest("LSTM", inputs, attributes, outputs=_OUTPUTS["LSTM"])


def _linear_before_reset() -> Iterator[Case]:
    for direction, lengths in product(_DIRECTIONS, (None, _LENGTHS)):
        attributes = {"hidden_size": _HIDDEN, "direction": direction, "linear_before_reset": 1}
        inputs = [*_weights("GRU", direction)[0], lengths]
        yield from across("GRU", inputs, attributes, outputs=_OUTPUTS["GRU"])
