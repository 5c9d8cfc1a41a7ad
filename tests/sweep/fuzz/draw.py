"""A random ONNX graph, by a seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from . import blocks, control, floats, images, integers, movement
from .sketch import Arrays, Sketch

OPSETS = tuple(range(7, 24))
SHAPES = ((2, 4, 5, 6), (1, 3, 6, 6), (2, 5, 4), (1, 6, 8), (3, 4), (2, 6), (1, 2, 4, 4))
FAMILIES = (
    *(
        (family.KINDS, share)
        for family, share in ((floats, 5), (movement, 4), (images, 3), (integers, 3), (control, 1.5))
    ),
    (blocks.KINDS, 4),
)
LEAST, MOST = 3, 9
"""Kinds of nodes in a graph."""


@dataclass(frozen=True)
class Drawn:
    """``exact``: the program is FP64 all the way; where it is not, one of its functions is ONNX Runtime in FP32."""

    model: ModelProto
    feeds: Arrays
    sketch: Sketch
    outputs: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return self.sketch.exact

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by the program."""
        return self.sketch.run(feeds, self.outputs)


def draw(seed: int) -> Drawn:
    """The graph of a seed: one to three inputs, one to three outputs."""
    rng = np.random.default_rng([7, seed])
    s = Sketch(rng, int(rng.choice(OPSETS)), free=bool(rng.random() < 0.25))
    feeds: Arrays = {}
    shape = s.one([x for x in SHAPES if len(x) > 2] if s.free else SHAPES)
    _give(s, feeds, "x", rng.normal(size=shape).astype(np.float32))
    if s.flip(0.3):
        _give(s, feeds, "y", rng.normal(size=shape).astype(np.float32))
    if s.flip(0.3):
        _give(s, feeds, "k", rng.integers(-3, 6, shape[: s.between(1, 2)]))
    if s.flip(0.3):
        _give(s, feeds, "flag", np.asarray(rng.random(() if not s.free else shape[:1]) < 0.5))
    shares = np.asarray([share for _, share in FAMILIES])
    wanted, made = s.between(LEAST, MOST), 0
    for _ in range(60):
        kinds = FAMILIES[int(rng.choice(len(FAMILIES), p=shares / shares.sum()))][0]
        made += s.attempt(s.one(kinds))
        if made == wanted:
            break
    outputs = _outputs(s)
    return Drawn(s.model(outputs), {name: feeds[name] for name in s.given}, s, outputs)


def _give(s: Sketch, feeds: Arrays, name: str, array: np.ndarray) -> None:
    feeds[name] = array
    s.values[name] = array.astype(np.float64) if array.dtype.kind == "f" else array
    s.given.append(name)
    s.pool.append(name)


def _outputs(s: Sketch) -> tuple[str, ...]:
    """The last value, and up to two others that nothing reads."""
    read = {name for step in s.program for name in step.inputs}
    made = [name for name in s.pool if name not in s.given] or [s.op("Identity", ["x"], lambda v: v)]
    ends = [name for name in made[:-1] if name not in read]
    s.rng.shuffle(ends)
    return tuple(dict.fromkeys([made[-1], *ends[:2]]))
