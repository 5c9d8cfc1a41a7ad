"""The whole benchmark: what takes part, whether it is right, how fast it is, how much memory it takes, and what it could carry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ...errors import AttnexportError, InputError, StageError
from ...runtime.bundle import Bundle
from ...runtime.feeds import random_feeds, symbol_axes
from ..report import Reporter, Silent, Stages
from .capacity import largest_batch
from .contenders import Call, Feeds
from .entry import Entry, check_names, entries
from .gpu import GpuWatch
from .machine import machine, tools
from .memory import Job, run_alone
from .options import BenchOptions
from .points import batch_of, batch_symbol, choose_points
from .proof import Reference, difference
from .record import FAILED, MEASURED, WRONG, BenchReport, Machine, Point, Settings, Target, Timing
from .rounds import Times, interleave
from .site import Site, choose_device, usable_cores
from .statistics import median, quantile, ratio
from .subject import subject

if TYPE_CHECKING:
    import torch

BASELINES = ("plain", "eager", "attnexport")
"""What the others are compared with where the user does not say, the first that could be measured."""


def bench(
    options: BenchOptions, reporter: Reporter | None = None, *, module: torch.nn.Module | None = None
) -> BenchReport:
    """Measure what the options name. ``module``: the original of a bundle, where it is at hand.

    A contender that fails, or whose outputs are wrong, is said to be so and the others go on. Raises InputError for what
    cannot be measured at all, for a contender that was asked for by name and cannot run here, and what an export raises.
    """
    reporter = reporter or Silent()
    check_names(options)
    device = choose_device(options.device)
    with (
        subject(options, reporter, module) as measured,
        closing(Site(measured, device, options.threads or usable_cores(), module)) as site,
    ):
        sizes = choose_points(measured.inputs, options.batches, options.sizes)
        if options.target_latency is not None and batch_symbol(measured.inputs) is None:
            raise InputError(
                "--target-latency looks for a batch, and the batch is fixed", "export with a dynamic batch"
            )
        found = entries(options, site)
        return _Bench(options, site, found, sizes, reporter).run()


class _Bench:
    """One benchmark under way."""

    def __init__(
        self,
        options: BenchOptions,
        site: Site,
        entries: Sequence[Entry],
        sizes: Sequence[dict[str, int]],
        reporter: Reporter,
    ) -> None:
        self.options, self.site, self.entries, self.sizes = options, site, entries, sizes
        self.stages = Stages(reporter)
        self.reporter = reporter
        self._baseline: str | None = None
        self.feeds = [random_feeds(site.subject.inputs, one, seed=options.seed) for one in sizes]

    @property
    def racing(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.state == MEASURED]

    def run(self) -> BenchReport:
        here = machine(None)
        self._load = here.load
        with ExitStack() as stack:
            reference = Reference(self.site.subject, self.site.threads)
            stack.callback(reference.close)
            stack.callback(self._close)
            self._prepare()
            if self.options.memory:
                self._alone()
            with GpuWatch() as watch:
                points = [self._point(i, reference) for i in range(len(self.sizes))]
                target = self._target() if self.options.target_latency is not None else None
        if not any(point.timings for point in points):
            said = "; ".join(f"{entry.contender.name}: {entry.reason}" for entry in self.entries if entry.reason)
            raise StageError("bench", f"no contender could be measured: {said}")
        return self._report(replace(here, gpu=watch.state if self.site.device == "cuda" else None), points, target)

    def _close(self) -> None:
        for entry in self.entries:
            if entry.runner is not None:
                entry.runner.close()

    def _attempt(self, entry: Entry, work: Callable[[], None]) -> None:
        """Whatever a library raises ends this contender only."""
        try:
            work()
        except Exception as error:
            entry.give_up(FAILED, error)
            self.reporter.note(f"{entry.contender.name} fails: {entry.reason}")

    def _prepare(self) -> None:
        with self.stages.run("prepare") as stage:
            for entry in self.racing:
                self._attempt(entry, lambda entry=entry: entry.contender.prepare(self.site, self.feeds))  # type: ignore[misc]
            stage.detail = ", ".join(entry.contender.name for entry in self.racing)

    def _alone(self) -> None:
        with self.stages.run("memory") as stage:
            for i, entry in enumerate(self.racing):
                self.reporter.progress(i / len(self.racing), entry.contender.name)
                if entry.contender.runs_module and self._only_here:
                    self.reporter.note(f"no memory of {entry.contender.name}: its module cannot be pickled")
                    continue
                job = Job(
                    self.site.subject, self.site.device, self.site.threads, entry.contender.name, tuple(self.feeds)
                )

                def work(entry: Entry = entry, job: Job = job) -> None:
                    entry.memory = run_alone(job)

                self._attempt(entry, work)
            stage.detail = f"{len(self.racing)} contenders, each in a process of its own"

    @property
    def _only_here(self) -> bool:
        original = self.site.subject.original
        return original is not None and original.recipe is None

    def _bind(self, entry: Entry, feeds: Feeds) -> Call:
        if entry.runner is None:
            start = time.perf_counter()
            entry.runner = entry.contender.open(self.site)
            call = entry.runner.call(feeds)
            entry.opened = time.perf_counter() - start
            entry.notes = entry.runner.notes
            return call
        return entry.runner.call(feeds)

    def _point(self, index: int, reference: Reference) -> Point:
        sizes, feeds = self.sizes[index], self.feeds[index]
        batch = batch_of(self.site.subject.inputs, sizes)
        name = f"batch {batch}"
        with self.stages.run(name) as stage:
            truth = reference.outputs(feeds)
            calls: dict[str, Call] = {}
            for entry in self.racing:
                self.reporter.progress(0, f"{entry.contender.name}: opening")

                def work(entry: Entry = entry) -> None:
                    call = self._bind(entry, feeds)
                    self._prove(entry, call, truth)
                    calls[entry.contender.name] = call

                self._attempt(entry, work)
            calls = {name: call for name, call in calls.items() if self._entry(name).state == MEASURED}
            times = self._times(calls)
            stage.detail = f"{min(map(len, times.values()), default=0)} rounds of {len(times)} contenders"
        return Point(sizes, batch, self._timings(times, batch, index))

    def _entry(self, name: str) -> Entry:
        return next(entry for entry in self.entries if entry.contender.name == name)

    def _prove(self, entry: Entry, call: Call, truth: Feeds) -> None:
        contender, found = entry.contender, call.outputs()
        try:
            error = difference(self.site.subject.outputs, found, truth, contender.precision(self.site), contender.name)
        except AttnexportError as wrong:
            entry.give_up(WRONG, wrong)
            self.reporter.note(f"{contender.name} is not timed: {entry.reason}")
        else:
            entry.error = max(error, entry.error or 0.0)

    def _times(self, calls: dict[str, Call]) -> dict[str, list[Times]]:
        rounds = self.options.rounds
        return interleave(
            {name: call.run for name, call in calls.items()},
            rounds=rounds,
            seconds=self.options.seconds,
            clock=self.site.clock,
            heard=lambda done: self.reporter.progress(done / rounds, f"round {done} of {rounds}"),
        )

    def _timings(self, times: dict[str, list[Times]], batch: int, index: int) -> tuple[Timing, ...]:
        if self._baseline is None:
            self._baseline = self._choose_baseline(times)
        baseline = times.get(self._baseline or "")
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

    def _choose_baseline(self, here: Iterable[str]) -> str | None:
        """Once, and for all points: ratios to different ones could not be read side by side."""
        names = list(here)
        if self.options.baseline is not None:
            return self.options.baseline
        return next((name for name in (*BASELINES, *names) if name in names), None)

    def _target(self) -> Target:
        options, subject = self.options, self.site.subject
        symbol, limit = batch_symbol(subject.inputs), options.target_latency
        assert symbol is not None and limit is not None  # held to that before anything was run
        axis = symbol_axes(subject.inputs)[symbol]
        capacities = []
        with self.stages.run("target") as stage:
            for i, entry in enumerate(self.racing):
                self.reporter.progress(i / len(self.racing), entry.contender.name)

                def prepare(batch: int, entry: Entry = entry) -> Callable[[], object]:
                    sizes = {**self.sizes[0], symbol: batch}
                    return self._bind(entry, random_feeds(subject.inputs, sizes, seed=options.seed)).run

                def work(entry: Entry = entry, prepare: Callable[[int], Callable[[], object]] = prepare) -> None:
                    name = entry.contender.name
                    capacities.append(
                        largest_batch(name, prepare, axis.min, axis.max, limit, options.statistic, self.site.clock)
                    )

                self._attempt(entry, work)
            stage.detail = f"{options.statistic} within {limit:g} ms"
        return Target(limit, options.statistic, tuple(capacities))

    def _report(self, here: Machine, points: Sequence[Point], target: Target | None) -> BenchReport:
        options, subject = self.options, self.site.subject
        manifest = Bundle.open(subject.bundle).manifest
        on_gpu = self.site.device == "cuda"
        settings = Settings(
            self.site.device, "cuda-events" if on_gpu else "wall", self.site.threads, options.rounds, options.seconds,
            options.seed, False, self._baseline,
        )  # fmt: skip
        model = next(file for file in manifest.files.values() if file.role == "model-fp32")
        return BenchReport(
            name=subject.name,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            source=manifest.source.file or manifest.source.arch or "",
            model_sha256=model.sha256,
            inputs=subject.inputs,
            machine=here,
            tools=tools(),
            settings=settings,
            entrants=tuple(entry.record(self.site) for entry in self.entries),
            points=tuple(points),
            target=target,
            notes=tuple(self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        load, cores = self._load, usable_cores()
        if load is not None and load > cores / 2:
            yield f"the machine was busy before it began (load {load:.1f} on {cores} cores): believe ratios more than times"
        for entry in self.entries:
            yield from (f"{entry.contender.title}: {note}" for note in entry.notes)
        lost = self._entry(self.options.baseline) if self.options.baseline is not None else None
        if lost is not None and lost.state != MEASURED:
            yield f"there are no ratios: the baseline {lost.contender.name} {lost.state}: {lost.reason}"
