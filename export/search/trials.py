"""Trying sets of FP32 nodes: each trial is one run of the toggle graph on the evidence, and none is run twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import numpy as np

from ...runtime.sessions.large_model import open_model
from ...runtime.sessions.ort import OrtSession
from ..precision.graph import GraphIndex
from .evidence import Evidence, Score
from .memory import Memory, key_of_nodes
from .sources import Source
from .toggle import FLAGS, ToggleGraph, toggle_graph


class OutOfTime(Exception):
    """The time that the user gave is over; the search goes on with what it has."""


class Trials:
    """Scores of sets of kept nodes, and of single roundings.

    ``fixed`` nodes are always FP32. ``seconds`` is the time from now after which :class:`OutOfTime` is raised instead
    of a new run; ``tell`` hears of every trial. Close it: what was measured is kept even by a search that was stopped.
    """

    def __init__(
        self,
        index: GraphIndex,
        fixed: Collection[str],
        evidence: Evidence,
        memory: Memory,
        seconds: float,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._index, self._fixed, self._evidence, self._memory, self._tell = index, fixed, evidence, memory, tell
        self._prefix = key_of_nodes(fixed)
        self._some = evidence.half()
        self._end = time.monotonic() + seconds
        self._graph: ToggleGraph | None = None
        self._session: OrtSession | None = None
        self.evaluations = 0
        self.remembered = 0

    def keeping(self, keep: Collection[str]) -> Score:
        """The score with all nodes in FP16 but the fixed ones and those in ``keep``."""
        key = f"{self._prefix}:{key_of_nodes(keep)}"
        return self._score(key, lambda graph: graph.keeping(keep), self._evidence)

    def alone(self, source: Source) -> Score:
        """The score of an FP32 model that rounds at one place, on half of the evidence."""
        key = f"{self._prefix}:{source.key}"
        return self._score(key, lambda graph: graph.only(source.node, source.kind), self._some)

    def close(self) -> None:
        """Save what was measured, and free the model."""
        self._memory.save()
        if self._session is not None:
            self._session.close()
        self._session = None

    def _score(self, key: str, flags: Callable[[ToggleGraph], np.ndarray], evidence: Evidence) -> Score:
        found = self._memory.get(key)
        if found is not None:
            self.remembered += 1
            return found
        if time.monotonic() > self._end:
            raise OutOfTime
        if self._graph is None or self._session is None:
            self._graph = toggle_graph(self._index, self._fixed)
            # Optimised, it runs no faster, and a copy of each weight is folded into every switch of it.
            self._session = open_model(self._graph.model, optimize=False)
        chosen = flags(self._graph)
        score = evidence.score([self._session.run({**run.feeds, FLAGS: chosen}) for run in evidence.runs])
        self.evaluations += 1
        self._memory.put(key, score)
        self._tell()
        return score
