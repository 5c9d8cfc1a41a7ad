"""A bundle's engines built anew from its own models, by the real TensorRT-RTX, which builds without a GPU; everything else stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from attnexport.errors import BundleError, ForeignEngineError, InputError, MissingBackendError, ParityError
from attnexport.export import rebuild as module
from attnexport.export.engine import EngineOptions, Flavour, build, find_flavour
from attnexport.export.progress import Silent
from attnexport.export.rebuild import cache_beside, open_rebuilt, rebuild, rebuild_foreign
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.figures import Figures, Gate, ParityRecord
from attnexport.runtime.bundle.golden import GoldenCase, write_golden
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import DecodeAgreement, DecodeRecord, EngineRecord, RewriteRecord, SourceRecord
from attnexport.runtime.bundle.writer import BundleFolder, BundleWriter
from attnexport.runtime.check.check import check
from attnexport.runtime.check.check_rows import CheckResult, CheckRow
from attnexport.runtime.cuda import cuda_device
from attnexport.runtime.open.engine_fit import built_from
from attnexport.runtime.open.engine_memory import memory_of
from attnexport.runtime.show.inspect import inspect
from attnexport.runtime.show.inspection_text import show_inspection
from attnexport.runtime.show.result_text import show_rebuilt
from attnexport.runtime.show.terminal import size
from attnexport.runtime.spec import Axis, TensorSpec

rtx = pytest.importorskip("tensorrt_rtx")
no_gpu = pytest.mark.skipif(cuda_device() is not None, reason="a GPU is here")
BATCH = Axis(1, 2, 4, "batch")
X = np.arange(6, dtype=np.float32).reshape(2, 3)
Make = Callable[..., Path]
OLD = EngineRecord(
    "engines/fp16.rtx-1.2.0.engine", "rtx", "1.2.0", "fp16", "8.6", (), (), 1.0, 4, {}, "model.fp16.onnx"
)


def _model(kind: str = "float") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 18]>
        g ({kind}[batch, 3] x) => ({kind}[batch, 3] y) {{ h = Sigmoid(x)  y = Mul(h, x) }}"""
    )


def _record(stage: str, file: str, precision: str) -> ParityRecord:
    figures = Figures(1e-3, 1e-3, 1e-3, 1.0, 1.0, 6)
    gate = Gate.judge(figures, torch_rms=1e-3, precision=precision, factor=2.0)
    return ParityRecord(stage, file, precision, "y", figures, gate, 1e-3, {})


def _fill(folder: BundleFolder, engines: tuple[EngineRecord, ...] = ()) -> Manifest:
    for file, kind, role in (("model.onnx", "float", "model-fp32"), ("model.fp16.onnx", "float16", "model-fp16")):
        model = _model(kind)
        for node in model.graph.node:
            node.name = f"act.gate/{node.op_type}"
        onnx.save(model, folder.path / file)
        folder.add(file, role)
    for engine in engines:
        (folder.path / engine.file).parent.mkdir(exist_ok=True)
        (folder.path / engine.file).write_bytes(b"an old plan")
        folder.add(engine.file, "engine")
    truth = X.astype(np.float64)
    write_golden(folder.path / "golden.npz", [GoldenCase("opt", {"x": X}, {"y": truth / (1 + np.exp(-truth))})])
    folder.add("golden.npz", "golden")
    (folder.path / "report.html").write_text("an old page")
    folder.add("report.html", "report")
    specs = [TensorSpec(name, "float32", (BATCH, Axis.fixed(3))) for name in "xy"]
    parity = [_record("onnx-fp32", "model.onnx", "float32"), _record("onnx-fp16", "model.fp16.onnx", "float16")]
    parity += [_record(f"engine-{engine.precision}", engine.file, "float16") for engine in engines]
    return Manifest(
        name="net", created="2026-11-05T10:00:00+00:00", source=SourceRecord("checkpoint", "net.pt", "0" * 64),
        tools={}, gpu=None, inputs=(specs[0],), outputs=(specs[1],), task=None, engines=engines, parity=tuple(parity),
        rewrites=(RewriteRecord("act.gate/Mul", "Mul", "own", (), module="act.gate", source="net.py:7"),),
        notes=("engines/fp16.rtx-1.2.0.engine was not run: no GPU is here", "the weights are random"),
    )  # fmt: skip


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(engines: tuple[EngineRecord, ...] = (OLD,)) -> Path:
        with BundleWriter(tmp_path / "net.attn") as writer:
            writer.commit(_fill(writer, engines))
        return tmp_path / "net.attn"

    return write


