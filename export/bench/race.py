"""Prepare the contenders, measure their memory, compare their outputs, time them, and search for the largest batch."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from ...errors import AttnexportError
from ...runtime.bundle.bench_report import FAILED, MEASURED, WRONG, BenchPoint, Capacity, LatencyTarget, Timing
from ...runtime.inputs.feeds import random_feeds, symbol_axes
from ..progress import Reporter, Stages
from .agreement import ReferenceModel, difference
from .capacity import largest_batch
from .contenders import Call, Feeds
from .memory import MemoryJob, run_alone
from .options import BenchOptions
from .participants import Participant, message_of
from .points import batch_of, batch_symbol
from .rounds import Times, TurnError, interleave
from .site import Site
from .statistics import median, quantile, ratio

BASELINES = ("plain", "eager", "attnexport")
"""The default baseline: the first of these that can be measured."""


class Race:
    """One benchmark in progress. A contender that fails is excluded from the rest, and the others go on."""

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
        self._feeds = [self._inputs_of(point) for point in sizes]
        self.baseline = options.baseline
        """The contender that the others are compared with; None until it is known."""

    def prepare(self) -> None:
        """Write the files that each contender needs, then measure the memory of each if the options ask for it."""
        with self._stages.run("prepare") as stage:
            for participant in self._racing():
                with self._attempt(participant):
                    participant.contender.prepare(self._site, self._feeds)
            stage.detail = ", ".join(participant.contender.name for participant in self._racing())
        if self._options.memory:
            self._measure_memory()

    def points(self) -> tuple[BenchPoint, ...]:
        """Compare and time the contenders at each point."""
        with closing(ReferenceModel(self._site.model, self._site.threads)) as reference:
            return tuple(self._point(index, reference) for index in range(len(self._sizes)))

    def target(self, milliseconds: float) -> LatencyTarget:
        """Find the largest batch of each contender within ``milliseconds``. The batch must be dynamic."""
        symbol = batch_symbol(self._inputs)
        assert symbol is not None
        axis = symbol_axes(self._inputs)[symbol]
        capacities: list[Capacity] = []
        statistic = self._options.statistic
        with self._stages.run("target") as stage:
            for participant in self._racing():
                name = participant.contender.name
                self._reporter.progress(0, name)

                def prepare(batch: int, participant: Participant = participant) -> Callable[[], object]:
                    return self._bind(participant, self._inputs_of({**self._sizes[0], symbol: batch})).run

                with self._attempt(participant):
                    clock = self._site.clock
                    capacities.append(largest_batch(name, prepare, axis.min, axis.max, milliseconds, statistic, clock))
            stage.detail = f"{statistic} within {milliseconds:g} ms"
        return LatencyTarget(milliseconds, statistic, tuple(capacities))

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
        """An error of a library in this context excludes only this contender."""
        try:
            yield
        except Exception as error:
            self._give_up(participant, FAILED, where + message_of(error))

    def _give_up(self, participant: Participant, state: str, reason: str) -> None:
        participant.give_up(state, reason)
        self._reporter.note(f"{participant.contender.name} {state}: {reason}")

    def _measure_memory(self) -> None:
        original = self._site.model.original
        not_picklable = original is not None and original.recipe is None
        with self._stages.run("memory") as stage:
            count = 0
            for participant in self._racing():
                name = participant.contender.name
                self._reporter.progress(count / len(self._participants), name)
                if participant.contender.runs_module and not_picklable:
                    self._reporter.note(f"memory of {name} not measured: its module cannot be pickled")
                    continue
                job = MemoryJob(self._site.model, self._site.device, self._site.threads, name, tuple(self._feeds))
                participant.memory, participant.failure = run_alone(job)
                if participant.failure and not participant.memory:
                    self._give_up(participant, FAILED, participant.failure)
                count += 1
            stage.detail = f"{count} contenders, each in a separate process"

    def _point(self, index: int, reference: ReferenceModel) -> BenchPoint:
        batch, feeds = batch_of(self._inputs, self._sizes[index]), self._feeds[index]
        where = f"{self._batch(index)}: " if len(self._sizes) > 1 else ""
        with self._stages.run(self._batch(index)) as stage:
            expected = reference.outputs(feeds)
            calls: dict[str, Call] = {}
            for participant in self._racing():
                self._reporter.progress(0, f"{participant.contender.name}: opening")
                if participant.failure and index >= len(participant.memory):
                    self._give_up(participant, FAILED, where + participant.failure)
                    continue
                with self._attempt(participant, where):
                    call = self._bind(participant, feeds)
                    if self._agrees(participant, call, expected, where):
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

    def _agrees(self, participant: Participant, call: Call, expected: Feeds, where: str) -> bool:
        contender, outputs = participant.contender, call.outputs()
        try:
            precision = contender.precision(self._site)
            error = difference(self._site.model.outputs, outputs, expected, precision, contender.name)
        except AttnexportError as failure:
            self._give_up(participant, WRONG, where + message_of(failure))
            return False
        participant.error = max(error, participant.error or 0.0)
        return True

    def _times(self, calls: dict[str, Call], where: str) -> dict[str, list[Times]]:
        """Time all contenders in rounds. If one raises, start again with the others."""
        rounds, seconds = self._options.rounds, self._options.seconds

        def report(done: int) -> None:
            self._reporter.progress(done / rounds, f"round {done} of {rounds}")

        while True:
            runs = {name: call.run for name, call in calls.items()}
            try:
                return interleave(runs, rounds=rounds, seconds=seconds, clock=self._site.clock, on_round=report)
            except TurnError as error:
                del calls[error.name]
                assert isinstance(error.__cause__, Exception)
                self._give_up(self._participant(error.name), FAILED, where + message_of(error.__cause__))

    def _participant(self, name: str) -> Participant:
        return next(participant for participant in self._participants if participant.contender.name == name)

    def _timings(self, times: dict[str, list[Times]], batch: int, index: int) -> tuple[Timing, ...]:
        if self.baseline is None:  # one baseline for all points, so that ratios can be compared
            self.baseline = next((name for name in (*BASELINES, *times) if name in times), None)
        baseline = times.get(self.baseline or "")
        timings = []
        for name, rounds in times.items():
            milliseconds = [calls * 1e3 for calls in rounds]
            middle = median(milliseconds)
            memory = self._participant(name).memory
            timing = Timing(
                contender=name, rounds=len(rounds), calls=sum(map(len, rounds)), median=middle, p95=quantile(milliseconds, 0.95),
                fastest=min(float(calls.min()) for calls in milliseconds), per_second=batch / middle.value * 1e3,
                ratio=None if baseline is None else ratio(baseline, rounds), memory=memory[index] if memory else None,
            )  # fmt: skip
            timings.append(timing)
        return tuple(timings)
