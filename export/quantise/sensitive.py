"""The layers that must not be 8-bit: measured end to end, ranked, bisected and pruned as in the FP16 search.

    e_j            the error of the model with only layer j in 8 bits, as a multiple of PyTorch's error with all layers
    sqrt(sum e²)   the error of many: their roundings are independent
    allowed        twice the error without the worst tenth of the layers, and at most the gate

So a few layers that cause more than three quarters of the squared error are not quantised; if all layers cause the error
together, all are quantised. The gate alone does not find such layers, because it is a multiple of PyTorch's error: a layer
with an outlier spoils PyTorch's 8-bit model too. A classifier must also keep its classes.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import StageError
from ...runtime.sessions.ort import OrtSession
from ..search.evidence import Evidence, Score
from ..search.fewest import expected, fewest, prefix_nodes, prune
from ..search.rank import RankStep, order
from ..search.roundings import Rounding
from .pairs import FLAGS, LayerToggles

FEW = 10
"""One of this many layers, and at least one, may be skipped for a smaller error ..."""
WORTH = 2.0
"""... if that divides the error by more than this."""


@dataclass(frozen=True)
class Sensitive:
    """The result. ``shares``: the share of each layer in the sum of squares; ``score``: the score on held-out inputs.

    ``left``: the layers that are not quantised, the most sensitive first. ``all_quantised``: the score with all layers in 8 bits.
    """

    left: tuple[str, ...]
    shares: dict[str, float]
    all_quantised: Score
    searched: Score
    score: Score
    allowed: float
    evaluations: int


class LayerTrials:
    """Scores of sets of 8-bit layers on some evidence; none is measured twice."""

    def __init__(self, graph: LayerToggles, session: OrtSession, evidence: Evidence) -> None:
        self.graph, self._session, self._evidence = graph, session, evidence
        self._scores: dict[bytes, Score] = {}

    @property
    def evaluations(self) -> int:
        """The number of measurements."""
        return len(self._scores)

    def leaving(self, left: Collection[str]) -> Score:
        """The score with all layers in 8 bits except those in ``left``."""
        return self._score(self.graph.leaving(left))

    def alone(self, node: str) -> Score:
        """The score with only one layer in 8 bits."""
        return self._score(self.graph.only(node))

    def _score(self, flags: np.ndarray) -> Score:
        key = flags.tobytes()
        if key not in self._scores:
            results = [self._session.run({**run.feeds, FLAGS: flags}) for run in self._evidence.runs]
            self._scores[key] = self._evidence.score(results)
        return self._scores[key]


def find_sensitive(
    trials: LayerTrials, held_out: LayerTrials, factor: float, report: Callable[[float, str], None] = lambda _, __: None
) -> Sensitive:
    """Find the fewest layers to skip so that the error is ``allowed`` on the search's inputs and within the gate on others.

    ``factor``: the gate. Raises StageError if no single 8-bit layer passes.
    """
    nodes = trials.graph.nodes
    errors: dict[str, float] = {}
    for i, node in enumerate(nodes):
        report(i / (len(nodes) + 1), f"{node} ({i + 1} of {len(nodes)} layers)")
        errors[node] = trials.alone(node).worst
    whole = trials.leaving(())
    allowed = min(factor, allowed_error(list(errors.values())))
    sources = {Rounding(node, "layer", frozenset({node})): error**2 for node, error in errors.items()}
    steps = [step for step in order(sources) if step.nodes]
    total = sum(sources.values())
    report(1.0, "leaving out sensitive layers")

    def passes(left: frozenset[str]) -> bool:
        return trials.leaving(left).within(allowed)

    left: tuple[str, ...] = ()
    if not passes(frozenset()):
        count = fewest(steps, passes, expected(steps, total, allowed))
        left = prune(_in_order(steps, count), passes)
    left = _until_gate_passes(held_out, factor, left, steps)
    if len(left) == len(nodes):
        raise StageError(
            "quantise",
            f"no set of 8-bit layers has at most {factor:g} times PyTorch's error on held-out inputs",
            "pass more samples, similar to the real inputs, or use --precision fp16",
        )
    shares = {node: error**2 / total if total > 0.0 else 0.0 for node, error in errors.items()}
    score = held_out.leaving(left)
    return Sensitive(
        left, shares, whole, trials.leaving(left), score, allowed, trials.evaluations + held_out.evaluations
    )


def allowed_error(errors: Sequence[float]) -> float:
    """Return ``WORTH`` times the total of these errors without the worst few; infinite for fewer than three layers."""
    if len(errors) < 3:
        return math.inf
    others = sorted(errors)[: len(errors) - max(1, len(errors) // FEW)]
    return WORTH * math.sqrt(sum(error**2 for error in others))


def _until_gate_passes(
    held_out: LayerTrials, factor: float, left: tuple[str, ...], steps: Sequence[RankStep]
) -> tuple[str, ...]:
    """Skip more layers, in the order of the ranking, until the gate passes on held-out inputs."""
    more = [step.nodes[0] for step in steps if step.nodes[0] not in left]
    while more and not held_out.leaving(left).within(factor):
        left = (*left, more.pop(0))
    return left


def _in_order(steps: Sequence[RankStep], count: int) -> list[str]:
    chosen = prefix_nodes(steps, count)
    return [node for step in steps for node in step.nodes if node in chosen]


def reason_of(node: str, shares: Mapping[str, float], title: str) -> str:
    """Return the reason why a layer is not quantised, in plain words."""
    return f"{100 * shares[node]:.3g} % of the squared error of all layers in {title}: it computes in FP16"
