"""The reference tensors of a stage: the steps of the traced program in FP64, or the outputs of the modules.

torch.onnx names a graph's tensors after the nodes of the program, so each tensor that keeps its name through the stages is
compared with its PyTorch step. A step widens the weights that it reads, and values without a later reader are freed: only the
live activations are in memory.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.utils import _pytree as pytree

from ...errors import StageError, first_line
from ...runtime.bundle.figures import rounding_floor
from ..quiet import quiet
from ..reference.onnx_model import OnnxOriginal
from ..reference.torch_model import TorchOriginal
from ..source import CapturedModel
from ..verify.sides import ModuleSide, OnnxSide, Side, Visit
from .sweep import difference

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ReferenceTensors:
    """The reference side of one case with its description and notes."""

    side: Side
    text: str
    notes: tuple[str, ...] = ()


class OriginalTensors:
    """Choose the reference side of a case. The captured graph is not kept."""

    def __init__(self, captured_model: CapturedModel) -> None:
        self._original = captured_model.original
        self._program = captured_model.captured.program
        self._outputs = captured_model.output_names
        self._inputs = tuple(spec.name for spec in captured_model.inputs)
        captured, self._modules = captured_model.captured, None
        if isinstance(self._original, TorchOriginal):
            self._modules = ModuleSide(self._original, captured.model, captured.origins, {})

    def of(self, feeds: Arrays, reference: Arrays) -> ReferenceTensors | None:
        """Return the traced program's steps if they give the module's outputs, else the outputs of the modules.

        ``reference``: the original's outputs in FP64. None for an original with only its outputs.
        """
        if isinstance(self._original, OnnxOriginal):
            return ReferenceTensors(OnnxSide(self._original, feeds), "the nodes of the file's graph in FP64")
        note = ""
        if self._program is not None:
            side = ProgramSide(self._program, self._inputs, self._outputs, feeds)
            try:
                note = self._differs(side, reference)
            except StageError as error:
                note = f"{error.problem}; the outputs of its modules are compared instead"
            if not note:
                text = "the steps of the traced program in FP64, whose outputs equal the module's"
                return ReferenceTensors(side, text)
        if self._modules is None:
            return None
        return ReferenceTensors(self._modules.on(feeds), "the outputs of the modules in FP64", (note,) if note else ())

    def _differs(self, side: Side, reference: Arrays) -> str:
        worst: dict[str, float] = {}

        def see(name: str, array: np.ndarray) -> None:
            figures = difference(array, reference[name])
            worst[name] = figures.relative if figures is not None else float("inf")

        side.stream([name for name in reference if name in side.names], see)
        for name, relative in worst.items():
            if not relative <= rounding_floor("float32", 1.0):
                return (
                    f"tracing changed the network: output {name!r} of the traced program differs from the module's by "
                    f"{relative:.1e} in FP64; the outputs of its modules are compared instead"
                )
        return ""


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
