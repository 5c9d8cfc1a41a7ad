"""Run the traced program of a network in FP64, node by node.

torch.onnx names a graph's tensors after the nodes of the program, so each tensor that keeps its name through the stages is
compared with its PyTorch step. A step widens the weights that it reads, and values without a later reader are freed: only the
live activations are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.utils import _pytree as pytree

from ...errors import StageError, first_line
from ..quiet import quiet
from ..verify.sides import Side, Visit

_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


class ProgramSide(Side):
    """The tensors of a traced program; ``inputs`` and ``outputs`` are those of the graph, in order."""

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        inputs: Sequence[str],
        outputs: Sequence[str],
        feeds: Mapping[str, np.ndarray],
    ) -> None:
        self._program, self._inputs, self._feeds = program, tuple(inputs), feeds
        self._aliases = _aliases(program, outputs)
        self.names = frozenset(name for names in self._aliases.values() for name in names)

    def stream(self, names: Collection[str], see: Visit) -> None:
        """See :class:`Side`. Raises StageError if a step cannot run in FP64."""
        requested = {node: [n for n in aliases if n in names] for node, aliases in self._aliases.items()}

        def visit(node: str, value: torch.Tensor) -> None:
            for name in requested.get(node, ()):
                see(name, value.detach().numpy())

        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with torch.no_grad(), quiet():
                _Wide(self._program.graph_module, visit).run(*self._arguments(), enable_io_processing=False)
        except Exception as error:
            raise StageError("debug", f"the traced program cannot run in FP64: {first_line(error)}") from error
        finally:
            torch.set_default_dtype(before)

    def _arguments(self) -> list[Any]:
        program = self._program
        stored = {**program.constants, **program.state_dict}
        inputs = iter(self._inputs)
        arguments: list[Any] = []
        for spec in program.graph_signature.input_specs:
            if isinstance(spec.arg, ConstantArgument):
                arguments.append(spec.arg.value)
            elif spec.kind is InputKind.USER_INPUT:
                arguments.append(torch.from_numpy(np.ascontiguousarray(self._feeds[next(inputs)])).clone())
            else:
                arguments.append(stored[str(spec.target)])
        return arguments


class _Wide(torch.fx.Interpreter):
    """Run each step with FP64 in place of every smaller float tensor and float type argument."""

    def __init__(self, module: torch.fx.GraphModule, visit: Callable[[str, torch.Tensor], None]) -> None:
        super().__init__(module)
        self._visit = visit

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().call_function(target, pytree.tree_map(_widened, args), pytree.tree_map(_widened, kwargs))

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function":
            if isinstance(result, torch.Tensor):
                self._visit(n.name, result)
            elif isinstance(result, (tuple, list)):
                for i, part in enumerate(result):
                    if isinstance(part, torch.Tensor):
                        self._visit(f"{n.name}__{i}", part)
        return result


def _widened(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return torch.float64 if value in _FLOATS else value
    if isinstance(value, torch.Tensor) and value.dtype in _FLOATS:
        return value.double()
    return value


def _aliases(program: torch.export.ExportedProgram, outputs: Sequence[str]) -> dict[str, list[str]]:
    """Return the names in the graph of each tensor of the program."""
    aliases: dict[str, list[str]] = {}
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            aliases[node.name] = [node.name]
        elif isinstance(value, (tuple, list)):
            parts = [f"{node.name}__{i}" for i, part in enumerate(value) if isinstance(part, torch.Tensor)]
            aliases.update({part: [part] for part in parts})
    results = [s.arg.name for s in program.graph_signature.output_specs if s.kind is OutputKind.USER_OUTPUT]
    for node, name in zip(results, outputs, strict=False):
        if node in aliases and name not in aliases[node]:
            aliases[node].append(name)
    return aliases
