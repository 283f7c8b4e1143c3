"""Edge lists, DOT, dagitty, BIF, words: the same graph from each, the oracle's reasons, every fault with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.causal.formats import read_graph
from wheatstone.domains.causal.graphs import Edge, Question, graph_of
from wheatstone.domains.causal.text import parse_premise, parse_questions

EDGES = {("rain", "wet"), ("sprinkler", "wet"), ("wet", "slippery")}
FILES = {
    "a.txt": "# weather\nrain -> wet\n\nsprinkler causes wet.\nwet slippery\n",
    "a.csv": "cause,effect\nrain,wet\nsprinkler,wet\nwet,slippery\n",
    "a.tsv": "rain\twet\nsprinkler\twet\nwet\tslippery\n",
    "a.dot": 'digraph g { // weather\n node [shape=box]; {rain sprinkler} -> wet -> "slippery" [label="x -> y"]; }',
    "a.gv": "strict digraph {\n rain -> wet\n sprinkler:n -> wet; wet -> slippery\n subgraph s { rain } rankdir=LR }",
    "a.dag": 'dag "w" {\nbb="-3,-1,2,1"\nrain [exposure,pos="-1.0,0.2"]\nwet <- rain\nsprinkler -> wet -> slippery\n}',
    "b.txt": "# drawn\ndag {\nrain -> wet [pos=1] wet <- sprinkler\nslippery [outcome] slippery <- wet }",
    "a.bif": "network w {}\nvariable rain { type discrete [2] {y, n}; }\nvariable sprinkler { }\nvariable wet { }\n"
    "variable slippery { }\nprobability ( rain ) { table 0.1, 0.9; }\nprobability ( sprinkler ) {}\n"
    "probability ( wet | rain, sprinkler ) {}\nprobability ( slippery | wet ) {}\n",
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", [*FILES, "a.txt.gz"])
def test_every_format_gives_the_same_graph(tmp_path: Path, name: str) -> None:
    found = read_graph(write(tmp_path, name, FILES[name.removesuffix(".gz")]))
    assert {(found.names[a], found.names[b]) for a, b in found.edges} == EDGES


def test_the_oracle_answers_and_says_why(tmp_path: Path) -> None:
    graph = read_graph(write(tmp_path, "a.csv", FILES["a.csv"]))

    def answer(*question: object) -> tuple[bool, str]:
        return tuple(graph.answer(Question(*question)))  # type: ignore[arg-type, return-value]

    assert answer("transitivity", "rain", "slippery") == (True, "rain → wet → slippery")
    assert answer("transitivity", "slippery", "rain") == (False, "only the other way: rain → wet → slippery")
    assert answer("transitivity", "rain", "sprinkler") == (False, "rain reaches only wet, slippery")
    assert answer("transitivity", "slippery", "sprinkler")[0] is False
    closed = "blocked: rain → wet ← sprinkler at wet (collider; nothing at or below it is given)"
    assert answer("d_separation", "rain", "sprinkler") == (True, closed)
    opened = "open path: rain → wet ← sprinkler"
    assert answer("d_separation", "rain", "sprinkler", ("wet",)) == (False, opened)
    assert answer("d_separation", "rain", "sprinkler", ("slippery",)) == (
        False,
        f"{opened} (wet is opened by slippery)",
    )
    assert answer("d_separation", "rain", "slippery", ("wet",)) == (
        True,
        "blocked: rain → wet → slippery at wet (given)",
    )


def test_the_chest_clinic_explains_itself(tmp_path: Path) -> None:
    """The network ASIA of Lauritzen and Spiegelhalter 1988, figure 1."""
    text = "dag { asia -> tub -> either; lung -> either -> xray; either -> dysp <- bronc; lung <- smoke -> bronc }"
    graph = read_graph(write(tmp_path, "asia.dagitty", text))
    assert (len(graph.names), len(graph.edges)) == (8, 8)
    whys = [
        ("asia", "xray", ("either",), "blocked: asia → tub → either → xray at either (given)"),
        ("tub", "lung", ("xray",), "open path: tub → either ← lung (either is opened by xray)"),
        ("asia", "smoke", ("dysp",), "open path: asia → tub → either ← lung ← smoke (either is opened by dysp)"),
    ]
    for first, second, given, why in whys:
        assert graph.answer(Question("d_separation", first, second, given)).why == why


def test_a_path_is_blocked_where_it_is_not_where_a_collider_is_open() -> None:
    edges = [Edge("a", "c"), Edge("b", "c"), Edge("b", "e"), Edge("c", "d")]
    graph = graph_of(edges, "g")
    for given in (("c", "b"), ("b", "d")):
        assert graph.answer(Question("d_separation", "a", "e", given)).why == "blocked: a → c ← b → e at b (given)"


def test_long_reasons_are_cut_short() -> None:
    star = [Edge("hub", f"leaf{i}") for i in range(9)]
    many = [edge for i in range(5) for edge in (Edge("a", f"m{i}"), Edge("b", f"m{i}"))]
    graph = graph_of([*star, *many, Edge("alone", "end")], "g")
    reached = graph.answer(Question("transitivity", "hub", "end")).why
    assert reached == "hub reaches only leaf0, leaf1, leaf2, leaf3, leaf4, leaf5 and 3 more"
    assert graph.answer(Question("transitivity", "end", "hub")).why == "end causes nothing"
    blocked = graph.answer(Question("d_separation", "a", "b")).why
    assert (blocked.count("→"), blocked[-18:]) == (3, "; and longer paths")
    assert graph.answer(Question("d_separation", "a", "hub")).why == "no path joins them"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "a b\nb c d\ne\n", "a.txt:2: 3 names in 'b c d'"),
        ("a.txt", "a -> b\nb -> c\nc -> a\n", "a.txt:3: a cycle: "),
        ("a.txt", "a -> a\n", "a.txt:1 field 'effect': 'a' causes itself"),
        ("a.txt", "# nothing\n", "no edges"),
        ("a.dot", "graph { a -- b }", "no 'digraph'"),
        ("a.dot", "digraph { a -- b }", "a.dot:1: '--' has no direction"),
        ("a.dot", "digraph {\n a ->\n}", "a.dot:3: '}' stands where a node must"),
        ("a.dot", "digraph { a -> b", "the file ends where '}' must follow"),
        ("a.dot", "digraph { a -> b [x=1\n", "the file ends where ']' must follow"),
        ("a.dot", "digraph { a -> b } extra", "'extra' is after the last '}'"),
        ("a.dag", "dag {\n a <-> b }", "a.dag:2: '<->' stands for a cause that is not named"),
        ("a.dag", "dag {\n a -- b }", "a.dag:2: '--' has no direction"),
        ("a.dagitty", "pdag { a -> b }", "a.dagitty:1: no 'dag {'"),
        ("a.dag", "dag { a -> b\nb -> a }", "a.dag:2: a cycle: a → b → a"),
        ("a.txt", "dag { a -> b", "the file ends where '}' must follow"),
        ("a.dot", "digraph { a <- b }", "'<' stands where a node must"),
        ("a.bif", "network x {}", "no 'variable NAME {'"),
        ("a.bif", "variable a {}\nvariable a {}\nprobability ( a ) {}", "'a' is declared twice"),
        ("a.bif", "variable a {}\nprobability ( a | b ) {}", "a.bif:2 field 'probability': 'b' is no variable"),
        ("a.bif", "variable a {}\nprobability ( a, a ) {}", "a.bif:2 field 'probability': 2 variables before '|'"),
        ("a.xml", "<a/>", "the ending '.xml' names no format"),
        ("a.txt.gz", "", ""),
    ],
)
def test_every_fault_has_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode() if text else b"no gzip")
    with pytest.raises(UserError) as caught:
        read_graph(path)
    assert (message or "no whole gzip file") in str(caught.value)


def test_files_that_cannot_be_opened_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_graph(tmp_path / "absent.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        read_graph(tmp_path / "folder.txt")
    (tmp_path / "latin.txt").write_bytes(b"a b\ncaf\xe9 b\n")
    with pytest.raises(InputError, match=r"latin.txt:2: not UTF-8"):
        read_graph(tmp_path / "latin.txt")


def test_words_are_read_as_they_are_written() -> None:
    asked = parse_premise('Rain causes wet. "Wet roads" causes U.S.A. Does Rain cause U.S.A?', "text")
    assert [edge[:2] for edge in asked.edges] == [("Rain", "wet"), ("Wet roads", "U.S.A")]
    assert asked.question[:3] == ("transitivity", "Rain", "U.S.A")
    found = parse_premise("A causes B. Are A and B d-separated given {C, D}?", "text").question
    assert (found.axiom, found.given) == ("d_separation", ("C", "D"))
    several = parse_questions("# all\nAre A and B d-separated?\n\nare A and B d-separated given C and D", "q")
    assert [(one.line, one.given) for one in several] == [(2, ()), (4, ("C", "D"))]


@pytest.mark.parametrize(
    "question",
    [
        Question("transitivity", "heavy rain", "U.S.A"),
        Question("d_separation", "A", "x-1", ("slippery road", "é_2", "-")),
        Question("d_separation", "A", "B"),
    ],
    ids=str,
)
def test_a_question_is_read_back_as_it_is_printed(question: Question) -> None:
    assert parse_questions(str(question), "q") == [question._replace(line=1)]


def test_a_fault_names_its_line_where_there_are_several() -> None:
    with pytest.raises(InputError, match=r"^p\.txt:3: 'B makes C\.' is no statement"):
        parse_premise("A causes B.\n\nB makes C. Does A cause C?\n", "p.txt")
    with pytest.raises(InputError, match=r"^q: 'B makes C\.' is no statement"):
        parse_premise("B makes C. Does A cause C?", "q")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A causes B. B makes C. Does A cause C?", "'B makes C.' is no statement"),
        ("A causes B.", "0 questions, must be one"),
        ("", "0 questions, must be one"),
        ("A causes B. Does A cause B? Does B cause A?", "2 questions, must be one"),
        ("A causes B. Is A B?", "'Is A B?' is no question"),
    ],
)
def test_sentences_that_are_neither_are_told(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_premise(text, "question")
    assert message in str(caught.value)


def test_questions_about_other_nodes_are_told() -> None:
    graph = graph_of([Edge("rain", "wet", 1)], "g")
    questions = [
        Question("transitivity", "rain", "wett", (), 1),
        Question("transitivity", "rain", "rain", (), 2),
        Question("d_separation", "rain", "wet", ("rain",), 3),
    ]
    with pytest.raises(InputError) as caught:
        graph.check(questions, "q.txt")
    assert str(caught.value) == (
        "q.txt:1 field 'second': no node 'wett' in the graph. Did you mean 'wet'?\n"
        "q.txt:2 field 'second': 'rain' is asked about itself; name two different nodes.\n"
        "q.txt:3 field 'given': 'rain' is asked about and given; the given nodes must be others."
    )
    with pytest.raises(InputError, match="no questions"):
        parse_questions("# none\n", "q.txt")
    with pytest.raises(InputError, match=r"q.txt:1: 'what' is no question"):
        parse_questions("what", "q.txt")
