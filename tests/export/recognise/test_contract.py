"""Which axes of another tensor meet an axis of the windows in a product."""

from __future__ import annotations

import pytest

from attnexport.export.graph.size import ONE, parse
from attnexport.export.recognise.contract import Contraction, UnknownAxes, einsum, elementwise, matmul
from attnexport.export.recognise.layout import OUTER, PLACE, whole

CHANNELS, WINDOW = whole(OUTER, 1, parse("8")), whole(PLACE, 2, parse("9"))


def test_axes_of_equal_length_meet_and_an_axis_of_one_is_repeated() -> None:
    assert elementwise((CHANNELS, WINDOW), [ONE, parse("9")]) == Contraction(((), WINDOW), (CHANNELS, WINDOW))
    assert elementwise((CHANNELS, WINDOW), [parse("9")]) == Contraction((WINDOW,), (CHANNELS, WINDOW))


@pytest.mark.parametrize("size", ["3", "s0"])
def test_axes_that_are_not_known_to_be_equal_do_not_meet(size: str) -> None:
    sizes = [parse("8"), parse(size)]
    with pytest.raises(UnknownAxes, match=f"an axis of 9 meets one of {size}"):
        elementwise((CHANNELS, WINDOW), sizes)
    with pytest.raises(UnknownAxes, match=f"an axis of 9 meets one of {size}"):
        einsum("ck,ck->c", (CHANNELS, WINDOW), sizes, windows_first=True)
    with pytest.raises(UnknownAxes, match=f"an axis of 9 meets one of {size}"):
        matmul((WINDOW, (), CHANNELS), [parse(size), parse("8"), ONE], windows_first=True)
