"""The trained example through ``attnexport``: encoder and step with engines in one bundle, that writes dates without torch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from attnexport.cli import main
from attnexport.errors import InputError, MissingBackendError, ParityError, StageError
from attnexport.export.options import ExportOptions
from attnexport.export.pipeline import ExportResult, run
from attnexport.export.source import checkpoint
from attnexport.models import registry
from attnexport.models.seq2seq import END, START, EncoderDecoder
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.golden import GoldenCase, read_golden, write_golden
from attnexport.runtime.check.check import check
from attnexport.runtime.cuda import cuda_device
from attnexport.runtime.decode import open_decoder
from attnexport.runtime.files.read import sha256_of
from attnexport.runtime.show.inspect import inspect

EXAMPLES = Path(__file__).parents[3] / "examples"
MODEL = EXAMPLES / "dates_bahdanau.pt"
ROWS = 40


@pytest.fixture(scope="module")
def dates(tmp_path_factory) -> SimpleNamespace:
    """The bundle with engines, its result, and held-out dates as tokens: sources (N, 26), targets (N, 11) from START on."""
    folder = tmp_path_factory.mktemp("dates")
    with np.load(EXAMPLES / "dates_samples.npz", allow_pickle=False) as samples:
        source, target = samples["source"][:ROWS], samples["target"][:ROWS]
    np.savez(folder / "samples.npz", source=source, target=target)
    made = run(
        ExportOptions(model=MODEL, out=folder / "dates.attn", trt="rtx", samples=folder / "samples.npz", attention=True)
    )
    return SimpleNamespace(path=folder / "dates.attn", made=made, source=source, target=target)


@torch.no_grad()
def written_by_pytorch(source: np.ndarray) -> list[tuple[int, ...]]:
    """Greedily, by the whole network again for every token: neither parts nor states."""
    saved = checkpoint.parse(torch.load(MODEL, weights_only=True), MODEL.name)
    network = registry.build(saved.arch, **saved.kwargs).eval()
    network.load_state_dict(saved.state_dict)
    assert isinstance(network, EncoderDecoder)
    written = torch.full((len(source), 1), START)
    for _ in range(11):
        logits = network(torch.from_numpy(source), written)
        written = torch.cat((written, logits[:, -1].argmax(1, keepdim=True)), dim=1)
    rows = [tuple(row[1:]) for row in written.tolist()]
    return [row[: row.index(END)] if END in row else row for row in rows]


def test_one_bundle_holds_two_whole_ones_and_their_decodes(dates) -> None:
    made: ExportResult = dates.made
    assert made.passed
    whole = StoredBundle.open(dates.path)
    whole.verify_files()
    assert whole.manifest.parts == {"encoder": "encoder", "step": "step"}
    for name in ("encoder", "step"):
        part = whole.part(name)
        part.verify_files()
        assert part.manifest == made.parts[name]
        assert {record.stage for record in part.manifest.parity} >= {"onnx-fp32", "onnx-fp16", "emulated-fp16"}
        (engine,) = part.manifest.engines
        assert (part.path / engine.file).stat().st_size == engine.bytes > 10_000
        assert f"{name}/{engine.file}" in whole.manifest.files
    assert [spec.name for spec in whole.part("step").manifest.outputs] == ["logits", "attention", "next_hidden"]
    facts = whole.manifest.decode
    assert facts is not None
    assert (facts.start, facts.end, facts.padding, facts.limit, facts.sources) == (1, 2, 0, 11, "samples")
    assert (facts.memory, facts.state) == (("memory", "keys", "padding"), {"hidden": "next_hidden"})
    assert [
        (r.stage, r.width, r.rows, r.equal_rows, r.ties) for r in facts.parity if r.stage.startswith("onnx-fp32")
    ] == [
        ("onnx-fp32", 1, ROWS, ROWS, 0),
        ("onnx-fp32", 4, 16, 16, 0),
    ]
    assert {r.stage for r in facts.parity} >= {"onnx-fp32", "onnx-fp16", "emulated-fp16"}
    for record in facts.parity:
        assert record.passed
        assert 0 < record.torch_error < (1e-4 if record.precision == "float32" else 1e-1)
    assert any("--outputs attention adds nothing" in note for note in whole.manifest.notes)


@pytest.mark.parametrize(
    ("precision", "backend"), [("fp32", "onnxruntime"), ("fp16", "onnxruntime"), ("fp16", "emulated")]
)
def test_all_held_out_dates_are_pytorch_s_token_for_token(dates, precision, backend) -> None:
    with open_decoder(dates.path, precision=precision, backend=backend) as decoder:
        found = decoder.greedy(dates.source)
        wide = decoder.beam_search(dates.source[:12], width=4)
    assert [h.tokens for h in found] == written_by_pytorch(dates.source)
    expected = [tuple(row[1:]) for row in dates.target]
    assert [h.tokens for h in found] == expected
    assert [row[0].tokens for row in wide] == expected[:12]
    assert all(h.finished and h.attention is not None and h.attention.shape == (11, 26) for h in found)


def test_check_repeats_the_decodes_where_torch_is_not(dates) -> None:
    code = (
        "import sys, json; sys.modules['torch'] = None\n"
        "from attnexport.runtime.check.check import check\n"
        f"result = check({str(dates.path)!r})\n"
        "print(json.dumps(result.to_json()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["passed"]
    rows = {row["stage"]: row for row in result["rows"]}
    assert {"encoder: onnx-fp32", "step: onnx-fp32", "step: emulated-fp16"} <= set(rows)
    for stage in ("onnx-fp32", "onnx-fp16", "emulated-fp16"):
        assert rows[f"decode: {stage}"]["verdict"] == "passed"
        assert f"{ROWS} of {ROWS} rows and {11 * ROWS} of {11 * ROWS} tokens" in rows[f"decode: {stage}"]["how"]
    engine = rows["decode: engine-fp16"]
    assert engine["verdict"] == ("not run" if cuda_device() is None else "passed")


def test_check_sees_a_decode_that_is_not_the_original_s(dates, tmp_path) -> None:
    """One token of the golden decodes is another, and every hash is right."""
    path = Path(shutil.copytree(dates.path, tmp_path / "dates.attn"))
    (case,) = read_golden(path / "golden.npz")
    tokens = case.reference["tokens"].copy()
    tokens[3, 2] += 1
    write_golden(path / "golden.npz", [GoldenCase(case.name, case.feeds, {**case.reference, "tokens": tokens})])
    manifest = json.loads((path / "manifest.json").read_text())
    file = path / "golden.npz"
    manifest["files"]["golden.npz"] |= {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    (path / "manifest.json").write_text(json.dumps(manifest))
    result = check(path)
    assert not result.passed
    failed = [row for row in result.rows if row.verdict == "failed"]
    assert {row.stage for row in failed} == {"decode: onnx-fp32", "decode: onnx-fp16", "decode: emulated-fp16"}
    assert failed[0].reason == "1 rows differ from the original's where it had no tie"


def test_a_part_that_has_changed_is_found(dates, tmp_path) -> None:
    path = Path(shutil.copytree(dates.path, tmp_path / "dates.attn"))
    with (path / "step" / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match=r"file 'step/model.onnx' of .* has \d+ bytes and the manifest says"):
        check(path)


def test_inspect_joins_the_parts(dates) -> None:
    found = inspect(dates.path)
    assert found.models[0] == "encoder/model.onnx"
    assert "step/model.fp16.onnx" in found.models
    assert {row.stage for row in found.parity} >= {"encoder: onnx-fp32", "step: emulated-fp16"}
    assert [engine.file.partition("/")[0] for engine in found.engines] == ["encoder", "step"]
    assert len(found.decode) >= 4
    assert ("state", "hidden <- next_hidden") in found.facts
    assert ("rows of step", "1 to 16") in found.facts
    json.dumps(found.to_json())


def run_cli(words: Sequence[str], capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(words)
    printed = capsys.readouterr()
    return int(caught.value.code or 0), printed.out, printed.err


def test_the_report_shows_both_parts_and_dates_token_by_token(dates) -> None:
    def chips(tokens: Sequence[int]) -> str:
        return "".join(f"<span>{token}</span>" for token in tokens)

    page = (dates.path / "report.html").read_text(encoding="utf-8")
    assert StoredBundle.open(dates.path).manifest.files["report.html"].role == "report"
    sections = re.findall(r'<section id="(\w+)">', page)
    assert sections == [
        "verdicts", "errors", "decodes", "samples", "rewrites", "modules", "operators", "engines", "environment"
    ]  # fmt: skip
    for name in ("encoder", "step"):
        assert f"<code>{name}/model.fp16.onnx</code>" in page and f"<h3>{name}</h3>" in page
    for source, written in zip(dates.source[:6], written_by_pytorch(dates.source[:6]), strict=True):
        assert chips(source[source != 0]) in page
        # PyTorch's own, and each ONNX form's.
        assert page.count(f'{chips(written)}</div><div class="note">10 of 10 alike') >= 2


def test_the_command_writes_a_date_per_line(dates, capsys) -> None:
    texts = [" ".join(str(t) for t in row if t) for row in dates.source[:3]]
    given = [word for text in texts for word in ("--tokens", text)]
    code, out, err = run_cli(["decode", str(dates.path), *given], capsys)
    assert (code, err) == (0, "")
    assert [tuple(map(int, line.split())) for line in out.splitlines()] == [tuple(r[1:]) for r in dates.target[:3]]
    code, out, _ = run_cli(["decode", str(dates.path), *given, "--beam", "3", "--precision", "fp32", "--json"], capsys)
    value = json.loads(out)
    assert value["run_by"] == "onnxruntime, CPU, fp32"
    assert [[len(row), row[0]["tokens"], row[0]["finished"]] for row in value["rows"]] == [
        [3, row[1:].tolist(), True] for row in dates.target[:3]
    ]
    assert value["rows"][0][0]["score"] > value["rows"][0][1]["score"]
    code, out, _ = run_cli(["decode", str(dates.path), *given[:2], "--limit", "2"], capsys)
    assert out == f"{dates.target[0][1]} {dates.target[0][2]} ...\n"
    for words in (["check"], ["inspect"]):
        code, out, _ = run_cli([*words, str(dates.path)], capsys)
        assert code == 0
        assert "emulated-fp16" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tokens", "42"], "token 42 is out of range. 'source' takes whole numbers from 0 to 41"),
        (["--tokens", "4 x"], "token 'x' in --tokens is not an integer"),
        (["--tokens", " ".join(["4"] * 27)], "a source has 27 tokens and the encoder takes 26"),
        ([], "no source tokens are given"),
        (["--tokens", "4", "--beam", "17"], "export with --beam-width 17"),
        (["--tokens", "4", "--beam", "0"], "beam width 0 is below 1"),
        (["--tokens", "4", "--limit", "12"], "limit 12 is above 11"),
        (["--tokens", "4", "--backend", "cuda"], "backend 'cuda' is not known"),
        (["--tokens", "4", "--precision", "fp8"], "precision 'fp8' is not known"),
        (["--tokens", "4", "--precision", "fp32", "--backend", "emulated"], "FP32 models are not emulated"),
        (["--tokens", "4", "--precision", "fp32", "--backend", "tensorrt"], "has no fp32 engine"),
    ],
)
def test_what_cannot_be_decoded_is_one_line_and_exit_2(dates, capsys, words, message) -> None:
    code, out, err = run_cli(["decode", str(dates.path), *words], capsys)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.skipif(cuda_device() is not None, reason="a GPU is here")
def test_tensorrt_without_a_gpu_says_so(dates) -> None:
    with pytest.raises(MissingBackendError, match="TensorRT needs an NVIDIA GPU and there is none"):
        open_decoder(dates.path, backend="tensorrt")


def test_a_part_alone_has_nothing_to_decode_with(dates) -> None:
    with pytest.raises(InputError, match="has one graph, dates_bahdanau, not an encoder and a step"):
        open_decoder(dates.path / "step")


def test_a_stage_that_fails_leaves_nothing(tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise StageError("capture", "it fails")

    monkeypatch.setattr("attnexport.export.sequence.write.export_source", fail)
    with pytest.raises(StageError, match="it fails"):
        run(ExportOptions(model=MODEL, out=tmp_path / "dates.attn"))
    assert list(tmp_path.iterdir()) == []


def test_whole_is_the_one_graph_of_training(tmp_path, monkeypatch) -> None:
    """Only the way is looked at: the graph itself is what tests/models/test_export_registry.py exports."""
    taken = []
    monkeypatch.setattr(
        "attnexport.export.pipeline.export_source", lambda job, source, *_: taken.append(source) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        run(ExportOptions(model=MODEL, out=tmp_path / "dates.attn", whole=True))
    assert [spec.name for spec in taken[0].inputs] == ["source", "target"]


def test_a_failed_gate_names_the_part_and_keeps_nothing(dates, tmp_path, monkeypatch) -> None:
    from attnexport.export.stages.write import Written

    def failing(job, source, samples, folder):
        name = folder.path.name
        for file in (dates.path / name).rglob("*"):
            if file.is_file() and file.name != "manifest.json":
                place = folder.path / file.relative_to(dates.path / name)
                place.parent.mkdir(exist_ok=True)
                shutil.copy(file, place)
        return Written(dates.made.parts[name], (f"output x of {name} errs",), {})

    monkeypatch.setattr("attnexport.export.sequence.write.export_source", failing)
    with pytest.raises(ParityError, match="encoder: output x of encoder errs; step: output x of step errs"):
        run(ExportOptions(model=MODEL, out=tmp_path / "dates.attn"))
    assert list(tmp_path.iterdir()) == []
