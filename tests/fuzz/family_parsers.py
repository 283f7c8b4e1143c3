"""The readers of the families' own formats, as functions of bytes: see `parsers.py`."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from tests.fuzz.model_files import model_readers

from wheatstone.bench.errors import UserError
from wheatstone.domains.causal.formats import read_graph
from wheatstone.domains.causal.graphoid import graphoid, parse_independencies
from wheatstone.domains.causal.graphs import Edge, graph_of
from wheatstone.domains.causal.labelled import judged, read_labelled
from wheatstone.domains.causal.rules import closure, parse_goals, parse_rules
from wheatstone.domains.causal.text import parse_premise, parse_questions
from wheatstone.domains.electronic.analog.netlist import read_netlist
from wheatstone.domains.electronic.analog.specification import read_specification
from wheatstone.domains.electronic.analog.testbench import Testbench
from wheatstone.domains.electronic.logic.aiger import read_aiger
from wheatstone.domains.electronic.logic.blif import read_blif
from wheatstone.domains.logic import theory
from wheatstone.domains.physics.trajectories import motion, read_trajectories
from wheatstone.domains.quantum.hamiltonian import read_hamiltonian
from wheatstone.domains.quantum.qasm import read_circuit
from wheatstone.domains.routing.checkpoints import read_config, read_samples
from wheatstone.domains.routing.files import read_log
from wheatstone.domains.sequences.pairs import load_pairs

DATA = Path(__file__).parents[1] / "data"
GROUPS = theory.load("groups")
QASM = b"""OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
gate g(a) b { rx(a*pi/2) b; }
h q[0]; cx q[0],q[1]; g(0.5) q[1]; rz(sin(1)) q[0];
"""
QASM_3 = b'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nh q[0];\ncx q[0], q[1];\n'
AAG = b"aag 7 2 0 2 3\n2\n4\n6\n12\n6 13 15\n12 2 4\n14 3 5\ni0 x\no1 carry\nc\nhalf adder\n"
AIG = b"aig 5 2 0 2 3\n10\n6\n\x02\x02\x03\x02\x01\x02i0 x\no1 carry\n"
BLIF = b".model m\n.inputs a b \\\nc\n.outputs y\n.names a b n\n1- 1\n-0 1\n.names n c y\n11 0\n.end\n"
ROUTING = (
    b'{"n_expert": 4, "embedding": [[[1, 0], [0, 1], [1, 1], [0, 2]]]}\n'
    b'{"sample": "a", "group": "g", "experts": [[3, 1]], "weights": [[0.6, 0.2]]}\n'
    b'{"experts": [[0]], "weights": [[1]]}\n'
)
DAGITTY = b'dag "w" {\nbb="-3,-1"\na [exposure,pos="1,2"]\na -> b.1 <- c\n/* d */ a <-> c }'
RULES = b"a(X, Y) :- parent(X, Y). % direct\na(X, Z) :-\n  parent(X, Y), a(Y, Z), X != Z.\n"
DOT = b'digraph g { // causes\n node [shape=box]; {a b} -> c -> "d e" [label="x"]; subgraph s { a } c:n -> f }'
BIF = b"variable a { type discrete [2] {y, n}; }\nvariable b { }\nprobability ( b | a ) { table 0.1, 0.9; }\n"
PAULIS = b'[[0.5, "ZZ"], [1.0, "XI"]]'


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def reader(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    return reader


def _statement(data: bytes, _folder: Path) -> None:
    theory.statement(GROUPS, data.decode("utf-8", errors="replace"))


def _sizing(path: Path) -> None:
    """A netlist with the specification of the amplifier, rendered where it belongs to it."""
    bench = Testbench(read_specification(DATA / "l2dc" / "amplifier.toml"), read_netlist(path))
    bench.self_contained(bench.values([0.5] * len(bench.params)))


def _arrays() -> list[bytes]:
    """Router logs as arrays, in both formats."""
    arrays = {
        "experts": np.array([[[3, 1], [0, 2]]]),
        "weights": np.array([[[0.6, 0.2], [0.5, 0.5]]]),
        "sample": np.array([7]),
        "n_expert": np.array(4),
        "embedding": np.ones((2, 4, 3)),
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return [packed.getvalue(), save(arrays)]


def _orbits(path: Path) -> None:
    """Trajectories with their derivatives."""
    for one in read_trajectories(path, allow_uneven=True):
        motion(one)


def _orbit_files() -> list[bytes]:
    """A short orbit as a table and as arrays."""
    t = np.linspace(0, 1, 14)
    packed = io.BytesIO()
    np.savez(packed, t=t, q=t**2, p=t)
    rows = "".join(f"{value:.3f},{value**2:.4f},{value:.3f}\n" for value in t)
    return [f"t,q1,p1\n{rows}".encode(), packed.getvalue()]


def _words(data: bytes, _folder: Path) -> None:
    text = data.decode("utf-8", errors="replace")
    for read in (parse_premise, parse_questions):
        with contextlib.suppress(UserError):
            read(text, "text")


def _independencies(data: bytes, _folder: Path) -> None:
    stated = [one.claim for one in parse_independencies(data.decode("utf-8", errors="replace"), "text")]
    for claim in stated:
        if sum(map(len, claim)) < 6:
            assert graphoid([claim], "text").holds(claim)


def _labels(path: Path) -> None:
    for one in read_labelled(path):
        judged(one)


def _rules(data: bytes, _folder: Path) -> None:
    text, graph = data.decode("utf-8", errors="replace"), graph_of([Edge("x", "y"), Edge("z", "y")], "g")
    rules = parse_rules(text, "rules")
    closure(rules, graph, "rules")
    parse_goals(text, "goals", rules, graph)


def _samples(*patterns: str) -> list[bytes]:
    found = [path.read_bytes() for pattern in patterns for path in sorted(DATA.glob(pattern)) if path.is_file()]
    return [data for data in found if len(data) < 20_000]


def family_readers() -> dict[str, tuple[Callable[[bytes, Path], object], list[bytes]]]:
    """Name -> reader and seeds."""
    return {
        "qasm": (_file("circuit.qasm", read_circuit), [QASM, QASM_3, *_samples("quantum/**/*.qasm")]),
        "hamiltonian": (_file("chain.json", read_hamiltonian), [PAULIS, *_samples("quantum/**/*.json")]),
        "theory": (_file("a.mpl", theory.load), [theory.shipped("groups").encode(), *_samples("**/*.mpl")]),
        "statement": (_statement, [b"(>[a](in[a,G])(in3[e,a,a,*]))", b"(&(in[a,G])!(in[b,G]))", b"(x"]),
        "aiger": (_file("c.aig", read_aiger), [AAG, AIG]),
        "blif": (_file("c.blif", read_blif), [BLIF]),
        "netlist": (_file("a.sp", _sizing), _samples("l2dc/*.sp")),
        "sizing": (_file("a.toml", read_specification), _samples("l2dc/*.toml")),
        **model_readers(),
        "routing-jsonl": (_file("log.jsonl", read_log), [ROUTING, *_samples("grokking-pathways/*.jsonl")]),
        "routing-npz": (_file("log.npz", read_log), _arrays()[:1]),
        "routing-tensors": (_file("log.safetensors", read_log), _arrays()[1:]),
        "routed": (_file("s.jsonl", read_samples), [b'{"tokens": [1, 2], "group": "g"}\n{"text": "a b"}\n']),
        "moe-config": (
            _file("config.json", lambda path: read_config(path.parent)),
            [b'{"model_type": "olmoe", "vocab_size": 9}'],
        ),
        "causes": (_file("g.txt", read_graph), [b"a -> b\nb causes c\n", b"cause,effect\na,b\n"]),
        "causes-dot": (_file("g.dot", read_graph), [DOT]),
        "causes-bif": (_file("g.bif", read_graph), [BIF]),
        "causes-dagitty": (_file("g.dag", read_graph), [DAGITTY]),
        "causal-rules": (_rules, [RULES, b'likes(X, y) :- node(X).\nq("x").\n']),
        "independencies": (_independencies, [b'a, b _||_ c | d\n# x\n"e f" _||_ a\n']),
        "causal-labels": (
            _file("t.tsv", _labels),
            [b"A causes B. Does A cause B?\tYes\nA causes B Are A and B d-separated?\tNo"],
        ),
        "causal-labels-jsonl": (
            _file("t.jsonl", _labels),
            [b'{"premise": "A causes B", "hypothesis": "Does A cause B?", "label": "Yes"}\n'],
        ),
        "causal-words": (
            _words,
            [b'A causes B. "C D" causes B. Are A and "C D" d-separated given {B}?', b"Does A cause B?"],
        ),
        "orbits": (_file("a.csv", _orbits), _orbit_files()[:1]),
        "orbits-npz": (_file("a.npz", _orbits), _orbit_files()[1:]),
        "pairs": (_file("pairs.txt", load_pairs), [b"IN: jump twice OUT: I_JUMP I_JUMP\n", b"a b\tc d\n"]),
    }
