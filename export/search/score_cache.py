"""Scores on disk, so that a search that was stopped continues where it stopped.

The cache folder has one file per model and evidence. Its key covers everything that a score depends on: the model with its
weights, the inputs, the references, PyTorch's results, and the version of the search.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from ...runtime.user_cache import cache_folder, read_cache, write_cache
from ..graph.skeleton import skeleton
from .evidence import Evidence, Score

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
    def of(cls, model: ModelProto, evidence: Evidence, folder: Path | None = None) -> ScoreCache:
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
