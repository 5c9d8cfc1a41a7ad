"""``--precision auto``: find the nodes that must stay FP32 by measuring the error of the outputs."""

from __future__ import annotations

from .auto import convert_by_search
from .driver import Aim, SearchOutcome, search
from .evidence import Evidence, ReferenceRun, Score
from .feeds import Inputs, build_inputs
from .subject import Subject
from .verdict import SearchReport, Verdict

__all__ = [
    "Aim",
    "Evidence",
    "Inputs",
    "ReferenceRun",
    "Score",
    "SearchOutcome",
    "SearchReport",
    "Subject",
    "Verdict",
    "build_inputs",
    "convert_by_search",
    "search",
]
