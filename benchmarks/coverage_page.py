"""docs/coverage.md from the rows that were measured."""

from __future__ import annotations

from collections.abc import Sequence

from attnexport.benchmarks.coverage_measure import Row, plain


def page(rows: Sequence[Row], unmeasured: Sequence[str] = ()) -> str:
    """The page: what was asked of each, how many passed, a table of all, what stopped the others, and what was not measured."""
    passed = [row for row in rows if row.passed]
    failed = [row for row in rows if not row.passed]
    packages = sorted({row.package for row in passed}, key=str.lower)
    lines = [
        "# Third-party architectures",
        "",
        f"{len(passed)} of {len(rows)} architectures of {len(packages)} packages export with a free batch, pass every gate, and build a "
        "TensorRT-RTX engine in FP32 and in FP16.",
        "Small configurations, random weights (seed 0), nothing in a module changed. `python -m attnexport.benchmarks.coverage` measures",
        "this page again, for the packages that are installed; `make sweep` holds those that passed to it.",
        "",
        "*FP32* and *FP16* are the largest error of any output against the original in FP64, as a multiple of the error that PyTorch",
        "itself makes at that precision, over random inputs of the smallest, usual and largest batch; the gate is 2. *layers*:",
        "of the FP32 and of the FP16 engine. *found*: local attention that was recognised. 0.00x is exact: a recurrent layer that",
        "stays FP32, or a head of zeros, as torchvision's VisionTransformer begins with, behind which no error is seen.",
        "",
        "| package | architecture | parameters | nodes | FP32 | FP16 | layers | found |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in passed),
        "",
    ]
    if failed:
        lines += ["## What stands in the way", "", "| package | architecture | stage | reason |", "|---|---|---|---|"]
        lines += [f"| {r.package} | {r.name} | {r.failed or 'engine'} | {plain(r.reason)} |" for r in failed] + [""]
    if unmeasured:
        said = f"{len(unmeasured)} more are in the table of `benchmarks/coverage_cases.py`, and nothing is known of them yet:"
        lines += ["## Not measured", "", said, "", ", ".join(unmeasured) + ".", ""]
    versions = {row.package: row.version for row in rows if row.version}
    lines += ["## Versions", "", ", ".join(f"{name} {number}" for name, number in sorted(versions.items())) + ".", ""]
    return "\n".join(lines)


def _row(row: Row) -> str:
    ratios = [f"{ratio:.2f}x" if ratio is not None else "" for ratio in (row.ratio32, row.ratio16)]
    size = f"{row.parameters / 1e6:.1f} M" if row.parameters >= 1e5 else f"{row.parameters / 1e3:.0f} k"
    layers = f"{row.layers32}, {row.layers16}"
    return " | ".join((f"| {row.package}", row.name, size, str(row.nodes), *ratios, layers, f"{row.found} |"))
