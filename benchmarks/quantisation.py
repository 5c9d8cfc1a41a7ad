"""INT8 and FP8 of the digits networks, beside FP16: size, error, accuracy, by the way in which ranges are found.

    python -m attnexport.benchmarks.quantisation [--json FILE] [--doc docs/benchmarks.md]

Each row is an export with --samples of 360 real digits; error and accuracy are its own report's, under emulation. Error is
the rms of the samples' logits against the original in FP64, as a part of their rms, and as a multiple of PyTorch's own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attnexport.benchmarks.marks import put
from attnexport.export.options import ExportOptions
from attnexport.export.pipeline import run
from attnexport.runtime.bundle.bundle import StoredBundle

EXAMPLES = Path(__file__).parents[1] / "examples"
NETWORKS = ("digits_stn_cbam", "digits_sasa", "digits_lrnet")
FORMS = (
    ("fp16", "auto"),
    *((precision, method) for precision in ("int8", "fp8") for method in ("minmax", "percentile", "auto")),
)
BEGIN, END = "<!-- quantisation.json -->", "<!-- end -->"


@dataclass(frozen=True)
class Row:
    """One export. ``size`` in bytes of the model file, ``seconds`` of the stage that makes it."""

    network: str
    precision: str
    method: str
    size: int
    layers: int
    relative: float
    ratio: float
    accuracy: float
    original: float
    seconds: float
    passed: bool


def measure(network: str, precision: str, method: str) -> Row:
    """Export, and read the bundle."""
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {
            "model": EXAMPLES / f"{network}.pt",
            "samples": EXAMPLES / "digits_samples.npz",
            "out": Path(folder) / "out.attn",
            "precision": precision,
            "calibration": method,
            "keep_failed": True,
        }
        started = time.perf_counter()
        made = run(ExportOptions(**options))
        taken = time.perf_counter() - started
        assert made.bundle is not None, made.failures
        bundle = StoredBundle.open(made.bundle)
        manifest = bundle.manifest
        stages = {stage.name: stage.seconds for stage in manifest.stages}
        record = next(one for one in manifest.parity if one.stage == f"emulated-{precision}")
        real, top = record.detail["parts"]["samples"], record.detail["top1"]
        # The gate's floor is half an ulp of FP16 at the rms of the truth.
        relative = real["ratio"] * real["torch_rms"] / (real["floor"] * 2**11)
        return Row(
            network, precision, method, manifest.files[f"model.{precision}.onnx"].bytes,
            manifest.precision.counts.get("quantised", 0), relative, real["ratio"],
            top["accuracy"], top["original_accuracy"], stages.get(precision, taken),
            record.gate.passed,
        )  # fmt: skip


def table(rows: list[Row]) -> str:
    """The table of docs/benchmarks.md."""
    lines = [
        "| network | precision, ranges | file | layers in 8 bits | error | x PyTorch's | accuracy, original's | stage |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ranges = "" if row.precision == "fp16" else f", {row.method}"
        lines.append(
            f"| {row.network} | {row.precision}{ranges} | {row.size / 1e3:.0f} kB | {row.layers or '-'} | {row.relative:.2%} | "
            f"{row.ratio:.2f}{' (refused)' if not row.passed else ''} | {row.accuracy:.1%}, {row.original:.1%} | {row.seconds:.1f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure every network in every form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="keep the rows here")
    parser.add_argument("--doc", type=Path, help="write the table between the marks of this file")
    given = parser.parse_args()
    rows = []
    for network in NETWORKS:
        for precision, method in FORMS:
            rows.append(measure(network, precision, method))
            print(table(rows).splitlines()[-1], flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if given.doc is not None:
        put(given.doc, table(rows), BEGIN, END)


if __name__ == "__main__":
    main()
