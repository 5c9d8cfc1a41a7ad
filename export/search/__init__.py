"""``--precision auto``: find the nodes that must stay FP32 by measuring the error of the outputs."""

from __future__ import annotations

from .auto import convert_by_search
from .conversion_subject import ConversionSubject
from .driver import Aim, SearchOutcome, search
from .evidence import Evidence, ReferenceRun, Score
from .feeds import Inputs, build_inputs
from .verdict import SearchReport, Verdict

__all__ = [
    "Aim",
    "ConversionSubject",
    "Evidence",
    "Inputs",
    "ReferenceRun",
    "Score",
    "SearchOutcome",
    "SearchReport",
    "Verdict",
    "build_inputs",
    "convert_by_search",
    "search",
]
