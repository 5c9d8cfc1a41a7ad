"""A target that does not exist: one file with its entry, and one matrix beside it."""

from __future__ import annotations

from pathlib import Path

from attnexport.export.targets import Target

TARGET = Target(
    "npu-1",
    "ort",
    "the made-up NPU",
    half=False,
    providers=("CPUExecutionProvider",),
    aliases=("npu",),
    matrix=Path(__file__).with_name("npu.json"),
)
