"""A diagram is data until it is drawn: every label stays text, and each part has its colour in both grounds."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bench.exhibit_cases import DIAGRAM, DOLLARS, HOSTILE

from wheatstone.bench.diagram import DiagramBox, DiagramStroke, DiagramText, moved
from wheatstone.bench.draw import diagram_svg
from wheatstone.bench.draw.diagram import COLOURS, DARK, VARIABLES
from wheatstone.bench.exhibit import Diagram

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("alone", [False, True])
def test_svg_is_xml_and_every_label_is_text(alone: bool) -> None:
    tree = ET.fromstring(diagram_svg(DIAGRAM, alone=alone))
    assert tree.findall(f".//{SVG}script") == []
    assert [text.text for text in tree.iter(f"{SVG}text")] == [HOSTILE, DOLLARS]
    assert HOSTILE in [title.text for title in tree.iter(f"{SVG}title")]
    assert len(tree.findall(f".//{SVG}path")) == 3


@given(st.text(), st.text())
def test_no_text_leaves_its_element(label: str, title: str) -> None:
    try:
        drawn = diagram_svg(Diagram("d", title, 10, 10, [], [], texts=[DiagramText(1, 1, label)]))
        tree = ET.fromstring(drawn)
    except ET.ParseError:
        assert any(
            ord(letter) < 32 or 0xD7FF < ord(letter) < 0xE000 or ord(letter) > 0xFFFD for letter in label + title
        )
        return
    assert {element.tag for element in tree.iter()} <= {f"{SVG}svg", f"{SVG}style", f"{SVG}text"}


def test_a_file_of_its_own_is_readable_on_both_grounds() -> None:
    drawn = diagram_svg(DIAGRAM, alone=True)
    assert "prefers-color-scheme:dark" in drawn
    assert all(f":{DARK[name]}}}" in drawn for name in VARIABLES.values())
    assert "var(" not in drawn, "not every viewer knows variables"
    assert f'fill="{COLOURS["paper"]}"' in drawn, "a viewer without variables draws the light one"


def test_what_lies_in_front_is_drawn_after_the_boxes() -> None:
    drawn = diagram_svg(DIAGRAM)
    assert drawn.rindex("<path") > drawn.rindex("<rect") > drawn.index("<path")


def test_parts_are_moved_whole() -> None:
    stroke, box = moved(DIAGRAM.strokes[0], 5, 7), moved(DIAGRAM.boxes[0], 5, 7)
    assert isinstance(stroke, DiagramStroke)
    assert stroke.points == (15.0, 67.0, 105.0, 67.0)
    assert isinstance(box, DiagramBox)
    assert (box.x, box.y, box.width) == (105.0, 47.0, 80.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiagramStroke((1, 2)), "two or more points"),
        (lambda: DiagramStroke((1, 2, 3)), "two or more points"),
        (lambda: DiagramStroke((1, 2, 3, float("nan"))), "no place"),
        (lambda: DiagramBox(0, 0, -1, 1), "negative"),
        (lambda: DiagramBox(0, 0, 1, 1, tone="red; } body {"), "tone is 'red"),  # type: ignore[arg-type]
        (lambda: DiagramText(0, 0, "a", anchor='x" onload="'), "anchor is"),  # type: ignore[arg-type]
        (lambda: dataclasses.replace(DIAGRAM, width=0), "no size"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
