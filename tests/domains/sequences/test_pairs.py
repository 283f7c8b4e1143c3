"""Files of pairs: the formats that are read, and every message for the ones that are not."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.data import require_file
from wheatstone.domains.sequences.pairs import Pair, load_pairs

WORD = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=6)
TOKENS = st.lists(WORD, min_size=1, max_size=4).map(tuple)


@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=5))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple]) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    kept = [(s, t) for s, t in pairs if not s[0].startswith(("#", "\ufeff", "IN:"))]
    if kept:
        path.write_text("".join(f"{' '.join(s)}\t{' '.join(t)}\n" for s, t in kept), encoding="utf-8")
        assert load_pairs(path) == tuple(Pair(s, t) for s, t in kept)


def test_scans_own_form_tags_comments_and_gzip_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt.gz"
    text = "# comment\nIN: walk twice OUT: I_WALK I_WALK\nA girl ran .\trun ( x )\tcase\nnothing\t\n"
    path.write_bytes(gzip.compress(text.encode()))
    assert load_pairs(path) == (
        Pair(("walk", "twice"), ("I_WALK", "I_WALK")),
        Pair(("A", "girl", "ran", "."), ("run", "(", "x", ")"), "case"),
        Pair(("nothing",), ()),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"walk\n", "f.tsv:1: got 1 field, need 2: source tokens, a tab, target tokens (and a tag, if wanted)."),
        (b"a\tb\n\tb\n", "f.tsv:2: the source is empty. A line is source tokens, a tab, target tokens."),
        (b"", "f.tsv: no pairs. A line is source tokens, a tab, target tokens."),
        (b"a\tb\nc\t\xe7\n", "f.tsv:2: not UTF-8 (0xe7 at byte 3). Save the file as UTF-8."),
        (b"a\tb\0\n", "f.tsv:1: a NUL byte. The file is binary, or UTF-16."),
        (b"a" * 70_000, "f.tsv:1: longer than 65,536 bytes."),
    ],
)
def test_faults_name_their_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError) as fault:
        load_pairs(path)
    assert str(fault.value) == message


def test_a_cut_off_archive_and_an_absent_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tb\n" * 1000)[:-20])
    with pytest.raises(InputError, match="damaged or cut off"):
        load_pairs(path)
    with pytest.raises(UserError, match="no such file"):
        load_pairs(tmp_path / "absent.tsv")
    with pytest.raises(UserError, match="is a directory"):
        load_pairs(tmp_path)
    monkeypatch.setenv("WHEATSTONE_DATA", str(tmp_path))
    with pytest.raises(UserError, match="WHEATSTONE_DATA"):
        require_file("language/x.tsv", "x")
