"""Find the smallest part of a stage's graph that is wrong by itself, and write it so that it runs without this package.

The inputs of the part are the original's tensors, so its error is its own. It starts between the last correct tensors and the
first wrong one. If that part stays within the limit (many nodes add up to the error), it starts further back.
"""

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from ...errors import AttnexportError
from ...runtime.bundle.divergence import Reproducer
from ...runtime.sessions.emulated import emulate
from ...runtime.sessions.ort import OrtSession
from ..precision.graph import captured
from ..verify.graphs import Flow, runnable
from ..verify.locate import Place
from ..verify.sides import Side
from .modules import Types
from .sweep import Compared, TensorReader, difference, most_similar

MODEL, TYPED, DATA, SCRIPT = "part.onnx", "part.typed.onnx", "data.npz", "reproduce.py"
FILES = (MODEL, TYPED, DATA, SCRIPT)
_EXPECTED = "expected"


@dataclass(frozen=True)
class FaultyPart:
    """A part of the graph with its inputs, its expected output and its error."""

    model: onnx.ModelProto
    typed: onnx.ModelProto | None
    tensor: str
    feeds: dict[str, np.ndarray]
    expected: np.ndarray
    relative: float


def smallest_part(
    taps: TensorReader,
    reference: Side,
    feeds: Mapping[str, np.ndarray],
    place: Place,
    compared: Mapping[str, Compared],
    types: Types,
    limit: float,
) -> FaultyPart | None:
    """Return the smallest part whose error alone is above ``limit``; None if there is none."""
    flow = taps.flow
    # With the original's tensors as inputs, a part may begin at any compared tensor, correct or wrong in the stage.
    known = sorted(
        (name for name in flow.behind(place.tensor) if name in compared and name != place.tensor),
        key=flow.order.__getitem__,
    )

    def failing(back: int) -> FaultyPart | None:
        """Return the part that begins ``back`` tensors before the place, if its error is above the limit."""
        region = flow.behind(place.tensor, set(known[: len(known) - back])) if back else place.region
        part = _part(taps, reference, feeds, region, place.tensor, types)
        return part if part is not None and not part.relative <= limit else None

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
    taps: TensorReader,
    reference: Side,
    feeds: Mapping[str, np.ndarray],
    region: Collection[str],
    tensor: str,
    types: Types,
) -> FaultyPart | None:
    flow, graph = taps.flow, taps.light.graph
    weights = {weight.name for weight in graph.initializer}
    data, sizes = ((names - weights) for names in border(flow, region))
    inner = sorted((data | sizes) & set(flow.maker))
    computed = taps.run(feeds, [*inner, tensor])
    expected = _nearest(reference, {name: computed[name] for name in (*(n for n in inner if n in data), tensor)})
    if tensor not in expected:
        return None
    inputs = {}
    for name in sorted(data):
        value = feeds[name] if name in feeds else expected.get(name, computed.get(name))
        if value is None:
            return None
        inputs[name] = _stored(value, types.of(name) if name not in feeds else "")
    constants = {name: feeds[name] if name in feeds else computed[name] for name in sizes}
    output = _stored(computed[tensor], types.of(tensor))
    part = cut(taps.light, taps.folder, region, tensor, inputs, constants, output, types.bfloat16())
    try:
        model = emulate(part) if taps.typed else runnable(part)
        with OrtSession(model.SerializeToString(), optimize=False, spin=False) as session:
            result = session.run({n: a.astype(session.input_dtypes[n]) for n, a in inputs.items()})[tensor]
    except AttnexportError:
        return None
    figures = difference(result.astype(np.float64), expected[tensor])
    relative = figures.relative if figures is not None else float("inf")
    return FaultyPart(model, part if taps.typed else None, tensor, inputs, expected[tensor], relative)


