"""The contenders at work: prepared, alone in a process, proved and timed at every point, and loaded up to a target."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from ...errors import AttnexportError
from ...runtime.bundle.bench_report import FAILED, MEASURED, WRONG, BenchPoint, Capacity, LatencyTarget, Timing
from ...runtime.inputs.feeds import random_feeds, symbol_axes
from ..progress import Reporter, Stages
from .agreement import ReferenceModel, difference
from .capacity import largest_batch
from .contenders import Call, Feeds
from .memory import MemoryJob, run_alone
from .options import BenchOptions
from .participants import Participant, said
from .points import batch_of, batch_symbol
from .rounds import Times, TurnError, interleave
from .site import Site
from .statistics import median, quantile, ratio

BASELINES = ("plain", "eager", "attnexport")
"""What the others are compared with where the user does not say, the first that could be measured."""


class Race:
    """One benchmark under way. A contender that fails, whenever it does, is out of what is left, and the others go on."""

    def __init__(
        self,
        options: BenchOptions,
        site: Site,
        participants: Sequence[Participant],
        sizes: Sequence[dict[str, int]],
        reporter: Reporter,
    ) -> None:
        self._options, self._site, self._participants, self._sizes = options, site, participants, sizes
        self._reporter, self._stages = reporter, Stages(reporter)
        self._inputs = site.model.inputs
        self._feeds = [self._inputs_of(one) for one in sizes]
        self.baseline = options.baseline
        """The contender that the others are compared with, once it is known."""

    def prepare(self) -> None:
        """Let each write the files that it needs, then run each in a process of its own, where memory is wanted."""
        with self._stages.run("prepare") as stage:
            for participant in self._racing():
                with self._attempt(participant):
                    participant.contender.prepare(self._site, self._feeds)
            stage.detail = ", ".join(participant.contender.name for participant in self._racing())
        if self._options.memory:
            self._alone()

    def points(self) -> tuple[BenchPoint, ...]:
        """Prove and time the contenders at every point."""
        with ExitStack() as stack:
            reference = ReferenceModel(self._site.model, self._site.threads)
            stack.callback(reference.close)
            return tuple(self._point(index, reference) for index in range(len(self._sizes)))

    def target(self, milliseconds: float) -> LatencyTarget:
        """Find the largest batch of each within so many milliseconds. The batch must be free."""
        symbol = batch_symbol(self._inputs)
        assert symbol is not None
        axis = symbol_axes(self._inputs)[symbol]
        found: list[Capacity] = []
        statistic = self._options.statistic
        with self._stages.run("target") as stage:
            for participant in self._racing():
                name = participant.contender.name
                self._reporter.progress(0, name)

                def prepare(batch: int, participant: Participant = participant) -> Callable[[], object]:
                    return self._bind(participant, self._inputs_of({**self._sizes[0], symbol: batch})).run

                with self._attempt(participant):
                    clock = self._site.clock
                    found.append(largest_batch(name, prepare, axis.min, axis.max, milliseconds, statistic, clock))
            stage.detail = f"{statistic} within {milliseconds:g} ms"
        return LatencyTarget(milliseconds, statistic, tuple(found))

    def close(self) -> None:
        """Close every contender."""
        for participant in self._participants:
            participant.close()

    def _racing(self) -> list[Participant]:
        return [participant for participant in self._participants if participant.state == MEASURED]

    def _inputs_of(self, sizes: Mapping[str, int]) -> Feeds:
        return random_feeds(self._inputs, sizes, seed=self._options.seed)

    def _batch(self, index: int) -> str:
        return f"batch {batch_of(self._inputs, self._sizes[index])}"

    @contextmanager
    def _attempt(self, participant: Participant, where: str = "") -> Iterator[None]:
        """Whatever a library raises in here ends this contender only."""
        try:
            yield
        except Exception as error:
            self._give_up(participant, FAILED, where + said(error))

    def _give_up(self, participant: Participant, state: str, reason: str) -> None:
        participant.give_up(state, reason)
        self._reporter.note(f"{participant.contender.name} {state}: {reason}")

    def _alone(self) -> None:
        original = self._site.model.original
        only_here = original is not None and original.recipe is None
        with self._stages.run("memory") as stage:
            count = 0
            for participant in self._racing():
                name = participant.contender.name
                self._reporter.progress(count / len(self._participants), name)
                if participant.contender.runs_module and only_here:
                    self._reporter.note(f"no memory of {name}: its module cannot be pickled")
                    continue
                alone = run_alone(
                    MemoryJob(self._site.model, self._site.device, self._site.threads, name, tuple(self._feeds))
                )
                participant.memory, participant.failure = alone.memories, alone.failure
                if alone.failure and not alone.memories:
                    self._give_up(participant, FAILED, alone.failure)
                count += 1
            stage.detail = f"{count} contenders, each in a process of its own"

    def _point(self, index: int, reference: ReferenceModel) -> BenchPoint:
        batch, feeds = batch_of(self._inputs, self._sizes[index]), self._feeds[index]
        where = f"{self._batch(index)}: " if len(self._sizes) > 1 else ""
        with self._stages.run(self._batch(index)) as stage:
            truth = reference.outputs(feeds)
            calls: dict[str, Call] = {}
            for participant in self._racing():
                self._reporter.progress(0, f"{participant.contender.name}: opening")
                if participant.failure and index >= len(participant.memory):
                    self._give_up(participant, FAILED, where + participant.failure)
                    continue
                with self._attempt(participant, where):
                    call = self._bind(participant, feeds)
                    if self._proved(participant, call, truth, where):
                        calls[participant.contender.name] = call
            times = self._times(calls, where)
            stage.detail = f"{min(map(len, times.values()), default=0)} rounds of {len(times)} contenders"
        return BenchPoint(self._sizes[index], batch, self._timings(times, batch, index))

    def _bind(self, participant: Participant, feeds: Feeds) -> Call:
        if participant.runner is not None:
            return participant.runner.call(feeds)
        start = time.perf_counter()
        participant.runner = participant.contender.open(self._site)
        call = participant.runner.call(feeds)
        participant.opened, participant.notes = time.perf_counter() - start, participant.runner.notes
        return call

    def _proved(self, participant: Participant, call: Call, truth: Feeds, where: str) -> bool:
        contender, found = participant.contender, call.outputs()
        try:
            precision = contender.precision(self._site)
            error = difference(self._site.model.outputs, found, truth, precision, contender.name)
        except AttnexportError as wrong:
            self._give_up(participant, WRONG, where + said(wrong))
            return False
        participant.error = max(error, participant.error or 0.0)
        return True

    def _times(self, calls: dict[str, Call], where: str) -> dict[str, list[Times]]:
        """Rounds of all of them; where one raises, rounds of the others from the beginning."""
        rounds = self._options.rounds

        def heard(done: int) -> None:
            self._reporter.progress(done / rounds, f"round {done} of {rounds}")

        while True:
            runs = {name: call.run for name, call in calls.items()}
            try:
                return interleave(
                    runs, rounds=rounds, seconds=self._options.seconds, clock=self._site.clock, heard=heard
                )
            except TurnError as failed:
                del calls[failed.name]
                assert isinstance(failed.__cause__, Exception)
                self._give_up(self._participant(failed.name), FAILED, where + said(failed.__cause__))

    def _participant(self, name: str) -> Participant:
        return next(participant for participant in self._participants if participant.contender.name == name)

    def _timings(self, times: dict[str, list[Times]], batch: int, index: int) -> tuple[Timing, ...]:
        if self.baseline is None:  # once for all points: ratios to different ones could not be read side by side
            self.baseline = next((name for name in (*BASELINES, *times) if name in times), None)
        baseline = times.get(self.baseline or "")
        found = []
        for name, rounds in times.items():
            milliseconds = [calls * 1e3 for calls in rounds]
            middle = median(milliseconds)
            memory = self._participant(name).memory
            found.append(
                Timing(
                    contender=name,
                    rounds=len(rounds),
                    calls=sum(map(len, rounds)),
                    median=middle,
                    p95=quantile(milliseconds, 0.95),
                    fastest=min(float(calls.min()) for calls in milliseconds),
                    per_second=batch / middle.value * 1e3,
                    ratio=None if baseline is None else ratio(baseline, rounds),
                    memory=memory[index] if memory else None,
                )
            )
        return tuple(found)
