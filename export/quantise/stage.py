"""From a float32 model to its 8-bit form: calibrated, its sensitive layers left, the rest in FP16, proved on held-out samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import ModelProto

from ...errors import InputError
from ...runtime.inputs.samples import Samples
from ...runtime.sessions.large_model import open_model
from ...runtime.spec import TensorSpec
from ..graph.origin import Origins, origin_of
from ..precision import PrecisionResult, count
from ..precision.graph import GraphIndex
from ..precision.halves import FP16
from ..precision.policy import Decision, decide_in
from ..progress import Reporter
from ..reference.original import Arrays, Original
from ..search.evidence import Evidence, Run
from .calibrate import Method, ranges
from .data import Feeds, Split, split
from .formats import Format
from .half import in_half
from .layers import Layer, Left, find_layers, quantisable
from .pairs import with_pairs
from .sensitive import LayerTrials, Sensitive, find_sensitive, reason_of
from .toggle import toggle_graph

Calibration = Literal["auto", "minmax", "percentile"]
_AUTO: tuple[Method, ...] = ("minmax", "percentile")
"""The methods that ``auto`` compares."""

OwnError = Callable[[Sequence[Arrays], Collection[str]], Callable[[Arrays], dict[str, np.ndarray]]]


@dataclass(frozen=True)
class Quantised:
    """The 8-bit model, and what it was decided on.

    ``result``: the model, the nodes in FP32 and the layers that stay in FP16, with reasons. ``own``: PyTorch's 8-bit
    model, in which the same layers are 8-bit. ``summary``: what the user should know, a line each.
    """

    result: PrecisionResult
    own: Callable[[Arrays], dict[str, np.ndarray]]
    method: Method
    sensitive: Sensitive
    summary: tuple[str, ...]


def quantise(
    model: ModelProto,
    kind: Format,
    original: Original,
    own_error: OwnError,
    inputs: Sequence[TensorSpec],
    samples: Samples | None,
    origins: Origins,
    reporter: Reporter,
    *,
    factor: float = 2.0,
    seed: int = 0,
    logits: str | None = None,
    method: Calibration = "auto",
) -> Quantised:
    """Make the 8-bit model of a float32 one of standard operators, which is not changed.

    ``own_error(calibration, left)`` gives PyTorch's 8-bit model without these parameters; ``logits`` names a
    classifier's output. Raises InputError where nothing can be 8-bit or samples do not do, StageError where no choice
    of layers passes the gate on held-out samples.
    """
    index = quantisable(model)
    decisions = decide_in(index)
    layers, left = find_layers(index, {d.node: f"{d.rule}: {d.reason}" for d in decisions})
    data = split(inputs, samples, seed)
    found = _calibrated(index, layers, data, method)
    layers, silent = _alive(layers, next(iter(found.values())))
    left += silent
    if not layers:
        why = f"; {left[0].node!r}: {left[0].reason}" if left else ""
        raise InputError(
            f"no layer can be {kind.title}: none multiplies data by constant weights, or each has to stay{why}",
            "use --precision fp16",
        )
    own = own_error(data.calibration, parameters_of(left, origins))
    searched, held_out = (Evidence(_runs(original, own, feeds), logits) for feeds in (data.search, data.held_out))
    chosen, best = _best(index, layers, found, kind, searched)
    graph = toggle_graph(index, layers, best, kind)
    session = open_model(graph.model, optimize=False)
    try:
        sensitive = find_sensitive(
            LayerTrials(graph, session, searched), LayerTrials(graph, session, held_out), factor, reporter.progress
        )
    finally:
        session.close()
    quantised = [layer for layer in layers if layer.node not in sensitive.left]
    weights = {layer.node: layer.weight for layer in layers}
    measured = [
        Left(node, weights[node], "sensitive", reason_of(node, sensitive.shares, kind.title)) for node in sensitive.left
    ]
    typed = in_half(with_pairs(index, quantised, best, kind), [d.node for d in decisions])
    result = PrecisionResult(
        typed.model,
        (*decisions, *(_decision(one) for one in (*left, *measured) if one.rule != "kept")),
        count(typed.model, FP16),
        typed.warnings,
    )
    own = own_error(data.calibration, parameters_of([*left, *measured], origins)) if measured else own
    return Quantised(result, own, chosen, sensitive, _summary(kind, data, chosen, layers, left, sensitive, held_out))


def parameters_of(left: Sequence[Left], origins: Origins) -> frozenset[str]:
    """The names that the weights of these layers may have in PyTorch: the initializer's own, or its module's weight."""
    names = {one.weight for one in left}
    for one in left:
        origin = origin_of(one.node, origins)
        if origin is not None:
            names.add(f"{origin.module}.weight" if origin.module else "weight")
    return frozenset(names)


def _runs(original: Original, own: Callable[[Arrays], dict[str, np.ndarray]], feeds: Feeds) -> list[Run]:
    return [Run("samples", one, original.run(one, "float64"), own(one)) for one in feeds]


def _calibrated(
    index: GraphIndex, layers: Sequence[Layer], data: Split, method: Calibration
) -> dict[Method, dict[str, float]]:
    """The ranges of the layers' data by each method that is to be tried."""
    tensors = [layer.data for layer in layers]
    methods = _AUTO if method == "auto" else (method,)
    return {one: ranges(index.model, tensors, data.calibration, one) for one in methods}


