"""Overheads of circuits whose routing is known."""

from __future__ import annotations

import pytest

from wheatstone.domains.quantum.program import Op, Program
from wheatstone.domains.quantum.routing import MAPS, coupling, overheads

LADDER = Program(6, tuple(Op("cx", (place, place + 1)) for place in range(5)))
ALL_PAIRS = Program(6, tuple(Op("cp", (a, b), (0.3,)) for a in range(6) for b in range(a + 1, 6)))


@pytest.mark.parametrize("n", [2, 5, 19, 20, 57, 58, 100])
@pytest.mark.parametrize("kind", MAPS)
def test_a_map_has_room_and_no_more_than_it_needs(kind: str, n: int) -> None:
    found = coupling(kind, n)
    assert found.size() >= n
    assert found.is_connected()
    if kind == "heavy_hex":
        assert found.size() in (19, 57, 115)


def test_a_ladder_is_free_and_all_pairs_are_not() -> None:
    assert overheads(LADDER) == {"line": 0.0, "grid": 0.0, "heavy_hex": 0.0}
    found = overheads(ALL_PAIRS)
    assert found["line"] > found["grid"] > 0
    assert overheads(Program(3, (Op("h", (0,)),))) == dict.fromkeys(MAPS, 0.0)
