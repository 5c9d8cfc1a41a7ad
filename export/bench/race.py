"""The contenders at work: prepared, alone in a process, proved and timed at every point, and loaded up to a target."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from ...errors import AttnexportError
from ...runtime.bundle.bench_report import FAILED, MEASURED, WRONG, Capacity, Point, Target, Timing
from ...runtime.inputs.feeds import random_feeds, symbol_axes
from ..progress import Reporter, Stages
from .capacity import largest_batch
from .contenders import Call, Feeds
from .entry import Entry, said
from .memory import Job, run_alone
from .options import BenchOptions
from .points import batch_of, batch_symbol
from .proof import Reference, difference
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
        entries: Sequence[Entry],
        sizes: Sequence[dict[str, int]],
        reporter: Reporter,
    ) -> None:
        self._options, self._site, self._entries, self._sizes = options, site, entries, sizes
        self._reporter, self._stages = reporter, Stages(reporter)
        self._inputs = site.subject.inputs
        self._feeds = [self._inputs_of(one) for one in sizes]
        self.baseline = options.baseline
        """The contender that the others are compared with, once it is known."""

    def prepare(self) -> None:
        """Let each write the files that it needs, then run each in a process of its own, where memory is wanted."""
        with self._stages.run("prepare") as stage:
            for entry in self._racing():
                with self._attempt(entry):
                    entry.contender.prepare(self._site, self._feeds)
            stage.detail = ", ".join(entry.contender.name for entry in self._racing())
        if self._options.memory:
            self._alone()

    def points(self) -> tuple[Point, ...]:
        """Prove and time the contenders at every point."""
        with ExitStack() as stack:
            reference = Reference(self._site.subject, self._site.threads)
            stack.callback(reference.close)
            return tuple(self._point(index, reference) for index in range(len(self._sizes)))

    def target(self, milliseconds: float) -> Target:
        """Find the largest batch of each within so many milliseconds. The batch must be free."""
        symbol = batch_symbol(self._inputs)
        assert symbol is not None
        axis = symbol_axes(self._inputs)[symbol]
        found: list[Capacity] = []
        statistic = self._options.statistic
        with self._stages.run("target") as stage:
            for entry in self._racing():
                name = entry.contender.name
                self._reporter.progress(0, name)

                def prepare(batch: int, entry: Entry = entry) -> Callable[[], object]:
                    return self._bind(entry, self._inputs_of({**self._sizes[0], symbol: batch})).run

                with self._attempt(entry):
                    clock = self._site.clock
                    found.append(largest_batch(name, prepare, axis.min, axis.max, milliseconds, statistic, clock))
            stage.detail = f"{statistic} within {milliseconds:g} ms"
        return Target(milliseconds, statistic, tuple(found))

    def close(self) -> None:
        """Close every contender."""
        for entry in self._entries:
            entry.close()

    def _racing(self) -> list[Entry]:
        return [entry for entry in self._entries if entry.state == MEASURED]

    def _inputs_of(self, sizes: Mapping[str, int]) -> Feeds:
        return random_feeds(self._inputs, sizes, seed=self._options.seed)

    def _batch(self, index: int) -> str:
        return f"batch {batch_of(self._inputs, self._sizes[index])}"

    @contextmanager
    def _attempt(self, entry: Entry, where: str = "") -> Iterator[None]:
        """Whatever a library raises in here ends this contender only."""
        try:
            yield
        except Exception as error:
            self._give_up(entry, FAILED, where + said(error))

    def _give_up(self, entry: Entry, state: str, reason: str) -> None:
        entry.give_up(state, reason)
        self._reporter.note(f"{entry.contender.name} {state}: {reason}")

    def _alone(self) -> None:
        original = self._site.subject.original
        only_here = original is not None and original.recipe is None
        with self._stages.run("memory") as stage:
            count = 0
            for entry in self._racing():
                name = entry.contender.name
                self._reporter.progress(count / len(self._entries), name)
                if entry.contender.runs_module and only_here:
                    self._reporter.note(f"no memory of {name}: its module cannot be pickled")
                    continue
                alone = run_alone(
                    Job(self._site.subject, self._site.device, self._site.threads, name, tuple(self._feeds))
                )
                entry.memory, entry.failure = alone.memories, alone.failure
                if alone.failure and not alone.memories:
                    self._give_up(entry, FAILED, alone.failure)
                count += 1
            stage.detail = f"{count} contenders, each in a process of its own"

    def _point(self, index: int, reference: Reference) -> Point:
        batch, feeds = batch_of(self._inputs, self._sizes[index]), self._feeds[index]
        where = f"{self._batch(index)}: " if len(self._sizes) > 1 else ""
        with self._stages.run(self._batch(index)) as stage:
            truth = reference.outputs(feeds)
            calls: dict[str, Call] = {}
            for entry in self._racing():
                self._reporter.progress(0, f"{entry.contender.name}: opening")
                if entry.failure and index >= len(entry.memory):
                    self._give_up(entry, FAILED, where + entry.failure)
                    continue
                with self._attempt(entry, where):
                    call = self._bind(entry, feeds)
                    if self._proved(entry, call, truth, where):
                        calls[entry.contender.name] = call
            times = self._times(calls, where)
            stage.detail = f"{min(map(len, times.values()), default=0)} rounds of {len(times)} contenders"
        return Point(self._sizes[index], batch, self._timings(times, batch, index))

    def _bind(self, entry: Entry, feeds: Feeds) -> Call:
        if entry.runner is not None:
            return entry.runner.call(feeds)
        start = time.perf_counter()
        entry.runner = entry.contender.open(self._site)
        call = entry.runner.call(feeds)
        entry.opened, entry.notes = time.perf_counter() - start, entry.runner.notes
        return call

    def _proved(self, entry: Entry, call: Call, truth: Feeds, where: str) -> bool:
        contender, found = entry.contender, call.outputs()
        try:
            precision = contender.precision(self._site)
            error = difference(self._site.subject.outputs, found, truth, precision, contender.name)
        except AttnexportError as wrong:
            self._give_up(entry, WRONG, where + said(wrong))
            return False
        entry.error = max(error, entry.error or 0.0)
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
                self._give_up(self._entry(failed.name), FAILED, where + said(failed.__cause__))

    def _entry(self, name: str) -> Entry:
        return next(entry for entry in self._entries if entry.contender.name == name)

    def _timings(self, times: dict[str, list[Times]], batch: int, index: int) -> tuple[Timing, ...]:
        if self.baseline is None:  # once for all points: ratios to different ones could not be read side by side
            self.baseline = next((name for name in (*BASELINES, *times) if name in times), None)
        baseline = times.get(self.baseline or "")
        found = []
        for name, rounds in times.items():
            milliseconds = [calls * 1e3 for calls in rounds]
            middle = median(milliseconds)
            memory = self._entry(name).memory
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
