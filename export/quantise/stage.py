"""From a float32 model to its 8-bit form: calibrate, find the sensitive layers, write the rest in FP16, verify on held-out samples."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import ModelProto

from ...errors import InputError
from ...runtime.sessions.large_model import open_model
from ..graph.origin import Origins, origin_of
from ..precision import PrecisionResult, count
from ..precision.graph import GraphIndex
from ..precision.halves import FP16
from ..precision.policy import Decision, decide_in
from ..progress import Reporter
from ..reference.original import Arrays
from ..search.evidence import ConversionSubject, Evidence, ReferenceRun
from .calibrate import Method, ranges
from .data import Feeds, Split, split
from .formats import Format
from .half import in_half
from .layers import Layer, Skipped, find_layers, quantisable
from .pairs import toggle_graph, with_pairs
from .sensitive import LayerTrials, Sensitive, find_sensitive, reason_of
from .torch_error import Evaluate, torch_eight_bits

Calibration = Literal["auto", "minmax", "percentile"]
_AUTO: tuple[Method, ...] = ("minmax", "percentile")
"""The methods that ``auto`` compares."""


@dataclass(frozen=True)
class Quantised:
    """The 8-bit model and the basis of its choice.

    ``result``: the model, the nodes in FP32 and the layers in FP16, with reasons. ``torch``: PyTorch's 8-bit model, in
    which the same layers are 8-bit. ``summary``: messages for the user, a line each.
    """

    result: PrecisionResult
    torch: Callable[[Arrays], dict[str, np.ndarray]]
    method: Method
    sensitive: Sensitive
    summary: tuple[str, ...]


@dataclass(frozen=True)
class _Calibrated:
    """The layers that can be 8-bit, the others with reasons, and the ranges of the layers' data by method."""

    layers: tuple[Layer, ...]
    skipped: tuple[Skipped, ...]
    ranges: Mapping[Method, dict[str, float]]


def quantise(
    model: ModelProto,
    kind: Format,
    subject: ConversionSubject,
    origins: Origins,
    reporter: Reporter,
    *,
    gate: float = 2.0,
    calibration: Calibration = "auto",
) -> Quantised:
    """Return the 8-bit form of a float32 model of standard operators, which is not changed.

    ``gate`` is the allowed multiple of PyTorch's 8-bit error. Raises InputError if no layer can be 8-bit or the samples
    do not suffice, StageError if no choice of layers passes the gate on held-out samples.
    """
    index = quantisable(model)
    decisions = decide_in(index)
    data = split(subject.inputs, subject.samples, subject.seed)
    kept = {decision.node: f"{decision.rule}: {decision.reason}" for decision in decisions}
    calibrated = _calibrate(index, kept, data, _AUTO if calibration == "auto" else (calibration,), kind)
    layers = calibrated.layers

    def torch_without(skipped: Sequence[Skipped]) -> Evaluate:
        return torch_eight_bits(subject.original, kind, data.calibration, parameters_of(skipped, origins))

    torch = torch_without(calibrated.skipped)
    searched, held_out = (
        Evidence(_runs(subject, torch, feeds), subject.logits) for feeds in (data.search, data.held_out)
    )
    method, limits = _best(index, layers, calibrated.ranges, kind, searched)
    graph = toggle_graph(index, layers, limits, kind)
    with open_model(graph.model, optimize=False) as session:
        on_search, on_held_out = (LayerTrials(graph, session, evidence) for evidence in (searched, held_out))
        sensitive = find_sensitive(on_search, on_held_out, gate, reporter.progress)
    quantised = [layer for layer in layers if layer.node not in sensitive.left]
    weights = {layer.node: layer.weight for layer in layers}
    measured = [
        Skipped(node, weights[node], "sensitive", reason_of(node, sensitive.shares, kind.title))
        for node in sensitive.left
    ]
    typed = in_half(with_pairs(index, quantised, limits, kind), [decision.node for decision in decisions])
    skipped = [*calibrated.skipped, *measured]
    further = (_decision(layer) for layer in skipped if layer.rule != "kept")
    result = PrecisionResult(typed.model, (*decisions, *further), count(typed.model, FP16), typed.warnings)
    torch = torch_without(skipped) if measured else torch
    return Quantised(
        result,
        torch,
        method,
        sensitive,
        _summary(kind, data, method, calibrated, sensitive, _errors(sensitive, held_out)),
    )


