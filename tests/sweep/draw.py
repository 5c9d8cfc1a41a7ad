"""Random cases: small, so that thousands can be exported, and every kind of window among them."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from .case import Case
from .catalogue import SPELLINGS
from .geometry import Geometry
from .spellings.base import Spelling

# How often each spelling is drawn; the two large families have most of the options.
SHARES = {
    "channels first": 6,
    "channels last": 5,
    "shared by channels": 3,
    "running": 2,
    "predicted weights": 2,
    "cost volume": 2,
    "decoy": 2,
}
KERNELS = (3, 3, 3, 5, 5, 7, 7, 2, 4, 9, 11, 13)
RANKS = (2, 2, 2, 2, 1, 3)
DTYPES = ("float32", "float32", "float32", "float32", "float32", "float32", "float64", "float16")
HEADS = (1, 2, 2, 3) * 4 + (32,)
"""So many heads as per-channel attention has are lowered in another way."""
DYNAMICS = ("", "", "batch", "all")
FEW_SLICES, MANY_SLICES = 36, 120
ATTEMPTS = 40
"""Options are drawn again until they go together: left to hypothesis, spellings with many options would become rare."""


@st.composite
def axes(draw: st.DrawFn, taps_left: int) -> tuple[int, int, int, int, int]:
    """Size, kernel, dilation, stride and padding of one axis."""
    kernel = draw(st.sampled_from([k for k in KERNELS if k <= taps_left] or [1]))
    dilation = draw(st.sampled_from((1, 1, 1, 2, 3) if kernel <= 5 else (1,)))
    stride = draw(st.sampled_from((1, 1, 1, 2, 3)))
    most = dilation * ((kernel - 1) // 2)
    pad = draw(st.sampled_from((most, most, most, 0, most // 2)))
    least = max(2, dilation * (kernel - 1) + 1 - 2 * pad)
    return draw(st.integers(least, least + 4)), kernel, dilation, stride, pad


@st.composite
def geometries(draw: st.DrawFn, spelling: type[Spelling]) -> Geometry:
    """Windows that a spelling takes."""
    rank = draw(st.sampled_from([r for r in RANKS if r in spelling.RANKS]))
    square = draw(st.sampled_from((True, True, False)))
    left = spelling.MOST_TAPS if rank < 3 else min(spelling.MOST_TAPS, 75)
    if square:
        size, kernel, *rest = draw(axes(math.floor(left ** (1 / rank) + 1e-9)))
        columns = [(size + draw(st.integers(0, 2)), kernel, *rest) for _ in range(rank)]
    else:
        columns = []
        for axis in range(rank):
            columns.append(draw(axes(max(1, left // 3 ** (rank - 1 - axis)))))
            left //= columns[-1][1]
    sizes, kernels, dilations, strides, pads = zip(*columns, strict=True)
    edge = False if spelling.ZEROS_ONLY or not any(pads) else draw(st.sampled_from((False, False, False, True)))
    return Geometry(sizes, kernels, dilations, strides, pads, edge)


@st.composite
def cases(draw: st.DrawFn, names: tuple[str, ...] = tuple(SPELLINGS)) -> Case:
    """One case, of the spellings named."""
    name = draw(st.sampled_from([n for n in names for _ in range(SHARES.get(n, 1))]))
    spelling = SPELLINGS[name]
    for _ in range(ATTEMPTS):
        geometry = draw(geometries(spelling))
        dynamic = draw(st.sampled_from(DYNAMICS))
        if dynamic == "all" and (set(geometry.stride) != {1} or 1 in geometry.counts):
            dynamic = "batch"  # torch.export follows a free size through steps of one, and not from a broadcast
        case = Case(
            spelling=name,
            options=tuple((option, draw(st.sampled_from(values))) for option, values in spelling.CHOICES.items()),
            geometry=geometry,
            batch=2 if dynamic else draw(st.integers(1, 2)),  # a batch of one cannot be told from a broadcast
            heads=draw(st.sampled_from(HEADS)),
            width=draw(st.sampled_from((1, 2, 4, 4, 6))),
            dtype=draw(st.sampled_from(DTYPES)),
            dynamic=dynamic,
            seed=draw(st.integers(0, 2**16)),
        )
        if spelling.fits(case) and _slices(case) <= (MANY_SLICES if case.seed % 48 == 0 else FEW_SLICES):
            return case
    return draw(st.nothing())


def _slices(case: Case) -> int:
    """How many slices a spelling by shifts takes, of keys and of values: each costs torch.export 20 ms."""
    spelled = case.chosen.get("windows", "shifts")
    if spelled in ("fold", "slid") or case.spelling in ("shared by channels", "outlook"):
        return 0 if spelled != "stacked" else 2 * case.geometry.taps * case.geometry.rank
    return (1 if case.spelling in ("cost volume", "predicted weights") else 2) * case.geometry.taps * case.geometry.rank
