"""Attention maps on the page: laid where they read, in the colours of PyTorch's."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest

from attnexport.export.report.attention import overlay
from attnexport.runtime.show.map_panels import Panel

Image = pytest.importorskip("PIL.Image", reason="Pillow reads the pictures")
GROUND = np.random.default_rng(0).random((8, 16, 3))


def pictures(svg: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in re.findall(r"base64,([^\"]*)", svg)]


def attributes(svg: str, element: str) -> list[dict[str, str]]:
    return [dict(re.findall(r'([\w-]+)="([^"]*)"', found)) for found in re.findall(rf"<{element} ([^>]*)>", svg)]


def test_a_map_lies_over_the_grey_image_in_its_extent() -> None:
    heat = np.arange(6.0).reshape(2, 3)
    panel = Panel("mixer", "", GROUND, heat, extent=(0.25, 0.75, 1.0, 0.5), mark=(0.5, 0.25))
    svg = overlay(panel, panel)
    ground, map_ = attributes(svg, "image")
    assert (ground["width"], ground["height"]) == ("150", "75")
    assert [float(map_[k]) for k in ("x", "y", "width", "height")] == [37.5, 37.5, 75.0, 37.5]
    assert pictures(svg)[0].shape == (8, 16) and pictures(svg)[1].shape == (2, 3, 3)
    (mark,) = attributes(svg, "circle")
    assert (mark["cx"], mark["cy"]) == ("75", "18.75")


def test_the_exports_map_is_in_the_colours_of_pytorchs_range() -> None:
    truth = Panel("m", "", GROUND, np.array([[0.0, 1.0]]))
    alike, weaker = Panel("m", "", GROUND, np.array([[0.0, 1.0]])), Panel("m", "", GROUND, np.array([[0.0, 0.5]]))
    bright = [pictures(overlay(panel, truth))[1][0, 1].astype(int).sum() for panel in (truth, alike, weaker)]
    assert bright[0] == bright[1] > bright[2]


def test_a_map_that_hardly_varies_stays_even() -> None:
    panel = Panel("m", "", GROUND, np.array([[1.0, 1.0 + 1e-9]]))
    left, right = pictures(overlay(panel, panel))[1][0].astype(int)
    assert abs(left - right).max() <= 1


def test_lines_that_leave_the_image_are_seen_up_to_half_its_size() -> None:
    line = np.array([[0.5, 0.5], [1.2, 9.0]])
    panel = Panel("grid", "", GROUND, lines=(line,))
    svg = overlay(panel, panel)
    assert attributes(svg, "svg")[0]["viewBox"] == "0.0 0.0 184.5 112.5"
    assert attributes(svg, "polyline")[0]["points"] == "75.0,37.5 180.0,675.0"


def test_weights_of_channels_are_bars_on_pytorchs_scale() -> None:
    truth, got = (Panel("gate", "", GROUND, bars=np.array(values)) for values in ([0.5, 1.0], [1.0, 0.25]))
    heights = [[float(bar["height"]) for bar in attributes(overlay(panel, truth), "rect")] for panel in (truth, got)]
    assert heights == [[45.0, 90.0], [90.0, 22.5]]


def test_channels_by_channels_are_a_picture() -> None:
    panel = Panel("channels", "", GROUND, matrix=np.eye(4))
    (shown,) = pictures(overlay(panel, panel))
    assert shown.shape == (4, 4, 3) and shown[0, 0].tolist() == [252, 255, 164] and shown[0, 1].tolist() == [0, 0, 4]
