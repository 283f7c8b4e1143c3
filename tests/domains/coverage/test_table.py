"""Tables of examples: what is read, and every fault with its line and field."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.coverage.table import Examples, encode, read_examples


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def faults(path: Path, like: Examples | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_examples(path, like=like)
    return [str(fault).removeprefix(str(path)) for fault in caught.value.faults]


def test_columns_may_stand_in_any_order_and_the_target_anywhere(tmp_path: Path) -> None:
    train = read_examples(write(tmp_path / "a.csv", "# made\nx1,target,x2\na,1,b\nc,2,d\na,1,b\n"))
    assert (train.columns, train.inputs, train.targets) == (("x1", "x2"), (("a", "b"), ("c", "d")), ("1", "2"))
    assert (train.lines, train.repeated) == ((3, 4), 1)
    tests = read_examples(write(tmp_path / "b.tsv", "x2\tx1\nb\tz\n"), like=train)
    assert (tests.columns, tests.inputs, tests.targets) == (("x1", "x2"), (("z", "b"),), None)


def test_tokens_of_training_come_first(tmp_path: Path) -> None:
    train = read_examples(write(tmp_path / "a.csv", "x1,x2,target\nb,b,q\na,c,p\n"))
    tests = read_examples(write(tmp_path / "b.csv", "x1,x2,target\n0,b,r\na,b,p\n"), like=train)
    encoding = encode(train, tests)
    assert encoding.tokens == (("a", "b", "0"), ("b", "c"))
    assert encoding.inputs(tests).tolist() == [[2, 0], [0, 0]]
    assert encoding.unknown(encoding.inputs(tests)).tolist() == [1, 0]
    ids = encoding.target_ids(tests)
    assert ids is not None
    assert (encoding.targets, ids.tolist()) == (("p", "q", "r"), [2, 0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [": no lines. The first names the columns, as x1,x2,x3,target."]),
        (
            "x1,x2,y\na,b,c\n",
            [":1: no column 'target' among x1, x2, y. The first line names the columns, as x1,x2,target."],
        ),
        ("x1,target\na,b\n", [":1: 1 input columns; substitution needs at least 2."]),
        ("x1,x1,target\na,b,c\n", [":1 field 'x1': two columns have this name."]),
        ("x1,,target\na,b,c\n", [":1: column 2 has no name."]),
        ("x1,x2,target\n", [": no rows after the line that names the columns."]),
        (
            "x1,x2,target\na,b\na,b,c,d\na,,c\n",
            [
                ":2: 2 fields, the first line has 3.",
                ":3: 4 fields, the first line has 3.",
                ":4 field 'x2': empty. Write a word for 'none' if that is a value.",
            ],
        ),
        (
            "x1,x2,target\na,b,c\na,b,d\n",
            [":3 field 'target': 'd', but line 2 has 'c' for the same input. Coverage is of functions."],
        ),
    ],
)
def test_faults(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(write(tmp_path / "a.csv", text)) == expected


def test_too_many_columns_and_other_columns_than_training(tmp_path: Path) -> None:
    wide = ",".join(f"x{number}" for number in range(9)) + ",target\n"
    assert faults(write(tmp_path / "wide.csv", wide)) == [":1: 9 input columns, at most 8. Join some of them."]
    train = read_examples(write(tmp_path / "a.csv", "x1,x2,target\na,b,c\n"))
    assert faults(write(tmp_path / "b.csv", "x1,x3\na,b\n"), train) == [
        ":1 field 'x2': missing. The tests have the columns of the training file.",
        ":1 field 'x3': unknown: the training file has no such column.",
    ]


def test_formats(tmp_path: Path) -> None:
    packed = tmp_path / "a.tsv.gz"
    packed.write_bytes(gzip.compress(b"x1\tx2\ttarget\na\tb\tc\n"))
    assert read_examples(packed).inputs == (("a", "b"),)
    with pytest.raises(UserError, match=r"\.csv or \.tsv"):
        read_examples(write(tmp_path / "a.jsonl", "{}"))
    with pytest.raises(UserError, match="no such file"):
        read_examples(tmp_path / "none.csv")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_examples(path)
    except UserError as error:
        assert str(error)  # noqa: PT017, most texts are refused
