"""``--precision auto``: which nodes stay FP32, decided by the error of the outputs.

gate      all FP16 but the hazards, as it would be shipped: within the target -> done
shadow    what FP16 cannot hold at all stays FP32
guess     two sets without measuring: what autocast leaves in FP32, what the rules would
rank      every rounding alone, end to end; the sum of squares predicts how many nodes it takes
bisect    the fewest nodes of the ranking that reach the target, each trial one run of the toggle graph
prune     those of them that are not needed go back to FP16
validate  the model as it would be shipped, on inputs that the search has not seen
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from ..precision.graph import GraphIndex, normalise
from ..precision.policy import Decision, decide_in
from ..progress import Reporter
from .bisection import expected, fewest, prefix_nodes
from .evidence import Evidence, Score
from .gate import judge
from .memory import Memory
from .promotion import promoted
from .pruning import prune
from .rank import DIFFUSE, Step, order, predicted, top_share
from .shadow import Overflow, overflows
from .sources import Source, noise_sources
from .toggle import switched
from .trials import OutOfTime, Trials
from .verdict import SearchReport, Verdict, decisions_of

MARGIN = 0.95
"""The search aims a little below the target, since other inputs err a little more."""
LITTLE = 0.25
"""What part of the nodes is worth keeping where the error is diffuse."""
FURTHER = 60
"""About how many trials follow the ranking: for the progress bar."""
ATTEMPTS = 4
"""Sets that are validated, each wider than the one before."""
HOPELESS = 1.3
"""A set is not tried where it is predicted to err so many times as much as is allowed."""
COMPARABLE = 1.25
"""The rules' own choice is taken where it errs less and keeps at most so many times as many nodes."""


@dataclass(frozen=True)
class Aim:
    """What a search is for: ``target`` as a multiple of PyTorch's own FP16 error, ``limit`` where the export fails.

    ``seconds`` bounds the measuring. ``settle`` allows the verdict that a diffuse error is not worth its nodes.
    """

    target: float = 1.5
    limit: float = 2.0
    seconds: float = 300.0
    settle: bool = True


@dataclass(frozen=True)
class Found:
    """What a search decided on, before anything is converted."""

    decisions: tuple[Decision, ...]
    report: SearchReport


Typed = Callable[[Collection[str]], ModelProto]


def search(
    model: ModelProto,
    typed: Typed,
    calibration: Evidence,
    held_out: Callable[[], Evidence],
    aim: Aim,
    reporter: Reporter,
    cache: Path | None = None,
) -> Found:
    """Decide which nodes of a float32 model of standard operators stay FP32.

    ``typed`` makes the FP16 model with the named nodes in FP32; ``held_out`` gives the evidence for the last step and
    is called only where it is needed. Scores are kept in ``cache`` (the user's cache folder). Raises InputError for a
    model that cannot be converted and StageError where it cannot be run.
    """
    index = GraphIndex(normalise(model))
    return _Search(index, typed, calibration, held_out, aim, reporter, cache).run()


