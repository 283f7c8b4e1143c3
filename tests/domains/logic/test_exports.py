"""What leaves the house: Metamath databases that its program verifies, TPTP problems that E solves, a page to read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.domains.logic.conftest import Explored

from wheatstone.bench.errors import UserError
from wheatstone.domains.logic import kernel, metamath, tptp
from wheatstone.domains.logic.library import Library
from wheatstone.domains.logic.page import page
from wheatstone.domains.logic.terms import Sequent
from wheatstone.domains.logic.theory import load

needs_metamath = pytest.mark.skipif(metamath.installed() is None, reason="the metamath program is not installed")
needs_e = pytest.mark.skipif(shutil.which("eprover") is None, reason="the prover E is not installed")


@needs_metamath
@pytest.mark.parametrize("name", ["addition", "groups", "arithmetic"])
def test_metamath_verifies_every_theorem(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found: Explored = request.getfixturevalue(name)
    place = tmp_path / "proofs.mm"
    place.write_text(metamath.export(found.document), encoding="utf-8")
    theorems = sum(item["item"] == "theorem" for item in found.document["items"])
    assert metamath.verify(place, theorems).verified == theorems
    assert place.read_text(encoding="utf-8").count("$p") == 2 * theorems


@needs_metamath
def test_metamath_rejects_a_changed_database(addition: Explored, tmp_path: Path) -> None:
    text = metamath.export(addition.document)
    statements = list(re.finditer(r"-c \$p \|- \( T\. -> (\S+ \S+ \S+ \S+ \S+) = ", text))
    assert statements
    for at, hit in enumerate(statements[:3]):
        place = tmp_path / f"changed{at}.mm"
        place.write_text(text[: hit.start(1)] + "i0" + text[hit.end(1) :], encoding="utf-8")
        with pytest.raises(UserError, match="metamath does not verify it"):
            metamath.verify(place, 1)


@needs_metamath
def test_a_general_induction_hypothesis_is_exported(tmp_path: Path) -> None:
    library = Library(load("addition"))
    shift = Sequent((), ("=", ("+", "a", ("s", "b")), ("+", ("s", "a"), "b")))
    goal = Sequent((("=", ("+", "a", "b"), ("+", "c", "b")),), ("=", "a", "c"))
    for name, sequent, fixed in (("shift", shift, True), ("cancel", goal, False)):
        general = frozenset[str]() if fixed else frozenset("ac")
        proof = library.prover._by_induction(sequent, "b", general, (), None)  # pyright: ignore[reportPrivateUsage]
        assert proof is not None
        library.add(name, sequent, proof)
    document = json.loads(json.dumps(library.document()))
    assert kernel.check(document)
    assert document["items"][-1]["proof"]["induction"]["general"] == ["a", "c"]
    place = tmp_path / "general.mm"
    place.write_text(metamath.export(document), encoding="utf-8")
    metamath.verify(place, 1)


def test_labels_are_metamath_labels() -> None:
    for name in ("+_zero.f", "*", "a b", "in3:+", "ä"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", metamath.label(name))


def test_without_the_program_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UserError, match="apt-get install metamath"):
        metamath.verify(tmp_path / "x.mm", 1)


@needs_e
def test_e_proves_each_step_and_no_changed_one(addition: Explored, tmp_path: Path) -> None:
    problems = tptp.problems(addition.document)
    assert any(problem.name.endswith(".step") for problem in problems)
    for problem in problems[:8]:
        assert solved(problem.text, tmp_path), problem.name
    wrong = next(problem for problem in problems if problem.name.endswith(".step"))
    broken = re.sub(r"fof\(goal, conjecture, .*\)\.", "fof(goal, conjecture, (n_i0 = n_s(n_i0))).", wrong.text)
    assert broken != wrong.text
    assert not solved(broken, tmp_path)


def solved(text: str, folder: Path) -> bool:
    place = folder / "problem.p"
    place.write_text(text, encoding="utf-8")
    command = ["eprover", "--auto", "--silent", "--cpu-limit=5", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "# SZS status Theorem" in done.stdout


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if name == "href" and value:
                (self.targets.add if value.startswith("#") else self.loads.append)(value.removeprefix("#"))
            if name == "src" and value:
                self.loads.append(value)


def test_the_page_is_whole_and_every_link_leads_somewhere(arithmetic: Explored) -> None:
    accepted = kernel.check(arithmetic.document)
    text = page(arithmetic.document, accepted, arithmetic.exploration.essential)
    links = Links()
    links.feed(text)
    assert links.targets <= links.anchors
    assert links.loads == []
    assert set(accepted) <= links.anchors
    assert text.count("<article") == len(accepted) + len(arithmetic.library.theory.axioms)
    assert 'type="search"' in text


def test_names_are_text_in_the_page() -> None:
    document = {"theory": "<script>alert(1)</script>", "items": []}
    assert "<script>alert" not in page(document, {})
