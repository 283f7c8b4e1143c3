"""A drawn circuit: layers upwards, nothing outside the drawing, labels that stay text."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from tests.bench.exhibit_cases import CIRCUIT, HOSTILE

from wheatstone.bench.draw.circuit import NODE_HEIGHT, layout, svg
from wheatstone.bench.exhibit import Circuit, CircuitEdge, CircuitNode

SVG = "{http://www.w3.org/2000/svg}"


def test_later_layers_stand_higher_and_later_positions_further_right() -> None:
    at = {box.node.id: box.centre for box in layout(CIRCUIT).boxes}
    assert at["answer"].y < at["bridge"].y < at["relation"].y == at["head"].y
    assert at["head"].x < at["relation"].x == at["bridge"].x


def test_an_edge_leaves_and_arrives_at_its_nodes() -> None:
    drawn = layout(CIRCUIT)
    boxes = {box.node.id: box for box in drawn.boxes}
    path = next(path for path in drawn.paths if path.edge.source == "bridge")
    assert path.points[0] == boxes["bridge"].top
    assert path.points[3] == boxes["answer"].bottom


def test_an_edge_bows_around_a_box_in_its_way() -> None:
    drawn = layout(CIRCUIT)
    boxes = {box.node.id: box for box in drawn.boxes}
    path = next(path for path in drawn.paths if path.edge.source == "relation")
    assert path.label_at.x > boxes["bridge"].centre.x + boxes["bridge"].width / 2


def test_strength_is_width_and_sign_is_colour_and_dash() -> None:
    paths = {path.edge.source: path for path in layout(CIRCUIT).paths if path.edge.target != "relation"}
    assert paths["head"].width > paths["relation"].width
    assert paths["head"].colour != paths["relation"].colour
    assert svg(CIRCUIT).count("stroke-dasharray") == 1


def test_svg_is_xml_and_every_label_is_text() -> None:
    tree = ET.fromstring(svg(CIRCUIT))
    assert tree.findall(f".//{SVG}script") == []
    texts = [element.text for element in tree.iter(f"{SVG}text")]
    assert HOSTILE in texts
    assert {"layer 1", "relation 1", "0.90"} <= set(texts)


nodes = st.lists(
    st.builds(CircuitNode, st.text(min_size=1), st.text(), st.floats(-5, 20), st.floats(-5, 20), st.floats(0, 1)),
    min_size=1,
    max_size=6,
    unique_by=lambda node: node.id,
)


@given(nodes, st.data())
def test_whatever_the_circuit_every_node_is_inside_the_drawing(chosen: list[CircuitNode], data: st.DataObject) -> None:
    ids = st.sampled_from([node.id for node in chosen])
    edges = data.draw(st.lists(st.builds(CircuitEdge, ids, ids, st.floats(-1, 1), st.text()), max_size=5))
    circuit = Circuit("c", data.draw(st.text()), chosen, edges)
    drawn = layout(circuit)
    for box in drawn.boxes:
        assert box.centre.x - box.width / 2 >= 0
        assert box.centre.x + box.width / 2 <= drawn.width
        assert NODE_HEIGHT / 2 <= box.centre.y <= drawn.height - NODE_HEIGHT / 2
    assert svg(circuit).count("<rect") == 2 * len(chosen)
