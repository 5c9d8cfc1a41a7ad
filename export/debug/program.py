"""The traced program of a network in FP64, node by node: the original's own steps, under the names that the graph's tensors have.

torch.onnx names a graph's tensors after the nodes of the program that it translates, so each tensor that the stages
left its name is held against the step of PyTorch that it stands for. Weights are widened where a step reads them, one
step at a time, and what no later step reads is let go: no more is held than the network's live activations.
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
    """The tensors of a traced program; ``inputs`` and ``outputs`` are the names of the graph's, in its order."""

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
        """See :class:`Side`. Raises StageError where a step has no FP64 form."""
        wanted = {
            node: [name for name in known if name in names]
            for node, known in self._aliases.items()
            if any(name in names for name in known)
        }

        def visit(node: str, value: torch.Tensor) -> None:
            for name in wanted.get(node, ()):
                see(name, value.detach().numpy())

        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with torch.no_grad(), quiet():
                _Wide(self._program.graph_module, visit).run(*self._arguments(), enable_io_processing=False)
        except Exception as error:
            raise StageError("debug", f"the traced program has no FP64 form: {first_line(error)}") from error
        finally:
            torch.set_default_dtype(before)

    def _arguments(self) -> list[Any]:
        program = self._program
        held = {**program.constants, **program.state_dict}
        given = iter(self._inputs)
        found: list[Any] = []
        for spec in program.graph_signature.input_specs:
            if isinstance(spec.arg, ConstantArgument):
                found.append(spec.arg.value)
            elif spec.kind is InputKind.USER_INPUT:
                found.append(torch.from_numpy(np.ascontiguousarray(self._feeds[next(given)])).clone())
            else:
                found.append(held[str(spec.target)])
        return found


class _Wide(torch.fx.Interpreter):
    """Every float is FP64 where it is computed with, and so is every float type that a step asks for."""

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
    """For each node that gives tensors, the names that they may have in the graph."""
    found: dict[str, list[str]] = {}
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            found[node.name] = [node.name]
        elif isinstance(value, (tuple, list)):
            parts = [f"{node.name}__{i}" for i, part in enumerate(value) if isinstance(part, torch.Tensor)]
            found.update({part: [part] for part in parts})
    own = [s.arg.name for s in program.graph_signature.output_specs if s.kind is OutputKind.USER_OUTPUT]
    for node, name in zip(own, outputs, strict=False):
        if node in found and name not in found[node]:
            found[node].append(name)
    return found
