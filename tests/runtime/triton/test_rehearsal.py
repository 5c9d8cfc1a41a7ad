"""What Triton will run before a model is ready, the model has run itself, from the same files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import InputError, StageError
from attnexport.runtime.spec import Axis, TensorSpec
from attnexport.runtime.triton.grouping import Grouping
from attnexport.runtime.triton.warmup import rehearse

BATCH = Axis(1, 2, 4, "batch")
INPUTS = (TensorSpec("x", "float32", (BATCH, Axis.fixed(3))), TensorSpec("token", "int64", (BATCH,)))


class Model:
    """Remembers what it is fed; a token of 13 breaks it."""

    def __init__(self) -> None:
        self.fed: list[Mapping[str, np.ndarray]] = []

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.fed.append(feeds)
        if 13 in feeds.get("token", ()):
            raise RuntimeError("thirteen")
        return {"y": feeds["x"]}


def sample(rows: int, **dims: list[int]) -> dict[str, Any]:
    """As Triton hands its configuration to a model: JSON."""
    values = {name: {"dims": sizes, "input_data_file": f"{name}-0"} for name, sizes in dims.items()}
    return {"name": "golden", "batch_size": rows, "inputs": values}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "x-0").write_bytes(np.float32([1, 2, 3]).tobytes())
    (tmp_path / "warmup" / "token-0").write_bytes(np.int64([7]).tobytes())
    return tmp_path


def test_each_sample_is_run_as_many_requests_of_one_row(folder):
    model = Model()
    config = {"max_batch_size": 4, "model_warmup": [sample(1, x=[3], token=[1]), sample(4, x=[3], token=[1])]}
    rehearse(Grouping(model, INPUTS, BATCH), INPUTS, config, folder)
    assert [feeds["x"].tolist() for feeds in model.fed] == [[[1, 2, 3]], [[1, 2, 3]] * 4]
    assert [feeds["token"].tolist() for feeds in model.fed] == [[7], [7] * 4]


def test_a_model_that_does_not_group_is_fed_the_shapes_themselves(folder):
    model, fixed = Model(), (TensorSpec("x", "float32", (Axis.fixed(3),)),)
    rehearse(Grouping(model, fixed, None), fixed, {"max_batch_size": 0, "model_warmup": [sample(1, x=[3])]}, folder)
    assert [feeds["x"].tolist() for feeds in model.fed] == [[1, 2, 3]]


def test_an_error_is_raised_and_not_answered(folder):
    (folder / "warmup" / "token-0").write_bytes(np.int64([13]).tobytes())
    config = {"max_batch_size": 4, "model_warmup": [sample(1, x=[3], token=[1])]}
    with pytest.raises(StageError, match="run: thirteen"):
        rehearse(Grouping(Model(), INPUTS, BATCH), INPUTS, config, folder)


def test_more_rows_than_the_model_takes_are_refused_before_triton_sees_them(folder):
    config = {"max_batch_size": 4, "model_warmup": [sample(5, x=[3], token=[1])]}
    with pytest.raises(InputError, match=r"warm-up 'golden' has batch_size 5, not in 1\.\.4"):
        rehearse(Grouping(Model(), INPUTS, BATCH), INPUTS, config, folder)


def test_a_sample_of_other_data_than_files_is_tritons_own_matter(folder):
    model, made = Model(), sample(1, x=[3], token=[1])
    made["inputs"]["x"] = {"dims": [3], "random_data": True}
    rehearse(Grouping(model, INPUTS, BATCH), INPUTS, {"max_batch_size": 4, "model_warmup": [made]}, folder)
    rehearse(Grouping(model, INPUTS, BATCH), INPUTS, {"max_batch_size": 4}, folder)
    assert model.fed == []
