"""The lowered models beside the plain torch.onnx export of the same module, on ONNX Runtime's CPU provider.

``python benchmarks/plain_export.py [--out FOLDER] [--rounds N]``. Interleaved rounds in one process; the figure is the ratio of the
medians, since a shared machine's absolute times mean little. The plain export is torch.onnx's own, with its defaults.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program, trace_sizes
from attnexport.export.progress import Silent
from attnexport.export.quiet import quiet
from attnexport.export.source import SourceOptions, TorchSource, load
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.models.attention.stand_alone import StandAloneAttention
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DIGITS = ("digits_stn_cbam", "digits_sasa", "digits_lrnet")


def subjects() -> dict[str, tuple[nn.Module, tuple[TensorSpec, ...]]]:
    """The three trained networks, and one local attention layer of the size that the literature uses (64 channels, 56x56, k=7)."""
    found: dict[str, tuple[nn.Module, tuple[TensorSpec, ...]]] = {}
    for name in DIGITS:
        source = load(EXAMPLES / f"{name}.pt", SourceOptions())
        assert isinstance(source, TorchSource)
        found[name] = (source.module, source.inputs)
    torch.manual_seed(0)
    layer = StandAloneAttention(64, 64, kernel_size=7, heads=8).eval()
    spec = TensorSpec("x", "float32", (Axis(1, 4, 16, "batch"), Axis.fixed(64), Axis.fixed(56), Axis.fixed(56)))
    found["sasa layer 64x56x56, k=7"] = (layer, (spec,))
    return found


def sessions(module: nn.Module, specs: tuple[TensorSpec, ...]) -> tuple[OrtSession, OrtSession]:
    """The plain export and the lowered one."""
    feeds = [torch.from_numpy(a) for a in random_feeds(specs, trace_sizes(specs)).values()]
    captured = to_onnx(export_program(module, specs, feeds), specs, ["y"])
    lowered = lower_for(find_windows(captured.model), Plan("ort-cpu", None), specs, False, Silent())[0].model
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "plain.onnx"
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        torch.onnx.export(
            module, tuple(feeds), path, dynamo=True, verbose=False, dynamic_shapes=shapes, external_data=False,
            input_names=["x"], output_names=["y"],
        )  # fmt: skip
        return OrtSession(path, threads=2), OrtSession(lowered.SerializeToString(), threads=2)


def timed(call: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(plain: OrtSession, ours: OrtSession, feeds: dict[str, np.ndarray], rounds: int) -> tuple[float, float]:
    """Median seconds of each, after two rounds of warm-up, the order changing from round to round."""
    times: tuple[list[float], list[float]] = ([], [])
    pair = (plain, ours)
    for i in range(rounds + 2):
        for which in (0, 1) if i % 2 else (1, 0):
            took = timed(partial(pair[which].run, feeds))
            if i >= 2:
                times[which].append(took)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Measure, print a table, write JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--out", type=Path)
    arguments.add_argument("--rounds", type=int, default=15)
    chosen = arguments.parse_args()
    table = Table("model", "batch", "plain ms", "lowered ms", "times faster", box=None)
    rows = []
    for name, (module, specs) in subjects().items():
        plain, ours = sessions(module, specs)
        for batch in (1, 8):
            feeds = random_feeds(specs, {"batch": batch})
            np.testing.assert_allclose(ours.run(feeds)["y"], plain.run(feeds)["y"], rtol=1e-3, atol=1e-3)
            slow, fast = measure(plain, ours, feeds, chosen.rounds)
            rows.append(
                {"model": name, "batch": batch, "plain_ms": slow * 1e3, "lowered_ms": fast * 1e3, "ratio": slow / fast}
            )
            table.add_row(name, str(batch), f"{slow * 1e3:.2f}", f"{fast * 1e3:.2f}", f"{slow / fast:.2f}x")
    Console().print(table)
    if chosen.out is not None:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "plain_export.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
