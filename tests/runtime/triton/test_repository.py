"""What is written, where, and what is refused; versions stand beside each other and nothing is half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import BundleError, InputError
from attnexport.runtime.bundle.bundle import files_below
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import SamplesRecord
from attnexport.runtime.spec import Axis, TensorSpec
from attnexport.runtime.triton.config import parse, schema
from attnexport.runtime.triton.options import RepositoryOptions
from attnexport.runtime.triton.repository import _alone, write_repository
from attnexport.runtime.triton.warmup import add_warmup


def config_of(folder: Path) -> Any:
    return parse((folder / "config.pbtxt").read_text(), "config.pbtxt")


def files(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in files_below(root)}


def test_the_layout_of_a_python_model(affine_bundle, tmp_path):
    bundle = affine_bundle("digits", half=True)
    (written,) = write_repository([bundle], tmp_path / "repo")
    assert (written.name, written.version, written.backend, written.max_batch, written.role) == (
        "digits",
        1,
        "python",
        4,
        "model",
    )
    assert (written.folder, written.bundle) == (tmp_path / "repo" / "digits", bundle)
    found = files(written.folder)
    warm = [name for name in found if name.startswith("warmup/")]
    copied = {f"1/digits.attn/{name}" for name in files(bundle)}
    assert set(found) == {"config.pbtxt", "1/model.py", "1/__pycache__", *warm, *copied}
    assert all(found[f"1/digits.attn/{name}"] == content for name, content in files(bundle).items())
    assert [found[name] for name in warm] == [(np.arange(3, dtype=np.float32) / 7).tobytes()]
    assert "class TritonPythonModel(BundleModel):" in found["1/model.py"].decode()
    assert '.with_name("digits.attn")' in found["1/model.py"].decode()


def test_the_configuration_states_tensors_batching_instances_and_warm_up(affine_bundle, tmp_path):
    options = RepositoryOptions(
        instances=2, delay=500, max_queue=64, keep=3, threads=2, session="ort-cpu", precision="fp32"
    )
    (written,) = write_repository([affine_bundle()], tmp_path / "repo", options)
    config = config_of(written.folder)
    assert (config.name, config.backend, config.max_batch_size) == ("net", "python", 4)
    (x,), (y,) = config.input, config.output
    assert (x.name, x.data_type, list(x.dims)) == ("x", 11, [3])  # TYPE_FP32
    assert (y.name, y.data_type, list(y.dims)) == ("y", 11, [3])
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 64
    assert [(group.count, group.kind) for group in config.instance_group] == [(2, 3)]  # KIND_MODEL
    assert config.version_policy.latest.num_versions == 3
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "session": "ort-cpu", "precision": "fp32", "threads": "2", "batch_axis": "batch"
    }  # fmt: skip
    assert [(w.name, w.batch_size, list(w.inputs["x"].dims)) for w in config.model_warmup] == [
        ("golden, 1 at once", 1, [3]), ("golden, 2 at once", 2, [3]), ("golden, 4 at once", 4, [3])
    ]  # fmt: skip


def test_without_wishes_requests_are_grouped_and_nothing_holds_them_back(affine_bundle, tmp_path):
    (written,) = write_repository([affine_bundle()], tmp_path / "repo")
    config = config_of(written.folder)
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.HasField("default_queue_policy")
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert [group.count for group in config.instance_group] == [1]
    assert config.version_policy.latest.num_versions == 1


@pytest.mark.parametrize(
    ("axes", "dims", "reshaped", "batch"),
    [
        ((Axis(1, 2, 8, "batch"), Axis.fixed(3), Axis(1, 2, 9, "width")), [3, -1], False, 8),
        ((Axis(1, 2, 8, "batch"),), [1], True, 8),
        ((Axis.fixed(2), Axis.fixed(3)), [2, 3], False, 0),
        ((Axis(1, 2, 8, "length"), Axis.fixed(3)), [-1, 3], False, 0),
        ((Axis(1, 2, 8, "batch"), Axis(1, 2, 8, "batch")), [-1, -1], False, 0),
    ],
    ids=["batch", "a scalar in each row", "nothing free", "another free axis", "the batch twice"],
)
def test_dims_are_the_axes_beside_the_batch(affine_bundle, tmp_path, axes, dims, reshaped, batch):
    tensors = [(TensorSpec(name, "float32", axes),) for name in "xy"]
    bundle = affine_bundle(inputs=tensors[0], outputs=tensors[1])
    (written,) = write_repository([bundle], tmp_path / "repo", RepositoryOptions(warmup=False))
    config = config_of(written.folder)
    for tensor in (*config.input, *config.output):
        assert list(tensor.dims) == dims
        assert tensor.HasField("reshape") == reshaped
        assert list(tensor.reshape.shape) == []
    assert (config.max_batch_size, written.max_batch) == (batch, batch)
    assert config.HasField("dynamic_batching") == bool(batch)
    assert bool(written.notes) == (not batch)


def test_an_output_without_the_batch_keeps_requests_apart_and_says_why(affine_bundle, tmp_path):
    outputs = (TensorSpec("y", "float32", (Axis(1, 2, 4, "batch"), Axis.fixed(3))), TensorSpec("loss", "float32", ()))
    (written,) = write_repository([affine_bundle(outputs=outputs)], tmp_path / "repo", RepositoryOptions())
    config = config_of(written.folder)
    assert config.max_batch_size == 0
    assert [list(t.dims) for t in config.output] == [[-1, 3], [1]]
    assert [(w.name, w.batch_size, list(w.inputs["x"].dims)) for w in config.model_warmup] == [
        ("golden, 2x3", 1, [2, 3]), ("golden, 4x3", 1, [4, 3])
    ]  # fmt: skip
    assert written.notes == ("requests are not grouped: axis 0 of output loss float32 [] is not the free axis 'batch'",)


def test_another_axis_can_be_named_as_the_batch(affine_bundle, tmp_path):
    tensors = [(TensorSpec(name, "float32", (Axis(1, 2, 8, "n"), Axis.fixed(3))),) for name in "xy"]
    bundle = affine_bundle(inputs=tensors[0], outputs=tensors[1])
    (written,) = write_repository([bundle], tmp_path / "repo", RepositoryOptions(batch_axis="n", max_batch=6))
    config = config_of(written.folder)
    assert config.max_batch_size == written.max_batch == 6
    assert config.parameters["batch_axis"].string_value == "n"
    assert [w.batch_size for w in config.model_warmup] == [1, 2, 6]


def test_a_second_bundle_of_the_name_is_another_version_and_the_first_stays_byte_for_byte(affine_bundle, tmp_path):
    repo = tmp_path / "repo"
    (first,) = write_repository([affine_bundle(scale=2.0)], repo)
    before = files(repo)
    (second,) = write_repository([affine_bundle("other", scale=3.0)], repo, RepositoryOptions(name="net"))
    assert (first.version, second.version) == (1, 2)
    after = files(repo)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[1] for name in after.keys() - before.keys()} == {"2"}
    (fifth,) = write_repository([affine_bundle("third")], repo, RepositoryOptions(name="net", version=5))
    (sixth,) = write_repository([affine_bundle("fourth")], repo, RepositoryOptions(name="net"))
    assert (fifth.version, sixth.version) == (5, 6)


def test_a_version_with_golden_inputs_of_its_own_changes_nothing_for_the_others(affine_bundle, tmp_path):
    repo = tmp_path / "repo"
    write_repository([affine_bundle()], repo)
    before = files(repo)
    (written,) = write_repository([affine_bundle("other", shift=1.0)], repo, RepositoryOptions(name="net"))
    assert written.version == 2
    assert {name: content for name, content in files(repo).items() if not name.startswith("net/2/")} == before


def test_labels_are_of_scores_and_not_of_counts(affine_bundle, tmp_path):
    counts = TensorSpec("y", "int64", (Axis(1, 2, 4, "batch"), Axis.fixed(3)))
    classes = SamplesRecord("images", 6, True, {"classes": ["ant", "bee", "cow"]})
    (written,) = write_repository([affine_bundle(samples=classes, outputs=(counts,))], tmp_path / "repo")
    assert config_of(written.folder).output[0].label_filename == ""


def test_a_version_that_exists_is_never_overwritten(affine_bundle, tmp_path):
    repo, bundle = tmp_path / "repo", affine_bundle()
    write_repository([bundle], repo)
    before = files(repo)
    with pytest.raises(InputError, match=r"version 1 of 'net' exists and is never overwritten\. leave out --version"):
        write_repository([bundle], repo, RepositoryOptions(version=1))
    assert files(repo) == before


WIDE = tuple((TensorSpec(name, "float32", (Axis(1, 2, 4, "batch"), Axis.fixed(5))),) for name in "xy")


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        (
            {"inputs": WIDE[0], "outputs": WIDE[1]}, {"warmup": False},
            "model 'net' has input .*dims: 3.* and this would be .*dims: 5",
        ),
        ({}, {"max_batch": 2}, "model 'net' has max_batch_size 4, and this would be 2. give the model another --name"),
        ({}, {"backend": "onnxruntime"}, "model 'net' has platform none, and this would be onnxruntime_onnx"),
        ({}, {"instances": 2}, "model 'net' has instance_group count: 1 .* would be count: 2 .*--reconfigure"),
        ({}, {"session": "ort-cpu"}, "model 'net' has parameters .*--reconfigure"),
    ],
    ids=["another input", "another batch", "another backend", "more instances", "another session"],
)  # fmt: skip
def test_a_version_that_differs_in_more_than_its_weights_is_refused(affine_bundle, tmp_path, changes, options, says):
    repo = tmp_path / "repo"
    write_repository([affine_bundle()], repo)
    before = files(repo)
    with pytest.raises(InputError, match=says):
        write_repository([affine_bundle("b", **changes)], repo, RepositoryOptions(name="net", **options))
    assert files(repo) == before


def test_what_clients_do_not_see_changes_when_asked(affine_bundle, tmp_path):
    repo = tmp_path / "repo"
    write_repository([affine_bundle()], repo)
    (second,) = write_repository([affine_bundle()], repo, RepositoryOptions(instances=2, keep=0, reconfigure=True))
    config = config_of(second.folder)
    assert [group.count for group in config.instance_group] == [2]
    assert config.version_policy.HasField("all")
    with pytest.raises(InputError, match="has max_batch_size 4, and this would be 2"):
        write_repository([affine_bundle()], repo, RepositoryOptions(max_batch=2, reconfigure=True))


def test_several_bundles_are_all_written_or_none(affine_bundle, tmp_path):
    repo, good, bad = tmp_path / "repo", affine_bundle("good"), affine_bundle("bad")
    (bad / "model.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"model.onnx.* has 7 bytes"):
        write_repository([good, bad], repo)
    assert not repo.exists()
    bad_axis = affine_bundle("apart", inputs=(TensorSpec("x", "float32", (Axis.fixed(2), Axis.fixed(3))),))
    with pytest.raises(InputError, match="--max-batch 4 is set and requests are not grouped"):
        write_repository([good, bad_axis], repo, RepositoryOptions(max_batch=4))
    assert not repo.exists()
    assert [m.name for m in write_repository([good, affine_bundle("more")], repo)] == ["good", "more"]
    assert sorted(path.name for path in repo.iterdir()) == ["good", "more"]


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        ((), {}, "there is no bundle"),
        (("a", "b"), {"name": "same"}, "2 bundles would be the model 'same'"),
        (("a",), {"name": "../up"}, "'../up' is not a valid name for a model"),
        (("a",), {"name": ".hidden"}, "'.hidden' is not a valid name for a model"),
        (("a",), {"beam": 4}, "--beam 4 is set and .*a.attn has no decode"),
        (("a",), {"max_batch": 9}, "--max-batch 9 is not in 1..4, what the bundle was made for"),
        (("a",), {"max_queue": 8}, "max_queue_size 8 is set for 1 instance"),
    ],
)
def test_what_cannot_be_served_as_asked_is_refused(affine_bundle, tmp_path, names, options, says):
    with pytest.raises(InputError, match=says):
        write_repository([affine_bundle(name) for name in names], tmp_path / "repo", RepositoryOptions(**options))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({f"{name}.attn" for name in names})


def test_a_writer_that_waits_for_one_that_is_refused_has_a_repository(tmp_path):
    """What the first made for nothing it takes away; the second, which waits for it, makes the folder anew."""
    repository, inside = tmp_path / "repo", threading.Event()

    def second() -> bool:
        inside.wait(10)
        with _alone(repository):
            (repository / "model").mkdir()
            return True

    with ThreadPoolExecutor(1) as pool:
        with _alone(repository):
            waits = pool.submit(second)
            inside.set()
            time.sleep(0.3)  # it has opened the folder that is about to go
        assert waits.result(10)
    assert [path.name for path in repository.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"backend": "torch"}, "backend 'torch' is not known. use one of auto, python, onnxruntime, tensorrt."),
        ({"session": "torch"}, "session 'torch' is not known"),
        ({"device": "tpu"}, "device 'tpu' is not known"),
        ({"precision": "fp64"}, "precision 'fp64' is not known"),
        ({"instances": 0}, "--instances 0 is below 1"),
        ({"version": 0}, "--version 0 is below 1"),
        ({"keep": -1}, "--keep -1 is below 0"),
        ({"delay": -1}, "--delay -1 is below 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, says):
    with pytest.raises(InputError) as caught:
        RepositoryOptions(**options)
    assert str(caught.value).startswith(says)


def test_a_file_in_the_place_of_the_repository_is_refused(affine_bundle, tmp_path):
    (tmp_path / "repo").write_text("")
    with pytest.raises(InputError, match="repo is a file and a repository is a directory"):
        write_repository([affine_bundle()], tmp_path / "repo")


def test_a_model_that_is_broken_already_gets_no_version(affine_bundle, tmp_path):
    (written,) = write_repository([affine_bundle()], tmp_path / "repo")
    (written.folder / "1" / "model.py").unlink()
    with pytest.raises(InputError, match=r"model 'net': version 1 has no model\.py"):
        write_repository([affine_bundle()], tmp_path / "repo")


_KILLED = """
import os, signal, sys
from pathlib import Path
from attnexport.runtime.triton import repository
repository.publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
repository.write_repository([Path(sys.argv[1])], Path(sys.argv[2]))
"""


def test_a_writer_that_is_killed_leaves_nothing_that_is_seen_and_the_next_one_sweeps(affine_bundle, tmp_path):
    bundle, repo = affine_bundle(), tmp_path / "in" / "repo"
    done = subprocess.run([sys.executable, "-c", _KILLED, str(bundle), str(repo)], cwd=os.sep, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(repo.iterdir()) == []
    assert len([p for p in repo.parent.iterdir() if p != repo]) == 1
    write_repository([bundle], repo)
    assert [p.name for p in repo.parent.iterdir()] == ["repo"]


_WRITER = """
import sys
from pathlib import Path
from attnexport.runtime.triton.repository import write_repository
write_repository([Path(sys.argv[1])], Path(sys.argv[2]))
"""


def test_writers_at_once_get_a_version_each(affine_bundle, tmp_path):
    bundle, repo = affine_bundle(), tmp_path / "repo"
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(bundle), str(repo)], cwd=os.sep) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert sorted(path.name for path in (repo / "net").iterdir()) == ["1", "2", "3", "config.pbtxt", "warmup"]


def test_labels_are_those_of_the_sample_folders_or_of_a_file(affine_bundle, tmp_path):
    classes = SamplesRecord("images", 6, True, {"classes": ["ant", "bee", "cow"]})
    (written,) = write_repository([affine_bundle(samples=classes)], tmp_path / "repo")
    (label,) = [config_of(written.folder).output[0].label_filename]
    assert (written.folder / label).read_text() == "ant\nbee\ncow\n"
    file = tmp_path / "names.txt"
    file.write_text("one\ntwo\nthree\n")
    (given,) = write_repository([affine_bundle("b")], tmp_path / "repo", RepositoryOptions(labels=file))
    assert (given.folder / config_of(given.folder).output[0].label_filename).read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a\nb\n", r"2 labels fit no output. the outputs are y \[3\]"),
        ("a\n\nb\n", "has an empty line"),
        ("", "or none at all"),
        (None, "cannot be read"),
    ],
)
def test_labels_that_fit_nothing_are_refused(affine_bundle, tmp_path, content, says):
    file = tmp_path / "labels.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=says):
        write_repository([affine_bundle()], tmp_path / "repo", RepositoryOptions(labels=file))


def test_class_names_that_fit_no_output_are_left_out(affine_bundle, tmp_path):
    classes = SamplesRecord("images", 6, True, {"classes": ["ant", "bee"]})
    (written,) = write_repository([affine_bundle(samples=classes)], tmp_path / "repo")
    assert config_of(written.folder).output[0].label_filename == ""


def test_warm_up_runs_the_points_of_the_profile_that_golden_cases_have_the_shapes_of(tmp_path):
    spec = TensorSpec("x", "float32", (Axis(1, 2, 9, "batch"), Axis(1, 2, 3, "width")))
    draw = np.random.default_rng(5).normal
    golden = [{"x": draw(size=size).astype(np.float32)} for size in ((4, 2), (2, 2), (5, 3))]
    config = schema().ModelConfig(max_batch_size=4)
    add_warmup(config, tmp_path, [spec], golden)
    samples = {
        w.name: (w.batch_size, list(w.inputs["x"].dims), w.inputs["x"].input_data_file) for w in config.model_warmup
    }
    assert {name: sample[:2] for name, sample in samples.items()} == {
        "golden, 1 at once, 2": (1, [2]), "golden, 2 at once, 2": (2, [2]),
        "golden, 1 at once, 3": (1, [3]), "golden, 4 at once, 3": (4, [3]),
    }  # fmt: skip
    assert len(list((tmp_path / "warmup").iterdir())) == 2
    row = np.frombuffer((tmp_path / "warmup" / samples["golden, 2 at once, 2"][2]).read_bytes(), np.float32)
    np.testing.assert_array_equal(row, golden[0]["x"][0])


def test_a_name_with_a_path_in_it_becomes_a_plain_file_of_warm_up(affine_bundle, tmp_path, plain: Manifest):
    spec = TensorSpec("batch.image/a b", "float32", plain.inputs[0].axes)
    config = schema().ModelConfig(max_batch_size=4)
    add_warmup(config, tmp_path, [spec], [{spec.name: np.ones((1, 3), np.float32)}])
    (file,) = (tmp_path / "warmup").iterdir()
    assert file.name.startswith("batch.image_a_b-")
    assert config.model_warmup[0].inputs[spec.name].input_data_file == file.name
