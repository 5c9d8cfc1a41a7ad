"""Sdpa: scaled dot-product attention over any batch axes (torch.nn.functional.scaled_dot_product_attention).

    y = P v',   P = softmax over s of (scale * q k'^T + mask),   scores that are not kept count as -inf
    k'[..., h, s, e] = k[..., h // groups, s, e],  v' likewise;  causal keeps s <= l, counted from the upper left

query (*B, L, E), key (*B, S, E), value (*B, S, Ev) -> y (*B, L, Ev); the batch axes broadcast, the last of them (the
heads) after the groups. mask (floats, added) and keep (bool, true where a key takes part) broadcast to (*B, L, S). A row
whose scores are all -inf gives zeros, as in PyTorch. Source: Vaswani et al., arXiv:1706.03762, eq. 1; ATen's
_scaled_dot_product_attention_math (safe softmax); Ainslie et al., arXiv:2305.13245 (grouped queries).
"""

from collections.abc import Sequence

import numpy as np
import onnx

from .operator import FLOATS, Array, Attributes, Context, Dim, attribute, function, has_input, input_dims, schema, times


def _broadcast(a: list[Dim], b: list[Dim]) -> list[Dim]:
    """The axes of two shapes together, aligned at the right; None where neither side says."""
    rank = max(len(a), len(b))
    one: list[Dim] = [1]
    pairs = zip(one * (rank - len(a)) + a, one * (rank - len(b)) + b, strict=True)
    return [p if q in (1, p) else q if p == 1 or (isinstance(q, int) and q > 1) else None for p, q in pairs]


def _infer(context: Context) -> Sequence[Dim] | None:
    query, key, value = (input_dims(context, index) for index in range(3))
    if query is None or key is None or value is None:
        return None
    groups = attribute(context, "groups")
    batches = [query[:-2]]
    for dims in (key, value):
        batch = list(dims[:-2])
        if batch:
            batch[-1] = times(batch[-1], groups) if groups > 1 else batch[-1]
        batches.append(batch)
    batch = _broadcast(_broadcast(batches[0], batches[1]), batches[2])
    return [*batch, query[-2], value[-1]]


SCHEMA = schema(
    "Sdpa",
    __doc__,
    inputs=[("query", "T"), ("key", "T"), ("value", "T"), ("mask", "T"), ("keep", "tensor(bool)")],
    optional=["mask", "keep"],
    output="y",
    types=(*FLOATS, "tensor(bfloat16)"),
    infer=_infer,
    attributes=Attributes(ints=["causal", "groups"], defaults={"scale": 1.0}),
)


def reference(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    keep: Array | None = None,
    *,
    causal: int,
    groups: int,
    scale: float = 1.0,
) -> Array:
    """The formula in NumPy, any float dtype; shapes as at the top."""
    if groups > 1:
        key, value = (np.repeat(x, groups, axis=-3) for x in (key, value))
    scores = scale * np.matmul(query, np.swapaxes(key, -1, -2))
    if mask is not None:
        scores = scores + mask
    if keep is not None:
        scores = np.where(keep, scores, -np.inf)
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    masked = top == -np.inf
    weights = np.where(masked, 0.0, np.exp(scores - np.where(masked, 0.0, top)))
    total = weights.sum(-1, keepdims=True)
    y: Array = np.matmul(weights / np.where(masked, 1.0, total), value).astype(query.dtype)
    return y


def overload(node: onnx.NodeProto) -> str:
    """Which body a node needs: with or without each mask, with or without groups."""
    groups = next(entry.i for entry in node.attribute if entry.name == "groups")
    given = {"mask": has_input(node, 3), "keep": has_input(node, 4), "grouped": groups > 1}
    return "_".join(name for name, wanted in given.items() if wanted)


_REPEAT = """
    {x}_front = Shape <start: int = 0, end: int = -2> ({x})
    {x}_back = Shape <start: int = -2> ({x})
    {x}_batch = Shape <start: int = 0, end: int = -3> ({x})
    {x}_column = Unsqueeze ({x}, behind_heads)
    {x}_wide = Concat <axis: int = 0> ({x}_front, groups, {x}_back)
    {x}_copies = Expand ({x}_column, {x}_wide)
    {x}_shape = Concat <axis: int = 0> ({x}_batch, infer, {x}_back)
    {x}_heads = Reshape ({x}_copies, {x}_shape)
"""


def body(overload: str = "") -> onnx.FunctionProto:
    """Einsum, masks by Where, a softmax that gives zeros where nothing is kept; one text for any number of batch axes."""
    given = set(overload.split("_"))
    grouped = "grouped" in given
    return function(
        f"""
    Sdpa <causal, groups, scale: float = 1.0> (query, key, value, mask, keep) => (y) {{
        scale = Constant <value_float: float = @scale> ()
        causal = Constant <value_int: int = @causal> ()
        groups_number = Constant <value_int: int = @groups> ()
        first = Constant <value = int64[1] {{0}}> ()
        second = Constant <value = int64[1] {{1}}> ()
        last = Constant <value = int64[1] {{-1}}> ()
        infer = Constant <value = int64[1] {{-1}}> ()
        behind_heads = Constant <value = int64[1] {{-3}}> ()
        groups = Unsqueeze (groups_number, first)
        zero = Constant <value = int64 {{0}}> ()
        one = Constant <value = int64 {{1}}> ()
        nothing = Constant <value = float {{0.0}}> ()
        lowest = Log (nothing)
        magnitude = Abs (scale)
        root = Sqrt (magnitude)
        sign = Sign (scale)
        signed = Mul (root, sign)
        query_factor = CastLike (signed, query)
        key_factor = CastLike (root, query)
        zeros = CastLike (nothing, query)
        minus_infinity = CastLike (lowest, query)
        scaled_query = Mul (query, query_factor)
        {_REPEAT.format(x="key") if grouped else "key_heads = Identity (key)"}
        {_REPEAT.format(x="value") if grouped else "value_heads = Identity (value)"}
        scaled_key = Mul (key_heads, key_factor)
        products = Einsum <equation: string = "...le,...se->...ls"> (scaled_query, scaled_key)
        {"biased = Add (products, mask)" if "mask" in given else "biased = Identity (products)"}
        query_length = Shape <start: int = -2, end: int = -1> (query)
        key_length = Shape <start: int = -2, end: int = -1> (key)
        rows_end = Squeeze (query_length)
        columns_end = Squeeze (key_length)
        rows = Range (zero, rows_end, one)
        columns = Range (zero, columns_end, one)
        rows_column = Unsqueeze (rows, second)
        lower = LessOrEqual (columns, rows_column)
        not_causal = Equal (causal, zero)
        ordered = Or (lower, not_causal)
        {"kept = And (ordered, keep)" if "keep" in given else "kept = Identity (ordered)"}
        scores = Where (kept, biased, minus_infinity)
        top = ReduceMax <keepdims: int = 1> (scores, last)
        empty = Equal (top, minus_infinity)
        weights = Softmax <axis: int = -1> (scores)
        safe = Where (empty, zeros, weights)
        y = MatMul (safe, value_heads)
    }}""",
        overload,
    )
