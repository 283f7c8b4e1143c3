"""`wheatstone apply generative-logic explore | check | prove`: the method on a user's own theory and proofs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from annotated_types import Ge

from wheatstone.bench.errors import UserError

if TYPE_CHECKING:
    from wheatstone.domains.logic.explore import Exploration
    from wheatstone.domains.logic.kernel import Accepted
    from wheatstone.domains.logic.library import Library
    from wheatstone.domains.logic.prove import Proof
    from wheatstone.domains.logic.terms import Sequent

PROVE_WORK = 1_500_000


def explore(
    theory: str,
    *,
    work: Annotated[int, Ge(1)] = 6_000_000,
    equation: Annotated[int, Ge(3)] = 5,
    conditional: Annotated[int, Ge(0)] = 10,
    joined: Annotated[int, Ge(0)] = 9,
    workers: Annotated[int, Ge(1)] = 1,
    out: Path | None = None,
) -> int:
    """Find and prove theorems of a theory; write them as a page, as kernel proofs, for Metamath and for TPTP provers.

    Args:
        theory: a theory file (.mpl), or one that is shipped: peano, addition, groups, sums.
        work: matches that all proof attempts may use; about 150,000 a second.
        equation: largest term of an equation, in symbols.
        conditional: most symbols of a sequent with one premise; 0 makes none.
        joined: most symbols of a sequent with two premises; 0 makes none.
        workers: processes that judge conjectures; the theorems are the same for any number.
        out: folder for proofs.html, proofs.json, proofs.mm and problems/; <theory>-proofs when not given.
    """
    from wheatstone.domains.logic.conjectures import Shape
    from wheatstone.domains.logic.explore import Exploration, Plan
    from wheatstone.domains.logic.judges import Judges
    from wheatstone.domains.logic.library import Library
    from wheatstone.domains.logic.terms import pretty_sequent
    from wheatstone.domains.logic.theory import load

    library = Library(load(theory))
    _refuse_contradiction(library)
    plan = Plan(shape=Shape(equation, conditional, joined), work=work)
    with Judges(workers - 1) as judges:
        exploration = Exploration(library, plan, judges=judges if workers > 1 else None)
        for event in exploration.run():
            if event.outcome == "theorem" and event.proof is not None:
                how = f"induction on {event.proof.variable}" if event.proof.variable else "direct"
                said = pretty_sequent(library.sequents[event.name])
                print(f"{event.name:<6} {said:<44} {how}, {event.proof.lines} lines")
    _refuse_contradiction(library)
    folder = out or Path(f"{library.theory.name}-proofs")
    _write(library, exploration, folder)
    print(
        f"{len(library.theorems)} theorems, {len(exploration.essential)} essential, from {exploration.survived} "
        f"conjectures of {exploration.enumerated:,} statements; {len(exploration.waiting)} conjectures stay open."
    )
    print(f"Every proof passed the kernel. Read them: {folder / 'proofs.html'}")
    return 0


def check(
    proofs: Path,
    *,
    theory: str | None = None,
    metamath: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> int:
    """Check a file of proofs with the kernel, and print the axioms that each theorem rests on.

    Args:
        proofs: proofs.json, as `explore` writes it.
        theory: also refuse axioms that this theory file does not state.
        metamath: also translate the proofs and let the metamath program verify them.
    """
    from wheatstone.domains.logic import kernel
    from wheatstone.domains.logic.terms import pretty_sequent
    from wheatstone.domains.logic.theory import load

    document = _read(proofs)
    try:
        accepted = kernel.check(document)
    except kernel.Rejected as rejected:
        raise UserError(f"{proofs}: rejected. {rejected}") from None
    axioms = {item["name"]: item for item in document["items"] if item["item"] == "axiom"}
    if theory is not None:
        stated = load(theory).axioms
        for name, item in axioms.items():
            if name not in stated or stated[name] != _sequent(item):
                raise UserError(f"{proofs}: axiom '{name}' is not one of {theory}: {pretty_sequent(_sequent(item))}")
    if metamath:
        _metamath(document)
    for item in document["items"]:
        if item["item"] == "theorem":
            rests = accepted[item["name"]]
            said = pretty_sequent(_sequent(item))
            print(f"{item['name']:<20} {said:<44} {rests.lines} lines; {', '.join(sorted(rests.axioms))}")
    lines = sum(one.lines for one in accepted.values())
    print(f"{len(accepted)} theorems, {lines} lines: all accepted. {len(axioms)} axioms assumed.")
    if metamath:
        print("metamath verified them too.")
    return 0


def prove(
    theory: str,
    statement: str,
    *,
    work: Annotated[int, Ge(1)] = PROVE_WORK,
    as_json: bool = False,
) -> int:
    """Prove a statement of a theory, or find where it is false. Exit code 0 means proved, 1 that it is not.

    Args:
        theory: a theory file (.mpl), or one that is shipped: peano, addition, groups, sums.
        statement: a formula such as "(>[a,b,c](in3[a,b,c,+])(in3[b,a,c,+]))", or a file with one formula a line.
        work: matches that may be used to find lemmas where there is no direct proof.
        as_json: print the proofs as the kernel reads them.
    """
    from wheatstone.domains.logic.library import Library
    from wheatstone.domains.logic.theory import load

    library = Library(load(theory))
    _refuse_contradiction(library)
    goals = _goals(library, statement)
    missing = 0
    for at, goal in enumerate(goals, start=1):
        name = f"goal.{at}"
        missing += not _settle(library, name, goal, work, quiet=as_json)
    if as_json:
        print(json.dumps(library.document(), ensure_ascii=False, indent=2))
    return 1 if missing else 0


def _goals(library: Library, statement: str) -> list[Sequent]:
    from wheatstone.domains.logic import theory

    path = Path(statement)
    if statement.lstrip().startswith(("(", "!")) or not path.is_file():
        if not statement.lstrip().startswith(("(", "!")):
            raise UserError(f"{statement}: neither a formula, which begins with '(' or '!', nor a file.")
        found = theory.statement(library.theory, statement)
    else:
        found = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            code = line.partition("#")[0].strip()
            if code:
                found += theory.statement(library.theory, code, f"{statement}:{number}")
    if not found:
        raise UserError(f"{statement}: states nothing that could be proved.")
    return [library.functional(one) for one in found]


def _settle(library: Library, name: str, goal: Sequent, work: int, *, quiet: bool) -> bool:
    """Proves one goal or says why not; whether it is proved."""
    from wheatstone.domains.logic import kernel
    from wheatstone.domains.logic.conjectures import Shape
    from wheatstone.domains.logic.explore import Exploration, Plan
    from wheatstone.domains.logic.terms import pretty_sequent

    said = pretty_sequent(goal)
    exploration = Exploration(library, Plan(shape=Shape(5, 0, 0), work=library.prover.work + work))
    exploration.prepare()
    if refutation := exploration.worlds.refutes(goal):
        if not quiet:
            print(f"{said}\n  {refutation}")
        return False
    proof = library.prover.prove(goal)
    if proof is None:
        if refutation := exploration.refute(goal):
            if not quiet:
                print(f"{said}\n  {refutation}")
            return False
        for event in exploration.run():
            if event.outcome == "theorem" and (proof := library.prover.prove(goal)) is not None:
                break
        else:
            if not quiet:
                print(f"{said}\n  neither proved nor refuted within {work:,} matches; --work allows more")
            return False
    library.note(name, goal, proof)
    accepted = kernel.check(json.loads(json.dumps(library.document())))
    if not quiet:
        _print_proof(library, name, goal, proof, accepted)
    return True


def _print_proof(library: Library, name: str, goal: Sequent, proof: Proof, accepted: dict[str, Accepted]) -> None:
    from wheatstone.domains.logic.page import reason
    from wheatstone.domains.logic.prove import all_lines
    from wheatstone.domains.logic.terms import pretty_formula, pretty_sequent, tupled

    def show(title: str, lines: list[Any]) -> None:
        print(title)
        for line in all_lines(lines):
            print(f"  {line[0]:>4}  {pretty_formula(tupled(line[1])):<40} {reason(line)}")

    lemmas = [one for one in _needed(accepted, name) if one in library.sequents and one in library.theorems]
    for lemma in lemmas:
        print(f"Lemma {lemma}: {pretty_sequent(library.sequents[lemma])}")
    print(f"Proved: {pretty_sequent(goal)}")
    if "induction" in proof.value:
        plan = proof.value["induction"]
        show(f"by induction on {plan['variable']}; base:", plan["base"])
        show(f"step, for {plan['eigen']}:", plan["step"])
    else:
        show("directly:", proof.value["lines"])
    print(f"Axioms: {', '.join(sorted(accepted[name].axioms))}")
    print("The kernel accepts the proof and those of the lemmas.")


def _needed(accepted: dict[str, Accepted], name: str) -> list[str]:
    """What a theorem cites, directly or not, oldest first."""
    todo, found = [name], set[str]()
    while todo:
        for cited in accepted[todo.pop()].cites:
            if cited in accepted and cited not in found:
                found.add(cited)
                todo.append(cited)
    return [one for one in accepted if one in found]


def _refuse_contradiction(library: Library) -> None:
    """Raises UserError with the derivation when the theory's axioms contradict each other."""
    from wheatstone.domains.logic.explore import contradiction
    from wheatstone.domains.logic.page import reason
    from wheatstone.domains.logic.prove import all_lines
    from wheatstone.domains.logic.terms import pretty_formula, tupled

    proof = contradiction(library)
    if proof is None:
        return
    lines = all_lines(proof.value["lines"])
    shown = "\n".join(f"  {line[0]:>3}  {pretty_formula(tupled(line[1]))}   {reason(line)}" for line in lines[-9:])
    raise UserError(
        f"{library.theory.name}: the axioms contradict each other, so that everything follows from them. "
        f"The derivation ends:\n{shown}"
    )


