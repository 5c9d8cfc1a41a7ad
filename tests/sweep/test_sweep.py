"""Random spellings and geometries of local attention: source module, lowered ONNX and NumPy formula agree, and the attention is seen.

``make test`` runs 24 cases, ``make sweep`` 2,000. What fails is printed as the constructor call of its case;
``sweep.stages.rebuild`` exports it by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import cycle

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sweep.case import Case
from sweep.catalogue import build
from sweep.draw import cases
from sweep.measure import Measure
from sweep.stages import SIZE, WISHES, Exported, Wish, export
from sweep.tally import Tally

from attnexport.errors import AttnexportError

LEAST_RECOGNISED = 0.95
REDUCED, WHOLE = 24, 2000


@pytest.fixture(autouse=True)
def _no_logging() -> Iterator[None]:
    """pytest keeps every record."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def examine(drawn: list[Case], tally: Tally, wish: Wish) -> None:
    """Export the cases together and count each by itself; where that fails, one by one, to see which it is."""
    try:
        exported = export(drawn, [build(case) for case in drawn], wish)
        faults = compare(drawn, exported)
    except AttnexportError as error:
        if len(drawn) == 1:
            tally.add(drawn[0], None, [f"forms for {wish}: {error}"])
            return
        for case in drawn:
            examine([case], tally, wish)
        return
    tally.forms += exported.forms
    for case, seen, found in zip(drawn, exported.seen, faults, strict=True):
        tally.add(case, seen, [f"forms for {wish}: {fault}" for fault in found])


def compare(drawn: list[Case], exported: Exported) -> list[list[str]]:
    """What is wrong with each case, at each of its sizes."""
    measures = [Measure(case, build(case)) for case in drawn]
    trials = [case.trials() for case in drawn]
    faults: list[list[str]] = [[] for _ in drawn]
    for turn in range(max(map(len, trials))):
        feeds = [case.feed(*trial[min(turn, len(trial) - 1)]) for case, trial in zip(drawn, trials, strict=True)]
        for i, got in enumerate(exported.run(feeds)):
            if turn < len(trials[i]) and (fault := measures[i].fault(feeds[i], got)) is not None:
                faults[i].append(fault)
    return faults


def sweep(count: int) -> Tally:
    """Count ``count`` different cases, the same ones each time. Nothing is raised before the end, so that the table is whole."""
    tally = Tally()
    waiting: dict[Case, None] = {}
    turns = cycle(WISHES)

    # Whole lists, since single draws come in runs of one kind; hypothesis repeats itself, so more are drawn than are counted.
    @settings(
        max_examples=count, phases=[Phase.generate], derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(cases(), min_size=SIZE, max_size=SIZE))
    def run(drawn: list[Case]) -> None:
        for case in drawn:
            if case not in tally.seen and len(tally.seen) + len(waiting) < count:
                waiting[case] = None
            if len(waiting) == SIZE:
                examine(list(waiting), tally, next(turns))
                waiting.clear()

    run()
    if waiting:
        examine(list(waiting), tally, next(turns))
    return tally


def judge(tally: Tally, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the table, and hold the counts to the bar."""
    with capsys.disabled():  # the counts are what a green run has to say
        print(f"\n{tally.table()}")
    assert len(tally.seen) == count
    assert not tally.wrong, "\n".join(tally.wrong)
    assert tally.share >= LEAST_RECOGNISED, "\n".join(tally.missed)


@pytest.mark.timeout(900)
def test_a_few_hundred_cases(capsys: pytest.CaptureFixture[str]) -> None:
    judge(sweep(REDUCED), REDUCED, capsys)


@pytest.mark.sweep
@pytest.mark.timeout(7200)
def test_thousands_of_cases(capsys: pytest.CaptureFixture[str]) -> None:
    judge(sweep(WHOLE), WHOLE, capsys)
