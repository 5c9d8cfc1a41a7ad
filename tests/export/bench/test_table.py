"""The tables for a terminal, and the chart."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from attnexport.errors import MissingBackendError
from attnexport.export.bench.chart import COLOURS, draw, write_png
from attnexport.export.bench.contenders import CONTENDERS
from attnexport.export.bench.table import milliseconds, rate, tables
from attnexport.runtime.bundle.bench_report import BenchReport


def shown(report: BenchReport, *, colours: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=160, highlight=False, force_terminal=colours, soft_wrap=True)
    for part in tables(report):
        console.print(part)
    return stream.getvalue()


def test_the_circumstances_are_reported(report: BenchReport) -> None:
    first = shown(report).splitlines()[0]
    for words in (
        "net [1] on NVIDIA L4", "compute capability 8.9", "SM clock 1700-2040 of 2040 MHz", "memory 6250 MHz",
        "30-72 of 72 W", "50-60 C", "held back: power limit (software)", "CUDA events", "TF32 off",
    ):  # fmt: skip
        assert words in first


def test_each_point_has_its_rows(report: BenchReport) -> None:
    lines = shown(report).splitlines()
    row = next(line for line in lines if line.startswith("attnexport, ONNX Runtime"))
    assert row.split() == [
        "attnexport,", "ONNX", "Runtime", "1.00", "0.900-1.20", "2.00", "2,000", "4.00x", "3.50-4.40", "80.0", "MB",
    ]  # fmt: skip
    assert sum("batch=" in line for line in lines) == 2
    assert "attnexport, OpenVINO: failed: out of [memory]" in lines
    assert "attnexport, TensorRT: absent: the bundle has no engine" in lines
    assert "torch eager: wrong: output 'y' is wrong" in lines
    assert lines[-1] == "the machine was busy"


def test_the_target_table_names_the_batch_or_none(report: BenchReport) -> None:
    text = shown(report)
    assert "largest batch with p95 within 5 ms" in text
    rows = text[text.index("largest batch") :].splitlines()
    assert rows[2].split()[-4:] == ["none", "9.00", "9.90", "222"]
    assert "4 (all)" in rows[3] and rows[3].split()[-1] == "2,000"


GREEN, RED = "\x1b[32m", "\x1b[31m"


def test_a_ratio_is_coloured_if_its_whole_interval_is_on_one_side(report: BenchReport) -> None:
    text = shown(report, colours=True)
    assert f"{GREEN}4.00x" in text  # 3.50 to 4.40
    assert f"{RED}0.45x" in text  # 0.40 to 0.47
    assert f"{GREEN}1.14x" not in text and "1.14x" in text  # 0.90 to 1.30


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.123"), (1.234, "1.23"), (99.99, "99.99"), (123.4, "123")])
def test_times_have_three_digits(value: float, text: str) -> None:
    assert milliseconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (12.345, "12.3"), (999.6, "1,000"), (145678.9, "145,679")])
def test_rates_have_no_exponent(value: float, text: str) -> None:
    assert rate(value) == text


def test_several_batches_are_lines_with_their_intervals(report: BenchReport) -> None:
    figure = draw(report)
    left, right = figure.axes
    lines = {line.get_label(): line for line in left.get_lines()}
    curve = lines["attnexport, ONNX Runtime"]
    assert list(curve.get_xdata()) == [2, 4] and list(curve.get_ydata()) == [1.0, 20.0]
    assert curve.get_color() == COLOURS["attnexport"]
    assert [list(line.get_ydata()) for line in right.get_lines()] == [[500.0, 2000 / 9], [2000.0, 100.0], [2000 / 3.5]]
    assert left.get_yscale() == "log"
    assert any(list(line.get_ydata()) == [5.0, 5.0] for line in left.get_lines()), "the target is drawn"
    assert len(left.collections) == 3


def test_one_batch_is_bars(one_point: Callable[[], BenchReport]) -> None:
    (axes,) = draw(one_point()).axes
    assert [bar.get_width() for bar in axes.patches] == [4.0, 1.0, 3.5]
    assert [label.get_text() for label in axes.get_yticklabels()][1] == "attnexport, ONNX Runtime"
    assert [text.get_text().strip() for text in axes.texts] == ["4.00  1.00x", "1.00  4.00x", "3.50  1.14x"]


def test_every_common_contender_has_a_colour() -> None:
    assert {contender.name for contender in CONTENDERS if contender.common} == set(COLOURS)


def test_a_picture_is_written(report: BenchReport, tmp_path: Path) -> None:
    write_png(report, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_matplotlib_the_error_names_it(
    report: BenchReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *_: None if name == "matplotlib" else sys.modules[name]
    )
    with pytest.raises(MissingBackendError, match=r"a chart needs matplotlib.*pip install 'attnexport\[bench\]'"):
        write_png(report, tmp_path / "bench.png")
    assert not (tmp_path / "bench.png").exists()
