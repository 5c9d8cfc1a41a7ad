"""Sampling positions stay FP32: GridSample, and the nodes that compute its grid or an index.

    theta = Gemm(features);  grid = MatMul(base, theta);  y = GridSample(x, grid)    these, and the nodes between them
    i = Cast<int>(Floor(u));  w = Sub(u, Floor(u));  v = Gather(x, i);  y = w * v       all but the last two
    c' = Add(c, update);  flow = Sub(c', base)        where c is a position at which an image is sampled: both

The chain is followed backward from the grid (or from a float that becomes an index, a size or a shape) through
elementwise operators, data movement, resampling and small contractions (K <= 4: an affine map), up to and including the
first layer that computes it (Gemm, MatMul, Conv, Einsum). It includes elementwise operators on coordinates only
(interpolation weights), and a product of positions with zeros, which marks positions that are not finite: in FP16, a
position over 65504 is not finite.

Effect: FP16 places a sample in a 256-pixel image on a raster of up to 1/16 pixel; a spatial transformer's image was
off by 13 % with FP16 coordinates and by 3e-5 with FP32 ones. GridSample needs one type for image and grid, so the
image is cast too. RAFT moves its positions by an update in each of twelve steps, and samples at all but the last ones:
with the last sum in FP16 its flow was off by 3.2 times PyTorch's error (raft_large, 128 x 128), the others by 1.7.
"""

from onnx import NodeProto, TensorProto

from ..graph import GraphIndex
from ..halves import HalfType
from ..operators import ELEMENTWISE, is_integer, moves_data
from ..walk import contracted, origin, reduced_elements
from .rule import Matches, PrecisionRule

_LAYERS = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
_RESAMPLING = frozenset({"AffineGrid", "AveragePool", "Cast", "CumSum", "Resize"})
# A contraction of at most this length is a coordinate transform (homogeneous 3-D coordinates); a longer one is a layer.
_AFFINE = 4

# The inputs of operators that set which values are read, or their number.
_INDEX_INPUTS: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,), "Expand": (1,), "Gather": (1,), "GatherElements": (1,), "GatherND": (1,), "OneHot": (0, 1),
    "Pad": (1,), "Range": (0, 1, 2), "Reshape": (1,), "Resize": (3,), "ScatterElements": (1,), "ScatterND": (1,),
    "Slice": (1, 2, 3, 4), "Split": (1,), "Tile": (1,), "TopK": (1,),
}  # fmt: skip

_SAMPLER = "it samples an image at computed positions, and image and grid need one type"
_GRID = "it makes the positions at which {name!r} samples: in {half.title} they would move by up to {half.raster} pixel of 256"
_INDEX = "it makes an index or a size ({name!r}): {half.title} counts exactly only up to {half.counts_to}"
_MARK = "it marks positions that are not finite, and in FP16 one beyond 65504 would not be"
_MARKED = "it puts the mark of positions that are not finite on what was sampled, which is FP32 and need not be rounded"
_MOVED = "it moves positions at which an image is sampled: {half.title} would round them to {half.raster} pixel of 256"
_WEIGHT = "it works on sampling positions alone (interpolation weights come from small differences of large numbers)"


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield GridSample nodes, the chains that compute coordinates and indices, what moves them, and what uses only these."""
    inner: set[str] = set()
    sampled: set[str] = set()
    positions: set[str] = set()
    marks: set[str] = set()
    for node in index.nodes:
        if node.op_type == "GridSample":
            yield node, _SAMPLER
            yield from _chain(index, node.input[1], _GRID.format(name=node.name, half=half), sampled, positions)
        elif node.op_type == "Cast" and index.is_single(node.input[0]) and _becomes_index(index, node):
            yield from _chain(index, node.input[0], _INDEX.format(name=node.name, half=half), inner, set())
        elif node.op_type == "Resize" and len(node.input) > 2 and node.input[2]:
            yield from _chain(index, node.input[2], _INDEX.format(name=node.name, half=half), inner, set())
    inner |= sampled
    for node in index.nodes:
        if node.op_type == "MatMul" and node.input[0] in positions and _zeros(index, node.input[1]):
            inner.update(node.output)
            marks.update(node.output)
            yield node, _MARK
        operands = [origin(index, name) for name in index.single_inputs(node)]
        if node.op_type == "Add" and any(name in marks for name in operands):
            yield node, _MARKED
        elif node.op_type in ("Add", "Sub") and any(name in sampled for name in operands):
            inner.update(node.output)
            yield node, _MOVED.format(half=half)
        elif node.op_type in ELEMENTWISE and operands and all(name in inner for name in operands):
            inner.update(node.output)
            yield node, _WEIGHT


def _zeros(index: GraphIndex, name: str) -> bool:
    value = index.value(name)
    return value is not None and not value.any()


def _chain(index: GraphIndex, start: str, reason: str, inner: set[str], seen: set[str]) -> Matches:
    """Walk back from a tensor. ``inner`` collects the chain's tensors after its first layer, ``seen`` all its tensors."""
    pending = [start]
    seen.add(start)
    while pending:
        node = index.producer(pending.pop(0))
        if node is None:
            continue
        layer = node.op_type in _LAYERS and not _is_affine(index, node)
        small_sum = node.op_type.startswith("Reduce") and (reduced_elements(index, node) or _AFFINE + 1) <= _AFFINE
        through = node.op_type in ELEMENTWISE or node.op_type in _LAYERS | _RESAMPLING or small_sum
        if not (through or moves_data(node)):
            continue
        if through:
            yield node, reason
        if not layer:
            inner.update(node.output)
            # Integers too: floor division counts in them between two casts.
            fresh = [name for name in node.input if name not in seen and name not in index.constants]
            seen.update(fresh)
            pending += fresh


def _is_affine(index: GraphIndex, node: NodeProto) -> bool:
    """Whether a MatMul or Gemm contracts no more than four numbers."""
    terms = contracted(index, node) if node.op_type in ("MatMul", "Gemm") else None
    return terms is not None and terms <= _AFFINE


def _becomes_index(index: GraphIndex, cast: NodeProto) -> bool:
    """Whether the integers of a Cast reach an index, size or shape through integer arithmetic."""
    pending, seen = [cast.output[0]], {cast.output[0]}
    while pending:
        tensor = pending.pop()
        if not is_integer(index.types[tensor]) or index.types[tensor] == TensorProto.BOOL:
            continue
        for user in index.consumers(tensor):
            if user.op_type in ("Shape", "Size"):
                continue
            if any(p < len(user.input) and user.input[p] == tensor for p in _INDEX_INPUTS.get(user.op_type, ())):
                return True
            fresh = [name for name in user.output if name and name not in seen]
            seen.update(fresh)
            pending += fresh
    return False


RULE = PrecisionRule("coordinates", "hazard", find)
