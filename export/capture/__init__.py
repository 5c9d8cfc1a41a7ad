"""From a module to an ONNX graph in which the operators that torch.onnx would take apart are still whole.

``trace`` asks torch.export for the program, ``translate`` keeps our operators, ``clean`` folds constants, ``naming`` gives every
node a name that leads back to its PyTorch module.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..graph.origin import Origins
from ..graph.rewrites import Refusal, Rewrite

if TYPE_CHECKING:
    import onnx
    import torch


@dataclass(frozen=True)
class Captured:
    """A graph of standard operators and of the ``attnexport`` domain, opset 18, with the origin of its nodes.

    Input names are the specs'; dynamic axes carry the specs' symbols.
    """

    model: "onnx.ModelProto"
    origins: Origins
    kept: dict[str, int]
    """How many nodes of each domain operator the graph holds."""
    notes: tuple[str, ...] = ()
    """What the user should know of the graph, one line each."""
    raised: tuple[Rewrite, ...] | None = None
    """The windows that capture raised; None if the raise stage has to search for windows. A model that came as ONNX is
    raised here, before its other operators, and not again."""
    refused: tuple[Refusal, ...] = ()
    """The windows that capture did not raise, with reasons."""
    program: "torch.export.ExportedProgram | None" = field(default=None, repr=False, compare=False)
    """The traced program whose nodes the graph's tensors are named after; None for a model that came as ONNX."""