class _Search:
    """One search: what is known so far, and its steps."""

    def __init__(
        self,
        index: GraphIndex,
        typed: Typed,
        calibration: Evidence,
        held_out: Callable[[], Evidence],
        aim: Aim,
        reporter: Reporter,
        cache: Path | None,
    ) -> None:
        self.index, self.typed, self.calibration, self.held_out = index, typed, calibration, held_out
        self.aim, self.reporter, self.cache = aim, reporter, cache
        self.started = time.monotonic()
        self.hazards = decide_in(index, "hazard")
        self.base: list[Overflow] = []
        self.energies: dict[Source, float] = {}
        self.steps: list[Step] = []
        self.planned, self.shown = 1, 0.0
        self.doing = "all FP16"
        self.goal = aim.target
        self.best: tuple[frozenset[str], Score] | None = None

    def run(self) -> Found:
        """Every step that is needed."""
        self.reporter.progress(0.0, "all FP16 but the hazards")
        self.first = judge(self.typed([d.node for d in self.hazards]), self.calibration)
        if self.first.within(self.aim.target * MARGIN):
            return self._found("passed at once", frozenset(), self.first)
        self.reporter.progress(0.02, "looking for what FP16 cannot hold")
        names = [d.node for d in self.hazards]
        self.base = overflows(self.index, names, [dict(run.feeds) for run in self.calibration.runs])
        self.fixed = frozenset((*names, *(overflow.node for overflow in self.base)))
        self.nodes = tuple(node.name for node in switched(self.index, self.fixed))
        self.planned = 2 * len(self.nodes) + FURTHER
        memory = Memory.of(self.index.model, self.calibration, self.cache)
        left = self.aim.seconds - (time.monotonic() - self.started)
        self.trials = Trials(self.index, self.fixed, self.calibration, memory, left, self._tell)
        try:
            try:
                verdict, kept = self._choose()
            except OutOfTime:
                verdict, kept = "time limit", self._so_far()
            return self._validated(verdict, kept)
        finally:
            self.trials.close()

    def _choose(self) -> tuple[Verdict, frozenset[str]]:
        if self._passes(frozenset(), self.aim.target * MARGIN):
            return "overflow only", frozenset()
        self._passes(promoted(self.index, self.nodes))
        rules = frozenset(d.node for d in decide_in(self.index, "caution")) & frozenset(self.nodes)
        self._passes(rules)
        self._rank()
        verdict, kept = self._within(self.aim.target * MARGIN)
        return self._not_worse(verdict, kept, rules)

    def _rank(self) -> None:
        """Measure every rounding alone."""
        sources = noise_sources(self.index, self.fixed)
        self.planned = len(sources) + FURTHER
        self.doing = "one rounding at a time"
        for source in sources:
            error = self.trials.alone(source).worst
            self.energies[source] = min(error, 1e6) ** 2
        self.steps = order(self.energies)

    def _within(self, allowed: float) -> tuple[Verdict, frozenset[str]]:
        """The fewest nodes for an error; few, where a diffuse error would take very many."""
        self.doing = "bisecting the ranking"
        total = sum(self.energies.values())
        count = fewest(self.steps, lambda kept: self._passes(kept, allowed), expected(self.steps, total, allowed))
        kept = prefix_nodes(self.steps, count)
        diffuse = top_share(self.energies) < DIFFUSE
        if self.aim.settle and diffuse and len(kept) > LITTLE * len(self.nodes) and allowed < self.aim.limit * MARGIN:
            _, little = self._within(self.aim.limit * MARGIN)
            return "rounding floor", little
        return "searched", self._pruned(count, allowed)

    def _fewest(self, allowed: float) -> frozenset[str]:
        total = sum(self.energies.values())
        count = fewest(self.steps, lambda kept: self._passes(kept, allowed), expected(self.steps, total, allowed))
        return self._pruned(count, allowed)

    def _pruned(self, count: int, allowed: float) -> frozenset[str]:
        """What is needed of the first steps of the ranking."""
        self.doing = "dropping what is not needed"
        ranked = [node for step in self.steps[:count] for node in step.nodes]
        # What predictions are off by for the model as a whole, they are off by for a part of it.
        off = self.trials.keeping(frozenset()).worst / max(predicted(self.energies), 1e-9)

        def hopeless(kept: frozenset[str]) -> bool:
            return math.isfinite(off) and off * predicted(self.energies, kept) > HOPELESS * allowed

        return frozenset(prune(ranked, lambda kept: self._passes(kept, allowed), hopeless))

    def _not_worse(
        self, verdict: Verdict, kept: frozenset[str], rules: frozenset[str]
    ) -> tuple[Verdict, frozenset[str]]:
        """The rules' own choice where it errs less at a comparable price."""
        of_rules, mine = self.trials.keeping(rules), self.trials.keeping(kept)
        within = of_rules.within(self.aim.target * MARGIN)
        if verdict == "rounding floor" and within and len(rules) <= LITTLE * len(self.nodes):
            return "static policy", rules
        if within and of_rules.worst < mine.worst and len(rules) <= COMPARABLE * len(kept):
            return "static policy", rules
        return verdict, kept

    def _passes(self, kept: frozenset[str], allowed: float | None = None) -> bool:
        """Try a set, and remember it where it is the best so far."""
        score = self.trials.keeping(kept)
        allowed = self.aim.target if allowed is None else allowed
        passed = score.within(allowed)
        if self.best is None or self._rating(kept, score) < self._rating(*self.best):
            self.best = kept, score
        return passed

    def _rating(self, kept: frozenset[str], score: Score) -> tuple[bool, float, float]:
        """What is better is smaller: within the target by fewer nodes, else by a smaller error."""
        within = score.within(self.aim.target)
        return (False, len(kept), score.worst) if within else (True, score.worst, len(kept))

    def _so_far(self) -> frozenset[str]:
        """The best set that was tried; the rules' where none was."""
        if self.best is not None:
            return self.best[0]
        return frozenset(d.node for d in decide_in(self.index, "caution")) & frozenset(self.nodes)

    def _validated(self, verdict: Verdict, kept: frozenset[str]) -> Found:
        """The choice on inputs that the search has not seen; where it fails there, more of the ranking is kept."""
        self.shown = 0.98
        self.reporter.progress(self.shown, "inputs that the search has not seen")
        fresh = self.held_out()
        allowed = self.aim.limit if verdict in ("rounding floor", "time limit") else self.aim.target
        tried: list[tuple[frozenset[str], Score, Score]] = []
        while len(tried) < ATTEMPTS:
            model = self.typed([*self.fixed, *kept])
            seen, unseen = judge(model, self.calibration), judge(model, fresh)
            tried.append((kept, seen, unseen))
            if seen.within(allowed) and unseen.within(allowed):
                return self._found(verdict, kept, seen, unseen)
            if not unseen.finite and self._more_overflows(fresh):
                continue
            wider = self._wider(kept, max(seen.worst, unseen.worst), allowed)
            if wider == kept:
                break
            kept = wider
        chosen = min(tried, key=lambda entry: max(entry[1].worst, entry[2].worst))
        return self._found("time limit" if verdict == "time limit" else "not reached", *chosen)

    def _more_overflows(self, fresh: Evidence) -> bool:
        """Whether FP16 cannot hold more nodes on unseen inputs; they are kept from now on."""
        found = overflows(self.index, self.fixed, [dict(run.feeds) for run in fresh.runs])
        self.base += found
        self.fixed |= {overflow.node for overflow in found}
        return bool(found)

    def _wider(self, kept: frozenset[str], error: float, allowed: float) -> frozenset[str]:
        """Another set, aiming lower by as much as unseen inputs err too much; without a ranking, what the rules say too."""
        rules = kept | (frozenset(d.node for d in decide_in(self.index, "caution")) & frozenset(self.nodes))
        if not self.steps:
            return rules
        try:
            self.goal = min(self.goal, self.trials.keeping(kept).worst) * min(0.97, MARGIN * allowed / error)
            return self._fewest(self.goal)
        except OutOfTime:
            return rules

    def _found(self, verdict: Verdict, kept: frozenset[str], score: Score, fresh: Score | None = None) -> Found:
        ordered = [node.name for node in self.index.nodes if node.name in kept]
        decisions = decisions_of(self.hazards, self.base, ordered, self.energies, self.steps)
        place = {node.name: i for i, node in enumerate(self.index.nodes)}
        trials = getattr(self, "trials", None)
        report = SearchReport(
            verdict=verdict,
            target=self.aim.target,
            before=self.first.worst,
            error=score.worst,
            held_out=None if fresh is None else fresh.worst,
            measured=len(decisions) - len(self.hazards),
            evaluations=1 + (trials.evaluations if trials is not None else 0),
            remembered=trials.remembered if trials is not None else 0,
            seconds=time.monotonic() - self.started,
            top_share=top_share(self.energies) if self.energies else None,
            predicted=predicted(self.energies) if self.energies else None,
            samples=any(run.part == "samples" for run in self.calibration.runs),
        )
        return Found(tuple(sorted(decisions, key=lambda d: place[d.node])), report)

    def _tell(self) -> None:
        """One line of progress for every trial."""
        done = self.trials.evaluations + self.trials.remembered
        best = "" if self.best is None else f", {len(self.best[0])} kept, error {self.best[1].worst:.2f}x"
        text = (
            f"{self.doing}: {done} evaluations{best} (target {self.aim.target:g}x), {self.aim.seconds:g} s at the most"
        )
        self.shown = max(self.shown, min(0.97, 0.05 + 0.9 * done / self.planned))
        self.reporter.progress(self.shown, text)
