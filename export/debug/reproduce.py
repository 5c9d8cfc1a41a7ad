"""The smallest part of a stage's graph that is wrong by itself, written so that it shows the fault without this package.

The part is fed with the original's own tensors, so whatever it errs by it adds itself. It starts as what lies between
the last tensors that were right and the first that is not. Where that part alone stays within what is allowed (an
error that many nodes add up to), it is taken from as far back as it needs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...errors import AttnexportError
from ...runtime.bundle.divergence import Reproducer
from ...runtime.sessions.emulated import emulate
from ...runtime.sessions.ort import OrtSession
from ..verify.graphs import runnable
from ..verify.locate import Place
from ..verify.sides import Side
from .cut import border, cut
from .modules import Types
from .sweep import Compared, difference
from .taps import TensorReader

MODEL, TYPED, DATA, SCRIPT = "part.onnx", "part.typed.onnx", "data.npz", "reproduce.py"
_EXPECTED = "expected"


@dataclass(frozen=True)
class FaultyPart:
    """A part of the graph with what goes in and what has to come out, and the error that it makes of it."""

    model: onnx.ModelProto
    typed: onnx.ModelProto | None
    tensor: str
    feeds: dict[str, np.ndarray]
    expected: np.ndarray
    relative: float


def smallest_part(
    taps: TensorReader,
    truth: Side,
    feeds: Mapping[str, np.ndarray],
    place: Place,
    compared: Mapping[str, Compared],
    types: Types,
    allowed: float,
) -> FaultyPart | None:
    """The smallest part that errs by more than ``allowed`` alone; None where no part of the graph can be cut out and does."""
    flow = taps.flow
    # Fed with the original's, a part may begin at any tensor that is known there, right or wrong in the stage.
    known = sorted(
        (name for name in flow.behind(place.tensor) if name in compared and name != place.tensor),
        key=flow.order.__getitem__,
    )

    def failing(back: int) -> FaultyPart | None:
        """The part that begins ``back`` tensors before the place, if it errs by too much."""
        region = flow.behind(place.tensor, set(known[: len(known) - back])) if back else place.region
        part = _part(taps, truth, feeds, region, place.tensor, types)
        return part if part is not None and not part.relative <= allowed else None

    least, back = -1, 0
    while (part := failing(back)) is None:
        if back >= len(known):
            return None
        least, back = back, min(max(2 * back, 1), len(known))
    while back - least > 1:
        middle = (least + back) // 2
        smaller = failing(middle)
        if smaller is None:
            least = middle
        else:
            back, part = middle, smaller
    return part


def _part(
    taps: TensorReader, truth: Side, feeds: Mapping[str, np.ndarray], region: Collection[str], tensor: str, types: Types
) -> FaultyPart | None:
    flow, graph = taps.flow, taps.light.graph
    weights = {weight.name for weight in graph.initializer}
    data, sizes = ((names - weights) for names in border(flow, region))
    inner = sorted((data | sizes) & set(flow.maker))
    computed = taps.run(feeds, [*inner, tensor])
    right = _nearest(truth, {name: computed[name] for name in (*(n for n in inner if n in data), tensor)})
    if tensor not in right:
        return None
    given = {}
    for name in sorted(data):
        value = feeds[name] if name in feeds else right.get(name, computed.get(name))
        if value is None:
            return None
        given[name] = _stored(value, types.of(name) if name not in feeds else "")
    constants = {name: feeds[name] if name in feeds else computed[name] for name in sizes}
    output = _stored(computed[tensor], types.of(tensor))
    part = cut(taps.light, taps.folder, region, tensor, given, constants, output, types.bfloat16())
    try:
        model = emulate(part) if taps.typed else runnable(part)
        with OrtSession(model.SerializeToString(), optimize=False, spin=False) as session:
            got = session.run({name: given[name].astype(session.input_dtypes[name]) for name in given})[tensor]
    except AttnexportError:
        return None
    figures = difference(got.astype(np.float64), right[tensor])
    relative = figures.relative if figures is not None else float("inf")
    return FaultyPart(model, part if taps.typed else None, tensor, given, right[tensor], relative)


def _nearest(truth: Side, got: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The original's tensors of these names; of several that one may stand for, the one that is most like it."""
    found: dict[str, np.ndarray] = {}
    least: dict[str, float] = {}

    def see(name: str, array: np.ndarray) -> None:
        figures = difference(got[name], array)
        if figures is not None and (name not in least or figures.relative < least[name]):
            least[name] = figures.relative
            found[name] = array.copy()

    truth.stream([name for name in got if name in truth.names], see)
    return found


def _stored(array: np.ndarray, kind: str) -> np.ndarray:
    """As the graph holds it: FP64 rounded to FP32, or to FP16."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float16 if kind == "fp16" else np.float32)


def write(part: FaultyPart, folder: Path, name: Path, title: str, allowed: float) -> Reproducer:
    """Write the part, its data and the script into ``folder``, which will be called ``name``."""
    onnx.save(part.model, folder / MODEL)
    if part.typed is not None:
        onnx.save(part.typed, folder / TYPED)
    names = {f"feed_{i}": name for i, name in enumerate(part.feeds)}
    data: dict[str, Any] = {_EXPECTED: part.expected, **{key: part.feeds[name] for key, name in names.items()}}
    np.savez_compressed(folder / DATA, **data)
    script = _SCRIPT.format(
        title=title.replace('"""', "'''").replace("\\", "/"), model=MODEL, data=DATA, expected=_EXPECTED,
        feeds=json.dumps(names, indent=4), output=json.dumps(part.tensor), allowed=repr(float(allowed)),
    )  # fmt: skip
    (folder / SCRIPT).write_text(script, encoding="utf-8")
    return Reproducer(
        folder=str(name),
        command=f"python {shlex.quote(str(name / SCRIPT))}",
        tensor=part.tensor,
        feeds=tuple(part.feeds),
        nodes=len((part.typed or part.model).graph.node),
        relative=part.relative,
        allowed=allowed,
    )


_SCRIPT = '''"""{title}

Fed with the original's own tensors in FP64, rounded to what the graph holds. Needs numpy and onnxruntime, nothing else.
Exits with 1 while the error is beyond what is allowed, with 0 when it is not.
"""

import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

FEEDS = {feeds}
OUTPUT = {output}
ALLOWED = {allowed}

here = Path(__file__).resolve().parent
data = np.load(here / "{data}")
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
session = ort.InferenceSession(str(here / "{model}"), options, providers=["CPUExecutionProvider"])
(got,) = session.run([OUTPUT], {{name: data[key] for key, name in FEEDS.items()}})
expected = data["{expected}"]

with np.errstate(all="ignore"):
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    difference = np.where(same, 0.0, got.astype(np.float64) - expected.astype(np.float64))
finite = np.isfinite(expected)
rms = math.sqrt(np.mean(np.square(expected[finite], dtype=np.float64))) if finite.any() else 0.0
error = math.sqrt(np.mean(np.square(difference)))
relative = error / rms if rms else math.inf if error else 0.0
wrong = int(np.count_nonzero(~np.isfinite(got) & finite))
print(f"{{OUTPUT}}: {{tuple(got.shape)}}, relative error {{relative:.3e}}, allowed {{ALLOWED:.3e}}, {{wrong}} values not finite")
sys.exit(0 if relative <= ALLOWED else 1)
'''
