"""Which numbers of a map go where on the image."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.bundle.sections import AttentionRecord
from attnexport.runtime.show.map_panels import panels, token_grid

IMAGE = np.random.default_rng(0).random((8, 12, 3))


def drawn(kind: str, values: np.ndarray, **detail: object) -> list:
    return panels(
        IMAGE, [AttentionRecord("attention.a.b", "a.b", "Mixer", kind, dict(detail))], {"attention.a.b": values[None]}
    )


@pytest.mark.parametrize(
    ("count", "image", "grid"),
    [
        (197, (224, 224), (14, 14, 1)),
        (196, (224, 224), (14, 14, 0)),
        (96, (8, 12), (8, 12, 0)),
        (25, (8, 12), (4, 6, 1)),
        (40, (150, 225), (5, 8, 0)),
        (7, (224, 224), None),
    ],
)
def test_tokens_lie_in_the_proportions_of_the_image(
    count: int, image: tuple[int, int], grid: tuple[int, int, int] | None
) -> None:
    assert token_grid(count, image) == grid


def test_the_image_comes_first_and_a_panel_names_its_module() -> None:
    first, second = drawn("gate", np.full((1, 4, 6), 0.25))
    assert (first.title, first.heat) == ("image", None)
    assert second.title == "a.b · Mixer"
    assert second.caption == "weight of each place: 0.25 to 0.25"


def test_channel_weights_are_bars_and_weights_of_both_their_mean() -> None:
    weights = np.arange(5.0)
    np.testing.assert_array_equal(drawn("gate", weights[:, None, None])[1].bars, weights)
    both = np.random.default_rng(1).random((5, 4, 6))
    np.testing.assert_allclose(drawn("gate", both)[1].heat, both.mean(0))


def test_a_class_tokens_row_is_drawn_without_itself() -> None:
    weights = np.random.default_rng(2).random((3, 25, 25))
    panel = drawn("tokens", weights)[1]
    np.testing.assert_allclose(panel.heat, weights.mean(0)[0, 1:].reshape(4, 6))
    assert "class token" in panel.caption
    assert "mean of 3 heads" in panel.caption
    assert panel.mark is None


def test_without_one_the_query_in_the_middle_is_drawn_over_its_keys() -> None:
    weights = np.random.default_rng(3).random((96, 24))
    panel = drawn("tokens", weights)[1]
    np.testing.assert_allclose(panel.heat, weights[4 * 12 + 6].reshape(4, 6))
    assert panel.mark == (6.5 / 12, 4.5 / 8)


def test_tokens_that_are_no_places_and_channels_are_matrices() -> None:
    weights = np.random.default_rng(4).random((11, 11))
    np.testing.assert_array_equal(drawn("tokens", weights)[1].matrix, weights)
    np.testing.assert_array_equal(drawn("channels", weights)[1].matrix, weights)


def test_a_window_lies_where_it_reads() -> None:
    weights = np.zeros((2, 9, 4, 6))
    weights[:, 5, 2, 3] = 1  # to the right of the place in the middle
    panel = drawn("window", weights, stride=2)[1]
    np.testing.assert_array_equal(panel.heat, [[0, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert panel.extent == (5 / 12, 8 / 12, 6 / 8, 3 / 8)
    assert panel.mark == (6.5 / 12, 4.5 / 8)
    assert "outside" not in panel.caption


def test_what_a_window_takes_from_outside_the_image_is_said() -> None:
    weights = np.full((1, 9, 1, 1), 1 / 9)
    assert "89% outside" in drawn("window", weights)[1].caption


def regular(rows: int, columns: int) -> np.ndarray:
    y, x = ((2 * np.arange(n) + 1) / n - 1 for n in (rows, columns))
    return np.stack(np.meshgrid(x, y), axis=-1)


def test_a_grid_is_outlined_and_later_maps_lie_over_what_it_reads() -> None:
    records = [AttentionRecord("s", "s", "Stn", "grid"), AttentionRecord("g", "g", "Gate", "gate")]
    turned = regular(8, 12)[::-1, ::-1]
    image, outline, read, gate = panels(IMAGE, records, {"s": turned[None], "g": np.ones((1, 1, 2, 2))})
    assert outline.mark == pytest.approx((11.5 / 12, 7.5 / 8))
    assert len(outline.lines) == 10
    assert all(line.min() > 0 and line.max() < 1 for line in outline.lines)
    np.testing.assert_array_equal(image.background, IMAGE)
    np.testing.assert_allclose(read.background, IMAGE[::-1, ::-1])
    np.testing.assert_array_equal(gate.background, read.background)


def test_aligned_corners_are_centres_of_pixels() -> None:
    corners = np.stack(np.meshgrid([-1.0, 1.0], [-1.0, 1.0]), axis=-1)
    read = drawn("grid", corners, align_corners=True)[2]
    np.testing.assert_allclose(read.background, IMAGE[[0, -1]][:, [0, -1]])


@pytest.mark.parametrize(("kind", "shape"), [("gate", (4, 4)), ("window", (1, 8, 4, 4)), ("hologram", (4, 4))])
def test_a_map_that_does_not_fit_its_kind_is_refused(kind: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"is not a map of kind|no square"):
        drawn(kind, np.zeros(shape))
