"""How many failures a server survives, by the time that it was ready between them."""

from __future__ import annotations

import pytest

from attnexport.runtime.serve.restarts import REFILL, RestartBudget


def failures(size: int, served: float, most: int = 1000) -> int:
    """The number of failures that end the server if it is ready for ``served`` seconds before each."""
    budget = RestartBudget(size)
    for count in range(1, most + 1):
        budget = budget.after_failure(served)
        if budget.exhausted:
            return count
    return most


@pytest.mark.parametrize(
    ("size", "served", "survived"),
    [
        (5, 0.0, 5),
        (0, 0.0, 0),
        (0, 3600.0, 0),
        (5, REFILL / 2, 9),  # each second restart is given back
        (5, REFILL, 999),
        (1, REFILL, 999),
    ],
)
def test_time_in_service_gives_restarts_back(size: int, served: float, survived: int) -> None:
    assert failures(size, served) == min(survived + 1, 1000)


def test_the_pause_grows_and_falls_again() -> None:
    budget = RestartBudget(5)
    pauses = []
    for _ in range(7):
        budget = budget.after_failure(0.0)
        pauses.append(budget.pause)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert budget.after_failure(7 * REFILL).pause == 1
