"""LocalCorrelation: each position of a query composed with the keys in the window around it, summed over channels.

    scores[n, h, t, p] = sum over d of compose(query[n, h, d, p], key_padded[n, h, d, p*stride + place(t)*dilation]
                                               + relative[h, d, t])
    compose(q, k) = q * k (product), (q - k)^2 (squared_difference) or |q - k| (absolute_difference)

query is (N, H, D, *Q), key is (N, H, D, *S), relative, where given, is (H or 1, D, K); scores are (N, H, K, *Q) with
K = prod(kernel), taps in row-major order. n space axes, n = 1, 2 or 3; key_padded has zeros around it, and places on
the padding score like all others. Source: Ramachandran et al., arXiv:1906.05909, eq. 3; Hu et al., arXiv:1904.11491.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from .operator import FLOATS, Array, Attributes, Context, attribute, function, has_input, input_dims, schema, times
from .window import GEOMETRY, LEADING, index_text, positions_of, taps, windows_text

COMPOSITIONS = {
    "product": "composed = Mul (query_column, keys)",
    "squared_difference": "difference = Sub (query_column, keys)\n composed = Mul (difference, difference)",
    "absolute_difference": "difference = Sub (query_column, keys)\n composed = Abs (difference)",
}
"""Body text of each ``compose``: from ``query_column`` and ``keys`` to ``composed``."""


def infer_scores(context: Context) -> list[Any] | None:
    """The dimensions of the scores of inputs 0 (query) and 1 (key) inside an inference function."""
    query, key = input_dims(context, 0), input_dims(context, 1)
    space = positions_of(context, 0, 1)
    if space is None:
        return None
    front = query or key or [None, None]
    return [*front[:2], times(*attribute(context, "kernel")), *space]


SCHEMA = schema(
    "LocalCorrelation",
    __doc__,
    inputs=[("query", "T"), ("key", "T"), ("relative", "T")],
    optional=["relative"],
    output="scores",
    types=(*FLOATS, "tensor(bfloat16)"),
    infer=infer_scores,
    attributes=Attributes(lists=GEOMETRY, defaults={"compose": "product"}),
)


def reference(
    query: Array, key: Array, relative: Array | None = None, *, compose: str = "product", **window: Sequence[int]
) -> Array:
    """The formula in NumPy, any float dtype. ``window`` holds ``kernel``, ``dilation``, ``pads`` and ``stride``.

    Raises ValueError if the query does not have the windows' positions.
    """
    if compose not in COMPOSITIONS:
        raise ValueError(f"compose {compose!r} is not one of {', '.join(COMPOSITIONS)}")
    scores = []
    for place, keys in enumerate(taps(key, **window)):
        if keys.shape[3:] != query.shape[3:]:
            raise ValueError(f"the query has the positions {query.shape[3:]}, the windows have {keys.shape[3:]}")
        if relative is not None:
            keys = keys + relative[:, :, place].reshape(*relative.shape[:2], *[1] * (keys.ndim - LEADING))
        if compose == "product":
            scores.append(np.einsum("nhd...,nhd...->nh...", query, keys))
        else:
            difference = query - keys
            scores.append((np.abs(difference) if compose == "absolute_difference" else np.square(difference)).sum(2))
    return np.stack(scores, axis=2)


def overload(node: onnx.NodeProto) -> str:
    """Which body a node needs: ``compose``, and whether there is a relative term."""
    given = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    compose = given.get("compose", b"product").decode()
    return f"{compose}_relative" if has_input(node, 2) else compose


def scores_text(compose: str, relative: bool) -> str:
    """Body text after ``index_text``: ``flat_scores`` (N, H, K, places) of query, key and, where there is one, relative."""
    add = """
        relative_axes = Constant <value = int64[2] {0, 4}> ()
        relative_full = Unsqueeze (relative, relative_axes)
        keys = Add (key_windows, relative_full)
    """
    return f"""
        {windows_text("key")}
        {add if relative else "keys = Identity (key_windows)"}
        query_front = Shape <start: int = 0, end: int = 3> (query)
        query_shape = Concat <axis: int = 0> (query_front, second, places)
        query_column = Reshape <allowzero: int = 1> (query, query_shape)
        {COMPOSITIONS[compose]}
        channel_axis = Constant <value = int64[1] {{2}}> ()
        flat_scores = ReduceSum <keepdims: int = 0> (composed, channel_axis)
        heads_front = Shape <start: int = 0, end: int = 2> (query)
        scores_shape = Concat <axis: int = 0> (heads_front, taps, counts)
    """


def body(overload: str = "product") -> onnx.FunctionProto:
    """All windows by one Gather of computed indices; one text for any number of space axes."""
    compose, relative = overload.removesuffix("_relative"), overload.endswith("_relative")
    return function(
        f"""
    LocalCorrelation <kernel, dilation, pads, stride, compose: string = "product"> (query, key, relative) => (scores) {{
        {index_text("key")}
        {scores_text(compose, relative)}
        scores = Reshape <allowzero: int = 1> (flat_scores, scores_shape)
    }}""",
        overload,
    )
