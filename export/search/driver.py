"""``--precision auto``: the error of the outputs decides which nodes stay FP32.

gate      everything in FP16 except the hazards, as the bundle would contain it; within the target: done
shadow    nodes whose values FP16 cannot hold stay FP32
guess     two sets without a ranking: the nodes that autocast leaves in FP32, and the choice of the rules
rank      each rounding alone, end to end; the sum of squares predicts how many nodes must be FP32
bisect    the fewest nodes of the ranking that reach the target; each trial is one run of the toggle graph
prune     nodes of that set that are not needed return to FP16
bodies    from shadow on, each If, Loop and Scan is FP32 as a whole; all return to FP16 if the chosen set passes with them
validate  the model as the bundle would contain it, on inputs that the search did not use
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from ..precision.graph import GraphIndex, normalise
from ..precision.policy import Decision, decide_in
from ..progress import Reporter
from .bodies import decided_by_rules, kept_whole
from .evidence import Evidence, Score, judge
from .fewest import expected, fewest, prefix_nodes, prune
from .promotion import promoted
from .rank import DIFFUSE, RankStep, order, predicted, top_share
from .roundings import Rounding, roundings_of
from .shadow import Overflow, overflows
from .toggle import switched
from .trials import OutOfTime, ScoreCache, Trials
from .verdict import SearchReport, Verdict, decisions_of

MARGIN = 0.95
"""The search aims a little below the target, because the error on other inputs is a little larger."""
LITTLE = 0.25
"""The share of nodes that may stay FP32 for a diffuse error."""
FURTHER = 60
"""Expected number of trials after the ranking, for the progress bar."""
ATTEMPTS = 4
"""Number of sets that are validated; each is larger than the previous one."""
HOPELESS = 1.3
"""A set is not tried if its predicted error exceeds the allowed error by this factor."""
COMPARABLE = 1.25
"""The choice of the rules is used if its error is smaller and it keeps at most this many times as many nodes."""


@dataclass(frozen=True)
class Aim:
    """The aim of a search: the ``target``, as a multiple of PyTorch's FP16 error, and the ``limit`` above which an export fails.

    ``seconds`` limits the time of the measurements. ``settle`` allows the search to accept a diffuse error above the target.
    """

    target: float = 1.5
    limit: float = 2.0
    seconds: float = 300.0
    settle: bool = True


@dataclass(frozen=True)
class SearchOutcome:
    """The nodes that stay FP32, and the report."""

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
) -> SearchOutcome:
    """Decide which nodes of a float32 model of standard operators stay FP32.

    ``typed`` builds the FP16 model with the named nodes in FP32. ``held_out`` returns the evidence for the validation and
    is called only if that is needed. Scores are stored in ``cache`` (default: the user's cache folder). Raises InputError
    for a model that cannot be converted and StageError for a model that cannot run.
    """
    index = GraphIndex(normalise(model))
    return _PrecisionSearch(index, typed, calibration, held_out, aim, reporter, cache).run()


@dataclass
class _PrecisionSearch:
    """One search: its state and its steps."""

    index: GraphIndex
    typed: Typed
    calibration: Evidence
    held_out: Callable[[], Evidence]
    aim: Aim
    reporter: Reporter
    cache: Path | None

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.hazards = [*decide_in(self.index, "hazard"), *decided_by_rules(self.index)]
        self.whole: list[Decision] = []
        self.base: list[Overflow] = []
        self.energies: dict[Rounding, float] = {}
        self.steps: list[RankStep] = []
        self.planned, self.shown = 1, 0.0
        self.doing = "all FP16"
        self.goal = self.aim.target
        self.best: tuple[frozenset[str], Score] | None = None

    def run(self) -> SearchOutcome:
        """Run the steps until the verdict is known."""
        self.reporter.progress(0.0, "all FP16 except the hazards")
        self.first = judge(self.typed([d.node for d in self.hazards]), self.calibration)
        if self.first.within(self.aim.target * MARGIN):
            return self._found("passed at once", frozenset(), self.first)
        self.reporter.progress(0.02, "searching for values that FP16 cannot hold")
        self.whole = kept_whole(self.index, self.first)
        names = [d.node for d in (*self.hazards, *self.whole)]
        self.base = overflows(self.index, names, [dict(run.feeds) for run in self.calibration.runs])
        self.fixed = frozenset((*names, *(overflow.node for overflow in self.base)))
        self.nodes = tuple(node.name for node in switched(self.index, self.fixed))
        self.planned = 2 * len(self.nodes) + FURTHER
        cache = ScoreCache.of(self.index.model, self.calibration, self.cache)
        left = self.aim.seconds - (time.monotonic() - self.started)
        self.trials = Trials(self.index, self.fixed, self.calibration, cache, left, self._tell)
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
            return ("searched" if self.whole else "overflow only"), frozenset()
        self._passes(promoted(self.index, self.nodes))
        rules = self._chosen_by_rules()
        self._passes(rules)
        self._rank()
        verdict, kept = self._within(self.aim.target * MARGIN)
        return self._not_worse(verdict, kept, rules)

    def _rank(self) -> None:
        """Measure each rounding alone."""
        roundings = roundings_of(self.index, self.fixed)
        self.planned = len(roundings) + FURTHER
        self.doing = "one rounding at a time"
        for rounding in roundings:
            error = self.trials.alone(rounding).worst
            self.energies[rounding] = min(error, 1e6) ** 2
        self.steps = order(self.energies)

    def _within(self, allowed: float) -> tuple[Verdict, frozenset[str]]:
        """The fewest nodes for an allowed error; a small set if a diffuse error would need very many."""
        self.doing = "bisecting the ranking"
        count = self._fewest(allowed)
        kept = prefix_nodes(self.steps, count)
        diffuse = top_share(self.energies) < DIFFUSE
        if self.aim.settle and diffuse and len(kept) > LITTLE * len(self.nodes) and allowed < self.aim.limit * MARGIN:
            _, few = self._within(self.aim.limit * MARGIN)
            return "rounding floor", few
        return "searched", self._pruned(count, allowed)

    def _fewest(self, allowed: float) -> int:
        """The smallest number of steps of the ranking that reaches an error."""
        start = expected(self.steps, sum(self.energies.values()), allowed)
        return fewest(self.steps, lambda kept: self._passes(kept, allowed), start)

    def _pruned(self, count: int, allowed: float) -> frozenset[str]:
        """The nodes of the first steps of the ranking, without those that are not needed."""
        self.doing = "removing nodes that are not needed"
        ranked = [node for step in self.steps[:count] for node in step.nodes]
        # A prediction for a part of the model is wrong by the same factor as the prediction for the whole model.
        off = self.trials.keeping(frozenset()).worst / max(predicted(self.energies), 1e-9)

        def hopeless(kept: frozenset[str]) -> bool:
            return math.isfinite(off) and off * predicted(self.energies, kept) > HOPELESS * allowed

        return frozenset(prune(ranked, lambda kept: self._passes(kept, allowed), hopeless))

    def _not_worse(
        self, verdict: Verdict, kept: frozenset[str], rules: frozenset[str]
    ) -> tuple[Verdict, frozenset[str]]:
        """The choice of the rules if its error is smaller for a comparable number of nodes."""
        rules_score, score = self.trials.keeping(rules), self.trials.keeping(kept)
        within = rules_score.within(self.aim.target * MARGIN)
        if verdict == "rounding floor" and within and len(rules) <= LITTLE * len(self.nodes):
            return "static policy", rules
        if within and rules_score.worst < score.worst and len(rules) <= COMPARABLE * len(kept):
            return "static policy", rules
        return verdict, kept

    def _passes(self, kept: frozenset[str], allowed: float | None = None) -> bool:
        """Try a set, and keep it if it is the best so far."""
        score = self.trials.keeping(kept)
        allowed = self.aim.target if allowed is None else allowed
        passed = score.within(allowed)
        if self.best is None or self._rating(kept, score) < self._rating(*self.best):
            self.best = kept, score
        return passed

    def _rating(self, kept: frozenset[str], score: Score) -> tuple[bool, float, float]:
        """Smaller is better: within the target, fewer nodes; otherwise, a smaller error."""
        within = score.within(self.aim.target)
        return (False, len(kept), score.worst) if within else (True, score.worst, len(kept))

    def _so_far(self) -> frozenset[str]:
        """The best set that was tried; without a trial, the choice of the rules."""
        return self._chosen_by_rules() if self.best is None else self.best[0]

    def _chosen_by_rules(self) -> frozenset[str]:
        """The nodes that a caution would keep in FP32."""
        return frozenset(d.node for d in decide_in(self.index, "caution")) & frozenset(self.nodes)

    def _validated(self, verdict: Verdict, kept: frozenset[str]) -> SearchOutcome:
        """Validate the set on inputs that the search did not use. If it fails, try larger sets of the ranking."""
        self.shown = 0.98
        self.reporter.progress(self.shown, "validating on other inputs")
        fresh = self.held_out()
        allowed = self.aim.limit if verdict in ("rounding floor", "time limit") else self.aim.target
        tried: list[tuple[frozenset[str], Score, Score]] = []
        while len(tried) < ATTEMPTS:
            model = self.typed([*self.fixed, *kept])
            seen, unseen = judge(model, self.calibration), judge(model, fresh)
            tried.append((kept, seen, unseen))
            if seen.within(allowed) and unseen.within(allowed):
                return self._found(verdict, kept, *self._with_bodies(kept, fresh, allowed, (seen, unseen)))
            if not unseen.finite and self._more_overflows(fresh):
                continue
            wider = self._wider(kept, max(seen.worst, unseen.worst), allowed)
            if wider == kept:
                break
            kept = wider
        chosen = min(tried, key=lambda entry: max(entry[1].worst, entry[2].worst))
        return self._found("time limit" if verdict == "time limit" else "not reached", *chosen)

    def _with_bodies(
        self, kept: frozenset[str], fresh: Evidence, allowed: float, scores: tuple[Score, Score]
    ) -> tuple[Score, Score]:
        """Bodies that were kept FP32 for the search return to FP16 if the set passes with them; the scores of the result."""
        if not self.whole:
            return scores
        model = self.typed([*(self.fixed - {d.node for d in self.whole}), *kept])
        narrow = judge(model, self.calibration), judge(model, fresh)
        if not all(score.within(allowed) for score in narrow):
            return scores
        self.whole = []
        return narrow

    def _more_overflows(self, fresh: Evidence) -> bool:
        """Keep the nodes that overflow on unseen inputs in FP32; whether there are any."""
        further = overflows(self.index, self.fixed, [dict(run.feeds) for run in fresh.runs])
        self.base += further
        self.fixed |= {overflow.node for overflow in further}
        return bool(further)

    def _wider(self, kept: frozenset[str], error: float, allowed: float) -> frozenset[str]:
        """A set for a goal that is lower by the excess error on unseen inputs; without a ranking, add the choice of the rules."""
        rules = kept | self._chosen_by_rules()
        if not self.steps:
            return rules
        try:
            self.goal = min(self.goal, self.trials.keeping(kept).worst) * min(0.97, MARGIN * allowed / error)
            return self._pruned(self._fewest(self.goal), self.goal)
        except OutOfTime:
            return rules

    def _found(self, verdict: Verdict, kept: frozenset[str], score: Score, fresh: Score | None = None) -> SearchOutcome:
        ordered = [node.name for node in self.index.nodes if node.name in kept]
        decisions = decisions_of((*self.hazards, *self.whole), self.base, ordered, self.energies, self.steps)
        place = {node.name: i for i, node in enumerate(self.index.every_node())}
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
        return SearchOutcome(tuple(sorted(decisions, key=lambda d: place[d.node])), report)

    def _tell(self) -> None:
        """Report the progress after a trial."""
        done = self.trials.evaluations + self.trials.remembered
        best = "" if self.best is None else f", {len(self.best[0])} kept, error {self.best[1].worst:.2f}x"
        text = f"{self.doing}: {done} evaluations{best} (target {self.aim.target:g}x), at most {self.aim.seconds:g} s"
        self.shown = max(self.shown, min(0.97, 0.05 + 0.9 * done / self.planned))
        self.reporter.progress(self.shown, text)
