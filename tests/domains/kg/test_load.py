"""Every format read back as written, and every policy on a graph small enough to check by hand."""

from __future__ import annotations

import gzip
import tracemalloc
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domains.kg.graphs import FAMILY, family

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.kg import formats
from wheatstone.domains.kg.graph import Graph
from wheatstone.domains.kg.load import LoadReport, load, name_fault
from wheatstone.domains.kg.save import save

FORMATS = [".tsv", ".csv", ".jsonl", ".tsv.gz", ".csv.gz", ".jsonl.gz"]


def written(folder: Path, text: str | bytes, name: str = "facts.tsv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names() -> st.SearchStrategy[str]:
    """Names that a file may hold: any text that is stripped, printable or blank inside, and not a comment or quoted."""
    letters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"))
    plain = st.text(letters, min_size=1, max_size=12)
    nfc = plain.map(lambda name: unicodedata.normalize("NFC", name).strip())
    return nfc.filter(lambda name: not name_fault(name) and name[0] not in '#"' and "\t" not in name)


@pytest.mark.parametrize("ending", FORMATS)
@given(
    tails=st.dictionaries(st.tuples(names(), names()), names(), min_size=1, max_size=6),
    typed=st.booleans(),
)
@settings(max_examples=25)
def test_what_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, ending: str, tails: dict[tuple[str, str], str], typed: bool
) -> None:
    facts = [(head, relation, tail) for (head, relation), tail in tails.items()]
    classes = {head: "kind" for head, _, _ in facts} if typed else None
    graph = Graph.from_facts(facts, classes)
    path = tmp_path_factory.mktemp("graph") / f"facts{ending}"
    save(graph, path)
    assert load(path, multi="error").graph == graph


@given(tails=st.dictionaries(st.tuples(names(), names()), names(), min_size=1, max_size=6))
@settings(max_examples=25)
def test_n_triples(tmp_path_factory: pytest.TempPathFactory, tails: dict[tuple[str, str], str]) -> None:
    """IRIs for heads and relations, escaped literals for tails."""

    def iri(name: str) -> str:
        return "http://example.org/" + quote(name, safe="")

    def literal(name: str) -> str:
        return "".join(c if c.isascii() and c not in '"\\' else f"\\U{ord(c):08X}" for c in name)

    text = "".join(f'<{iri(h)}> <{iri(r)}> "{literal(t)}"@en .  # said\n' for (h, r), t in tails.items())
    path = written(tmp_path_factory.mktemp("graph"), text, "facts.nt")
    expected = Graph.from_facts([(iri(head), iri(relation), tail) for (head, relation), tail in tails.items()])
    assert load(path, multi="error").graph == expected


def test_n_triples_terms(tmp_path: Path) -> None:
    text = (
        "<http://e/a> <http://e/r> _:b1 .\n"
        "_:b1<http://e/r><http://e/\\u00e9>.\n"
        '_:b1 <http://e/label> "say \\"hi\\""^^<http://www.w3.org/2001/XMLSchema#string> .\n'
    )
    assert {tuple(fact) for fact in load(written(tmp_path, text, "facts.nt")).graph.facts()} == {
        ("http://e/a", "http://e/r", "_:b1"),
        ("_:b1", "http://e/r", "http://e/é"),
        ("_:b1", "http://e/label", 'say "hi"'),
    }


@pytest.mark.parametrize("header", ["head\trelation\ttail\n", "Subject\tPredicate\tObject\n", "h\tr\tt\ttype\n", ""])
def test_a_header_is_recognised(tmp_path: Path, header: str) -> None:
    text = header + "".join("\t".join(fact) + "\n" for fact in FAMILY)
    graph, report = load(written(tmp_path, text))
    assert graph == family()
    assert report.header == bool(header)


def test_marks_line_ends_blanks_and_comments_change_nothing(tmp_path: Path) -> None:
    lines = "\r\n".join(" \t ".join(fact) for fact in FAMILY)
    text = f"\ufeff# a family\r\n\r\n{lines}\r\n  # the end"
    graph, report = load(written(tmp_path, text))
    assert graph == family()
    assert (report.byte_order_mark, report.windows_line_ends, report.comments, report.lines) == (True, True, 2, 10)


def test_names_are_put_into_one_unicode_form(tmp_path: Path) -> None:
    text = "Zu\u0308rich\tcountry\tCH\nBern\tnear\tZ\u00fcrich\n"
    assert load(written(tmp_path, text)).graph.entities == ("Bern", "CH", "Zürich")


def test_the_fourth_column_is_the_class_of_the_head(tmp_path: Path) -> None:
    graph = load(written(tmp_path, "Paris\tcountry\tFrance\tcity\nFrance\tcurrency\tEuro\t\n")).graph
    assert dict(zip(graph.entities, graph.classes, strict=True)) == {"Paris": "city", "France": "", "Euro": ""}


MULTI = "a\tr\tc\na\tr\tb\na\tr\tc\na\ts\td\na\ts\tc\nb\tr\tc\nb\tr\tc\n"
"""(a, r): c stated twice, b once. (a, s): c and d once each. (b, r): c stated twice."""