@no_gpu
def test_the_engine_is_replaced_and_all_else_stays(make: Make) -> None:
    path = make()
    before = StoredBundle.open(path)
    said = Silent()
    done = rebuild(path, trt="rtx", reporter=said)
    after = StoredBundle.open(path)
    after.verify_files()
    new = f"engines/fp16.rtx-{'.'.join(rtx.__version__.split('.')[:3])}.engine"
    assert sorted(after.manifest.files) == sorted([*(set(before.manifest.files) - {OLD.file}), new])
    for name, record in before.manifest.files.items():
        if name not in (OLD.file, "report.html"):
            assert after.manifest.files[name] == record
    (engine,) = after.manifest.engines
    page = after.file("report.html").read_text()
    assert (new in page, OLD.file in page, after.manifest.files["report.html"].role) == (True, False, "report")
    assert done.engines == (engine,)
    assert (engine.file, engine.version, engine.precision, engine.model) == (
        new,
        rtx.__version__,
        "fp16",
        "model.fp16.onnx",
    )
    assert engine.model_sha256 == built_from(after.file(new)) == after.manifest.files["model.fp16.onnx"].sha256
    assert engine.profiles == ({"x": {"min": [1, 3], "opt": [2, 3], "max": [4, 3]}},)
    assert {m for layer in engine.layers for m in layer["modules"]} <= {"act.gate"}
    assert [r.stage for r in after.manifest.parity] == ["onnx-fp32", "onnx-fp16"], (
        "what the old engine proved went with it"
    )
    assert after.manifest.stages[-1].name == "rebuild"
    assert after.manifest.notes == (
        "the weights are random",
        f"engines rebuilt: {new} by TensorRT-RTX {rtx.__version__}",
    )
    assert (
        "the new engines were not run: no GPU found; attnexport check runs them on a machine with a GPU" in said.notes
    )
    assert done.checked is None
    assert {row.stage: row.verdict for row in check(path).rows}["engine-fp16"] == "not run"
    assert [p.name for p in path.parent.iterdir()] == ["net.attn"], "nothing is left beside it"


@no_gpu
def test_another_bundle_can_be_written_instead(make: Make, tmp_path: Path) -> None:
    path = make()
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    rebuild(path, trt="rtx", precision="fp32", out=tmp_path / "other.attn")
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
    other = StoredBundle.open(tmp_path / "other.attn")
    other.verify_files()
    assert sorted(e.precision for e in other.manifest.engines) == ["fp16", "fp32"], (
        "another precision is one more engine"
    )
    assert not (tmp_path / "other.attn" / "model.onnx").samefile(path / "model.onnx")
    with pytest.raises(InputError, match=r"bundle .*other\.attn exists"):
        rebuild(path, trt="rtx", out=tmp_path / "other.attn")
    rebuild(path, trt="rtx", out=tmp_path / "other.attn", force=True)
    assert [e.precision for e in StoredBundle.open(tmp_path / "other.attn").manifest.engines] == ["fp16"]


@no_gpu
def test_a_bundle_without_engines_gets_one_of_its_smaller_model(make: Make) -> None:
    done = rebuild(make(()), trt="rtx")
    assert [(e.precision, e.model) for e in done.engines] == [("fp16", "model.fp16.onnx")]


