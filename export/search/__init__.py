"""``--precision auto``: the nodes that stay FP32 are found by measuring the error of the outputs."""

from __future__ import annotations

from .auto import convert_by_search
from .driver import Aim, Found, search
from .evidence import Evidence, Run, Score
from .feeds import Inputs, build_inputs
from .verdict import SearchReport, Verdict

__all__ = [
    "Aim",
    "Evidence",
    "Found",
    "Inputs",
    "Run",
    "Score",
    "SearchReport",
    "Verdict",
    "build_inputs",
    "convert_by_search",
    "search",
]
