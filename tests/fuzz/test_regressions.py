"""What the fuzzers found, each as it was found, and inputs made to be slow or large: time and memory stay bounded."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.fuzz.parsers import tar_of, targets, zip_of
from tests.fuzz.test_parsers import limits

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg import catalogue, formats
from wheatstone.domains.kg.load import load

LONG = 60_000
"""Bytes, just below the limit of a line."""
DEEP = b"[" * 1_000_000
FOUND = [
    ("graph-nt", b"<" + b"a" * LONG),  # was quadratic: minutes a line
    ("graph-nt", b'<a> <b> "' + b"a" * LONG),
    ("graph-nt", b'<a> <b> "' + b"\\\\" * (LONG // 2)),
    ("graph-nt", b"<a>" + b" " * LONG + b"<b>"),
    ("graph-nt", b'<a> <b> "c"@' + b"a" * LONG),
    ("graph-tsv", b"\t" * LONG),
    ("graph-tsv", b"a\tb\t" + "\u0344".encode() * 20_000),
    ("graph-csv", b'"' * LONG),
    ("graph-csv", b'"a\n' * 5_000),
    ("graph-jsonl", b'{"a":' * 10_000),
    ("graph-jsonl", b"9" * LONG),
    ("question", b" | ".join([b"x"] * 20_000)),
    ("questions", b"a\tb\tc\n" * 20_000),
    ("command-line", b"--preset\nsmoke\n--seeds\n99999999999"),  # was a tuple of all of them
    ("settings", DEEP),
    ("run.json", DEEP),
    ("run.json", b"9" * 1_000_000),
    ("run.json", b'{"format": true}'),
    ("metrics.jsonl", b'{"position": 1.0}\n'),  # no step
    ("metrics.jsonl", b'{"step": 1e999}\n'),
    ("metrics.jsonl", b'{"step": ' + b"9" * 4_000 + b"}\n"),
    ("metrics.jsonl", DEEP + b"\n"),
    ("measures.json", b"null"),
    ("measures.json", b'{"position": {}}'),
    ("cost.json", b"null"),
    ("environment.json", b"null"),
    ("environment.json", b'{"command": "\\ud800"}'),
    ("findings.json", b"[]"),
    ("exhibit", b"null"),
    ("exhibit", b'{"kind": []}'),
    (
        "exhibit",  # a mark on an axis that a plot does not have
        b'{"kind": "lines", "name": "a", "title": "", "x_title": "", "y_title": "", "lines": [], "marks": '
        b'[{"axis": "z", "at": 10, "label": ""}]}',
    ),
    ("qasm", b"OPENQASM 2.0;\nqreg q[1000000000];\n"),  # ended the process
    ("qasm", b"OPENQASM 3.0;\nqubit[1000000000] q;\n"),
    ("qasm", b"OPENQASM 2.0;\nqreg q[1];\nU(0, 0, 0) q[" + b"9" * 30 + b"];\n"),  # the lexer panicked
    ("qasm", b"OPENQASM 2." + b"9" * 30 + b";\nqreg q[1];\n"),
    ("qasm", b"OPENQASM 3.0;\nqubit q;\nU(" + b"9" * 5_000 + b", 0, 0) q;\n"),
    ("qasm", b"OPENQASM 3.0;\nqubit q;\nU(" + b"(" * 500 + b"1" + b")" * 500 + b", 0, 0) q;\n"),
    ("hamiltonian", DEEP),
    ("hamiltonian", b'[[0.5, "X999999999"]]'),
    ("statement", b"(>[a](in[a,G])" * 5000),
    ("circuit", b"null"),
    ("card", b"\xff\xfe"),
    ("card", b"CARD = " + b"(" * LONG),
    ("card", b"CARD = Card(name=" + b"-" * LONG + b"1)"),
    ("card", b"CARD = Card(name=1, family=2, title=3, source=4, claim=5, presets=6)"),
    ("archive-tar", b""),
    ("archive-wheel", b""),
]


@pytest.mark.parametrize(("name", "data"), FOUND, ids=range(len(FOUND)))
def test_found(name: str, data: bytes, tmp_path: Path) -> None:
    with limits(len(data)), contextlib.suppress(UserError):
        targets()[name].read(data, tmp_path)


@pytest.mark.parametrize("arm", ["../../outside", "/etc", "a/b", "", ".", "..\\b"])
def test_an_arm_cannot_lead_out_of_the_run(arm: str, tmp_path: Path) -> None:
    target = targets()["run.json"]
    record = json.loads(target.seeds[0])
    record["arm_changes"][arm] = {}
    with pytest.raises(UserError, match=r"run\.json: damaged \('.*' cannot name a file"):
        target.read(json.dumps(record).encode(), tmp_path)


@pytest.mark.parametrize("file", ["../../secret", "/etc/passwd"])
def test_an_input_cannot_lead_out_of_the_run(file: str, tmp_path: Path) -> None:
    target = targets()["run.json"]
    record = json.loads(target.seeds[0])
    record["inputs"] = {"facts": {"file": file, "original": "a", "sha256": ""}}
    with pytest.raises(UserError, match="cannot name a file"):
        target.read(json.dumps(record).encode(), tmp_path)


def bomb(kind: str, size: int) -> bytes:
    """An archive of a few kB whose train part is `size` zeros."""
    members = {"kg/train.txt": bytes(size)}
    return tar_of(members) if kind == "tar" else zip_of(members)


@pytest.mark.parametrize("kind", ["tar", "whl"])
def test_a_bomb_is_not_unpacked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MAX_PART_BYTES", 2**20)
    name = {"tar": "a.tar.gz", "whl": "a.whl"}[kind]
    packed = bomb(kind, 64 * 2**20)
    assert len(packed) < 100_000
    with limits(0), pytest.raises(UserError, match="unpacks to more than 1,048,576 bytes"):
        catalogue.parts_of(packed, catalogue.Source(name, "", ""), "kg")


def test_a_member_that_claims_to_be_huge() -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as stream:
        header = tarfile.TarInfo("kg/train.txt")
        header.size = 2**62
        stream.write(header.tobuf(tarfile.GNU_FORMAT) + b"x" * 600)
    with limits(0), pytest.raises(UserError, match="damaged archive"):
        catalogue.parts_of(packed.getvalue(), catalogue.Source("a.tar.gz", "", ""), "kg")


def test_members_that_lead_elsewhere_are_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("../train.txt", "/kg/train.txt", "kg/../../train.txt", "kg/train.txt\0", "KG/train.txt")
    for packed, name in (
        (tar_of(dict.fromkeys(names, b"x")), "a.tar.gz"),
        (zip_of({one.replace("\0", "0"): b"x" for one in names}), "a.whl"),
    ):
        found = catalogue.parts_of(packed, catalogue.Source(name, "", ""), "kg")
        assert found in ([], [b"x"])  # tar ends a name at its NUL, so that one is the part itself
        assert list(tmp_path.iterdir()) == []


def test_blank_lines_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_LINES", 1000)
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"\n" * 100_000))
    with pytest.raises(UserError, match=r"a\.tsv\.gz:1001: the file is longer than 1,000 lines"):
        load(tmp_path / "a.tsv.gz")


def test_lines_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_BYTES", 1000)
    (tmp_path / "a.tsv").write_bytes(b"a\tb\tc\n" * 1000)
    with pytest.raises(UserError, match=r"a\.tsv:167: the file is longer than .* lines or 1,000 bytes"):
        load(tmp_path / "a.tsv")