def test_what_cannot_be_built_leaves_the_bundle_as_it_was(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make()
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=r"has no bf16 model to build an engine from\. it has fp16, fp32"):
        rebuild(path, trt="rtx", precision="bf16")
    with pytest.raises(InputError, match="flavour 'lean' is not known"):
        rebuild(path, trt="lean")
    monkeypatch.setattr(module, "build_engine", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rebuild(path, trt="rtx")
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
    (path / "model.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        rebuild(path, trt="rtx")


@no_gpu
def test_a_new_engine_that_fails_its_gate_is_not_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make()
    manifest = (path / "manifest.json").read_bytes()
    asked: list[StoredBundle] = []

    def checked(folder: Path, note: Any, *, gate: float) -> CheckResult:
        assert gate == 2.0
        asked.append(StoredBundle.open(folder))
        asked[0].verify_files()
        file = asked[0].manifest.engines[0].file
        row = CheckRow(
            "engine-fp16",
            file,
            "y",
            1.0,
            1.0,
            0.5,
            None,
            9.0,
            2.0,
            2.0,
            "failed",
            "errs 9 times as much",
            "TensorRT, rtx",
        )
        return CheckResult(str(folder), 1, 4, (row,))

    monkeypatch.setattr(module, "cuda_device", lambda: ("NVIDIA L4", "8.9"))
    monkeypatch.setattr(module, "check", checked)
    with pytest.raises(
        ParityError, match=r"engines/fp16\.rtx-1\..*, output 'y', errs 9 times as much\. the bundle stays"
    ):
        rebuild(path, trt="rtx")
    assert (path / "manifest.json").read_bytes() == manifest
    assert [p.name for p in path.parent.iterdir()] == ["net.attn"]


@no_gpu
def test_the_parts_of_a_bundle_are_rebuilt_each(tmp_path: Path) -> None:
    agreement = DecodeAgreement(
        "engine-fp16", {"step": f"step/{OLD.file}"}, "float16", 1, 1, 1, 1, 1, 0, 1.0, 2.0, True
    )
    kept = replace(agreement, stage="onnx-fp16", files={"step": "step/model.fp16.onnx"})
    with BundleWriter(tmp_path / "seq.attn") as writer:
        for name in ("encoder", "step"):
            (writer.path / name).mkdir()
            own = BundleFolder(writer.path / name, name)
            sealed = own.seal(_fill(own, (OLD,)))
            for file in ("manifest.json", *sealed.manifest.files):
                writer.add(f"{name}/{file}", "part")
        write_golden(writer.path / "golden.npz", [GoldenCase("opt", {"x": X}, {"y": X.astype(np.float64)})])
        writer.add("golden.npz", "golden")
        whole = replace(
            _fill(BundleFolder(tmp_path, "scratch")), parity=(), rewrites=(), parts={n: n for n in ("encoder", "step")},
            decode=DecodeRecord(1, 2, 0, 9, (), {}, "random", (agreement, kept)),
        )  # fmt: skip
        writer.commit(whole)
    done = rebuild(tmp_path / "seq.attn", trt="rtx")
    bundle = StoredBundle.open(tmp_path / "seq.attn")
    bundle.verify_files()
    assert len(done.engines) == 2
    for name in ("encoder", "step"):
        part = bundle.part(name)
        part.verify_files()
        assert [e.version for e in part.manifest.engines] == [rtx.__version__]
    assert bundle.manifest.decode is not None
    assert bundle.manifest.decode.parity == (kept,), "decodes with the old engines do not apply to the new ones"
    assert {record.role for file, record in bundle.manifest.files.items() if "/" in file} == {"part"}


def test_opening_with_rebuild_builds_what_is_foreign_and_nothing_else(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def opening(path: Path, backend: str, **options: Any) -> str:
        calls.append("open")
        if calls == ["open"]:
            raise ForeignEngineError("made for elsewhere")
        return "session"

    monkeypatch.setattr(module, "open_bundle", opening)
    monkeypatch.setattr(module, "rebuild", lambda path, **options: calls.append(f"rebuild {options}"))
    assert open_rebuilt(make(), "auto", {"precision": "fp16"}) == "session"
    assert calls == ["open", "rebuild {'precision': 'fp16'}", "open"]


def test_check_rebuilds_what_was_made_for_elsewhere(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path, built = make(), []
    monkeypatch.setattr(module, "rebuild", lambda path, **options: built.append(path))
    monkeypatch.setattr("attnexport.runtime.open.engine_fit.cuda_device", lambda: None)
    with pytest.raises(MissingBackendError, match="no GPU found to build engines for"):
        rebuild_foreign(path, Silent())
    monkeypatch.setattr("attnexport.runtime.open.engine_fit.cuda_device", lambda: ("NVIDIA L4", "8.9"))
    said = Silent()
    rebuild_foreign(path, said)
    assert built == [path]
    assert "was made for TensorRT-RTX 1.2.0 and compute capability 8.6" in said.notes[0]


def test_an_engine_that_fits_is_not_rebuilt(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnexport.runtime.open.engine_fit.cuda_device", lambda: ("NVIDIA L4", "8.9"))
    monkeypatch.setattr(module, "rebuild", lambda *_, **__: pytest.fail("it was rebuilt"))
    said = Silent()
    path = make((replace(OLD, version=rtx.__version__, compute_capability="8.9"),))
    assert rebuild_foreign(path, said) is None
    assert said.notes[0].startswith("no engine rebuilt: every engine is for ")


@no_gpu
def test_memory_is_recorded_and_shown(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    path = make()
    done = rebuild(path, trt="rtx")
    memory = memory_of(done.engines[0])
    assert memory is not None
    (profile,) = memory.profiles
    assert (profile.inputs, profile.outputs) == (4 * 3 * 2, 4 * 3 * 2), "FP16 at its border, four rows of three"
    assert inspect(path).engines[0].memory == memory
    assert memory.describe(size)[0].partition(":")[0] in StoredBundle.open(path).file("report.html").read_text()
    (line,) = memory.describe(size)
    show_rebuilt(done.to_json(), as_json=False)
    assert line in capsys.readouterr().out
    show_inspection(inspect(path), layers=False, as_json=False)
    assert f"profile 0: {line}" in capsys.readouterr().out


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Flavour:
    """TensorRT-RTX under the name of a library that times kernels: its cache calls are there, so the file's way is the real one."""
    flavour = replace(find_flavour("rtx"), name="enterprise")
    monkeypatch.setattr(module, "find_flavour", lambda trt: flavour)
    return flavour


@no_gpu
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_timing_cache_lies_beside_the_bundle_and_is_used_again(
    make: Make, timed: Flavour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = make(), tmp_path / "net.attn.timing-cache"
    read: list[bytes | None] = []
    attach = build.attach_timing_cache

    def attached(config: Any, file: Path, *rest: Any) -> Any:
        read.append(file.read_bytes() if file.exists() else None)
        return attach(config, file, *rest)

    monkeypatch.setattr(build, "attach_timing_cache", attached)
    done = rebuild(path)
    assert done.timing_cache == cache == cache_beside(path)
    assert done.to_json()["timing_cache"] == str(cache)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.attn", "net.attn.timing-cache"]
    StoredBundle.open(path).verify_files()
    first = cache.read_bytes()
    assert first
    assert read == [None]
    rebuild(path)
    assert read == [None, first], "what it wrote itself, it takes again"


@no_gpu
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_timing_cache_that_was_named_is_the_one(make: Make, timed: Flavour, tmp_path: Path) -> None:
    named = tmp_path / "shared" / "orin.cache"
    done = rebuild(make(), options=EngineOptions(timing_cache=named), out=tmp_path / "other.attn")
    assert done.timing_cache == named
    assert named.is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.attn", "other.attn", "shared"]


@no_gpu
def test_a_library_that_times_nothing_keeps_nothing(make: Make, tmp_path: Path) -> None:
    assert rebuild(make(), trt="rtx").timing_cache is None
    assert [p.name for p in tmp_path.iterdir()] == ["net.attn"]


@no_gpu
@pytest.mark.parametrize(
    ("gpu", "asked", "built"),
    [(("RTX 2080 Ti", "7.5"), (), "7.5"), (("RTX 2080 Ti", "7.5"), ("8.6",), "8.6"), (("NVIDIA L4", "8.9"), (), None)],
    ids=["Turing", "Turing, asked for another", "Ada"],
)
def test_an_engine_for_any_gpu_leaves_turing_out_so_there_it_is_built_for_it(
    make: Make, monkeypatch: pytest.MonkeyPatch, gpu: tuple[str, str], asked: tuple[str, ...], built: str | None
) -> None:
    monkeypatch.setattr(module, "cuda_device", lambda: gpu)
    monkeypatch.setattr(module, "check", lambda folder, note, gate: CheckResult(str(folder), 0, 0, ()))
    said = Silent()
    (engine,) = rebuild(make(), trt="rtx", options=EngineOptions(compute_capabilities=asked), reporter=said).engines
    assert engine.compute_capability == built
    assert bool([note for note in said.notes if "would not run on" in note]) is (built == "7.5")


@no_gpu
def test_the_command_needs_no_torch(make: Make) -> None:
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnxscript", "onnx_graphsurgeon"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
from attnexport.cli import main
main(["rebuild", sys.argv[1], "--trt=rtx", "--workspace", "64M"])
"""
    done = subprocess.run([sys.executable, "-c", code, str(make())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "built: engines/fp16.rtx-1." in done.stdout
    assert "from model.fp16.onnx" in done.stdout
    assert "next:  attnexport check " in done.stdout
