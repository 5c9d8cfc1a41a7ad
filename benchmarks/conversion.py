"""What a conversion to FP16 or BF16 takes: CPU seconds and peak memory, for a model of a given size.

    python -m attnexport.benchmarks.conversion --megabytes 350 --precision fp16

The model is a chain of 2048x2048 layers with random weights. Each run is a process of its own, so that the peak is of one
conversion; it counts the FP32 model itself, which the caller holds too.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from attnexport.export.precision import convert, half_type

WIDTH = 2048


@dataclass(frozen=True)
class Cost:
    """One conversion. ``peak_gb``: of the whole process, in 10^9 bytes; ``built_gb``: before the conversion began."""

    megabytes: int
    precision: str
    cpu_seconds: float
    built_gb: float
    peak_gb: float
    half_nodes: int


def chain(megabytes: int) -> ModelProto:
    """A model with FP32 weights of at least ``megabytes`` * 10^6 bytes."""
    layers = -(-megabytes * 10**6 // (4 * WIDTH * WIDTH))
    rng = np.random.default_rng(0)
    nodes, weights, name = [], [], "x"
    for i in range(layers):
        scaled = rng.standard_normal((WIDTH, WIDTH), dtype=np.float32) / np.float32(WIDTH**0.5)
        weights.append(numpy_helper.from_array(scaled, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{i}"], [f"m{i}"], name=f"m{i}"))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [f"r{i}"], name=f"r{i}"))
        name = f"r{i}"
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", WIDTH]) for end in ("x", name)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def peak_gb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def convert_here(megabytes: int, precision: str) -> Cost:
    """Build and convert in this process."""
    model = chain(megabytes)
    built, started = peak_gb(), time.process_time()
    result = convert(model, precision=half_type(precision).name)
    return Cost(megabytes, precision, time.process_time() - started, built, peak_gb(), result.counts.half_nodes)


def measure(megabytes: int, precision: str) -> Cost:
    """Build and convert in a process of its own."""
    command = [sys.executable, "-m", "attnexport.benchmarks.conversion", "--here", "--json"]
    command += ["--megabytes", str(megabytes), "--precision", precision]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Cost(**json.loads(done.stdout))


def main() -> None:
    """Print one line, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=350)
    parser.add_argument("--precision", choices=["fp16", "bf16"], default="fp16")
    parser.add_argument("--here", action="store_true", help="in this process")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cost = (convert_here if given.here else measure)(given.megabytes, given.precision)
    if given.json:
        print(json.dumps(asdict(cost)))
        return
    print(
        f"{cost.megabytes} MB to {half_type(cost.precision).title}: {cost.cpu_seconds:.1f} CPU s, peak {cost.peak_gb:.2f} GB "
        f"({cost.built_gb:.2f} GB before)"
    )


if __name__ == "__main__":
    main()
