"""LocalAttention: softmax over the window around each position between LocalCorrelation and LocalAggregate.

    weights = softmax over t of (scale * LocalCorrelation(query, key, relative) + bias)
    y = LocalAggregate(weights, value)

query (N, H, D, *Q), key (N, H, D, *S), value (N, H, Dv, *S), relative (H or 1, D, K) -> y (N, H, Dv, *Q). bias has
3 + n axes, each 1 or that of the scores (N, H, K, *Q); a mask is a bias. Places on the zero padding take their share
of the softmax unless a bias takes it from them. Source: Ramachandran et al., arXiv:1906.05909, eq. 3; Hu et al.,
arXiv:1904.11491 (squared and absolute differences with scale -1).
"""

from collections.abc import Sequence

import numpy as np
import onnx

from . import local_aggregate, local_correlation
from .operator import FLOATS, Array, Attributes, Context, Dim, function, has_input, input_dims, schema
from .window import GEOMETRY, index_text


def _infer(context: Context) -> Sequence[Dim] | None:
    scores, value = local_correlation.infer_scores(context), input_dims(context, 2)
    if scores is None:
        return None
    batch, heads, _, *space = scores
    return [batch, heads, value[2] if value is not None else None, *space]


SCHEMA = schema(
    "LocalAttention",
    __doc__,
    inputs=[("query", "T"), ("key", "T"), ("value", "T"), ("bias", "T"), ("relative", "T")],
    optional=["bias", "relative"],
    output="y",
    types=(*FLOATS, "tensor(bfloat16)"),
    infer=_infer,
    attributes=Attributes(lists=GEOMETRY, defaults={"compose": "product", "scale": 1.0}),
)


def reference(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    relative: Array | None = None,
    *,
    compose: str = "product",
    scale: float = 1.0,
    **window: Sequence[int],
) -> Array:
    """The formula in NumPy, any float dtype. ``window`` holds ``kernel``, ``dilation``, ``pads`` and ``stride``.

    Raises ValueError if the shapes do not fit the windows.
    """
    scores = scale * local_correlation.reference(query, key, relative, compose=compose, **window)
    if bias is not None:
        scores = scores + bias
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    return local_aggregate.reference(weights, value, **window)


def overload(node: onnx.NodeProto) -> str:
    """Which body a node needs: ``compose``, and whether there are a bias and a relative term."""
    given = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    parts = [given.get("compose", b"product").decode()]
    parts += [name for name, index in (("bias", 3), ("relative", 4)) if has_input(node, index)]
    return "_".join(parts)


def body(overload: str = "product") -> onnx.FunctionProto:
    """All windows by one Gather of computed indices each for keys and values; one text for any number of space axes."""
    relative = overload.endswith("_relative")
    rest = overload.removesuffix("_relative")
    bias, compose = rest.endswith("_bias"), rest.removesuffix("_bias")
    return function(
        f"""
    LocalAttention <kernel, dilation, pads, stride, compose: string = "product", scale: float = 1.0>
                   (query, key, value, bias, relative) => (y) {{
        {index_text("key")}
        {local_correlation.scores_text(compose, relative)}
        scale_float = Constant <value_float: float = @scale> ()
        scale = CastLike (scale_float, query)
        scaled = Mul (flat_scores, scale)
        scores = Reshape <allowzero: int = 1> (scaled, scores_shape)
        logits = {"Add (scores, bias)" if bias else "Identity (scores)"}
        weights = Softmax <axis: int = 2> (logits)
        flat_weights_shape = Concat <axis: int = 0> (heads_front, taps, places)
        flat_weights = Reshape <allowzero: int = 1> (weights, flat_weights_shape)
        {local_aggregate.weighted_text("flat_weights")}
    }}""",
        overload,
    )
