"""Where a traced node comes from, in words."""

from __future__ import annotations

import re

import torch

from ...graph.origin import Origin
from .naming import short_path


def node_origin(node: torch.fx.Node) -> Origin:
    """The module that made a traced node, its class, and the innermost source line outside of torch."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    kind = kind if isinstance(kind, str) else kind.__name__
    frames = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [f"{short_path(file)}:{line}" for file, line in frames if not short_path(file).startswith("torch/")]
    return Origin(path, kind.rpartition(".")[2], own[-1] if own else "")


def describe_node(node: torch.fx.Node) -> str:
    """``module 'layer1.0.attn' (SpatialGate) at models/attention/cbam.py:41``."""
    return node_origin(node).describe()
