"""One third-party architecture through the whole export: bundle with gates, and TensorRT-RTX engines in FP32 and FP16."""

from __future__ import annotations

import json
import re
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attnexport.benchmarks.coverage_case import Case
from attnexport.benchmarks.coverage_torchvision import make_importable

FP32, FP16 = "model.onnx", "model.fp16.onnx"


@dataclass
class Row:
    """What came of one architecture. ``failed`` is the stage that stopped it, ``reason`` its one line; both empty where all passed.

    ``ratio32`` and ``ratio16``: the largest error of an output, as a multiple of PyTorch's at that precision.
    """

    package: str
    name: str
    command: str
    version: str = ""
    parameters: int = 0
    nodes: int = 0
    batch: bool = False
    ratio32: float | None = None
    ratio16: float | None = None
    layers32: int = 0
    layers16: int = 0
    found: str = ""
    seconds: float = 0.0
    failed: str = ""
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Gates passed, the batch free, both engines built."""
        return not self.failed and self.batch and bool(self.layers32) and bool(self.layers16)


def command(case: Case) -> str:
    """What a user types."""
    kwargs = f" --kwargs '{json.dumps(case.kwargs)}'" if case.kwargs else ""
    rest = "".join(f" --input {text}" for text in case.inputs) + "".join(f" --dynamic {text}" for text in case.dynamic)
    return f"attnexport --factory {case.factory}{kwargs} --random-weights{rest} --trt=rtx"


def measure(case: Case) -> Row:
    """Export ``case`` here. What stops it is in the row, not raised."""
    from importlib.metadata import version

    from attnexport.errors import AttnexportError

    make_importable()
    row = Row(case.package, case.name, command(case), version(case.package))
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            _export(case, Path(folder), row)
    except AttnexportError as error:
        row.failed = row.failed or getattr(error, "stage", "capture")
        row.reason = str(error)
    except Exception as error:
        row.failed = row.failed or "fault"
        row.reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    row.seconds = round(time.perf_counter() - start, 1)
    return row


def _export(case: Case, folder: Path, row: Row) -> None:
    from attnexport.export.engine.build import build_engine
    from attnexport.export.engine.config import EngineOptions
    from attnexport.export.engine.flavour import find_flavour
    from attnexport.export.options import read_options
    from attnexport.export.pipeline import run
    from attnexport.export.progress import Silent

    reporter = Silent()
    options = read_options(
        factory=case.factory, random_weights=True, kwargs=json.dumps(case.kwargs), inputs=case.inputs, dynamic=case.dynamic,
        trt="rtx", precision="auto", gate=2.0, out=folder / "model.attn", keep_failed=True,
    )  # fmt: skip
    result = run(options, reporter)
    manifest = result.manifest
    row.parameters = _parameters(case)
    row.nodes = sum(manifest.operators[FP32].values())
    row.batch = any(axis.dynamic for spec in manifest.inputs for axis in spec.axes)
    row.found = ", ".join(sorted({rewrite.found for rewrite in manifest.rewrites if rewrite.found}))
    row.ratio32, row.ratio16 = (_ratio(manifest, file) for file in (FP32, FP16))
    row.layers16 = len(manifest.engines[0].layers) if manifest.engines else 0
    if result.failures:
        row.failed, row.reason = "gate", "; ".join(result.failures)
        return
    if not row.batch:
        row.failed, row.reason = "batch", next((n for n in manifest.notes if "fixed shapes" in n), "the batch is fixed")
        return
    row.failed = "engine FP32"
    engine = build_engine(
        folder / "model.attn" / FP32, manifest.inputs, find_flavour("rtx"), EngineOptions(), {}, reporter
    )
    row.layers32, row.failed = len(engine.layers), ""


def _ratio(manifest: Any, file: str) -> float | None:
    ratios = [record.gate.ratio for record in manifest.parity if record.file == file]
    return max(ratios, default=None)


def _parameters(case: Case) -> int:
    from attnexport.export.source.factory import from_factory

    return sum(p.numel() for p in from_factory(case.factory, case.kwargs).parameters())


def to_json(row: Row) -> dict[str, Any]:
    """A plain dictionary."""
    return asdict(row)


def plain(text: str) -> str:
    """A reason for a table: one line, without bars."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
