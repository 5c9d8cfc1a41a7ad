"""Sampling and movement layers as lowered, beside the plain torch.onnx export of the same module and PyTorch itself.

``python benchmarks/sampling.py [--out FOLDER] [--rounds N]``. Interleaved rounds in one process on two threads; the figure is the ratio of
the medians, since a shared machine's absolute times mean little. The plain export is torch.onnx's own (dynamo), with its defaults and a
dynamic batch; where it cannot be made, that is what is written. Every contender's output is held to the module in FP64 first.
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
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.lower import lower
from attnexport.export.quiet import quiet
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

Function = Callable[..., torch.Tensor]
TARGETS = ("ort", "tensorrt")
THREADS = 2
NOT_EXPORTED = "cannot be exported"


class Layer(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """x and a second input: a grid, a transform, or a scale."""
        return self.function(x, second)


def sample(mode: str, padding: str = "zeros") -> Function:
    """F.grid_sample of x at a grid."""
    return lambda x, grid: F.grid_sample(x, grid, mode, padding, align_corners=False)


def transformer(x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """A spatial transformer's sampling: affine_grid, then grid_sample."""
    grid = F.affine_grid(theta, [x.shape[0], x.shape[1], x.shape[2], x.shape[3]], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def fold(size: int, kernel: int, stride: int, padding: int) -> Function:
    """F.fold of x."""
    return lambda x, scale: F.fold(x * scale, (size, size), kernel, 1, padding, stride)


def scaled(function: Function) -> Function:
    """A function of x times the second input, so that no export can fold it away."""
    return lambda x, scale: function(x * scale)


ONE = (1,)
# name -> (function, shape of x without the batch, shape of the second input without the batch, its range)
LAYERS: dict[str, tuple[Function, tuple[int, ...], tuple[int, ...], float]] = {
    "grid_sample bilinear 64x56x56": (sample("bilinear"), (64, 56, 56), (56, 56, 2), 1.1),
    "grid_sample bilinear border 16x224x224": (sample("bilinear", "border"), (16, 224, 224), (224, 224, 2), 1.1),
    "grid_sample nearest 64x56x56": (sample("nearest"), (64, 56, 56), (56, 56, 2), 1.1),
    "grid_sample bicubic 64x56x56": (sample("bicubic"), (64, 56, 56), (56, 56, 2), 1.1),
    "grid_sample bilinear 32x50x50, 900x4 points": (sample("bilinear"), (32, 50, 50), (900, 4, 2), 1.1),
    "grid_sample trilinear 32x16x16x16": (sample("bilinear"), (32, 16, 16, 16), (16, 16, 16, 3), 1.1),
    "grid_sample nearest 32x16x16x16": (sample("nearest", "border"), (32, 16, 16, 16), (16, 16, 16, 3), 1.1),
    "affine_grid + grid_sample 1x28x28": (transformer, (1, 28, 28), (2, 3), 1.0),
    "affine_grid + grid_sample 3x224x224": (transformer, (3, 224, 224), (2, 3), 1.0),
    "fold k=3 64x56x56": (fold(56, 3, 1, 1), (64 * 9, 56 * 56), (1, 1), 1.0),
    "fold k=7 32x28x28": (fold(28, 7, 1, 3), (32 * 49, 28 * 28), (1, 1), 1.0),
    "fold k=3 stride 2 192x28x28 (outlook)": (fold(28, 3, 2, 1), (192 * 9, 14 * 14), (1, 1), 1.0),
    "fold k=4 stride 4 32x112x112": (fold(112, 4, 4, 0), (32 * 16, 28 * 28), (1, 1), 1.0),
    "unfold k=14 stride 8 64x56x56 (halo)": (
        scaled(lambda x: F.unfold(x, 14, padding=3, stride=8)), (64, 56, 56), (1, 1, 1), 1.0,
    ),
    "adaptive_avg_pool2d 256x10x10 to 7x7": (scaled(partial(F.adaptive_avg_pool2d, output_size=7)), (256, 10, 10), (1, 1, 1), 1.0),
    "adaptive_avg_pool2d 64x56x56 to 6x6": (scaled(partial(F.adaptive_avg_pool2d, output_size=6)), (64, 56, 56), (1, 1, 1), 1.0),
    "adaptive_avg_pool3d 32x10x14x14 to 4x5x5": (
        scaled(partial(F.adaptive_avg_pool3d, output_size=(4, 5, 5))), (32, 10, 14, 14), (1, 1, 1, 1), 1.0,
    ),
    "adaptive_max_pool2d 64x56x56 to 6x6": (scaled(partial(F.adaptive_max_pool2d, output_size=6)), (64, 56, 56), (1, 1, 1), 1.0),
    "roll (3, 3) 56x56x96 (Swin)": (scaled(lambda x: torch.roll(x, (-3, -3), (1, 2))), (56, 56, 96), (1, 1, 1), 1.0),
    "pixel_unshuffle 2 64x56x56": (scaled(partial(F.pixel_unshuffle, downscale_factor=2)), (64, 56, 56), (1, 1, 1), 1.0),
}  # fmt: skip


def feeds(name: str, batch: int) -> dict[str, np.ndarray]:
    """Seeded inputs."""
    _, shape, second, reach = LAYERS[name]
    rng = np.random.default_rng(0)
    x, other = rng.standard_normal((batch, *shape)), reach * rng.uniform(-1, 1, (batch, *second))
    return {"x": x.astype(np.float32), "second": other.astype(np.float32)}


def lowered(module: nn.Module, name: str) -> tuple[OrtSession, list[str]]:
    """The captured and lowered model, and which forms were chosen."""
    given = feeds(name, 2)
    batch = Axis(1, 2, 16, "batch")
    specs = tuple(
        TensorSpec(key, "float32", (batch, *map(Axis.fixed, value.shape[1:]))) for key, value in given.items()
    )
    program = export_program(module, specs, [torch.from_numpy(value) for value in given.values()])
    result = lower(to_onnx(program, specs, ["y"]).model, TARGETS)
    return OrtSession(result.model.SerializeToString(), threads=THREADS), [entry.lowering for entry in result.applied]


def plain(module: nn.Module, name: str) -> OrtSession | None:
    """The plain export; None where torch.onnx cannot make it, or ONNX Runtime cannot load it."""
    given = feeds(name, 2)
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "plain.onnx"
        batch = torch.export.Dim("batch", min=1, max=16)
        try:
            torch.onnx.export(
                module, tuple(torch.from_numpy(value) for value in given.values()), path, dynamo=True, verbose=False,
                dynamic_shapes=({0: batch}, {0: batch}), external_data=False,
                input_names=list(given), output_names=["y"],
            )  # fmt: skip
            return OrtSession(path, threads=THREADS)
        except Exception:  # whatever it is, there is no plain export to compare with
            return None


def timed(call: Callable[[], object]) -> float:
    """Wall milliseconds of one call."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def race(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, after two rounds of warm-up, the order changing from round to round."""
    times: dict[str, list[float]] = {key: [] for key in calls}
    for number in range(rounds + 2):
        for key in list(calls) if number % 2 else reversed(calls):
            took = timed(calls[key])
            if number >= 2:
                times[key].append(took)
    return {key: statistics.median(values) for key, values in times.items()}


def check(name: str, result: np.ndarray, truth: np.ndarray) -> None:
    """Hold an output to FP64; of a nearest sample a few points may lie on the other side of a tie in FP32."""
    wrong = ~np.isclose(result, truth, rtol=1e-3, atol=1e-3)
    assert wrong.mean() <= (1e-3 if "nearest" in name else 0.0), f"{name}: {wrong.mean():.2%} of the values are wrong"


def measure(name: str, batches: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """One layer: a row for each batch."""
    module = Layer(LAYERS[name][0]).eval()
    ours, forms = lowered(module, name)
    theirs = plain(module, name)
    rows = []
    for batch in batches:
        given = feeds(name, batch)
        tensors = [torch.from_numpy(value) for value in given.values()]
        with torch.no_grad():
            truth = module(*(tensor.double() for tensor in tensors)).numpy()
            check(name, ours.run(given)["y"], truth)
            calls: dict[str, Callable[[], object]] = {
                "lowered": partial(ours.run, given),
                "eager": partial(module, *tensors),
            }
            if theirs is not None:
                check(name, theirs.run(given)["y"], truth)
                calls["plain"] = partial(theirs.run, given)
            took = race(calls, rounds)
        rows.append(
            {
                "layer": name, "batch": batch, "forms": forms, "lowered_ms": took["lowered"], "eager_ms": took["eager"],
                "plain_ms": took.get("plain", NOT_EXPORTED), "against_eager": took["eager"] / took["lowered"],
                "against_plain": took["plain"] / took["lowered"] if "plain" in took else NOT_EXPORTED,
            }
        )  # fmt: skip
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Bars of the ratios at batch 1, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [row for row in rows if row["batch"] == rows[0]["batch"]][::-1]
    places = np.arange(len(shown))
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(shown) + 1.2), layout="constrained")
    against = [row["against_plain"] if isinstance(row["against_plain"], float) else np.nan for row in shown]
    axes.barh(places + 0.2, against, 0.38, label="plain torch.onnx export", color="#3b6ea5")
    axes.barh(places - 0.2, [row["against_eager"] for row in shown], 0.38, label="PyTorch eager", color="#c9a227")
    for place, ratio in zip(places, against, strict=True):
        if np.isnan(ratio):
            axes.text(1.05, place + 0.2, NOT_EXPORTED, va="center", fontsize=7, color="#3b6ea5")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="times as fast, lowered model on ONNX Runtime CPU", yticks=places)
    axes.set_yticklabels([row["layer"] for row in shown], fontsize=8)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print a table, write JSON and PNG."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--out", type=Path)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--only", default="", help="layers whose name holds this text")
    chosen = arguments.parse_args()
    torch.set_num_threads(THREADS)
    table = Table("layer", "batch", "lowered ms", "against plain", "against eager", box=None)
    rows = []
    for name in LAYERS:
        if chosen.only in name:
            rows += measure(name, (1, 8), chosen.rounds)
    for row in rows:
        ratio = row["against_plain"]
        said = f"{ratio:.2f}x" if isinstance(ratio, float) else str(ratio)
        table.add_row(row["layer"], str(row["batch"]), f"{row['lowered_ms']:.2f}", said, f"{row['against_eager']:.2f}x")
    Console().print(table)
    if chosen.out is not None:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "sampling.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        draw(rows, chosen.out / "sampling.png")


if __name__ == "__main__":
    main()
