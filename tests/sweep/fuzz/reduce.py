"""The smallest part of a graph that has the same verdict by itself, cut out by the debugger's own means.

An ONNX graph ends at the first tensor that shows the verdict, and begins as late as it still does; where it begins, it is fed
what the program computed there. A module keeps one branch, and of that the fewest steps.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch

from attnexport.export.debug.reproduce import border, cut
from attnexport.export.verify.graphs import Flow

from . import onnx_subject, torch_subject
from .draw import Drawn, draw
from .sketch import Arrays
from .torch_subject import Branches
from .trial import Outcome, Verdict, examine


def reduce(kind: str, seed: int, folder: Path) -> str:
    """The outcome of the smallest part, and the part; that of an ONNX graph is also written into ``folder``."""
    return _module(seed) if kind == "torch" else _graph(seed, folder)


def _graph(seed: int, folder: Path) -> str:
    drawn = draw(seed)
    with TemporaryDirectory() as temporary:
        whole = examine(onnx_subject.subject(seed, Path(temporary)))
    flow = Flow(drawn.model.graph)
    best: tuple[Outcome, onnx.ModelProto] | None = None
    for tensor in flow.maker:
        behind = [name for name in flow.maker if name in flow.behind(tensor) or name == tensor]
        found = _part(drawn, flow, behind, tensor, whole, seed)
        if found is None:
            continue
        best = found
        for count in range(1, len(behind)):
            smaller = _part(drawn, flow, behind[-count:], tensor, whole, seed)
            if smaller is not None:
                best = smaller
                break
        break
    outcome, model = best or (whole, drawn.model)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / f"{seed}.onnx")
    return f"{outcome.verdict}: {outcome.text}\n{onnx.printer.to_text(model)}"


def _part(
    drawn: Drawn, flow: Flow, region: list[str], tensor: str, whole: Outcome, seed: int
) -> tuple[Outcome, onnx.ModelProto] | None:
    """The part with its outcome, if that has the verdict of the whole."""
    weights = {weight.name for weight in drawn.model.graph.initializer}
    data, sizes = (names - weights for names in border(flow, region))
    values = drawn.sketch.values
    if not all(name in values for name in (*data, *sizes, tensor)):
        return None
    given = [n for n in drawn.sketch.given if n in data] + sorted(data - set(drawn.sketch.given))
    feeds = {name: _stored(values[name]) for name in given}
    constants = {name: _stored(values[name]) for name in sizes}
    if not feeds:
        return None
    with TemporaryDirectory() as temporary:
        try:
            model = cut(drawn.model, Path(temporary), region, tensor, feeds, constants, _stored(values[tensor]), {})
            subject = onnx_subject.subject_of(seed, drawn, model, _all(feeds, constants), [tensor], Path(temporary))
            subject = _fed(subject, set(feeds))
        except Exception:  # a part that is not a graph by itself
            return None
        outcome = examine(subject)
    return (outcome, model) if _same(outcome, whole) else None


def _same(outcome: Outcome, whole: Outcome) -> bool:
    """The same verdict; of a refusal or a crash, by the same class of error."""
    errors = whole.verdict in (Verdict.CRASH.value, Verdict.UNTRUE.value)
    kinds = [o.text.partition(":")[0] if errors else "" for o in (outcome, whole)]
    return outcome.verdict == whole.verdict and kinds[0] == kinds[1]


def _all(feeds: Arrays, constants: Arrays) -> Arrays:
    return {**feeds, **constants}


def _fed(subject: onnx_subject.Subject, names: set[str]) -> onnx_subject.Subject:
    """The sizes are weights of the part, and inputs of the program alone."""
    sizes = {name: value for name, value in subject.inputs.items() if name not in names}
    first, *rest = subject.oracles
    program = dataclasses.replace(first, run=lambda feeds: first.run({**sizes, **feeds}))
    inputs = {name: value for name, value in subject.inputs.items() if name in names}
    return dataclasses.replace(subject, inputs=inputs, oracles=(program, *rest))


def _stored(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _module(seed: int) -> str:
    subject = torch_subject.subject(seed)
    whole, best = examine(subject), (subject.operators, "")
    for branch in subject.target.branches:
        steps, x = list(branch), subject.inputs["x"]
        for start in range(len(steps)):
            for stop in range(start + 1, len(steps) + 1):
                if best[1] and stop - start >= len(best[0]):
                    continue
                part = Branches([steps[start:stop]]).eval()
                outcome = examine(torch_subject.subject_of(seed, part, x, dict(subject.options)))
                if _same(outcome, whole):
                    best = (outcome.operators, f"{tuple(x.shape)}: {outcome.verdict}: {outcome.text}")
            with torch.no_grad():
                x = steps[start](x)
    return f"{best[1] or whole.text}\n{', '.join(best[0])}"
