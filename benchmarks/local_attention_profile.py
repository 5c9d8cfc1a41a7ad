"""Where the time goes: this machine's sgemm rate, and a model's nodes by ONNX Runtime's own profiler."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor

from attnexport.benchmarks.local_attention_measure import THREADS

SGEMM_SIZE = 768
SGEMM_FLOPS = 2 * SGEMM_SIZE**3


def sgemm() -> Callable[[], Tensor]:
    """A call that multiplies two square FP32 matrices; it takes part in the rounds like a contender, so that its rate is of that minute."""
    a, b = torch.randn(2, SGEMM_SIZE, SGEMM_SIZE).unbind()
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def time_by_operator(model: onnx.ModelProto, x: Tensor, runs: int = 5) -> dict[str, float]:
    """Each operator's share of the time inside nodes, largest first, over ``runs`` runs after two of warm-up."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 4
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "nodes")
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feeds = {session.get_inputs()[0].name: x.numpy()}
        for _ in range(runs + 2):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return shares(events, skip=2)


def shares(events: list[dict[str, object]], skip: int) -> dict[str, float]:
    """Sum the profiler's node events by operator, leaving out each node's first ``skip`` runs."""
    seen: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    for event in events:
        name = str(event["name"])
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        seen[name] += 1
        if seen[name] > skip:
            arguments = event["args"]
            assert isinstance(arguments, dict)
            spent[str(arguments["op_name"])] += int(str(event["dur"]))
    total = sum(spent.values()) or 1
    return {op: duration / total for op, duration in spent.most_common()}