@pytest.mark.parametrize(
    ("multi", "kept", "dropped"),
    [
        ("first", [("a", "r", "c"), ("a", "s", "c"), ("b", "r", "c")], 2),
        ("strict", [("b", "r", "c")], 4),
    ],
)
def test_pairs_with_several_tails(tmp_path: Path, multi: str, kept: list[tuple[str, ...]], dropped: int) -> None:
    graph, report = load(written(tmp_path, MULTI), multi=multi)
    assert [tuple(fact) for fact in graph.facts()] == kept
    assert (report.statements, report.duplicates, report.multi_valued, report.dropped) == (7, 2, 2, dropped)
    kept_instead = "kept 'c'" if multi == "first" else "kept none"
    assert report.examples[0] == f"(a, r): left out 'b', {kept_instead}"


@given(st.permutations(MULTI.splitlines(keepends=True)))
@settings(max_examples=20)
def test_the_order_of_lines_does_not_matter(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = written(tmp_path_factory.mktemp("graph"), "".join(lines))
    assert [tuple(fact) for fact in load(path).graph.facts()] == [("a", "r", "c"), ("a", "s", "c"), ("b", "r", "c")]


def test_several_tails_can_be_refused(tmp_path: Path) -> None:
    path = written(tmp_path, MULTI)
    with pytest.raises(InputError) as caught:
        load(path, multi="error")
    places = [(fault.line, fault.field) for fault in caught.value.faults]
    assert places == [(2, "tail"), (5, "tail")]
    assert "'b' contradicts line 1, where (a, r) has 'c'" in caught.value.faults[0].text


def test_inverse_relations_obey_the_policy_too(tmp_path: Path) -> None:
    path = written(tmp_path, "ann\tmother\teve\nbob\tmother\teve\neve\thome\toslo\n")
    assert {tuple(fact) for fact in load(path, inverse=True).graph.facts()} == {
        ("ann", "mother", "eve"),
        ("bob", "mother", "eve"),
        ("eve", "home", "oslo"),
        ("eve", "mother~", "ann"),
        ("oslo", "home~", "eve"),
    }
    strict = load(path, inverse=True, multi="strict")
    assert ("eve", "mother~", "ann") not in {tuple(fact) for fact in strict.graph.facts()}
    assert strict.report.multi_valued == 1


def test_a_relation_may_sort_between_another_and_its_inverse(tmp_path: Path) -> None:
    """'r', 'r s', 'r s~', 'r~': ids of relations move when inverses are added."""
    graph = load(written(tmp_path, "a\tr\tb\nc\tr s\td\n"), inverse=True).graph
    assert {tuple(fact) for fact in graph.facts()} == {
        ("a", "r", "b"),
        ("b", "r~", "a"),
        ("c", "r s", "d"),
        ("d", "r s~", "c"),
    }


def test_reading_stops_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "a\tr\tb\n" * 5)
    monkeypatch.setattr(formats, "MAX_ROWS", 3)
    with pytest.raises(InputError, match=r"facts.tsv:4: more than 3 rows"):
        load(path)
    monkeypatch.undo()
    monkeypatch.setattr(formats, "MAX_FAULTS", 7)
    with pytest.raises(InputError, match="and 2 more of this kind"):
        load(written(tmp_path, "bad\n" * 50))


def test_a_gzip_bomb_of_one_line_is_not_unpacked(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(b"a" * 50_000_000), "facts.tsv.gz")
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="longer than 65,536 bytes"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


PIECES = st.sampled_from(
    [b"a\tr\tb", b"\n", b"\r", b'"', b",", b"\t", b"#", b"{", b"}", b"[", b'{"head": "a"', b"<a> <r> ", b'"b" .', b"\0"]
)


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl", ".nt", ".tsv.gz", ".nt.gz"])
@given(data=st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=30).map(b"".join)), packed=st.booleans())
@settings(max_examples=60)
def test_any_bytes_are_a_graph_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, ending: str, data: bytes, packed: bool
) -> None:
    content = gzip.compress(data) if packed and ending.endswith(".gz") else data
    path = written(tmp_path_factory.mktemp("graph"), content, f"facts{ending}")
    try:
        outcome = str(len(load(path).graph.triples))
    except UserError as error:
        outcome = str(error)
    assert int(outcome) > 0 if outcome.isdigit() else str(path) in outcome
    assert all(line.isprintable() for line in outcome.splitlines())


def test_the_report_is_a_table(tmp_path: Path) -> None:
    report = load(written(tmp_path, MULTI)).report
    assert isinstance(report, LoadReport)
    assert dict(report.rows())["pairs with several tails (most frequent tail kept)"] == 2


def test_saving_is_repeatable_and_says_where_facts_come_from(tmp_path: Path) -> None:
    for name in ("one.tsv.gz", "two.tsv.gz"):
        save(family(), tmp_path / name, note="a family\nof four")
    assert (tmp_path / "one.tsv.gz").read_bytes() == (tmp_path / "two.tsv.gz").read_bytes()
    data = (tmp_path / "one.tsv.gz").read_bytes()
    assert data[4:8] == bytes(4)  # RFC 1952: the time of packing, none
    text = gzip.decompress(data).decode()
    assert text.startswith("# a family\n# of four\nhead\trelation\ttail\nAnn\tborn_in\tRome\n")
    with pytest.raises(UserError, match=r"graphs are written as .tsv, .csv or .jsonl"):
        save(family(), tmp_path / "facts.nt")
