"""Every fault that Triton's schema lets pass is one line, and a sound model has none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnexport.errors import InputError
from attnexport.runtime.triton.config import parse, to_text
from attnexport.runtime.triton.lint import check, lint
from attnexport.runtime.triton.options import RepositoryOptions
from attnexport.runtime.triton.repository import write_repository

Edit = Callable[[Any], object]


@pytest.fixture
def sound(affine_bundle: Callable[..., Path], tmp_path: Path) -> Path:
    """A model's folder as it is written: input x, output y, warm-up at 1, 2 and 4 rows."""
    labels = tmp_path / "labels"
    labels.write_text("a\nb\nc\n")
    (model,) = write_repository([affine_bundle()], tmp_path / "repo", RepositoryOptions(labels=labels))
    return model.folder


def edited(folder: Path, edit: Edit) -> list[str]:
    path = folder / "config.pbtxt"
    config = parse(path.read_text(), "config.pbtxt")
    edit(config)
    path.write_text(to_text(config))
    return lint(folder)


def test_what_is_written_has_no_fault(sound):
    assert lint(sound) == []
    check(sound)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nam: 'net'", "nam"),
        ("max_batch_size: 'four'", "four"),
        ("input { data_type: TYPE_FP99 }", "TYPE_FP99"),
        ("instance_group { kind: KIND_TPU }", "KIND_TPU"),
        ("dynamic_batching {} sequence_batching {}", "dynamic_batching"),
        ("input {", 'Expected "}"'),
    ],
)
def test_what_is_not_of_tritons_schema_is_said_in_protobufs_words(sound, text, says):
    (sound / "config.pbtxt").write_text(text)
    (fault,) = lint(sound)
    assert fault.startswith("config.pbtxt is not a configuration of Triton: ")
    assert says in fault


def _free_reshape(config: Any) -> None:
    config.input[0].dims[:] = [3, 2]
    config.input[0].reshape.shape.extend([7])
    config.ClearField("model_warmup")


def _ensemble(config: Any, *, steps: int = 1) -> None:
    for field in ("backend", "instance_group", "dynamic_batching", "model_warmup", "parameters"):
        config.ClearField(field)
    config.platform = "ensemble"
    for _ in range(steps):
        step = config.ensemble_scheduling.step.add(model_name="inner", model_version=1)
        step.input_map["a"], step.output_map["b"] = "x", "y"


def _takes_nothing_known(config: Any) -> None:
    _ensemble(config)
    config.ensemble_scheduling.step[0].input_map["a"] = "z"


def _gives_twice(config: Any) -> None:
    _ensemble(config, steps=2)


def _gives_nothing(config: Any) -> None:
    _ensemble(config)
    config.ensemble_scheduling.step[0].output_map["b"] = "w"


