"""Scaled dot-product attention on ONNX Runtime's CPU provider: MatMul-Softmax-MatMul, the operator Attention, and PyTorch.

``python benchmarks/sdpa.py [--out FILE.json] [--rounds N] [--threads N]``. Interleaved rounds in one process; the figures are the
fastest rounds, which a shared machine disturbs least. The ratio is the decomposed form's time over the other's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from onnx import ModelProto, TensorProto, helper
from rich.console import Console
from rich.table import Table

from attnexport.export.domain import DOMAIN, VERSION
from attnexport.export.lower import LOWERINGS, lower
from attnexport.runtime.sessions.ort import OrtSession

OPSET = 23


@dataclass(frozen=True)
class Shape:
    """What is attended to: ``keys`` by as many queries."""

    name: str
    batch: int
    heads: int
    keys: int
    size: int
    causal: bool = False


SHAPES = (
    Shape("ViT-B, 197 tokens", 1, 12, 197, 64),
    Shape("ViT-B, 197 tokens, batch 8", 8, 12, 197, 64),
    Shape("Swin windows of 7x7", 64, 4, 49, 32),
    Shape("1024 tokens", 1, 8, 1024, 64),
    Shape("1024 tokens, causal", 1, 8, 1024, 64, True),
    Shape("4096 tokens", 1, 4, 4096, 32),
    Shape("non-local, 56x56", 1, 1, 3136, 64),
)


def model(shape: Shape) -> ModelProto:
    """One Sdpa node."""
    dims = [shape.batch, shape.heads, shape.keys, shape.size]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in ("q", "k", "v", "y")]
    node = helper.make_node(
        "Sdpa", ["q", "k", "v"], ["y"], "sdpa", domain=DOMAIN, causal=int(shape.causal), groups=1, scale=shape.size**-0.5
    )  # fmt: skip
    graph = helper.make_graph([node], "sdpa", tensors[:3], tensors[3:])
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def contenders(shape: Shape, feeds: dict[str, np.ndarray], threads: int) -> dict[str, Callable[[], Any]]:
    """Each form as a function of nothing, after its first run was held to PyTorch in FP64."""
    q, k, v = (torch.from_numpy(value) for value in feeds.values())
    truth = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=shape.causal).numpy()
    found: dict[str, Callable[[], Any]] = {}
    for name in ("sdpa_decomposed", "sdpa_fused"):
        form = lower(model(shape), ["ort-cpu"], [rule for rule in LOWERINGS if rule.name == name])
        session = OrtSession(form.model.SerializeToString(), threads=threads, spin=False)
        np.testing.assert_allclose(session.run(feeds)["y"], truth, rtol=0, atol=1e-5)
        found[name] = partial(session.run, feeds)
    found["torch eager"] = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=shape.causal)
    return found


def measure(shape: Shape, rounds: int, threads: int) -> dict[str, Any]:
    """The fastest rounds in milliseconds, and the ratios to the decomposed form."""
    rng = np.random.default_rng(0)
    dims = (shape.batch, shape.heads, shape.keys, shape.size)
    feeds = {name: rng.standard_normal(dims).astype(np.float32) for name in "qkv"}
    times: dict[str, list[float]] = {}
    with torch.no_grad():
        runs = contenders(shape, feeds, threads)
        for number in range(rounds + 2):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if number >= 2:
                    times.setdefault(name, []).append(1e3 * (time.perf_counter() - start))
    fastest = {name: min(values) for name, values in times.items()}
    ratios = {name: round(fastest["sdpa_decomposed"] / value, 3) for name, value in fastest.items()}
    return {"shape": shape.name, "ms": {n: round(v, 3) for n, v in fastest.items()}, "decomposed_to": ratios}


def main() -> None:
    """Measure all shapes, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [measure(shape, arguments.rounds, arguments.threads) for shape in SHAPES]
    table = Table(box=None)
    for column in ("shape", "decomposed ms", "Attention ms", "torch ms", "Attention is faster by"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row["shape"], *(f"{ms:.2f}" for ms in row["ms"].values()), f"{row['decomposed_to']['sdpa_fused']:.2f}x"
        )
    Console(width=120).print(table)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
