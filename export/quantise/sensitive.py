"""Which layers must not be 8-bit: measured end to end, ranked, bisected and pruned by the search that FP16 uses.

    e_j            the error of the model with layer j alone in 8 bits, as a multiple of PyTorch's own with all
    sqrt(sum e²)   the error of many: their roundings are independent
    allowed        twice the error that would be left without the worst tenth of the layers, and at most the gate

So a few layers that make more than three quarters of the squared error stay as they are; where the error is spread over
all of them, none does. The gate alone would not find them, being a multiple of PyTorch's own error: a layer with an
outlier ruins PyTorch's 8-bit model as well. A classifier's classes hold beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import StageError
from ...runtime.sessions.ort import OrtSession
from ..search.bisection import expected, fewest, prefix_nodes
from ..search.evidence import Evidence, Score
from ..search.pruning import prune
from ..search.rank import RankStep, order
from ..search.roundings import Rounding
from .toggle import FLAGS, LayerToggles

FEW = 10
"""One layer of so many may be left for a smaller error, at least one ..."""
WORTH = 2.0
"""... where that divides the error by more than this."""


@dataclass(frozen=True)
class Sensitive:
    """What was found. ``shares``: of each layer in the sum of squares; ``score`` is that on held-out inputs.

    ``left``: the layers that stay as they are, the most sensitive first. ``all_quantised``: the search's score with none left.
    """

    left: tuple[str, ...]
    shares: dict[str, float]
    all_quantised: Score
    searched: Score
    score: Score
    allowed: float
    evaluations: int


class LayerTrials:
    """Scores of choices of 8-bit layers on some evidence; none is run twice."""

    def __init__(self, graph: LayerToggles, session: OrtSession, evidence: Evidence) -> None:
        self.graph, self._session, self._evidence = graph, session, evidence
        self._found: dict[bytes, Score] = {}

    @property
    def evaluations(self) -> int:
        """How many were run."""
        return len(self._found)

    def leaving(self, left: Collection[str]) -> Score:
        """All layers but those in ``left`` are 8-bit."""
        return self._score(self.graph.leaving(left))

    def alone(self, node: str) -> Score:
        """One layer is."""
        return self._score(self.graph.only(node))

    def _score(self, flags: np.ndarray) -> Score:
        key = flags.tobytes()
        if key not in self._found:
            results = [self._session.run({**run.feeds, FLAGS: flags}) for run in self._evidence.runs]
            self._found[key] = self._evidence.score(results)
        return self._found[key]


def find_sensitive(
    trials: LayerTrials, held_out: LayerTrials, factor: float, tell: Callable[[float, str], None] = lambda _, __: None
) -> Sensitive:
    """The fewest layers to leave so that the error is ``allowed`` on the search's inputs and the gate holds on others.

    ``factor``: the gate. Raises StageError where not a single 8-bit layer passes.
    """
    nodes = trials.graph.nodes
    errors: dict[str, float] = {}
    for i, node in enumerate(nodes):
        tell(i / (len(nodes) + 1), f"{node} ({i + 1} of {len(nodes)} layers)")
        errors[node] = trials.alone(node).worst
    whole = trials.leaving(())
    allowed = min(factor, allowed_error(list(errors.values())))
    sources = {Rounding(node, "layer", frozenset({node})): error**2 for node, error in errors.items()}
    steps = [step for step in order(sources) if step.nodes]
    total = sum(sources.values())
    tell(1.0, "leaving out sensitive layers")

    def passes(left: frozenset[str]) -> bool:
        return trials.leaving(left).within(allowed)

    left: tuple[str, ...] = ()
    if not passes(frozenset()):
        count = fewest(steps, passes, expected(steps, total, allowed))
        left = prune(_in_order(steps, count), passes)
    left = _held_to(held_out, factor, left, steps)
    if len(left) == len(nodes):
        raise StageError(
            "quantise",
            f"no choice of 8-bit layers stays within {factor:g} times PyTorch's own error on held-out inputs",
            "give samples that are like the real inputs, more of them, or use --precision fp16",
        )
    shares = {node: error**2 / total if total > 0.0 else 0.0 for node, error in errors.items()}
    score = held_out.leaving(left)
    return Sensitive(
        left, shares, whole, trials.leaving(left), score, allowed, trials.evaluations + held_out.evaluations
    )


def allowed_error(errors: Sequence[float]) -> float:
    """``WORTH`` times what these errors come to without the worst few; infinite for one or two layers, which have no few."""
    if len(errors) < 3:
        return math.inf
    others = sorted(errors)[: len(errors) - max(1, len(errors) // FEW)]
    return WORTH * math.sqrt(sum(error**2 for error in others))


def _held_to(held_out: LayerTrials, factor: float, left: tuple[str, ...], steps: Sequence[RankStep]) -> tuple[str, ...]:
    """More layers, in the order of the ranking, until the gate holds on inputs that nothing was fitted to."""
    more = [step.nodes[0] for step in steps if step.nodes[0] not in left]
    while more and not held_out.leaving(left).within(factor):
        left = (*left, more.pop(0))
    return left


def _in_order(steps: Sequence[RankStep], count: int) -> list[str]:
    chosen = prefix_nodes(steps, count)
    return [node for step in steps for node in step.nodes if node in chosen]


def reason_of(node: str, shares: Mapping[str, float], title: str) -> str:
    """Why a layer was left, in a user's words."""
    return f"{100 * shares[node]:.3g} % of the squared error of all layers in {title}: it computes in FP16"