def parameters_of(skipped: Sequence[Skipped], origins: Origins) -> frozenset[str]:
    """The names that the weights of these layers may have in PyTorch: the initializer's name, or its module's weight."""
    names = {layer.weight for layer in skipped}
    for layer in skipped:
        origin = origin_of(layer.node, origins)
        if origin is not None:
            names.add(f"{origin.module}.weight" if origin.module else "weight")
    return frozenset(names)


def _runs(subject: ConversionSubject, torch: Evaluate, feeds: Feeds) -> list[ReferenceRun]:
    return [ReferenceRun("samples", feed, subject.original.run(feed, "float64"), torch(feed)) for feed in feeds]


def _calibrate(
    index: GraphIndex, kept: Mapping[str, str], data: Split, methods: Sequence[Method], kind: Format
) -> _Calibrated:
    """Find the layers and measure the ranges of their data. Raises InputError if no layer can be 8-bit."""
    layers, skipped = find_layers(index, kept)
    tensors = [layer.data for layer in layers]
    limits = {method: ranges(index.model, tensors, data.calibration, method) for method in methods}
    largest = limits[methods[0]]
    reason = "its data was zero on all calibration samples, so its range is unknown"
    skipped += [
        Skipped(layer.node, layer.weight, "silent", reason) for layer in layers if not largest[layer.data] > 0.0
    ]
    layers = [layer for layer in layers if largest[layer.data] > 0.0]
    if not layers:
        why = f"; {skipped[0].node!r}: {skipped[0].reason}" if skipped else ""
        raise InputError(
            f"no layer can be {kind.title}: none multiplies data by constant weights, or each must stay as it is{why}",
            "use --precision fp16",
        )
    return _Calibrated(tuple(layers), tuple(skipped), limits)


def _best(
    index: GraphIndex,
    layers: Sequence[Layer],
    limits: Mapping[Method, dict[str, float]],
    kind: Format,
    evidence: Evidence,
) -> tuple[Method, dict[str, float]]:
    """The ranges with the smallest error on the search's inputs."""
    if len(limits) == 1:
        return next(iter(limits.items()))
    scores: dict[Method, float] = {}
    for method, by_tensor in limits.items():
        with open_model(with_pairs(index, layers, by_tensor, kind), optimize=False) as session:
            scores[method] = evidence.score([session.run(run.feeds) for run in evidence.runs]).worst
    best = min(scores, key=lambda method: scores[method])
    return best, limits[best]


def _decision(skipped: Skipped) -> Decision:
    severity: Literal["measured", "hazard"] = "measured" if skipped.rule == "sensitive" else "hazard"
    return Decision(skipped.node, skipped.rule, skipped.reason, severity)


def _summary(
    kind: Format, data: Split, method: Method, calibrated: _Calibrated, sensitive: Sensitive, errors: str
) -> tuple[str, ...]:
    calibration, held_out = data.counts()
    lines = []
    if not data.real:
        lines.append(
            f"{kind.title} was calibrated on random inputs, so its ranges are not those of real data and the model must not be "
            "used: pass real inputs with --samples"
        )
    layers = len(calibrated.layers) - len(sensitive.left)
    others = f", {len(sensitive.left)} sensitive" if sensitive.left else ""
    others += f", {len(calibrated.skipped)} not quantised" if calibrated.skipped else ""
    lines.append(
        f"{kind.title}: {layers} layers{others}; ranges by {method} over {calibration} inputs; on {held_out} held-out ones "
        f"{errors}"
    )
    return tuple(lines)


def _errors(sensitive: Sensitive, held_out: Evidence) -> str:
    """The error on held-out inputs and PyTorch's with all layers in 8 bits, as parts of the output; of the output with the largest."""
    parts: list[tuple[float, float]] = []
    for name, value in held_out.runs[0].reference.items():
        if value.dtype.kind == "f":
            square = sum(float(np.sum(run.reference[name].astype(np.float64) ** 2)) for run in held_out.runs)
            scale = math.sqrt(square / max(1, sum(run.reference[name].size for run in held_out.runs)))
            unit = held_out.unit[f"samples/{name}"]
            if scale > 0.0:
                parts.append((100 * sensitive.score.ratios[f"samples/{name}"] * unit / scale, 100 * unit / scale))
    if not parts:
        return "no output is a float"
    error, torch_error = max(parts)
    return f"the error is {error:.2g} % of the output; PyTorch's with every layer in 8 bits is {torch_error:.2g} %"
