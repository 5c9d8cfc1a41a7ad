"""DeformConv: a convolution whose taps are read where offsets move them (torchvision.ops.deform_conv2d).

    y[n, o, p, q] = bias[o] + sum over c of the group of o, and taps (i, j), of
                    weight[o, c, i, j] * mask[n, g, (i, j), p, q] * x[n, c] at (h, w),   g the offset group of c
    h = p*sh - top + i*dh + offset[n, g, (i, j), 0, p, q],   w = q*sw - left + j*dw + offset[n, g, (i, j), 1, p, q]

x is (N, C, H, W), weight (O, C/group, kh, kw), offset (N, offset_group*kh*kw*2, Ho, Wo), mask, where given,
(N, offset_group*kh*kw, Ho, Wo), bias, where given, (O,); y is (N, O, Ho, Wo). Reading between pixels is bilinear, beyond
the image 0. ``pads`` is [top, left, bottom, right]. Source: Dai et al., arXiv:1703.06211; Zhu et al., arXiv:1811.11168
(mask); ONNX DeformConv-19, whose order of the two optional inputs is the other one.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from .operator import FLOATS, Array, Attributes, Context, Dim, function, has_input, input_dims, schema


def _infer(context: Context) -> Sequence[Dim] | None:
    x, weight, offset = (input_dims(context, index) for index in range(3))
    if x is None or weight is None or offset is None:
        return None
    return [x[0], weight[0], *offset[2:]]


SCHEMA = schema(
    "DeformConv",
    __doc__,
    inputs=[("x", "T"), ("weight", "T"), ("offset", "T"), ("mask", "T"), ("bias", "T")],
    optional=["mask", "bias"],
    output="y",
    types=FLOATS,
    infer=_infer,
    attributes=Attributes(ints=["group", "offset_group"], lists=["dilation", "pads", "stride"]),
)


def _bilinear(image: Array, h: Array, w: Array) -> Array:
    """image (C, H, W) at (h, w) (P, Q) -> (C, P, Q), zeros around it."""
    total = np.zeros((image.shape[0], *h.shape), image.dtype)
    top, left = np.floor(h), np.floor(w)
    for row, row_weight in ((top, 1 - (h - top)), (top + 1, h - top)):
        for column, column_weight in ((left, 1 - (w - left)), (left + 1, w - left)):
            inside = (row >= 0) & (row < image.shape[1]) & (column >= 0) & (column < image.shape[2])
            i, j = (np.where(inside, place, 0).astype(np.int64) for place in (row, column))
            total += np.where(inside, image[:, i, j] * (row_weight * column_weight), 0)
    return total


def reference(
    x: Array,
    weight: Array,
    offset: Array,
    mask: Array | None = None,
    bias: Array | None = None,
    *,
    group: int,
    offset_group: int,
    **geometry: Sequence[int],
) -> Array:
    """The formula in NumPy, any float dtype. ``geometry`` holds ``dilation``, ``pads`` and ``stride``."""
    dilation, pads, stride = (geometry[name] for name in ("dilation", "pads", "stride"))
    batch, channels = x.shape[:2]
    outputs, _, kh, kw = weight.shape
    space = offset.shape[2:]
    moves = offset.reshape(batch, offset_group, kh, kw, 2, *space)
    p, q = np.meshgrid(*(np.arange(size) for size in space), indexing="ij")
    taps = np.zeros((batch, offset_group, channels // offset_group, kh, kw, *space), x.dtype)
    images = x.reshape(batch, offset_group, -1, *x.shape[2:])
    for n, g, i, j in np.ndindex(batch, offset_group, kh, kw):
        h = p * stride[0] - pads[0] + i * dilation[0] + moves[n, g, i, j, 0]
        w = q * stride[1] - pads[1] + j * dilation[1] + moves[n, g, i, j, 1]
        taps[n, g, :, i, j] = _bilinear(images[n, g], h, w)
        if mask is not None:
            taps[n, g, :, i, j] *= mask.reshape(batch, offset_group, kh, kw, *space)[n, g, i, j]
    columns = taps.reshape(batch, group, channels // group, kh, kw, *space)
    kernels = weight.reshape(group, outputs // group, channels // group, kh, kw)
    y: Array = np.einsum("gocij,ngcijpq->ngopq", kernels, columns).reshape(batch, outputs, *space)
    return y if bias is None else y + bias[:, None, None]


def overload(node: onnx.NodeProto) -> str:
    """Which body a node needs: by its optional inputs."""
    return "_".join(name for index, name in ((3, "mask"), (4, "bias")) if has_input(node, index)) or "plain"


_TEXT = """
    DeformConv <group, offset_group, dilation, pads, stride> (x, weight, offset, mask, bias) => (y) {{
        group_scalar = Constant <value_int: int = @group> ()
        parts_scalar = Constant <value_int: int = @offset_group> ()
        dilation = Constant <value_ints: ints = @dilation> ()
        pads = Constant <value_ints: ints = @pads> ()
        stride = Constant <value_ints: ints = @stride> ()
        zero = Constant <value = int64 {{0}}> ()
        one = Constant <value = int64 {{1}}> ()
        start = Constant <value = int64[1] {{0}}> ()
        first = Constant <value = int64[1] {{1}}> ()
        second = Constant <value = int64[1] {{2}}> ()
        last = Constant <value = int64[1] {{-1}}> ()
        group = Unsqueeze (group_scalar, start)
        parts = Unsqueeze (parts_scalar, start)

        batch = Shape <start: int = 0, end: int = 1> (x)
        channels = Shape <start: int = 1, end: int = 2> (x)
        size = Shape <start: int = 2, end: int = 4> (x)
        outputs = Shape <start: int = 0, end: int = 1> (weight)
        kernel = Shape <start: int = 2, end: int = 4> (weight)
        space = Shape <start: int = 2, end: int = 4> (offset)
        taps = ReduceProd (kernel)
        points = ReduceProd (space)
        images = Mul (batch, parts)
        image_channels = Div (channels, parts)

        tap_count = Squeeze (taps)
        point_count = Squeeze (points)
        tap = Range (zero, tap_count, one)
        point = Range (zero, point_count, one)
        kw = Gather (kernel, one)
        wide = Gather (space, one)
        i = Div (tap, kw)
        j = Mod (tap, kw)
        p = Div (point, wide)
        q = Mod (point, wide)
        tap_places = Concat <axis: int = 0> (taps, first)
        i_column = Reshape (i, tap_places)
        j_column = Reshape (j, tap_places)
        dh = Gather (dilation, zero)
        dw = Gather (dilation, one)
        sh = Gather (stride, zero)
        sw = Gather (stride, one)
        top = Gather (pads, zero)
        left = Gather (pads, one)
        i_reach = Mul (i_column, dh)
        j_reach = Mul (j_column, dw)
        p_reach = Mul (p, sh)
        q_reach = Mul (q, sw)
        h_padded = Add (i_reach, p_reach)
        w_padded = Add (j_reach, q_reach)
        h_int = Sub (h_padded, top)
        w_int = Sub (w_padded, left)
        h_base = CastLike (h_int, offset)
        w_base = CastLike (w_int, offset)

        moves_shape = Concat <axis: int = 0> (images, taps, second, points)
        moves = Reshape <allowzero: int = 1> (offset, moves_shape)
        h_moves = Gather <axis: int = 2> (moves, zero)
        w_moves = Gather <axis: int = 2> (moves, one)
        h = Add (h_base, h_moves)
        w = Add (w_base, w_moves)
        sizes = CastLike (size, offset)
        high = Gather (sizes, zero)
        width = Gather (sizes, one)
        unit = CastLike (one, offset)
        h_twice = Add (h, h)
        w_twice = Add (w, w)
        h_odd = Add (h_twice, unit)
        w_odd = Add (w_twice, unit)
        h_part = Div (h_odd, high)
        w_part = Div (w_odd, width)
        h_position = Sub (h_part, unit)
        w_position = Sub (w_part, unit)
        h_last = Unsqueeze (h_position, last)
        w_last = Unsqueeze (w_position, last)
        grid = Concat <axis: int = -1> (w_last, h_last)
        images_shape = Concat <axis: int = 0> (images, image_channels, size)
        image = Reshape <allowzero: int = 1> (x, images_shape)
        read = GridSample <mode = "bilinear", padding_mode = "zeros", align_corners = 0> (image, grid)
        {sampled}

        group_channels = Div (channels, group)
        features = Mul (group_channels, taps)
        columns_shape = Concat <axis: int = 0> (batch, group, features, points)
        columns = Reshape <allowzero: int = 1> (sampled, columns_shape)
        group_outputs = Div (outputs, group)
        weight_shape = Concat <axis: int = 0> (group, group_outputs, features)
        kernels = Reshape <allowzero: int = 1> (weight, weight_shape)
        products = MatMul (kernels, columns)
        y_shape = Concat <axis: int = 0> (batch, outputs, space)
        summed = Reshape <allowzero: int = 1> (products, y_shape)
        {result}
    }}"""
_MASKED = """mask_shape = Concat <axis: int = 0> (images, first, taps, points)
        mask_taps = Reshape <allowzero: int = 1> (mask, mask_shape)
        sampled = Mul (read, mask_taps)"""
_BIASED = """bias_axes = Constant <value = int64[2] {1, 2}> ()
        bias_full = Unsqueeze (bias, bias_axes)
        y = Add (summed, bias_full)"""


def body(overload: str = "plain") -> onnx.FunctionProto:
    """All taps by one standard GridSample, then one MatMul for each group."""
    text = _TEXT.format(
        sampled=_MASKED if "mask" in overload else "sampled = Identity (read)",
        result=_BIASED if "bias" in overload else "y = Identity (summed)",
    )
    return function(text, overload)
