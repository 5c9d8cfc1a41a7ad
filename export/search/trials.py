"""Trials of sets of FP32 nodes: each is one run of the toggle graph on the evidence, and none runs twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import numpy as np

from ...runtime.sessions.large_model import open_model
from ...runtime.sessions.ort import OrtSession
from ..precision.graph import GraphIndex
from .evidence import Evidence, Score
from .roundings import Rounding
from .score_cache import ScoreCache, key_of_nodes
from .toggle import FLAGS, RoundingToggles, toggle_graph


class OutOfTime(Exception):
    """The time limit has passed; the search continues with the results that it has."""


class Trials:
    """Scores of sets of kept nodes, and of single roundings.

    ``fixed`` nodes are always FP32. After ``seconds`` from now, :class:`OutOfTime` is raised instead of a new run.
    ``report`` is called after each trial. ``close`` stores the scores, also those of a search that was stopped.
    """

    def __init__(
        self,
        index: GraphIndex,
        fixed: Collection[str],
        evidence: Evidence,
        cache: ScoreCache,
        seconds: float,
        report: Callable[[], None] = lambda: None,
    ) -> None:
        self._index, self._fixed, self._evidence, self._cache, self._report = index, fixed, evidence, cache, report
        self._prefix = key_of_nodes(fixed)
        self._half = evidence.half()
        self._end = time.monotonic() + seconds
        self._graph: RoundingToggles | None = None
        self._session: OrtSession | None = None
        self.evaluations = 0
        self.remembered = 0

    def keeping(self, keep: Collection[str]) -> Score:
        """The score with all nodes in FP16 except the fixed ones and those in ``keep``."""
        key = f"{self._prefix}:{key_of_nodes(keep)}"
        return self._score(key, lambda graph: graph.keeping(keep), self._evidence)

    def alone(self, rounding: Rounding) -> Score:
        """The score of an FP32 model that rounds at one place, on half of the evidence."""
        key = f"{self._prefix}:{rounding.key}"
        return self._score(key, lambda graph: graph.only(rounding.node, rounding.kind), self._half)

    def close(self) -> None:
        """Store the scores, and free the model."""
        self._cache.save()
        if self._session is not None:
            self._session.close()
        self._session = None

    def _score(self, key: str, flags: Callable[[RoundingToggles], np.ndarray], evidence: Evidence) -> Score:
        stored = self._cache.get(key)
        if stored is not None:
            self.remembered += 1
            return stored
        if time.monotonic() > self._end:
            raise OutOfTime
        if self._graph is None or self._session is None:
            self._graph = toggle_graph(self._index, self._fixed)
            # ONNX Runtime's optimisations do not make it faster, and fold a copy of each weight into each switch.
            self._session = open_model(self._graph.model, optimize=False)
        chosen = flags(self._graph)
        score = evidence.score([self._session.run({**run.feeds, FLAGS: chosen}) for run in evidence.runs])
        self.evaluations += 1
        self._cache.put(key, score)
        self._report()
        return score
