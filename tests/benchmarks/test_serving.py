"""The bars of the serving benchmark: what its rows hold, and its table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from attnexport.benchmarks import serving


@pytest.fixture
def row() -> Any:
    return serving.Row("net", "http", 32, 820.4, 1000.0, 0.8204, (0.81, 0.83), 12.34, 11.0, 4.6, 5.0, 0.0012, 0.0011)


def test_the_bars_are_a_share_of_the_throughput_everywhere_and_a_batch_at_32_clients(row: Any) -> None:
    assert row.held
    assert not replace(row, ratio=0.79).held
    assert not replace(row, batch=4.0).held
    assert replace(row, batch=1.0, clients=8).held
    assert not replace(row, ratio=0.79, clients=1).held


def test_a_row_of_the_page(row: Any) -> None:
    assert serving.table([row]).splitlines()[2] == (
        "| `net` | http | 32 | 820 | 1000 | 0.82 [0.81, 0.83] | 12.3 / 11.0 | 4.6 / 5.0 | 1200 / 1100 |"
    )
