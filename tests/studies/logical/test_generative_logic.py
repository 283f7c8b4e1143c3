"""The study: laws that mean what they say, spot checks that notice, arms that differ as they claim, and its verbs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.work import Task, perform
from wheatstone.domains.logic import metamath
from wheatstone.domains.logic.library import Library
from wheatstone.domains.logic.terms import Sequent, canonical, pretty_sequent
from wheatstone.domains.logic.theory import SHIPPED, load, statement
from wheatstone.studies.logical.generative_logic import study, verbs
from wheatstone.studies.logical.generative_logic.config import Config
from wheatstone.studies.logical.generative_logic.experiment import false_at_large, library_of
from wheatstone.studies.logical.generative_logic.laws import LAWS, REPORTED

DATA = Path(__file__).parents[2] / "data" / "generative-logic"
COMMUTES = "(>[a,b,c](in3[a,b,c,+])(in3[b,a,c,+]))"


def functional(theory: str, text: str) -> str:
    library = Library(load(theory))
    return pretty_sequent(library.functional(statement(library.theory, text)[0]))


def test_the_laws_are_the_laws() -> None:
    laws = LAWS["peano"]
    assert functional("peano", laws["addition associates"]) == "a + (b + c) = (a + b) + c"
    assert functional("peano", laws["multiplication associates"]) == "a · (b · c) = (a · b) · c"
    assert functional("peano", laws["left distributivity"]) == "a · (b + c) = a · b + a · c"
    assert functional("peano", laws["right distributivity"]) == "(a + b) · c = a · c + b · c"
    assert functional("peano", laws["a * 1 = a"]) == "a · 1 = a"
    assert functional("peano", laws["addition commutes"]) == "a + b = b + a"
    assert functional("peano", laws["cancellation"]) == "a + b = a + c ⇒ c = b"
    assert functional("sums", LAWS["sums"]["n (n + 1) is twice the sum"]) == "sum(a) + sum(a) = a · s(a)"
    assert set(LAWS) == set(SHIPPED)


def test_what_the_original_reports_is_true_and_counted_once() -> None:
    library = Library(load("peano"))
    forms = [canonical(library.functional(statement(library.theory, text)[0])) for text in REPORTED]
    assert len(forms) == len(set(forms)) == 32
    for form in forms:
        library.theorems = ["asked"]
        library.sequents["asked"] = form
        assert false_at_large(library, Config(spot_checks=60), np.random.default_rng(0)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        Sequent((), ("=", ("+", "a", "b"), ("*", "a", "b"))),
        Sequent((), ("leq", "a", ("s", ("s", ("s", ("s", ("s", ("s", ("s", ("i0",)))))))))),
        Sequent((("=", ("*", "a", "b"), ("i0",)),), ("=", "a", ("i0",))),
        Sequent((("leq", "a", "b"),), ("divides", "a", "b")),
    ],
)
def test_spot_checks_notice_what_is_false_beyond_the_window(wrong: Sequent) -> None:
    library = Library(load("peano"))
    library.theorems, library.sequents["wrong"] = ["wrong"], wrong
    assert false_at_large(library, Config(), np.random.default_rng(0)) == 1


def test_an_axiom_that_is_not_there_cannot_be_left_out() -> None:
    assert "left_inverse" not in library_of(Config(theory="groups", without_axiom="left_inverse")).theory.axioms
    with pytest.raises(UserError, match="'inverse' is no axiom of groups"):
        library_of(Config(theory="groups", without_axiom="inverse"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Addition with and without induction, one seed each."""
    arms = ["addition", "addition_no_induction"]
    made = Run.create(tmp_path_factory.mktemp("gl") / "run", study.STUDY, "smoke", study.SMOKE, [0], arms, 1)
    for arm in made.arms:
        perform(made, study.STUDY, Task(arm, 0), lambda *_: None)
    return made


