"""The recipe of docs/design.md for a new contender, followed with a made-up one: one file and one line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.export.bench import BenchOptions, bench, contenders, participants
from attnexport.export.bench.participants import check_names
from attnexport.export.bench.table import tables

NAME = "onnx-reference"
FILE = '''"""The bundle's FP32 model on onnx's reference evaluator, in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contender import Call, Contender, Feeds, installed

if TYPE_CHECKING:
    from ..site import Site


class ReferenceRunner:
    notes: tuple[str, ...] = ("computed in NumPy",)

    def __init__(self, site: Site) -> None:
        from onnx.reference import ReferenceEvaluator

        self._names = [spec.name for spec in site.model.outputs]
        self._evaluator = ReferenceEvaluator(str(site.model.file("model-fp32")))

    def call(self, feeds: Feeds) -> Call:
        def run() -> Any:
            return self._evaluator.run(self._names, dict(feeds))

        return Call(run, lambda: dict(zip(self._names, run(), strict=True)))

    def close(self) -> None:
        self._evaluator = None


def _absent(site: Site) -> str | None:
    return "it runs on the CPU only" if site.device != "cpu" else installed("onnx", "pip install onnx")


CONTENDER = Contender("onnx-reference", "onnx reference evaluator", _absent, ReferenceRunner)
'''


@pytest.fixture
def with_contender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the contender, and its line in ``CONTENDERS``."""
    file = tmp_path / "on_reference.py"
    file.write_text(FILE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"{contenders.__name__}.on_reference", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(participants, "CONTENDERS", (*contenders.CONTENDERS, module.CONTENDER))


@pytest.mark.usefixtures("with_contender")
def test_a_new_contender_is_compared_timed_and_reported(small_bundle: Path) -> None:
    options = BenchOptions(
        small_bundle, contenders=["attnexport", NAME], baseline=NAME, batches=[2], rounds=5, seconds=1.0, threads=1,
        memory=False, device="cpu",
    )  # fmt: skip
    report = bench(options)
    entrant = report.entrant(NAME)
    assert (entrant.state, entrant.precision) == ("measured", "float32")
    assert entrant.error is not None and entrant.error < 1e-5
    attnexport, reference = report.points[0].timings
    assert (attnexport.contender, reference.contender, report.settings.baseline) == ("attnexport", NAME, NAME)
    assert attnexport.ratio is not None and reference.ratio is not None and reference.ratio.value == 1.0
    assert "onnx reference evaluator: computed in NumPy" in report.notes
    rows = next(table for table in tables(report) if not isinstance(table, str))
    assert "onnx reference evaluator" in rows.columns[0].cells  # type: ignore[attr-defined]  # a rich table


@pytest.mark.usefixtures("with_contender")
def test_a_new_contender_is_known_by_name(small_bundle: Path) -> None:
    check_names(BenchOptions(small_bundle, contenders=[NAME]))
    with pytest.raises(InputError, match=f"--contenders other is not known. use some of eager, .*, {NAME}"):
        check_names(BenchOptions(small_bundle, contenders=["other"]))
