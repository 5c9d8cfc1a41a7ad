"""The type of each tensor and node of the 16-bit model, set before the graph is rewired."""

from collections.abc import Mapping
from enum import Enum

from onnx import NodeProto, TensorProto

from .graph import GraphIndex, captured
from .halves import FP16, HalfType
from .operators import Slots, is_integer, moves_data

SINGLE: int = TensorProto.FLOAT


class Role(Enum):
    """The role of a node in the typing."""

    UNTOUCHED = "has no float32 data"
    SINGLE = "computes in FP32"
    HALF = "computes in the 16-bit type"
    FOLLOWS = "takes the type of its data"
    READS = "makes no float32 data and reads whichever type its data has"
    SOURCE = "makes float32 data of a type that its consumers choose"
    BODIES = "has FP32 inputs and outputs, and bodies whose nodes have types of their own"


def role_of(index: GraphIndex, node: NodeProto, slots: Slots, kept: bool) -> Role:
    """Return the role of a node. Nodes without a 16-bit form compute in FP32, as kept nodes do."""
    bodies = index.bodies.get(node.name, ())
    if bodies and not kept and all(body.typed for body in bodies):
        return Role.BODIES
    if node.op_type == "Constant":  # a sparse one
        return Role.UNTOUCHED
    if not index.touches_single(node):
        return Role.UNTOUCHED
    if kept or not slots.any_half:
        return Role.SINGLE
    makes_single = any(index.is_single(name) for name in node.output)
    if node.op_type == "Cast" and makes_single:
        return Role.SOURCE if is_integer(index.types[node.input[0]]) else Role.SINGLE
    if node.op_type == "ConstantOfShape":
        return Role.SOURCE
    if moves_data(node):
        return Role.FOLLOWS
    return Role.HALF if makes_single else Role.READS


class Typing:
    """The types of one conversion.

    ``stored`` is the type of each float32 tensor of the source model that is not a constant, ``compute`` the type of each
    node, ``roles`` the reason; ``half`` is the 16-bit type, ``io_type`` the type of inputs and outputs. ``bodies`` has the
    types of each body of a node: its inputs and outputs are FP32 (a loop carries its state in FP32, and the branches of
    an If agree), and it reads a captured tensor in the type that the tensor has ``outside``.
    """

    def __init__(
        self,
        index: GraphIndex,
        keep: frozenset[str],
        keep_io: bool,
        half: HalfType = FP16,
        outside: Mapping[str, int] | None = None,
    ) -> None:
        self.index, self.half = index, half
        self.io_type = SINGLE if keep_io else half.elem
        self.slots = {node.name: Slots(index, node, half) for node in index.nodes}
        self.roles = {n.name: role_of(index, n, self.slots[n.name], n.name in keep) for n in index.nodes}
        self.stored: dict[str, int] = {name: self.io_type for name in index.inputs if index.is_single(name)}
        self.stored.update(outside or {})
        self.compute: dict[str, int] = {}
        self.bodies: dict[str, tuple[Typing, ...]] = {}
        # Sparse constants are float32 tensors and are not converted.
        for sparse in index.model.graph.sparse_initializer:
            self.stored[sparse.values.name] = SINGLE
        wanted = self._wanted_single()
        for node in index.nodes:
            compute = self.compute[node.name] = self._compute_type(node, wanted)
            for position, name in enumerate(node.output):
                if index.is_single(name):
                    narrow = compute == half.elem and self.slots[node.name].output_half(position)
                    self.stored[name] = half.elem if narrow else SINGLE
            if self.roles[node.name] is Role.BODIES:
                self.bodies[node.name] = tuple(self._body(body, keep) for body in index.bodies[node.name])

    def _body(self, body: GraphIndex, keep: frozenset[str]) -> "Typing":
        outside = {name: self.stored[name] for name in body.enclosing.values if name in self.stored}
        return Typing(body, keep, True, self.half, outside)

    def input_type(self, node: NodeProto, position: int) -> int:
        """The type in which a node reads a float32 input."""
        half = self.half.elem
        return half if self.compute[node.name] == half and self.slots[node.name].input_half(position) else SINGLE

    def widens_half(self, node: NodeProto) -> bool:
        """Whether a node is a Cast to float32 of data of the 16-bit type."""
        if node.op_type != "Cast":
            return False
        source = node.input[0]
        return self.stored.get(source, self.index.types[source]) == self.half.elem

    def _wanted_single(self) -> set[str]:
        """Tensors that must be FP32: an FP32 node reads them, or they are FP32 outputs."""
        wanted = set(self.index.outputs) if self.io_type == SINGLE else set()
        for node in reversed(self.index.nodes):
            role = self.roles[node.name]
            reads = role is Role.READS and node.op_type not in ("Shape", "Size")
            passes_on = role is Role.FOLLOWS and any(name in wanted for name in node.output)
            if role is Role.SINGLE or reads or passes_on:
                wanted.update(self.index.single_inputs(node))
            elif role is Role.HALF:
                fixed = (name for i, name in enumerate(node.input) if not self.slots[node.name].input_half(i))
                wanted.update(name for name in fixed if self.index.is_single(name))
            elif role is Role.BODIES:
                wanted.update(name for name in node.input if self.index.is_single(name))
            if role is not Role.BODIES:
                wanted.update(captured(node))
        return wanted

    def _compute_type(self, node: NodeProto, wanted: set[str]) -> int:
        role, half = self.roles[node.name], self.half.elem
        inputs = [self.stored[name] for name in self.index.single_inputs(node)]
        needed = any(name in wanted for name in node.output)
        if role is Role.FOLLOWS:
            unread = not any(self.index.consumers(name) for name in node.output)
            return half if (inputs and SINGLE not in inputs) or not (needed or unread) else SINGLE
        if role is Role.SOURCE:
            return SINGLE if needed else half
        if role is Role.READS:
            return half if inputs and SINGLE not in inputs else SINGLE
        return half if role is Role.HALF else SINGLE