FAULTS: list[tuple[str, Edit, str]] = [
    ("another name", lambda c: setattr(c, "name", "nut"), "name 'nut' is not that of the folder, 'net'"),
    ("unknown backend", lambda c: setattr(c, "backend", "pythn"), "backend 'pythn' is not known: python, onnxruntime, tensorrt"),
    ("zero dims", lambda c: c.output[0].dims.__setitem__(0, 0), "output 'y' has 0 in dims [0]: a size is positive, or -1 for any"),
    ("negative dims", lambda c: c.output[0].dims.__setitem__(0, -2), "output 'y' has -2 in dims [-2]: a size is positive, or -1 for any"),
    ("no dims", lambda c: c.output[0].ClearField("dims"), "output 'y' has no dims: a scalar is dims [1] with an empty reshape"),
    ("no type", lambda c: c.output[0].ClearField("data_type"), "output 'y' has no data type"),
    ("no name", lambda c: c.output.add(data_type=c.output[0].data_type, dims=[3]), "an output has no name"),
    ("no output", lambda c: c.ClearField("output"), "there is no output"),
    ("no input", lambda c: (c.ClearField("input"), c.ClearField("model_warmup")), "there is no input"),
    ("duplicate input", lambda c: c.input.append(c.input[0]), "input 'x' is declared 2 times"),
    ("duplicate output", lambda c: c.output.append(c.output[0]), "output 'y' is declared 2 times"),
    ("wrong reshape", _free_reshape, "input 'x' has dims [3, 2], which do not reshape to [7]"),
    (
        "batching of nothing", lambda c: (setattr(c, "max_batch_size", 0), c.ClearField("model_warmup")),
        "dynamic_batching is set and max_batch_size is 0: requests would not be grouped",
    ),
    ("preferred above", lambda c: c.dynamic_batching.preferred_batch_size.append(5), "preferred_batch_size 5 is not in 1..4"),
    ("preferred zero", lambda c: c.dynamic_batching.preferred_batch_size.append(0), "preferred_batch_size 0 is not in 1..4"),
    (
        "a queue with one instance", lambda c: setattr(c.dynamic_batching.default_queue_policy, "max_queue_size", 64),
        "max_queue_size 64 is set for 1 instance, with which Triton delays requests by half a second: use two instances",
    ),
    ("no instance", lambda c: setattr(c.instance_group[0], "count", 0), "an instance group has count 0"),
    (
        "warm-up of nothing known", lambda c: c.model_warmup[0].inputs["z"].CopyFrom(c.model_warmup[0].inputs["x"]),
        "warm-up 'golden, 1 at once' feeds 'z', which is not an input",
    ),
    ("warm-up lacks", lambda c: c.model_warmup[0].ClearField("inputs"), "warm-up 'golden, 1 at once' lacks input 'x'"),
    (
        "warm-up above the batch", lambda c: setattr(c.model_warmup[2], "batch_size", 5),
        "warm-up 'golden, 4 at once' has batch_size 5, not in 1..4",
    ),
    (
        "warm-up of another type", lambda c: setattr(c.model_warmup[0].inputs["x"], "data_type", 12),
        "warm-up 'golden, 1 at once' feeds 'x' as TYPE_FP64, and it is TYPE_FP32",
    ),
    (
        "warm-up of another shape", lambda c: c.model_warmup[0].inputs["x"].dims.__setitem__(0, 4),
        "warm-up 'golden, 1 at once' feeds 'x' with dims [4], and it has [3]",
    ),
    (
        "warm-up without its file", lambda c: setattr(c.model_warmup[0].inputs["x"], "input_data_file", "none"),
        "warm-up 'golden, 1 at once' feeds 'x' from warmup/none, which is missing",
    ),
    (
        "labels without their file", lambda c: setattr(c.output[0], "label_filename", "n.txt"),
        "output 'y' has its labels in n.txt, which is missing",
    ),
    (
        "a version that is not there", lambda c: c.version_policy.specific.versions.append(7),
        "version_policy serves version 7, which is missing",
    ),
    (
        "no versions served", lambda c: setattr(c.version_policy.latest, "num_versions", 0),
        "version_policy serves the latest 0 versions",
    ),
    ("a stray ensemble", lambda c: c.ensemble_scheduling.SetInParent(), "ensemble_scheduling is set and platform is '', not 'ensemble'"),
    ("an ensemble of nothing", lambda c: _ensemble(c, steps=0), "the ensemble has no step"),
    ("a step that takes nothing known", _takes_nothing_known, "step 'inner' takes 'z', which no earlier step returns"),
    ("a tensor given twice", _gives_twice, "step 'inner' returns 'y', which exists already"),
    ("an output of no step", _gives_nothing, "output 'y' is not an output of any step"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "says"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_each_fault_is_one_clear_line(sound, edit, says):
    found = edited(sound, edit)
    assert says in found
    assert all("\n" not in line for line in found)
    with pytest.raises(InputError, match="model 'net'"):
        check(sound)


def test_a_negative_batch_is_a_fault_beside_those_it_brings(sound):
    found = edited(sound, lambda c: setattr(c, "max_batch_size", -1))
    assert found[0] == "max_batch_size -1 is negative"


def test_a_sound_ensemble_has_no_fault(sound):
    assert edited(sound, _ensemble) == []


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: shutil.rmtree(f / "1"), "there is no version: a folder whose name is a number from 1"),
        (lambda f: (f / "1").rename(f / "one"), "there is no version: a folder whose name is a number from 1"),
        (lambda f: (f / "1").rename(f / "01"), "there is no version: a folder whose name is a number from 1"),
        (lambda f: (f / "1" / "model.py").unlink(), "version 1 has no model.py"),
        (lambda f: (f / "3").mkdir(), "version 3 has no model.py"),
    ],
    ids=["none", "a word", "a zero before", "no model.py", "an empty version"],
)
def test_a_version_is_a_number_with_a_model_in_it(sound, break_it, says):
    break_it(sound)
    assert lint(sound) == [says]


def test_warm_up_data_of_another_length_is_a_fault(sound):
    (file,) = (sound / "warmup").iterdir()
    file.write_bytes(b"1234")
    assert lint(sound)[0] == f"warm-up 'golden, 1 at once' feeds 'x' from warmup/{file.name}: 4 bytes, not 12"


def test_a_folder_without_configuration_is_a_fault(sound):
    (sound / "config.pbtxt").unlink()
    (fault,) = lint(sound)
    assert fault.startswith("config.pbtxt cannot be read")


def test_the_first_fault_is_raised_with_the_number_of_the_others(sound):
    edited(sound, lambda c: (setattr(c, "name", "nut"), setattr(c.instance_group[0], "count", 0)))
    with pytest.raises(InputError) as caught:
        check(sound)
    assert str(caught.value).startswith("model 'net': name 'nut' is not that of the folder, 'net' (and 1 more). ")
