"""Text is escaped wherever it goes."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.report.html import Html, embedded_json, join, page, paragraphs, tag, value_cell

# A carriage return is read back as a line feed, and NUL has no place in HTML.
texts = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]))


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(texts, texts)
def test_any_text_comes_back_as_the_text_it_is(text: str, attribute: str) -> None:
    read = Reader(tag("p", text, title=attribute))
    assert read.text == text
    assert read.tags == [("p", {"title": attribute})]


@given(st.recursive(texts | st.integers() | st.none(), st.lists, max_leaves=5))
def test_embedded_json_cannot_leave_its_element(value: object) -> None:
    markup = embedded_json("x", value)
    inside = markup.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert "<" not in inside
    assert json.loads(inside) == value


def test_markup_stays_and_none_is_left_out() -> None:
    assert tag("div", tag("b", "a<b"), None, "&") == "<div><b>a&lt;b</b>&amp;</div>"
    assert tag("img", src="x", alt=None, data_name="1", class_="c") == '<img src="x" data-name="1" class="c">'
    assert join(["a", Html("<br>")], ", ") == "a, <br>"


def test_markup_joined_by_hand_is_text_again() -> None:
    # Only `tag` and `join` make markup; a sum of two is a str, and so it is escaped rather than trusted.
    assert tag("p", tag("b") + tag("i")) == "<p>&lt;b&gt;&lt;/b&gt;&lt;i&gt;&lt;/i&gt;</p>"


def test_paragraphs_and_cells() -> None:
    assert paragraphs("one\ntwo\n\n\nthree ") == "<p>one two</p><p>three</p>"
    assert value_cell(0.123456) == '<td class="number" title="0.123456">0.1235</td>'
    assert value_cell(None) == value_cell(float("nan")) == '<td class="number">–</td>'


def test_a_page_forbids_requests_unless_it_follows_its_own_server() -> None:
    assert "connect-src &#x27;none&#x27;" in page("t", "")
    assert "connect-src &#x27;self&#x27;" in page("t", "", connect="'self'")
