"""What is called of TensorRT is there in 10.3.0, the version of JetPack 6, which cannot run here.

``tensorrt-10.3.0.txt`` lists the names of TensorRT-RTX 1.7.1's Python interface that are words of the compiled bindings of TensorRT
10.3.0 (the wheel tensorrt-cu12-bindings, x86-64), or the end of one behind an underscore, since linkers keep one copy of a common end.
What is not in it is only for a library that has it.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

import attnexport

ROOT = Path(attnexport.__file__).parent
SESSIONS = ("lane.py", "tensorrt.py", "trt_library.py")
FILES = [*sorted((ROOT / "export" / "engine").glob("*.py")), *(ROOT / "runtime" / "sessions" / n for n in SESSIONS)]
THERE = frozenset((Path(__file__).parent / "tensorrt-10.3.0.txt").read_text().split())
NOT_THERE = {
    "a guess of its type: names of types that a later version has": {"FP4", "E8M0"},
    "engine statistics are asked for where an engine has them": {"EngineStat", "get_engine_stat", "TOTAL_WEIGHTS_SIZE"},
    "Attention layers are marked where there is such a layer": {
        "IAttentionInputLayer", "ATTENTION_INPUT", "attention", "decomposable",
    },
    "RTX: the GPUs that a plan is for": {
        "ComputeCapability", "CURRENT", "num_compute_capabilities", "set_compute_capability", "tensorrt_rtx",
    },
    "RTX: graphs of its own and kernels compiled at run time": {
        "CudaGraphStrategy", "WHOLE_GRAPH_CAPTURE", "cuda_graph_strategy", "create_runtime_config", "create_runtime_cache",
        "set_runtime_cache",
    },
}  # fmt: skip


def interface(module: Any) -> set[str]:
    """Every public name of a TensorRT: of the module, and of its classes."""
    found = {name for name in dir(module) if not name.startswith("_")}
    for name in tuple(found):
        if inspect.isclass(kind := getattr(module, name)):
            found |= {member for member in dir(kind) if not member.startswith("_")}
    return found


def used(file: Path) -> set[str]:
    """Attributes that a file asks for, and strings that may be names of some."""
    tree = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {
        node.attr if isinstance(node, ast.Attribute) else str(node.value)
        for node in tree
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    }


def test_every_name_that_is_used_is_there_or_is_asked_for_with_care(rtx: Any) -> None:
    names = interface(rtx.module)
    asked = {name for file in FILES for name in used(file)} & names
    assert len(asked) > 100, "the files do use TensorRT"
    assert asked - THERE == set().union(*NOT_THERE.values())


@pytest.mark.parametrize(
    "name", ["STRONGLY_TYPED", "get_device_memory_size_for_profile_v2", "create_timing_cache", "execute_async_v3", "IProgressMonitor"]
)  # fmt: skip
def test_what_an_edge_box_cannot_do_without_is_there(name: str) -> None:
    assert name in THERE
    assert any(name in file.read_text(encoding="utf-8") for file in FILES)
