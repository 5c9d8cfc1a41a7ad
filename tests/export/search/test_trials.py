"""Stored scores are found again; another model, other inputs or a damaged file gives none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto

from attnexport.export.search.evidence import Evidence, ReferenceRun, Score
from attnexport.export.search.trials import ScoreCache, key_of, key_of_nodes

X = np.arange(4.0)


def evidence(x: np.ndarray = X, reference: np.ndarray = X, torch: np.ndarray = X + 1) -> Evidence:
    return Evidence([ReferenceRun("random", {"x": x}, {"y": reference}, {"y": torch})])


def test_scores_are_read_back(tmp_path: Path, residual: ModelProto) -> None:
    first = ScoreCache.of(residual, evidence(), tmp_path)
    first.put("a", Score({"random/y": 0.5}))
    first.save()
    again = ScoreCache.of(residual, evidence(), tmp_path)
    assert again.get("a") == Score({"random/y": 0.5}) and again.get("b") is None
    assert [file.name for file in tmp_path.iterdir()] == [f"{key_of(residual, evidence())}.json"]


def test_nothing_is_written_where_nothing_is_new(tmp_path: Path, residual: ModelProto) -> None:
    ScoreCache.of(residual, evidence(), tmp_path).save()
    assert not list(tmp_path.iterdir())


def test_the_key_covers_all_that_a_score_depends_on(residual: ModelProto) -> None:
    other = ModelProto()
    other.CopyFrom(residual)
    other.graph.initializer[0].raw_data = bytes(len(other.graph.initializer[0].raw_data))
    keys = {
        key_of(residual, evidence()), key_of(other, evidence()), key_of(residual, evidence(x=X * 2)),
        key_of(residual, evidence(reference=X * 2)), key_of(residual, evidence(torch=X * 2)),
    }  # fmt: skip
    assert len(keys) == 5
    assert key_of_nodes(["a", "b"]) == key_of_nodes(["b", "a"]) != key_of_nodes(["ab"])


def test_a_damaged_file_is_as_none(tmp_path: Path, residual: ModelProto) -> None:
    path = tmp_path / f"{key_of(residual, evidence())}.json"
    for text in ("{", '{"a": 3}', '{"a": {"ratios": [1], "flips": 0}}', '{"a": {"ratios": {"y": "x"}, "flips": 0}}'):
        path.write_text(text)
        assert ScoreCache.of(residual, evidence(), tmp_path).get("a") is None
