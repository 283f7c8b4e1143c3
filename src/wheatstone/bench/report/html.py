"""Pieces of HTML: everything that is text is escaped here, so no caller can forget it.

`Html` marks what is already markup. `tag` escapes every other child and every attribute value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from wheatstone.bench.draw.theme import number

Child = object
VOID = {"img", "input", "meta"}
"""Elements without content or end tag."""


class Html(str):
    """Markup that may stand in a page as it is."""

    __slots__ = ()


def tag(name: str, *children: Child, **attributes: str | None) -> Html:
    """`<name attributes>children</name>`; `class_` is the class, '_' in attribute names is '-', None leaves one out."""
    stated = {key.strip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    given = "".join(f' {key}="{escape(value)}"' for key, value in stated.items())
    return Html(f"<{name}{given}>") if name in VOID else Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Child], separator: str = "") -> Html:
    """The children one after another: markup as it is, text escaped, None left out."""
    given = (child for child in children if child is not None)
    return Html(separator.join(child if isinstance(child, Html) else escape(str(child)) for child in given))


def value_cell(value: float | None, class_: str | None = "number") -> Html:
    """A table cell with a number, rounded for the eye; the exact value is its title."""
    exact = None if value is None or value != value else repr(value)
    return tag("td", number(value), class_=class_, title=exact)


def table(head: Sequence[Child], rows: Iterable[Html], class_: str | None = None) -> Html:
    """A table that scrolls sideways within the page rather than the page with it. `rows` are `<tr>` elements."""
    header = tag("thead", tag("tr", *(cell if _is_cell(cell) else tag("th", cell) for cell in head)))
    return tag("div", tag("table", header, tag("tbody", *rows), class_=class_), class_="scroll")


def _is_cell(child: Child) -> bool:
    return isinstance(child, Html) and child.startswith("<th")


def paragraphs(text: str) -> Html:
    """Plain text as paragraphs, which blank lines separate."""
    return join(tag("p", " ".join(part.split())) for part in text.split("\n\n") if part.strip())


def embedded_json(identity: str, value: Any) -> Html:
    """JSON inside the page. '<' is written as its escape, so no text can close the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return Html(f'<script type="application/json" id="{escape(identity)}">{text}</script>')


SKIP = Html('<a class="skip" href="#main">Skip to the content</a>')
THEME_SWITCH = Html('<button type="button" class="theme" hidden>Colours</button>')
"""Light, dark, or as the system says: shown by the page's script."""


def page(title: str, style: str, *body: Child, connect: str = "'none'") -> Html:
    """A whole page. Its content policy forbids every request, so a report that is opened tells nobody.

    `connect` is what scripts and forms may ask: "'self'" for a page that follows its own server.
    """
    policy = (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {connect}; base-uri 'none'; form-action {connect}"
    )
    head = join(
        [
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=policy),
            tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("style", Html(style)),
        ],
        "\n",
    )
    return Html(
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{SKIP}\n{join(body)}\n</body>\n</html>\n'
    )
