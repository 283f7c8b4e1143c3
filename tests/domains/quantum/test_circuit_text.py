"""Tokens say a circuit exactly (angles up to their bin); the grammar lets through circuits alone, and all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.circuit_text import (
    ANY,
    BIN,
    END,
    GRID,
    HEADER,
    LONGEST_GATE,
    MALFORMED,
    UNKNOWN,
    CircuitText,
    Lines,
    Room,
    Words,
    angle_number,
    judged_words,
    number_angle,
    snapped,
    text_from,
)
from wheatstone.domains.quantum.program import GATES, Op, Program, faults

MAX_QUBITS = 5


@st.composite
def programs(draw: st.DrawFn) -> Program:
    n = draw(st.integers(1, MAX_QUBITS))
    usable = sorted(name for name, shape in GATES.items() if shape.qubits <= n)
    ops: list[Op] = []
    for name in draw(st.lists(st.sampled_from(usable), min_size=1, max_size=12)):
        shape = GATES[name]
        qubits = draw(st.permutations(range(n)))[: shape.qubits]
        angles = draw(st.lists(st.floats(-3.14, 3.14), min_size=shape.angles, max_size=shape.angles))
        ops.append(Op(name, tuple(qubits), tuple(angles)))
    return Program(n, tuple(ops))


@given(programs())
@settings(deadline=None, max_examples=60)
def test_words_say_any_circuit_and_the_grammar_takes_it(one: Program) -> None:
    text = Words(MAX_QUBITS)
    tokens = text.encode(one)
    n, ops = text.decode(tokens)
    assert (n, ops) == (one.n, snapped(one).ops)
    assert text.encode(Program(n, ops)) == tokens
    for before, after in zip(one.ops, ops, strict=True):
        assert all(abs(a - b) <= BIN for a, b in zip(before.angles, after.angles, strict=True))
    sequence = torch.tensor([tokens])
    for place in range(HEADER, len(tokens)):
        assert text.allowed(sequence[:, :place], Room(1000))[0, tokens[place]]


TWO = (
    Program(3, (Op("h", (0,)), Op("cx", (0, 2)), Op("cp", (1, 2), (math.pi / 1024,)))),
    Program(2, (Op("cu3", (1, 0), (0.1, 0.2, 0.3)), Op("rz", (1,), (math.pi / 1024,)))),
)


@pytest.mark.parametrize("text", [Words(MAX_QUBITS), Lines.of(TWO, MAX_QUBITS)], ids=["words", "lines"])
def test_random_walks_in_the_grammar_are_circuits_that_end(text: CircuitText) -> None:
    generator, room = torch.Generator().manual_seed(0), Room(40, least=2, most=9)
    sequences = torch.tensor([text.prompt(n) for n in (2, 3, 4, 5) * 30])
    rows: list[list[int]] = []
    while len(sequences):
        mask = text.allowed(sequences, room).float()
        sequences = torch.cat((sequences, torch.multinomial(mask, 1, generator=generator)), 1)
        done = sequences[:, -1] == END
        rows += sequences[done].tolist()
        sequences = sequences[~done]
        assert sequences.shape[1] <= room.tokens
    for row in rows:
        n, ops = text.decode(row)
        assert 2 <= len(ops) <= 9
        assert not faults(n, ops)


def test_the_grammar_leaves_no_choice_where_there_is_none() -> None:
    text = Words(MAX_QUBITS)
    gates = {gate: text.first_gate + place for place, gate in enumerate(text.gates)}
    after = torch.tensor([[*text.prompt(2), gates["cx"], text.first_qubit]])
    assert text.allowed(after, Room(50))[0].nonzero().flatten().tolist() == [text.first_qubit + 1]
    start = text.allowed(torch.tensor([text.prompt(1)]), Room(50))[0]
    allowed = {gate for gate, token in gates.items() if start[token]}
    assert allowed == {gate for gate, shape in GATES.items() if shape.qubits == 1}
    assert not start[END]
    full = torch.tensor([[*text.prompt(1), gates["x"], text.first_qubit]])
    assert text.allowed(full, Room(6))[0].nonzero().flatten().tolist() == [END]
    wide = torch.tensor([[*text.prompt(2), gates["crz"], text.first_qubit, text.first_qubit + 1]])
    narrow = torch.tensor([[*text.prompt(2), gates["cp"], text.first_qubit, text.first_qubit + 1]])
    assert text.allowed(wide, Room(50)).sum() == text.size - text.first_angle
    assert 100 < text.allowed(narrow, Room(50)).sum() < text.size - text.first_angle


def test_what_stands_there_is_decoded_even_where_it_is_no_circuit() -> None:
    text = Words(MAX_QUBITS)
    stray = [*text.prompt(2), text.first_qubit, text.first_angle, END]
    n, ops = text.decode(stray)
    assert faults(n, ops)
    open_gate = [*text.prompt(2), text.first_gate + text.gates.index("cx"), text.first_qubit, END]
    assert "on 1 qubits" in faults(*text.decode(open_gate))[0]
    again = [*text.prompt(2), *text.prompt(2), END]
    assert text.decode(again)[1][-1].gate == MALFORMED


def test_large_numbers_in_angles_forbid_no_line() -> None:
    """The published code takes 1024 in pi/1024 for a qubit that the register lacks."""
    text = Lines.of(TWO, MAX_QUBITS)
    allowed = text.allowed(torch.tensor([text.prompt(2)]), Room(20))[0]
    usable = {text.ops[place].gate for place in allowed[text.first_line :].nonzero().flatten().tolist()}
    assert usable == {"h", "cu3", "rz"}


def test_lines_cannot_say_what_training_has_not_seen() -> None:
    text = Lines.of(TWO[:1], MAX_QUBITS)
    assert text.encode(TWO[1])[HEADER:-1] == [UNKNOWN, UNKNOWN]
    assert UNKNOWN not in Words(MAX_QUBITS).encode(TWO[1])


@pytest.mark.parametrize(
    "text", [Words(MAX_QUBITS, ["ghz", "qft"]), Lines.of(TWO, MAX_QUBITS, ["ghz", "qft"])], ids=["words", "lines"]
)
def test_a_family_is_said_where_it_is_known(text: CircuitText) -> None:
    tokens = {family: text.prompt(3, family)[1] for family in ("ghz", "qft", "shor", "")}
    assert len(set(tokens.values())) == 3
    assert tokens["shor"] == tokens[""] == ANY
    known = Program(3, TWO[0].ops, "qft")
    assert text.encode(known, named=True)[:HEADER] == text.prompt(3, "qft")
    assert text.encode(known)[:HEADER] == text.prompt(3)
    assert text.decode(text.encode(known, named=True))[1] == text.decode(text.encode(known))[1]


@pytest.mark.parametrize("text", [Words(MAX_QUBITS), Lines.of(TWO, MAX_QUBITS)], ids=["words", "lines"])
def test_a_vocabulary_is_stored_and_read(text: CircuitText) -> None:
    again = text_from(text.to_json())
    assert (again.size, again.kind) == (text.size, text.kind)
    assert all(again.encode(one) == text.encode(one) for one in TWO)
    with pytest.raises(UserError, match=f"6 qubits: this vocabulary has 1 to {MAX_QUBITS}"):
        text.prompt(6)


def test_angles_have_one_token_each_and_it_is_near() -> None:
    for number in range(len(GRID) + 128):
        assert angle_number(number_angle(number)) == number
    rng = np.random.default_rng(0)
    assert all(abs(number_angle(angle_number(angle)) - angle) < BIN for angle in rng.uniform(-6.28, 6.28, 500))
    assert max(map(sum, ((1, shape.qubits, shape.angles) for shape in GATES.values()))) == LONGEST_GATE


def test_a_judge_reads_no_header() -> None:
    named = Program(3, TWO[0].ops, "qft", "qft_3")
    assert judged_words(named) == judged_words(TWO[0])
    assert judged_words(named)[:5] == ["h", "q0", "cx", "q0", "q2"]