def _write(library: Library, exploration: Exploration, folder: Path) -> None:
    """Checks the document and writes it in every form."""
    from wheatstone.bench.files import write_atomically, write_json
    from wheatstone.domains.logic import kernel, metamath, tptp
    from wheatstone.domains.logic.page import page

    document = json.loads(json.dumps(library.document()))
    accepted = kernel.check(document)
    write_json(folder / "proofs.json", document, indent=None)
    write_atomically(folder / "proofs.html", page(document, accepted, exploration.essential).encode())
    for problem in tptp.problems(document):
        write_atomically(folder / "problems" / f"{metamath.label(problem.name)}.p", problem.text.encode())
    try:
        write_atomically(folder / "proofs.mm", metamath.export(document).encode())
    except UserError as fault:
        print(f"No proofs.mm: {fault}")


def _metamath(document: dict[str, Any]) -> None:
    import tempfile

    from wheatstone.domains.logic import metamath

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "proofs.mm"
        place.write_text(metamath.export(document), encoding="utf-8")
        metamath.verify(place, 0)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as fault:
        raise UserError(f"{path}: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text. Proofs are the JSON that `explore` writes.") from None
    except json.JSONDecodeError as fault:
        raise UserError(
            f"{path}:{fault.lineno}:{fault.colno}: not JSON ({fault.msg}). Proofs are the JSON that `explore` writes."
        ) from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply to be a file of proofs.") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: not a file of proofs: the outermost value must be an object with 'items'.")
    return document


def _sequent(item: dict[str, Any]) -> Sequent:
    from wheatstone.domains.logic.library import sequent_of

    return sequent_of(item)
