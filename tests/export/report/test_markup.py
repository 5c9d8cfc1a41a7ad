"""HTML as values: whatever text comes in, the tree of elements stays the one that was written."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnexport.export.report.markup import join, raw, tag, text


class Parsed(HTMLParser):
    """An independent reading: the tags in their order, their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc",))))
def test_a_text_is_read_as_it_was_and_adds_no_element(value: str) -> None:
    parsed = Parsed(tag("p", value, title=value))
    assert parsed.tags == ["p"]
    assert parsed.text == value
    assert parsed.attributes == [("title", value)]


@pytest.mark.parametrize("value", ["a\0b", "a\x1bb", "a\ud800b", "a\x7fb"])
def test_what_html_cannot_hold_becomes_the_replacement_character(value: str) -> None:
    assert text(value) == "a\ufffdb"
    text(value).encode("utf-8")


def test_attributes_are_named_as_html_names_them() -> None:
    made = tag("i", class_="p16", data_row=True, hidden=False, title=None, aria_label="a<b", width=3.14159, x=2.0)
    assert made == '<i class="p16" data-row aria-label="a&lt;b" width="3.14" x="2"></i>'


def test_content_is_joined_and_markup_is_taken_as_it_is() -> None:
    assert tag("p", "a<", tag("b", 1), None, ["c", [2, raw("<br>")]]) == "<p>a&lt;<b>1</b>c2<br></p>"
    assert join() == "" and join(None, "x") == "x"


@pytest.mark.parametrize(
    ("name", "made"), [("br", "<br>"), ("img", "<img>"), ("circle", "<circle/>"), ("p", "<p></p>"), ("td", "<td></td>")]
)
def test_elements_without_content_are_closed_as_their_kind_is(name: str, made: str) -> None:
    assert tag(name) == made


def test_an_element_may_have_an_attribute_called_name() -> None:
    assert tag("meta", name="viewport") == '<meta name="viewport">'
