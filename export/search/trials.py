"""Trials of sets of FP32 nodes: each is one run of the toggle graph on the evidence, and none runs twice.

Scores are stored on disk, so that a search that was stopped continues where it stopped: one file per model and evidence.
Its key covers everything that a score depends on: the model with its weights, the inputs, the references, PyTorch's
results, and the version of the search.
"""

import hashlib
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from ...runtime.sessions.large_model import open_model
from ...runtime.sessions.ort import OrtSession
from ...runtime.user_cache import cache_folder, read_cache, write_cache
from ..graph.model import skeleton
from ..precision.graph import GraphIndex
from .evidence import Evidence, Score
from .roundings import Rounding
from .toggle import FLAGS, RoundingToggles, toggle_graph

VERSION = 1
_SAVE_EVERY = 5.0


def key_of(model: ModelProto, evidence: Evidence) -> str:
    """The key of the scores of a model on this evidence."""
    digest = hashlib.sha256(f"{VERSION}|{evidence.logits}".encode())
    digest.update(skeleton(model).SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        digest.update(tensor.SerializeToString(deterministic=True))
    for run in evidence.runs:
        digest.update(run.part.encode())
        for arrays in (run.feeds, run.reference, run.torch):
            for name in sorted(arrays):
                array = np.ascontiguousarray(arrays[name])
                digest.update(f"{name}|{array.dtype}|{array.shape}|".encode())
                digest.update(array.data)
    return digest.hexdigest()[:32]


def key_of_nodes(nodes: Collection[str]) -> str:
    """A short key for a set of node names."""
    return hashlib.sha256("\n".join(sorted(nodes)).encode()).hexdigest()[:24]


class ScoreCache:
    """Scores by key, read from ``path``, and written every few seconds and at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scores: dict[str, Any] = read_cache(path)
        self._saved = time.monotonic()
        self._changed = False

    @classmethod
    def of(cls, model: ModelProto, evidence: Evidence, folder: Path | None = None) -> "ScoreCache":
        """The cache of one search; ``folder`` defaults to ``precision`` in the cache folder."""
        name = f"{key_of(model, evidence)}.json"
        return cls(folder / name if folder is not None else cache_folder(f"precision/{name}"))

    def get(self, key: str) -> Score | None:
        """A stored score; None if there is none or it is damaged."""
        try:
            return Score.from_json(self._scores[key])
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def put(self, key: str, score: Score) -> None:
        """Store a score."""
        self._scores[key] = score.to_json()
        self._changed = True
        if time.monotonic() - self._saved > _SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write the file if a score is new."""
        if self._changed:
            write_cache(self._path, self._scores)
        self._saved, self._changed = time.monotonic(), False


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
