from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from attnexport.errors import EngineError
from attnexport.export.engine import EngineOptions, build_engine
from attnexport.export.engine.progress import Progress, held_interrupts


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C as a terminal has it: a run in the background starts with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_real_build_advances_to_the_end(mixed, image, rtx, reporter) -> None:
    build_engine(mixed, [image], rtx, EngineOptions(), {}, reporter)
    assert reporter.fractions[0] == 0.0
    assert reporter.fractions[-1] == 1.0
    assert reporter.fractions == sorted(reporter.fractions)
    assert reporter.fractions.count(1.0) == 1
    assert len(set(reporter.fractions)) > 20
    assert reporter.phases[0] == f"parsing with {rtx.title}"
    assert {"Building engine", "Optimizing graph"} <= set(reporter.phases)


def test_fractions_of_nested_phases(reporter) -> None:
    progress = Progress(reporter, None, threading.Event())
    progress.start("root", None, 4)
    progress.start("first", "root", 2)
    progress.step("first", 0)  # half of half a step: what follows in this step of root is not known
    assert reporter.fractions[-1] == 0.25 * 0.5 * 0.5
    progress.finish("first")
    progress.start("second", "root", 2)
    assert reporter.fractions[-1] == 0.25 * 0.5
    progress.step("second", 1)
    assert reporter.fractions[-1] == 0.25 * 0.75
    progress.finish("second")
    progress.step("root", 0)
    assert reporter.fractions[-1] == 0.25
    progress.finish("root")
    progress.complete()
    assert (reporter.fractions[-1], reporter.phases[-1]) == (1.0, "engine built")


def test_it_never_goes_back_nor_ends_early(reporter) -> None:
    progress = Progress(reporter, None, threading.Event())
    for _ in range(2):  # a second root after the first
        progress.start("root", None, 2)
        progress.step("root", 0)
        progress.step("root", 1)
        progress.step("unknown", 3)
        progress.finish("root")
    assert reporter.fractions == sorted(reporter.fractions)
    assert max(reporter.fractions) == 0.999


def test_small_steps_are_not_each_shown(reporter) -> None:
    progress = Progress(reporter, None, threading.Event())
    progress.start("root", None, 100_000)
    for step in range(100_000):
        progress.step("root", step)
    assert 400 < len(reporter.fractions) <= 502


def test_many_threads(reporter) -> None:
    progress = Progress(reporter, None, threading.Event())
    progress.start("root", None, 8)

    def work(name: str) -> None:
        progress.start(name, "root", 200)
        for step in range(200):
            assert progress.step(name, step)
        progress.finish(name)

    threads = [threading.Thread(target=work, args=(f"part {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reporter.fractions == sorted(reporter.fractions)


def test_the_time_limit_cancels_the_build(mixed, image, rtx, reporter, capfd) -> None:
    with pytest.raises(EngineError, match=r"stopped at its time limit of 1e-06 s\. raise the limit"):
        build_engine(mixed, [image], rtx, EngineOptions(time_limit_s=1e-6), {}, reporter)
    assert max(reporter.fractions) < 0.2
    assert capfd.readouterr() == ("", "")
    # The next build is not touched by it.
    engine = build_engine(mixed, [image], rtx, EngineOptions(time_limit_s=600), {}, reporter)
    assert engine.plan


class Interrupting:
    """A reporter during whose first progress in the build the user presses Ctrl-C."""

    def __init__(self) -> None:
        self.calls = 0

    def note(self, text: str) -> None:
        pass

    def progress(self, done: float, text: str) -> None:
        self.calls += 1
        if self.calls == 5:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_stops_the_build_and_arrives_once(mixed, image, rtx, capfd) -> None:
    pressing = Interrupting()
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build_engine(mixed, [image], rtx, EngineOptions(), {}, pressing)
    assert pressing.calls < 10
    assert signal.getsignal(signal.SIGINT) is handler
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_is_held_until_the_block_ends() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), held_interrupts() as interrupted:
        assert not interrupted.is_set()
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        reached.append(True)
    assert reached == [True]


def test_other_threads_leave_the_handler_alone() -> None:
    seen = []

    def work() -> None:
        with held_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_an_error_of_the_reporter_is_raised_after_the_build(mixed, image, rtx, capfd) -> None:
    class Broken:
        def note(self, text: str) -> None:
            pass

        def progress(self, done: float, text: str) -> None:
            if done > 0:
                raise ZeroDivisionError("the terminal is gone")

    with pytest.raises(ZeroDivisionError, match="the terminal is gone"):
        build_engine(mixed, [image], rtx, EngineOptions(), {}, Broken())
    assert capfd.readouterr() == ("", "")