def test_addition_is_found_with_induction_and_not_without(run: Run) -> None:
    treated, control = (run.trial(arm, 0).measures() or {} for arm in run.arms)
    assert (treated["laws"], control["laws"]) == (1, 0)
    assert (treated["kernel_accepted"], treated["false_at_large"], treated["mutants_rejected"]) == (1, 0, 1)
    assert (treated["circles_rejected"], treated["circles_noticed"]) == (1, 0)
    assert treated["work_to_laws"] < study.SMOKE.work < control["work_to_laws"]
    expected = 1 if metamath.installed() else pytest.approx(float("nan"), nan_ok=True)
    assert treated["metamath_verified"] == expected


def test_the_tables_are_what_was_found(run: Run) -> None:
    record = run.trial("addition", 0)
    measures = record.measures() or {}
    rows = record.artifact("theorems")
    assert len(rows) == measures["theorems"]
    assert sum(row["essential"] for row in rows) == measures["essential"]
    assert {row["state"] for row in record.artifact("laws")} <= {"theorem", "follows"}
    names = {exhibit.name for exhibit in study.exhibits(run)}
    assert {"laws", "funnel", "checkers", "discovery", "theorems-of-addition", "citations-of-addition"} <= names


def test_explore_writes_what_check_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "loops"
    assert verbs.explore(str(DATA / "loops.mpl"), out=place) == 0
    printed = capsys.readouterr().out
    assert "a · b = a ⇒ b = e" in printed
    assert {path.name for path in place.iterdir()} == {"proofs.html", "proofs.json", "proofs.mm", "problems"}
    assert verbs.check(place / "proofs.json", theory=str(DATA / "loops.mpl"), metamath=bool(metamath.installed())) == 0
    assert "all accepted" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"axiom '.*' is not one of peano"):
        verbs.check(place / "proofs.json", theory="peano")


def test_check_refuses_a_forged_proof(tmp_path: Path) -> None:
    verbs.explore(str(DATA / "loops.mpl"), out=tmp_path)
    document = json.loads((tmp_path / "proofs.json").read_text(encoding="utf-8"))
    document["items"][-1]["conclusion"] = ["=", "a", "b"]
    (tmp_path / "forged.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match=r"rejected\. t2: the last line is"):
        verbs.check(tmp_path / "forged.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", ":1:2: not JSON"),
        (b"[]", "the outermost value must be an object"),
        (b"{}", "rejected. document: format None"),
        (b'{"format": 1}', "rejected. document: malformed"),
        (b"\xff", "not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_check_says_what_is_wrong_with_a_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "proofs.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        verbs.check(tmp_path / "proofs.json")
    assert message in str(caught.value)


def test_prove_proves_refutes_and_gives_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert verbs.prove("addition", COMMUTES) == 0
    printed = capsys.readouterr().out
    assert "by induction on a" in printed
    assert "The kernel accepts the proof" in printed
    assert verbs.prove("addition", "(>[a,b,c](in3[a,b,c,+])(=[a,c]))") == 1
    assert "false in numbers below 100 at a = 0, b = 1" in capsys.readouterr().out
    (tmp_path / "many.txt").write_text(f"# two\n{COMMUTES}\n(>[a](in[a,N])(in2[a,i0,s]))\n", encoding="utf-8")
    assert verbs.prove("addition", str(tmp_path / "many.txt")) == 1
    assert "Proved" in capsys.readouterr().out
    with pytest.raises(UserError, match="neither a formula"):
        verbs.prove("addition", "a + b = b + a")


def test_a_contradiction_is_told_with_its_derivation() -> None:
    with pytest.raises(UserError) as caught:
        verbs.explore(str(DATA / "contradiction.mpl"))
    assert str(caught.value) == (
        "contradiction: the axioms contradict each other, so that everything follows from them. "
        "The derivation ends:\n    1  s(0) = 0   loop.f\n    3  ⊥   first.f with n := 0 from 1"
    )


def test_the_user_sees_one_message(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wheatstone", "apply", "generative-logic", "explore", str(DATA / "unbalanced.mpl")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{DATA / 'unbalanced.mpl'}:5:1: the text ends here, expected ')' that closes the '(' of line 4, column 16",
        f"{DATA / 'unbalanced.mpl'}:6:1: 'axioms' after the end of 'axiom brackets' Did you mean 'axiom'?",
    ]
