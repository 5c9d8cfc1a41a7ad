"""An encoder-decoder bundle as encoder, decode loop and ensemble, held to the decodes of the bundle itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.decode import open_decoder
from attnexport.runtime.decode.bundle_decoder import parts_of
from attnexport.runtime.triton.config import parse
from attnexport.runtime.triton.grouping import Grouping
from attnexport.runtime.triton.lint import lint
from attnexport.runtime.triton.options import RepositoryOptions
from attnexport.runtime.triton.python_models import DecodeModel, EncoderModel
from attnexport.runtime.triton.repository import write_repository
from attnexport.runtime.triton.sequence_model import decode_batch


@pytest.fixture
def bundle(sequence_bundle: Path) -> Path:
    return sequence_bundle


def config_of(folder: Path) -> Any:
    return parse((folder / "config.pbtxt").read_text(), "config.pbtxt")


def sources(bundle: Path, rows: int) -> np.ndarray:
    (case, *_) = StoredBundle.open(bundle).golden()
    return case.feeds["source"][:rows]


def encoded(bundle: Path, rows: int) -> dict[str, np.ndarray]:
    """What the encoder gives, and the decode loop takes."""
    served = EncoderModel().open(parts_of(StoredBundle.open(bundle))[1]["encoder"], {}, 1)
    try:
        return dict(served.run({"source": sources(bundle, rows)}))
    finally:
        served.close()


def test_three_models_are_written_and_the_ensemble_names_its_steps_by_version(bundle, tmp_path):
    written = write_repository([bundle], tmp_path / "repo")
    assert [(m.name, m.backend, m.role, m.version, m.max_batch, m.bundle) for m in written] == [
        ("words_encoder", "python", "encoder", 1, 6, bundle),
        ("words_decode", "python", "decode", 1, 6, bundle),
        ("words", "ensemble", "ensemble", 1, 6, bundle),
    ]
    assert [lint(model.folder) for model in written] == [[], [], []]
    config = config_of(tmp_path / "repo" / "words")
    assert [(t.name, list(t.dims)) for t in config.input] == [("source", [4])]
    assert [(t.name, list(t.dims)) for t in config.output] == [
        ("tokens", [5]), ("length", [1]), ("log_probability", [1]), ("finished", [1])
    ]  # fmt: skip
    encoding, decoding = config.ensemble_scheduling.step
    assert (encoding.model_name, decoding.model_name) == ("words_encoder", "words_decode")
    assert dict(encoding.input_map) == {"source": "source"}
    between = {name: f"encoder.{name}" for name in ("memory", "state")}
    assert dict(encoding.output_map) == dict(decoding.input_map) == between
    assert (encoding.model_version, decoding.model_version) == (1, 1)

    write_repository([bundle], tmp_path / "repo")
    steps = config_of(tmp_path / "repo" / "words").ensemble_scheduling.step
    assert [step.model_version for step in steps] == [2, 2]
    assert config_of(tmp_path / "repo" / "words").version_policy.latest.num_versions == 1
    assert config_of(tmp_path / "repo" / "words_decode").version_policy.latest.num_versions == 2


def test_of_an_ensemble_the_newest_version_alone_is_served_whatever_is_kept_of_its_parts(bundle, tmp_path):
    write_repository([bundle], tmp_path / "repo", RepositoryOptions(keep=3))
    policies = [
        config_of(tmp_path / "repo" / name).version_policy for name in ("words", "words_encoder", "words_decode")
    ]
    assert [policy.latest.num_versions for policy in policies] == [1, 3, 3]


def test_a_version_is_free_in_all_three_models(bundle, tmp_path):
    write_repository([bundle], tmp_path / "repo")
    shutil.copytree(tmp_path / "repo" / "words_decode" / "1", tmp_path / "repo" / "words_decode" / "7")
    assert {model.version for model in write_repository([bundle], tmp_path / "repo")} == {8}


@pytest.mark.parametrize("beam", [1, 3])
def test_encoder_and_decode_loop_give_the_tokens_of_the_bundles_own_decoder(bundle, beam):
    opened = StoredBundle.open(bundle)
    decode = DecodeModel().open(opened, {"beam": str(beam)}, 1)
    rows, feeds = 5, encoded(bundle, 5)
    group = Grouping(decode.run, decode.inputs, decode.batch)
    answers = group([{name: array[i : i + 1] for name, array in feeds.items()} for i in range(rows)])
    answer = {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}
    decode.close()
    with open_decoder(bundle, precision="fp32") as decoder:
        source = sources(bundle, rows)
        truth = decoder.greedy(source) if beam == 1 else [r[0] for r in decoder.beam_search(source, width=beam)]
    facts = opened.manifest.decode
    assert answer["tokens"].shape == (rows, facts.limit)
    assert len({one.tokens for one in truth}) > 1
    for i, one in enumerate(truth):
        assert answer["tokens"][i].tolist() == [*one.tokens, *[facts.end] * (facts.limit - len(one.tokens))]
        assert answer["length"][i].tolist() == [len(one.tokens)]
        assert answer["log_probability"][i, 0] == pytest.approx(one.log_probability, abs=1e-4)
        assert answer["finished"][i].tolist() == [one.finished]
    assert {name: array.dtype.name for name, array in answer.items()} == {
        "tokens": "int64", "length": "int64", "log_probability": "float64", "finished": "bool"
    }  # fmt: skip


def test_rows_decode_as_they_would_alone_whatever_they_are_grouped_with(bundle):
    served = DecodeModel().open(StoredBundle.open(bundle), {}, 1)
    feeds = encoded(bundle, 4)
    requests = [{name: array[i : i + 1] for name, array in feeds.items()} for i in range(4)]
    group = Grouping(served.run, served.inputs, served.batch)
    together = group(requests)
    alone = [group([request])[0] for request in requests]
    served.close()
    for a, b in zip(together, alone, strict=True):
        assert a["tokens"].tolist() == b["tokens"].tolist()
        assert a["tokens"].shape == (1, 5)


@pytest.mark.parametrize("token", [-1, 9, 10**12])
def test_a_token_that_the_encoder_does_not_know_is_refused_and_its_neighbour_is_not(bundle, token):
    served = EncoderModel().open(parts_of(StoredBundle.open(bundle))[1]["encoder"], {}, 1)
    good = sources(bundle, 1)
    bad = good.copy()
    bad[0, 3] = token
    answers = Grouping(served.run, served.inputs, served.batch)([{"source": good}, {"source": bad}])
    served.close()
    assert set(answers[0]) == {"memory", "state"}
    assert str(answers[1]) == f"token {token} is out of range. 'source' takes whole numbers from 0 to 8."


def test_a_beam_takes_fewer_rows_at_once_and_one_that_is_too_wide_is_refused(bundle, tmp_path):
    _, parts = parts_of(StoredBundle.open(bundle))
    assert [decode_batch(parts, width).max for width in (1, 2, 4, 6)] == [6, 3, 1, 1]
    written = write_repository([bundle], tmp_path / "repo", RepositoryOptions(beam=2))
    assert [model.max_batch for model in written] == [6, 3, 3]
    assert config_of(written[1].folder).parameters["beam"].string_value == "2"
    with pytest.raises(InputError, match="a beam of 7 runs the step on 7 rows at least, and it takes 1 to 6"):
        write_repository([bundle], tmp_path / "other", RepositoryOptions(beam=7))


def test_fewer_rows_at_once_hold_for_all_three(bundle, tmp_path):
    written = write_repository([bundle], tmp_path / "repo", RepositoryOptions(max_batch=2))
    assert [model.max_batch for model in written] == [2, 2, 2]
    wide = write_repository([bundle], tmp_path / "beam", RepositoryOptions(max_batch=4, beam=2))
    assert [model.max_batch for model in wide] == [4, 3, 3]
    with pytest.raises(InputError, match=r"--max-batch 7 is not in 1\.\.6"):
        write_repository([bundle], tmp_path / "other", RepositoryOptions(max_batch=7))


def test_a_batch_of_another_name_than_the_parts_have_is_refused(bundle, tmp_path):
    with pytest.raises(InputError, match=r"have no batch 'n' in common\. theirs is 'batch'"):
        write_repository([bundle], tmp_path / "repo", RepositoryOptions(batch_axis="n"))


def test_the_encoder_can_run_on_a_native_backend(bundle, tmp_path):
    written = write_repository([bundle], tmp_path / "repo", RepositoryOptions(backend="onnxruntime"))
    assert [model.backend for model in written] == ["onnxruntime", "python", "ensemble"]
    assert (tmp_path / "repo" / "words_encoder" / "1" / "model.onnx").is_file()