def _alive(layers: Sequence[Layer], found: Mapping[str, float]) -> tuple[list[Layer], list[Left]]:
    """The layers whose data is known, and those whose data was zero throughout."""
    reason = "its data was zero on all calibration samples, so nothing is known of its range"
    silent = [Left(one.node, one.weight, "silent", reason) for one in layers if not found[one.data] > 0.0]
    names = {one.node for one in silent}
    return [one for one in layers if one.node not in names], silent


def _best(
    index: GraphIndex,
    layers: Sequence[Layer],
    found: Mapping[Method, dict[str, float]],
    kind: Format,
    evidence: Evidence,
) -> tuple[Method, dict[str, float]]:
    """The ranges with which the model errs least on the search's inputs."""
    scores: dict[Method, float] = {}
    for method, one in found.items():
        if len(found) == 1:
            return method, one
        model = with_pairs(index, layers, one, kind)
        session = open_model(model, optimize=False)
        try:
            scores[method] = evidence.score([session.run(run.feeds) for run in evidence.runs]).worst
        finally:
            session.close()
    best = min(scores, key=lambda method: scores[method])
    return best, found[best]


def _decision(left: Left) -> Decision:
    return Decision(left.node, left.rule, left.reason, "measured" if left.rule == "sensitive" else "hazard")


def _summary(
    kind: Format,
    data: Split,
    method: Method,
    layers: Sequence[Layer],
    left: Sequence[Left],
    sensitive: Sensitive,
    held_out: Evidence,
) -> tuple[str, ...]:
    calibrating, proving = data.counts()
    lines = []
    if not data.real:
        lines.append(
            f"{kind.title} was calibrated on random inputs, so its ranges are not those of real data and the model is not to "
            "be trusted: give real ones with --samples"
        )
    count = len(layers) - len(sensitive.left)
    stays = f", {len(sensitive.left)} sensitive" if sensitive.left else ""
    stays += f", {len(left)} as they are" if left else ""
    lines.append(
        f"{kind.title}: {count} layers{stays}; ranges by {method} over {calibrating} inputs; on {proving} held-out ones "
        f"{_errors(sensitive, held_out)}"
    )
    return tuple(lines)


def _errors(sensitive: Sensitive, held_out: Evidence) -> str:
    """The error on held-out inputs as a part of the output, of the output where that is largest, and PyTorch's with every layer."""
    parts: list[tuple[float, float]] = []
    for name, value in held_out.runs[0].truth.items():
        if value.dtype.kind == "f":
            square = sum(float(np.sum(run.truth[name].astype(np.float64) ** 2)) for run in held_out.runs)
            scale = math.sqrt(square / max(1, sum(run.truth[name].size for run in held_out.runs)))
            own = held_out.unit[f"samples/{name}"]
            if scale > 0.0:
                parts.append((100 * sensitive.score.ratios[f"samples/{name}"] * own / scale, 100 * own / scale))
    if not parts:
        return "no output is a float"
    mine, own = max(parts)
    return f"the error is {mine:.2g} % of the output, {own:.2g} % that of PyTorch with every layer in 8 bits"
