"""The operators of a grid: which, and what they cannot take."""

from __future__ import annotations

from typing import Any

import pytest

from attnexport.export.raising import raise_windows


@pytest.mark.parametrize("dtype", ["float16", "double", "int8", "int64", "bool"])
def test_every_type_that_can_be_moved_is_taken(branches: Any, dtype: str) -> None:
    assert raise_windows(branches("r{i} = Unsqueeze({s}, two)", dtype=dtype)).counts == {"Unfold": 1}


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint64"])
def test_any_other_type_is_refused(branches: Any, dtype: str) -> None:
    raised = raise_windows(branches("r{i} = Unsqueeze({s}, two)", dtype=dtype))
    assert (raised.counts, {entry.node: entry.reason for entry in raised.refused}) == (
        {},
        {"join": f"no window operator takes values of type {dtype}"},
    )
