"""`wheatstone apply axiomatic-training`: ask, check, audit, derive. Oracles on your graph, and a model beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_json
from wheatstone.bench.shown import say
from wheatstone.domains.causal.axioms import AXIOMS, AxiomName
from wheatstone.domains.causal.formats import read_graph, read_text
from wheatstone.domains.causal.graphoid import (
    MOST_VARIABLES,
    Extra,
    check_known,
    graphoid,
    local_markov,
    parse_independencies,
)
from wheatstone.domains.causal.graphs import Answer, CausalGraph, Question, graph_of
from wheatstone.domains.causal.labelled import Judged, judged, read_labelled
from wheatstone.domains.causal.rules import closure, parse_goals, parse_rules
from wheatstone.domains.causal.text import parse_premise, parse_questions
from wheatstone.studies.neural.axiomatic_training.learner import NAMINGS, Opinion, load_learner, opinions_of


def ask(
    text: str,
    *,
    run: Path | None = None,
    arm: str | None = None,
    seed: int | None = None,
) -> int:
    """Answer a premise with its question, as "A causes B. B causes C. Does A cause C?"

    The oracle answers, and with --run a trained model beside it.

    Args:
        text: premise and question, or the name of a file that holds them.
        run: a run directory of this study.
        arm: which model of the run; the one that was taught the axiom when not given.
        seed: which seed of the run; the first when not given.
    """
    path = Path(text)
    is_file = "\n" not in text and "?" not in text and path.suffix != ""
    place = text if is_file else "question"
    asked = parse_premise(read_text(path) if is_file else text, place)
    graph = graph_of(asked.edges, place)
    graph.check([asked.question], place)
    _report(graph, place, [asked.question], run, arm, seed, None)
    return 0


def check(
    graph: Path,
    *,
    questions: Path | None = None,
    rules: Path | None = None,
    run: Path | None = None,
    arm: str | None = None,
    seed: int | None = None,
    most: Annotated[int, Ge(1), Le(10_000)] = 40,
    out: Path | None = None,
) -> int:
    """Ask questions about your own causal graph: the oracle, and with --run a trained model beside it.

    Args:
        graph: an edge list (.txt, .tsv, .csv), a DOT file (.dot, .gv), a graph of dagitty (.dag, .txt) or a Bayesian
            network (.bif), also with .gz.
        questions: a question a line, as "Does A cause C?" or "Are A and C d-separated given {B}?". When not given,
            every ordered pair of nodes is asked, or a random part of them.
        rules: axioms of your own, as "ancestor(X, Z) :- parent(X, Y), ancestor(Y, Z)."; the graph gives parent and
            node. Questions are then of the form "ancestor(a, c)?"; when not given, all that follows is shown.
        run: a run directory of this study.
        arm: which model of the run; the one that was taught the axiom when not given.
        seed: which seed of the run; the first when not given.
        most: questions that are made up, or conclusions that are shown, when no file of questions is given.
        out: a JSON file for everything that is printed.
    """
    found = read_graph(graph)
    edges = len(found.edges)
    say(f"{graph}: {len(found.names)} nodes, {edges} edge{'s' if edges > 1 else ''}, no cycle")
    if rules is not None:
        if run is not None:
            raise UserError(f"--run: no model was taught the rules of {rules}. Leave --run or --rules out.")
        _prove(found, rules, questions, most, out)
        return 0
    if questions is None:
        asked = _pairs(found, most)
    else:
        asked = parse_questions(read_text(questions), str(questions))
        found.check(asked, str(questions))
    _report(found, str(graph), asked, run, arm, seed, out)
    return 0


def _prove(graph: CausalGraph, rules: Path, questions: Path | None, most: int, out: Path | None) -> None:
    """Prints what follows from the rules, each fact with what it rests on, and writes the proofs down."""
    read = parse_rules(read_text(rules), str(rules))
    found = closure(read, graph, str(rules))
    derived = found.derived()
    counts = Counter(fact.predicate for fact in derived)
    said = ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"
    say(f"{rules}: {len(read)} rule{'s' if len(read) > 1 else ''}; follows: {said}")
    if questions is None:
        asked = derived[:most]
    else:
        asked = [goal.fact for goal in parse_goals(read_text(questions), str(questions), read, graph)]
    width = max((len(str(fact)) for fact in asked), default=0)
    for fact in asked:
        say(f"{fact!s:<{width}}  {_word(fact in found.steps):<3}  {found.why(fact)}")
    if questions is None and len(derived) > most:
        say(f"... and {len(derived) - most} more; --most or --questions shows others.")
    if out is not None:
        rows = [
            {
                "question": str(fact),
                "oracle": fact in found.steps,
                "why": found.why(fact),
                "proof": [str(step) for step in found.proof(fact)] if fact in found.steps else [],
            }
            for fact in asked
        ]
        write_json(out, rows)
        say(f"Written: {out}")


def audit(
    tests: Path,
    *,
    run: Path | None = None,
    arm: str | None = None,
    seed: int | None = None,
    most: Annotated[int, Ge(1), Le(10_000)] = 40,
    out: Path | None = None,
) -> int:
    """Which labels of a test set the oracle contradicts, and with --run how a trained model does on it.

    Args:
        tests: a premise with its question, a tab, and Yes or No a line (.txt, .tsv), or JSON lines of premise,
            hypothesis and label, or of prompt and completion (.jsonl); also with .gz.
        run: a run directory of this study.
        arm: which model of the run; the one that was taught the axiom when not given.
        seed: which seed of the run; the first when not given.
        most: faults that are shown.
        out: a JSON file for all faults.
    """
    found = [judged(one) for one in read_labelled(tests)]
    wrong, flawed = [one for one in found if one.is_wrong], [one for one in found if one.flaw is not None]
    labelled_yes = sum(one.asked.label for one in found)
    say(f"{tests}: {len(found)} questions, {labelled_yes} labelled yes")
    say(f"{len(wrong)} labels are wrong, {len(flawed)} questions are flawed")
    if wrong:
        say(f"Right answers score at most {1 - len(wrong) / len(found):.3f} on these labels.")
    faults = [one for one in found if one.is_wrong or one.flaw is not None]
    for one in faults[:most]:
        said = [_contradicted(one)] if one.is_wrong else []
        say(f"{tests}:{one.asked.line}: {'; '.join([*said, *([one.flaw] if one.flaw else [])])}")
    if len(faults) > most:
        say(f"... and {len(faults) - most} more")
    if run is not None:
        sound = [one for one in found if one.answer is not None]
        says_yes = _answers(sound, str(tests), run, arm, seed)
        agrees = sum(yes == one.asked.label for yes, one in zip(says_yes, sound, strict=True))
        right = sum(one.answer is not None and yes == one.answer.yes for yes, one in zip(says_yes, sound, strict=True))
        say(f"The model agrees with {agrees} of {len(sound)} labels, and with the oracle on {right}.")
    if out is not None:
        rows = [
            {
                "line": one.asked.line,
                "question": str(one.asked.question),
                "label": one.asked.label,
                "oracle": None if one.answer is None else one.answer.yes,
                "why": None if one.answer is None else one.answer.why,
                "flaw": one.flaw,
            }
            for one in faults
        ]
        write_json(out, rows)
        say(f"Written: {out}")
    return 0


def _contradicted(one: Judged) -> str:
    assert one.answer is not None
    return f"{one.asked.question} is labelled {_word(one.asked.label)}, but {one.answer.why}"


def _answers(sound: Sequence[Judged], place: str, run: Path, arm: str | None, seed: int | None) -> list[bool]:
    """What the model says to each question."""
    axioms: set[AxiomName] = {one.asked.question.axiom for one in sound}
    learners = {axiom: load_learner(run, arm, seed, axiom) for axiom in axioms}
    return [
        opinions_of(learners[one.asked.question.axiom], one.asked.graph, place, [one.asked.question])[0].says_yes
        for one in sound
    ]


def derive(
    statements: Path,
    *,
    questions: Path | None = None,
    intersection: bool = False,
    composition: bool = False,
    most: Annotated[int, Ge(1), Le(10_000)] = 40,
    out: Path | None = None,
) -> int:
    """What follows from independencies by the graphoid axioms, each with its proof.

    Args:
        statements: a statement a line, as "A, B _||_ C | D" (.txt); or a causal graph (.dot, .gv, .dag, .dagitty, .csv,
            .tsv, .bif), which states of each node that its parents shield it from all before it.
        questions: statements that may follow; when not given, all that follows about single variables is shown.
        intersection: use this axiom too, which needs a distribution without zeros.
        composition: use this axiom too, which holds of graphs and of Gaussians.
        most: statements that are shown when no file of questions is given.
        out: a JSON file for the answers with their proofs.
    """
    place = str(statements)
    if statements.name.removesuffix(".gz").endswith(".txt"):
        stated = [one.claim for one in parse_independencies(read_text(statements), place)]
    else:
        graph = read_graph(statements)
        if len(graph.names) > MOST_VARIABLES:
            text = f"{len(graph.names)} nodes; the axioms are followed for at most {MOST_VARIABLES}"
            raise UserError(f"{place}: {text}. 'check' answers d-separation in graphs of any size.")
        stated = local_markov(graph)
        if not stated:
            raise UserError(f"{place}: every two nodes are joined by an edge, so that no independence holds.")
        say("\n".join(f"stated  {claim}" for claim in stated))
    axioms: dict[Extra, bool] = {"intersection": intersection, "composition": composition}
    found = graphoid(stated, place, [name for name, is_used in axioms.items() if is_used])
    many = f"{len(stated)} statement{'s' if len(stated) > 1 else ''} about {len(found.names)} variables"
    say(f"{place}: {many}; with what follows {len(found.steps)}")
    rows: list[dict[str, object]] = []
    if questions is None:
        asked = found.pairs()[:most]
    else:
        read = parse_independencies(read_text(questions), str(questions))
        check_known(read, found.names, str(questions))
        asked = [one.claim for one in read]
    for claim in asked:
        proof = found.proof(claim) if found.holds(claim) else []
        if questions is None:
            say(str(proof[-1]))
        else:
            say(f"{claim}  {'yes' if proof else 'no, it does not follow'}")
            say("\n".join(f"    {step}" for step in proof))
        rows.append({"question": str(claim), "follows": bool(proof), "proof": [str(step) for step in proof]})
    if out is not None:
        write_json(out, rows)
        say(f"Written: {out}")
    return 0


def _pairs(graph: CausalGraph, most: int) -> list[Question]:
    """Ordered pairs of nodes, a random part of them where there are too many."""
    names = graph.names
    pairs = [(a, b) for a in names for b in names if a != b]
    chosen = np.sort(np.random.default_rng(0).permutation(len(pairs))[:most])
    return [Question("transitivity", *pairs[at]) for at in chosen.tolist()]


def _report(
    graph: CausalGraph,
    place: str,
    questions: Sequence[Question],
    run: Path | None,
    arm: str | None,
    seed: int | None,
    out: Path | None,
) -> None:
    """Prints oracle and model side by side, and writes them down."""
    answers = [graph.answer(question) for question in questions]
    opinions: list[Opinion | None] = [None] * len(questions)
    axioms: list[AxiomName] = list(dict.fromkeys(question.axiom for question in questions))
    if run is not None:
        for axiom in axioms:
            rows = [at for at, question in enumerate(questions) if question.axiom == axiom]
            learner = load_learner(run, arm, seed, axiom)
            for at, opinion in zip(
                rows, opinions_of(learner, graph, place, [questions[at] for at in rows]), strict=True
            ):
                opinions[at] = opinion
    width = max(len(str(question)) for question in questions)
    for question, answer, opinion in zip(questions, answers, opinions, strict=True):
        beside = "" if opinion is None else f"  model {_said(answer, opinion)}"
        say(f"{question!s:<{width}}  oracle {_word(answer.yes):<3}{beside}  {answer.why}")
    known = [(answer, opinion) for answer, opinion in zip(answers, opinions, strict=True) if opinion is not None]
    if known:
        right = sum(answer.yes == opinion.says_yes for answer, opinion in known)
        yes = sum(answer.yes for answer, _ in known)
        say(f"\nThe model agrees with the oracle on {right} of {len(known)}; {yes} of these are yes.")
        for axiom in axioms:
            say(f"Trivial rules agree, about {axiom}, on: {_rules_agree(graph, questions, axiom)}")
        say(f"In brackets: namings of the nodes, of {NAMINGS}, under which the model says so.")
    else:
        say("\nThe oracle alone (networkx). For a model beside it: wheatstone run axiomatic-training, then --run RUN.")
    if out is not None:
        write_json(out, [_record(*row) for row in zip(questions, answers, opinions, strict=True)])
        say(f"Written: {out}")


def _rules_agree(graph: CausalGraph, questions: Sequence[Question], axiom: AxiomName) -> str:
    """How often each trivial rule is right about an axiom: what a model has to beat."""
    instances = graph.instances([question for question in questions if question.axiom == axiom])
    guesses = AXIOMS[axiom].guesses(instances)
    return ", ".join(f"{name} {int((guess == instances.answer).sum())}" for name, guess in guesses.items())


def _said(answer: Answer, opinion: Opinion) -> str:
    votes = opinion.yes if opinion.says_yes else opinion.asked - opinion.yes
    mark = "" if opinion.says_yes == answer.yes else " WRONG"
    return f"{_word(opinion.says_yes):<3} ({votes:>2}){mark:<6}"


def _record(question: Question, answer: Answer, opinion: Opinion | None) -> dict[str, object]:
    return {
        "question": str(question),
        "oracle": answer.yes,
        "why": answer.why,
        "model": None if opinion is None else opinion.says_yes,
        "share_of_namings_yes": None if opinion is None else opinion.yes / opinion.asked,
    }


def _word(yes: bool) -> str:
    return "yes" if yes else "no"