def _nearest(reference: Side, results: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the original's tensors of these names; of several with one name, the most similar one."""
    nearest: dict[str, np.ndarray] = {}
    most_similar(reference, results, lambda name, figures, array: nearest.update({name: array.copy()}))
    return nearest


def _stored(array: np.ndarray, kind: str) -> np.ndarray:
    """Round FP64 to the type of the graph: FP32, or FP16."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float16 if kind == "fp16" else np.float32)


def write(part: FaultyPart, folder: Path, name: Path, title: str, limit: float) -> Reproducer:
    """Write the part, its data and the script into ``folder``, which is later renamed to ``name``."""
    onnx.save(part.model, folder / MODEL)
    if part.typed is not None:
        onnx.save(part.typed, folder / TYPED)
    names = {f"feed_{i}": name for i, name in enumerate(part.feeds)}
    data: dict[str, Any] = {_EXPECTED: part.expected, **{key: part.feeds[name] for key, name in names.items()}}
    np.savez_compressed(folder / DATA, **data)
    script = _SCRIPT.format(
        title=title.replace('"""', "'''").replace("\\", "/"), model=MODEL, data=DATA, expected=_EXPECTED,
        feeds=json.dumps(names, indent=4), output=json.dumps(part.tensor), limit=repr(float(limit)),
    )  # fmt: skip
    (folder / SCRIPT).write_text(script, encoding="utf-8")
    return Reproducer(
        folder=str(name), command=f"python {shlex.quote(str(name / SCRIPT))}", tensor=part.tensor, feeds=tuple(part.feeds),
        nodes=len((part.typed or part.model).graph.node), relative=part.relative, allowed=limit,
    )  # fmt: skip


def border(flow: Flow, region: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the tensors that the nodes of ``region`` read from outside: data, and tensors for sizes and axes."""
    data: set[str] = set()
    every: set[str] = set()
    for name in region:
        node = flow.maker[name]
        data.update(flow.sources(name))
        every.update(name for name in (*node.input, *captured(node)) if name)
    produced = {name for tensor in region for name in flow.maker[tensor].output}
    return data - produced, every - data - produced


def cut(
    light: ModelProto,
    folder: Path,
    region: Collection[str],
    tensor: str,
    feeds: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    output: np.ndarray,
    kinds: Mapping[str, int],
) -> ModelProto:
    """Return a model of the nodes that produce the tensors of ``region``, with their weights from ``folder``.

    ``feeds`` are its inputs with their types and shapes, ``constants`` its sizes and axes. ``tensor`` is its only output,
    with the type and shape of ``output``. ``kinds``: element types that NumPy does not have.
    """
    nodes = [node for node in light.graph.node if any(name in region for name in node.output)]
    used = {name for node in nodes for name in (*node.input, *captured(node)) if name}
    part = ModelProto(ir_version=light.ir_version)
    part.opset_import.extend(light.opset_import)
    part.functions.extend(light.functions)
    part.graph.name = "part"
    part.graph.node.extend(nodes)
    part.graph.input.extend(_value(name, array, kinds) for name, array in feeds.items())
    part.graph.output.append(_value(tensor, output, kinds))
    part.graph.initializer.extend(w for w in light.graph.initializer if w.name in used and w.name not in feeds)
    load_external_data_for_model(part, str(folder))
    known = [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used]
    part.graph.initializer.extend(known)
    return part


def _value(name: str, array: np.ndarray, kinds: Mapping[str, int]) -> onnx.ValueInfoProto:
    kind = kinds.get(name) or helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, list(array.shape))


_SCRIPT = '''"""{title}

The inputs are the original's tensors in FP64, rounded to the types of the graph. Needs numpy and onnxruntime.
The exit code is 1 while the error is above the limit, else 0.
"""

import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

FEEDS = {feeds}
OUTPUT = {output}
LIMIT = {limit}

here = Path(__file__).resolve().parent
data = np.load(here / "{data}")
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
session = ort.InferenceSession(str(here / "{model}"), options, providers=["CPUExecutionProvider"])
(result,) = session.run([OUTPUT], {{name: data[key] for key, name in FEEDS.items()}})
expected = data["{expected}"]

with np.errstate(all="ignore"):
    same = (result == expected) | (np.isnan(result) & np.isnan(expected))
    difference = np.where(same, 0.0, result.astype(np.float64) - expected.astype(np.float64))
finite = np.isfinite(expected)
rms = math.sqrt(np.mean(np.square(expected[finite], dtype=np.float64))) if finite.any() else 0.0
error = math.sqrt(np.mean(np.square(difference)))
relative = error / rms if rms else math.inf if error else 0.0
wrong = int(np.count_nonzero(~np.isfinite(result) & finite))
print(f"{{OUTPUT}}: {{tuple(result.shape)}}, relative error {{relative:.3e}}, limit {{LIMIT:.3e}}, {{wrong}} values not finite")
sys.exit(0 if relative <= LIMIT else 1)
'''
