"""Normalisations, and what divides by a sum: softmaxes, LRN, norms over axes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from attnexport.benchmarks.reference_sweep.case import Case, across, newest
from attnexport.benchmarks.reference_sweep.draws import f32, i64, of


def cases() -> Iterator[Case]:
    """All normalisations."""
    yield from _softmaxes()
    yield from _lp()
    yield from _lrn()
    yield from _batch()
    yield from _group_and_instance()
    yield from _layer()
    yield from _losses()


def _softmaxes() -> Iterator[Case]:
    for operator, axis in product(("Softmax", "LogSoftmax", "Hardmax"), (None, 0, 1, 2, -1, -2)):
        attributes = {} if axis is None else {"axis": axis}
        yield from across(operator, [f32(2, 3, 4)], attributes)
        yield from newest(operator, [f32(2, 3, 4, kind="large")], attributes)
    for operator in ("Softmax", "LogSoftmax", "Hardmax"):
        yield from across(operator, [f32(3, 4, 2, 2)], {"axis": 1})
        yield from across(operator, [f32(5)], {"axis": 0})
        yield from across(operator, [f32(3, 4, kind="ties")], {"axis": 1})
        yield from newest(operator, [f32(0, 4)], {"axis": 1})
    for operator in ("Softmax", "LogSoftmax"):
        yield from newest(operator, [f32(2, 5000)], {"axis": 1})
    yield from across("Softmax", [of("float64", 2, 3)], {"axis": 1})


def _lp() -> Iterator[Case]:
    for p, axis in product((1, 2), (None, 0, 1, 2, -1, -2)):
        attributes = {"p": p} if axis is None else {"p": p, "axis": axis}
        yield from across("LpNormalization", [f32(2, 3, 4)], attributes)
    yield from across("LpNormalization", [f32(3, 4)], {})
    zeros = np.asarray([[1, -2, 3, 0.5], [0, 0, 0, 0]], np.float32)
    for p in (1, 2):
        yield from across("LpNormalization", [zeros], {"p": p})


def _lrn() -> Iterator[Case]:
    for size, shape in product((1, 3, 5, 7), ((2, 7, 3, 2), (1, 4, 2, 5))):
        yield from across("LRN", [f32(*shape)], {"size": size})
    yield from across("LRN", [f32(1, 6, 3, 3)], {"size": 3, "alpha": 0.5, "beta": 0.4, "bias": 2.0})
    yield from across("LRN", [f32(1, 6, 3, 3)], {"size": 5, "alpha": 0.5, "beta": 0.4, "bias": 2.0})


def _batch() -> Iterator[Case]:
    for shape in ((2, 3, 4, 5), (2, 3), (2, 3, 4), (1, 3, 2, 3, 2)):
        inputs = [f32(*shape), f32(3), f32(3), f32(3), f32(3, kind="positive")]
        yield from across("BatchNormalization", inputs)
        yield from newest("BatchNormalization", inputs, {"epsilon": 0.01}, constants=(1, 2, 3, 4))
    inputs = [f32(2, 3, 4, 5), f32(3), f32(3), f32(3), f32(3, kind="positive")]
    yield from across("BatchNormalization", inputs, {"training_mode": 1, "momentum": 0.8}, outputs=("y0", "y1", "y2"))


def _group_and_instance() -> Iterator[Case]:
    shapes: tuple[tuple[int, ...], ...] = ((2, 3, 4, 5), (2, 3, 6), (1, 3, 2, 3, 4))
    for shape in shapes:
        yield from across("InstanceNormalization", [f32(*shape), f32(3), f32(3)])
        yield from across("InstanceNormalization", [f32(*shape), f32(3), f32(3)], {"epsilon": 0.1})
        yield from across("MeanVarianceNormalization", [f32(*shape)], {"axes": [0, 2]})
    for axes in (None, [0, 2, 3], [1, 2, 3], [-1], [2, 3]):
        yield from across("MeanVarianceNormalization", [f32(2, 3, 4, 5)], {} if axes is None else {"axes": axes})
    for groups, sizes in product((1, 2, 4), ((2, 4, 5), (2, 4, 3, 3), (1, 4, 2, 3, 2))):
        yield from across("GroupNormalization", [f32(*sizes), f32(4), f32(4)], {"num_groups": groups}, (21, 23))
    yield from across("GroupNormalization", [f32(2, 4, 5), f32(4), f32(4)], {"num_groups": 2, "epsilon": 0.1}, (21, 23))


def _layer() -> Iterator[Case]:
    for axis in (-1, 1, 2, -2, 0):
        shape = (2, 3, 4)[axis:]
        attributes = {"axis": axis, "epsilon": 0.01}
        yield from across("LayerNormalization", [f32(2, 3, 4), f32(*shape)], attributes)
        yield from across(
            "LayerNormalization", [f32(2, 3, 4), f32(*shape), f32(*shape)], attributes, outputs=("y0", "y1", "y2")
        )
        yield from across("RMSNormalization", [f32(2, 3, 4), f32(*shape)], attributes)
    yield from across("LayerNormalization", [f32(2, 3, 4), f32(4), f32(4)], {"stash_type": 1})
    yield from across("LayerNormalization", [f32(2, 3, 4), f32(1), f32(1)])
    yield from across("LayerNormalization", [f32(2, 2048), f32(2048), f32(2048)])
    yield from across("RMSNormalization", [f32(2, 2048), f32(2048)])
    yield from across("LayerNormalization", [f32(2, 3, 4), f32(3, 4), f32(4)], {"axis": 1})
    yield from across("RMSNormalization", [f32(2, 3, 4), f32(4)])
    yield from across("RMSNormalization", [f32(2, 3, 4), f32(1)], {"axis": -1})


def _losses() -> Iterator[Case]:
    labels, far = i64(1, 0, 3, 2), i64(1, -1, 3, 2)
    for reduction in ("mean", "sum", "none"):
        for operator in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"):
            yield from across(operator, [f32(4, 5), labels], {"reduction": reduction})
            yield from across(operator, [f32(4, 5), labels, f32(5, kind="positive")], {"reduction": reduction})
            yield from across(operator, [f32(4, 5), far], {"reduction": reduction, "ignore_index": -1})
            yield from across(operator, [f32(2, 5, 2), labels.reshape(2, 2)], {"reduction": reduction})
        yield from newest(
            "SoftmaxCrossEntropyLoss", [f32(4, 5), labels], {"reduction": reduction}, outputs=("y0", "y1")
        )
