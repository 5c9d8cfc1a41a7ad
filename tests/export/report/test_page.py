"""What the page says, read from its HTML: every figure is the manifest's, the golden cases' or the models'."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import attnexport
from attnexport.cli.run import main
from attnexport.errors import BundleError, InputError
from attnexport.export.report.page import render, write_page
from attnexport.export.report.verdicts import FEW
from attnexport.runtime.bundle.bench_report import (
    BenchPoint,
    BenchReport,
    BenchSettings,
    Entrant,
    Interval,
    MachineRecord,
    MemoryUse,
    Timing,
)
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.figures import Gate
from attnexport.runtime.bundle.sections import ModuleError, RewriteRecord


class Page(HTMLParser):
    """Tables by section as rows of cell texts; every address; and the elements that were left open."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.section = ""
        self.rows: dict[str, list[list[str]]] = {}
        self.texts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.wrong: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [str(v) for k, v in attrs if k in ("src", "href", "srcset", "action", "data", "poster")]
        if tag in ("meta", "br", "img", "input", "hr"):
            return
        self.open.append(tag)
        if tag == "section":
            self.section = str(values["id"])
            self.rows[self.section], self.texts[self.section] = [], ""
        elif tag == "tr":
            self.rows[self.section].append([])
        elif tag in ("td", "th"):
            self.rows[self.section][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [str(v) for k, v in attrs if k in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.section in self.texts:
            self.texts[self.section] += data
        if ("td" in self.open or "th" in self.open) and self.rows.get(self.section):
            self.rows[self.section][-1][-1] += data


@pytest.fixture(scope="module")
def read(page: str) -> Page:
    return Page(page)


def again(bundle: StoredBundle, **changes: Any) -> Page:
    """The page of a bundle whose manifest says something else."""
    return Page(render(bundle.path, replace(bundle.manifest, **changes), {}))


def test_every_element_is_closed_and_nothing_is_fetched(read: Page, page: str) -> None:
    assert read.wrong == [] and read.open == []
    assert {a.partition(",")[0] for a in read.addresses if not a.startswith("#")} == {"data:image/png;base64"}
    assert "http://" not in page and "https://" not in page and "@import" not in page and "url(" not in page
    assert "default-src &#x27;none&#x27;" in page


def test_no_machine_is_named(page: str, bundle: StoredBundle) -> None:
    assert str(bundle.path.parent) not in page and str(Path.home()) not in page


def test_the_page_is_sealed_with_its_bundle(bundle: StoredBundle) -> None:
    assert bundle.manifest.files["report.html"].role == "report"
    bundle.verify_files()


def test_stages_give_their_figures_and_ratios(read: Page, bundle: StoredBundle) -> None:
    found = [row for row in read.rows["errors"] if len(row) == 10][1:]
    wanted = [
        (entry.output, step.stage, f"{step.ratio:.2f}×")
        for entry in bundle.manifest.attribution
        for step in entry.steps
    ]
    assert [(row[0], row[2], row[7]) for row in found] == wanted


def test_rewrites_say_what_they_stood_for_and_what_stands_there_now(read: Page) -> None:
    rows = {(row[0], row[-1]): row[1:4] for row in read.rows["rewrites"] if len(row) == 7}
    assert rows["AffineGrid", "model.onnx"] == ["affine_grid_matmul", "1", "13"]
    assert rows["GridSample", "model.fp16.onnx"][:2] == ["grid_sample_native", "1"]


def test_operators_are_counted_before_and_after(read: Page, bundle: StoredBundle) -> None:
    head, *rows = read.rows["operators"]
    assert head[:4] == ["operator", "captured", "model.onnx", "model.fp16.onnx"]
    shown = {row[0]: row[1:4] for row in rows}
    captured = bundle.manifest.captured
    assert shown["AffineGrid"][0] == "1" and shown["AffineGrid"][1] == "0 −1"
    assert shown["Conv"][:2] == [str(captured["Conv"]), str(bundle.manifest.operators["model.onnx"]["Conv"])]
    assert shown["Cast"][2].startswith(str(bundle.manifest.operators["model.fp16.onnx"]["Cast"]))
    assert len(rows) == len({op for counts in (captured, *bundle.manifest.operators.values()) for op in counts})


def test_layers_are_listed_with_their_precisions(read: Page, bundle: StoredBundle) -> None:
    (engine,) = bundle.manifest.engines
    rows = [row for row in read.rows["engines"] if len(row) == 6][1:]
    assert [row[1] for row in rows] == [layer["name"] for layer in engine.layers]
    assert {row[3] for row in rows} == {"FP16", "FP32", "other"}


def test_modules_have_the_errors_and_precisions_of_their_nodes(read: Page, bundle: StoredBundle, nasty: str) -> None:
    head, *rows = [row for row in read.rows["modules"] if len(row) == 6]
    assert head == ["module", "class", "nodes", "precision", "FP32, ONNX Runtime", "FP16 as a GPU rounds"]
    shown = {row[0]: row for row in rows}
    assert list(shown)[:4] == ["<root>", "look", "look.regress", nasty]
    assert shown[nasty][1] == "Conv2d" and shown["look"][1] == "Look"
    errors = {entry.module: entry.errors for entry in bundle.manifest.modules}
    assert set(errors) == set(shown) - {"<root>"}
    assert all(
        1e-9 < e["onnx-fp32"] < 1e-5 < e["emulated-fp16"] < 1e-2
        for name, e in errors.items()
        if not name.startswith("look")
    )


def test_samples_show_what_onnxruntime_gives_beside_pytorch(read: Page, bundle: StoredBundle) -> None:
    case = next(c for c in bundle.golden() if c.name.startswith("samples"))
    session = onnxruntime.InferenceSession(str(bundle.file("model.onnx")))
    logits = session.run(["logits"], dict(case.feeds))[0].astype(np.float64)
    rows = [row for row in read.rows["samples"] if len(row) == 4][1 : 1 + len(logits)]
    assert len(rows) == 5
    for row, own, truth in zip(rows, logits, case.reference["logits"], strict=True):
        for cell, values in ((row[1], truth), (row[2], own)):
            chances = np.exp(values) / np.exp(values).sum()
            first = int(chances.argmax())
            assert cell.startswith(f"{first}{chances[first]:.1%}".replace("%", "\u202f%"))
        assert row[2].endswith("same class") and row[3].endswith("same class")


def test_the_sampled_images_are_those_of_the_transformer(bundle: StoredBundle, net: Any) -> None:
    """Computed anew by the module itself, in FP64."""
    import torch

    with np.load(bundle.file("report.npz")) as kept:
        seen = torch.from_numpy(kept["input"].astype(np.float64))
        with torch.no_grad():
            torch.set_default_dtype(torch.float64)
            try:
                wanted = net.double().look(seen).numpy()
            finally:
                torch.set_default_dtype(torch.float32)
        np.testing.assert_allclose(kept["truth/look"], wanted, atol=1e-6)
        assert 0 < np.abs(kept["onnx-fp32/look"] - wanted).max() < 1e-5
        assert sorted(kept.files) == ["emulated-fp16/look", "input", "onnx-fp32/look", "truth/look"]


def test_a_failed_gate_is_the_first_thing_that_is_said(bundle: StoredBundle) -> None:
    first = bundle.manifest.parity[0]
    bad = replace(first, gate=Gate(first.gate.torch_rms, first.gate.floor, 2.0, 7.125, False))
    shown = again(bundle, parity=(bad, *bundle.manifest.parity[1:]))
    text = shown.texts["verdicts"]
    assert text.startswith("VerdictsDoes not hold FP32, ONNX Runtime, output 'logits': 7.12×. Allowed: 2×.")
    assert shown.rows["verdicts"][1][1] == "fail"


def test_outputs_by_the_dozen_fold_away_behind_the_worst_of_each_form(bundle: StoredBundle) -> None:
    record = bundle.manifest.parity[0]
    many = tuple(
        replace(record, output=f"out{i}", gate=replace(record.gate, ratio=i / 10, passed=True)) for i in range(FEW + 1)
    )
    rows = again(bundle, parity=many).rows["verdicts"]
    assert rows[1][7] == f"out{FEW} worst of {FEW + 1}"
    assert len(rows) == 2 + len(bundle.manifest.engines) + 1 + FEW + 1


def test_names_that_would_be_html_are_text(bundle: StoredBundle) -> None:
    evil = "</section><img src=x onerror=alert(1)>"
    record = RewriteRecord(evil, evil, evil, (evil,), {evil: evil}, evil, evil, "model.onnx", evil, {evil: 1.0})
    shown = again(bundle, name=evil, rewrites=(record,), notes=(evil,), tools={evil: evil}, task=None)
    assert shown.wrong == [] and shown.open == []
    assert not [a for a in shown.addresses if a == "x"]
    assert shown.texts["rewrites"].count(evil) >= 5


def test_what_is_missing_is_left_out(bundle: StoredBundle) -> None:
    stages = tuple(replace(stage, text="as before") for stage in bundle.manifest.stages)
    shown = again(
        bundle,
        engines=(),
        attribution=(),
        rewrites=(),
        graph_rewrites=(),
        stages=stages,
        modules=(),
        captured={},
        samples=None,
    )
    assert list(shown.rows) == ["verdicts", "samples", "rewrites", "modules", "operators", "environment"]
    assert "standard operators only" in shown.texts["rewrites"]


def test_a_damaged_file_is_refused(bundle: StoredBundle, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken.attn"
    shutil.copytree(bundle.path, broken)
    (broken / "report.npz").write_bytes(b"no archive")
    with pytest.raises(BundleError, match=r"report\.npz cannot be read"):
        render(broken, bundle.manifest, {})


def test_a_model_that_cannot_run_says_so_on_the_page(bundle: StoredBundle, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken.attn"
    shutil.copytree(bundle.path, broken)
    (broken / "model.onnx").unlink()
    shown = Page(render(broken, bundle.manifest, {}))
    assert "FP32, ONNX Runtime did not run here: model" in shown.texts["samples"]
    assert shown.rows["verdicts"][1][8] == "–"


def bench_of(bundle: StoredBundle, sha256: str = "") -> BenchReport:
    interval = Interval

    def timing(name: str, median: float, ratio: float | None) -> Timing:
        return Timing(
            name, 9, 5, interval(median, median * 0.9, median * 1.1), median * 1.2, median * 0.8, 1000 / median,
            None if ratio is None else interval(ratio, ratio * 0.9, ratio * 1.1), MemoryUse(123_000_000, None, None),
        )  # fmt: skip

    entrants = (
        Entrant("eager", "PyTorch eager", "float32", "cpu", "measured", "", 0.0, 0.1),
        Entrant("attnexport", "attnexport <FP32>", "float32", "cpu", "measured", "", 0.0, 0.1),
        Entrant("openvino", "OpenVINO", "float32", "cpu", "absent", "it is not installed", None, None),
    )
    return BenchReport(
        "Net", "2026-11-21T00:00:00+00:00", "net.pt", sha256 or bundle.manifest.files["model.onnx"].sha256, bundle.manifest.inputs,
        MachineRecord("a CPU", 2, "linux", 0.1, None), {}, BenchSettings("cpu", "wall", 1, 9, 1.0, 0, False, "eager"), entrants,
        (BenchPoint({"batch": 4}, 4, (timing("eager", 8.0, 1.0), timing("attnexport", 2.5, 3.2))),), None, ("a note",),
    )  # fmt: skip


def test_a_benchmark_is_drawn_with_its_intervals_and_ratios(bundle: StoredBundle, tmp_path: Path) -> None:
    html = write_page(bundle, tmp_path / "page.html", bench_of(bundle)).read_text(encoding="utf-8")
    shown = Page(html)
    assert "Medians of 9 interleaved rounds on a CPU, 1 thread" in shown.texts["latency"]
    assert (
        "Not timed: 1" in shown.texts["latency"] and "OpenVINO: absent, it is not installed" in shown.texts["latency"]
    )
    row = next(row for row in shown.rows["latency"] if row[1] == "attnexport <FP32>")
    assert row == [
        "4",
        "attnexport <FP32>",
        "FP32",
        "2.500",
        "2.250 – 2.750",
        "3.000",
        "400",
        "3.20× 2.88 – 3.52",
        "123 MB",
        "45",
    ]
    assert "3.20×attnexport <FP32> to PyTorch eager, batch 4" in shown.texts["verdicts"]
    bars = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)" height="20" rx="3"', html)]
    assert bars[0] / bars[1] == pytest.approx(8.0 / 2.5, rel=1e-2)


def test_a_benchmark_of_another_model_is_refused(bundle: StoredBundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"of a model with sha256 ffffffffffff…, which .* does not hold"):
        write_page(bundle, tmp_path / "page.html", bench_of(bundle, "f" * 64))
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_page_with_the_benchmark(
    bundle: StoredBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bench_of(bundle).write(tmp_path / "bench.json")
    with pytest.raises(SystemExit) as ended:
        main(["report", str(bundle.path), "--bench", "bench.json", "--json"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out) == {"report": "net.html"}
    assert "latency" in Page((tmp_path / "net.html").read_text(encoding="utf-8")).rows
    bundle.verify_files()


@pytest.mark.parametrize("name", ["/{}/precious", "../{}", "a/../precious"])
def test_the_name_of_the_page_is_that_of_the_folder_and_not_of_the_manifest(
    bundle: StoredBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, name=name.format(tmp_path)))
    assert write_page(hostile, None) == Path("net.html")
    assert [path.name for path in tmp_path.iterdir()] == ["net.html"]
    assert write_page(hostile, None) == Path("net.html"), "it replaces its own page"


def test_a_file_of_the_user_with_the_default_name_stays(
    bundle: StoredBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.html").write_text("my page")
    with pytest.raises(InputError, match=r"net\.html exists and was not written by attnexport.*--out"):
        write_page(bundle, None)
    assert (tmp_path / "net.html").read_text() == "my page"
    write_page(bundle, Path("net.html"))
    assert (tmp_path / "net.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("net.attn/page.html", "lies in the bundle, which is sealed"),
        ("nowhere/page.html", "is not a file that can be written"),
    ],
)
def test_a_page_goes_only_where_it_may(bundle: StoredBundle, out: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        write_page(bundle, bundle.path.parent / out)


def test_a_model_of_600_nodes_stays_under_two_megabytes(bundle: StoredBundle) -> None:
    """With every list as long as such a model's: layers, kept nodes, rewrites and modules."""
    manifest = bundle.manifest
    (engine,) = manifest.engines
    layer = {
        "name": "__myl_FcAddReluCast_myl0_6" * 2, "type": "runtime_fusion", "nodes": ["features.0.localisation.6/Gemm"] * 4,
        "outputs": [{"name": "o", "dtype": "float16", "shape": [-1, 197, 768]}], "modules": [f"blocks.11.attention.{i}" for i in range(4)],
    }  # fmt: skip
    names = [f"blocks.{i}.attention.projection" for i in range(600)]
    reasons = {f"form_{i}": "for a reason " * 6 for i in range(2)}
    rewrites = tuple(replace(manifest.rewrites[0], node=name, module=name, refused=reasons) for name in names)
    errors = {"onnx-fp32": 1e-7, "emulated-fp16": 1e-3}
    html = render(
        bundle.path,
        replace(
            manifest,
            engines=(replace(engine, layers=(layer,) * 600),),
            rewrites=rewrites,
            modules=tuple(ModuleError(name, "Linear", "net.py:1", errors) for name in names),
        ),
        {},
    )
    shown = Page(html)
    assert len(shown.rows["engines"]) == 601 and len(shown.rows["modules"]) > 600
    assert len(html.encode()) < 2_000_000


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_graph_of_constants_alone_has_a_page(tmp_path: Path, precision: str) -> None:
    """The shape of a fixed input: every node is folded, and no model has one left."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[3, 4] x) => (int64[2] y) { y = Shape (x) }'
    )
    onnx.save(model, tmp_path / "shape.onnx")
    made = attnexport.export(tmp_path / "shape.onnx", precision=precision, out=tmp_path / "shape.attn")
    assert made.verify().passed and (made.path / "report.html").is_file()
    with made.open() as session:
        np.testing.assert_array_equal(session.run({"x": np.zeros((3, 4), np.float32)})["y"], [3, 4])
