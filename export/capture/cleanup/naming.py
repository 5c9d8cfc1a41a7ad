"""Names that lead back: every node becomes ``<module path>/<op>[_n]``, and a table says which class and source line made it.

A node of the traced program leads back by its metadata.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import onnx_ir as ir
import torch

from ...graph.origin import Origin, Origins

_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_TRACE = "pkg.torch.onnx.stack_trace"
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
# Frames of these are the machinery under the user's line, never the line itself.
_MACHINERY = ("torch", "onnxscript", "onnx_ir")


def name_nodes(model: ir.Model) -> Origins:
    """Rename all nodes, also those in the bodies of If and Loop; returns the origin of each new name."""
    origins: Origins = {}
    used: Counter[str] = Counter()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        module, kind = _module(node)
        base = f"{module or 'root'}/{node.op_type}"
        used[base] += 1
        node.name = base if used[base] == 1 else f"{base}_{used[base]}"
        origins[node.name] = Origin(module, kind, _source(node.metadata_props.get(_TRACE, "")))
    return origins


def _module(node: ir.Node) -> tuple[str, str]:
    scopes, classes = (_strings(node.metadata_props.get(key)) for key in (_SCOPES, _CLASSES))
    modules = zip(scopes[:-1], classes[:-1], strict=False)
    named = [(scope, kind) for scope, kind in modules if not scope.startswith("_empty_nn_module_stack")]
    scope, kind = named[-1] if named else ("", "")
    return scope, kind.rpartition(".")[2]


def _strings(text: str | None) -> list[str]:
    try:
        value = ast.literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        return []
    return [str(v) for v in value] if isinstance(value, list) else []


def _source(trace: str) -> str:
    for file, line in reversed(_FRAME.findall(trace)):
        short = short_path(file)
        if not short.startswith(tuple(f"{m}/" for m in _MACHINERY)):
            return f"{short}:{line}"
    return ""


def short_path(file: str) -> str:
    """A path as a reader on another machine can use it: from the import root or working folder down, never absolute."""
    path = Path(file)
    return _below_a_root(path, (*sys.path, str(Path.cwd()))) if path.is_absolute() else path.as_posix()


@lru_cache(maxsize=4096)  # every node of a traced program has the same few files in its stack
def _below_a_root(path: Path, entries: tuple[str, ...]) -> str:
    # The deepest: a virtual environment may lie inside the working folder or the package's own.
    roots = _roots(entries)
    best = max((r for r in roots if r.parent != r and path.is_relative_to(r)), key=lambda r: len(r.parts), default=None)
    return path.name if best is None else roots[best] + path.relative_to(best).as_posix()


@lru_cache(maxsize=4)
def _roots(entries: tuple[str, ...]) -> Mapping[Path, str]:
    """Return the folders where imports begin, the working folder last, and the prefix of each in a short path."""
    package = Path(__file__).resolve().parents[3]
    return {**{Path(entry).resolve(): "" for entry in entries if Path(entry).is_dir()}, package: "attnexport/"}


def node_origin(node: torch.fx.Node) -> Origin:
    """The module that made a traced node, its class, and the innermost source line outside of torch."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    kind = kind if isinstance(kind, str) else kind.__name__
    return Origin(path, kind.rpartition(".")[2], _source(node.meta.get("stack_trace") or ""))


def describe_node(node: torch.fx.Node) -> str:
    """``module 'layer1.0.attn' (SpatialGate) at models/attention/cbam.py:41``."""
    return node_origin(node).describe()
