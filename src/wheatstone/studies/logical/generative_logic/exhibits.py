"""Figures and tables of a run: theorems over work, the funnel, the laws and their axioms, who cites whom."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from wheatstone.bench.exhibit import Bars, BarSeries, Circuit, CircuitEdge, CircuitNode, Exhibit, Line, Lines, Table
from wheatstone.bench.run import Run

FUNNEL = {
    "enumerated": "enumerated",
    "survived": "survived the filter",
    "tried": "tried",
    "theorems": "theorems",
    "essential": "essential",
    "steps": "lines of proof",
    "work": "matches",
}
SHOWN = ("peano", "groups", "sums", "addition")
"""Arms whose theorems are listed."""


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = [arm for arm in run.arms if all(run.trial(arm, seed).is_finished for seed in run.seeds)]
    if not finished:
        return []
    shown: list[Exhibit] = [*_discovery(run, finished), _laws_bars(run, finished), _funnel(run, finished)]
    shown.append(_checkers(run, finished))
    for arm in (arm for arm in SHOWN if arm in finished):
        shown += [_laws(run, arm), *_citations(run, arm), _theorems(run, arm)]
        if run.trial(arm, run.seeds[0]).artifact("reported"):
            shown.append(_reported(run, arm))
    return shown


def _discovery(run: Run, arms: Sequence[str]) -> list[Lines]:
    """What was found over the work: laws in the arms that explore one theory, theorems in all that have lemmas."""
    seed = run.seeds[0]
    logged = {arm: found for arm in arms if (found := run.trial(arm, seed).metrics())}
    theory = run.trial(arms[0], seed).values["theory"]
    same = [arm for arm in logged if run.trial(arm, seed).values["theory"] == theory]

    def lines(chosen: Sequence[str], metric: str) -> list[Line]:
        return [
            Line(arm, *zip(*[(one["work"], one[metric]) for one in logged[arm]], strict=True), arm=arm)
            for arm in chosen
        ]

    return [
        Lines(
            "laws-over-work",
            f"Laws of {theory} that were known after the work of all proof attempts, seed {seed}",
            "matches tried",
            "laws known",
            lines(same, "laws"),
            log_x=True,
            caption="A line ends at the last theorem. Work is counted in matches of a pattern with a term, so that the "
            "picture is the same on every machine.",
        ),
        Lines(
            "discovery",
            f"Theorems over the work of all proof attempts, seed {seed}",
            "matches tried",
            "theorems",
            lines(list(logged), "theorems"),
            log_x=True,
            caption="Where no lemma is reused nothing shows that a conjecture follows from another, so each variant "
            "counts as a theorem of its own.",
        ),
    ]


def _laws_bars(run: Run, arms: Sequence[str]) -> Bars:
    """One bar an arm: all seeds agree but where the order is random, so the bar is their mean."""
    series = [
        BarSeries("known", [_mean(run, arm, "laws") for arm in arms]),
        BarSeries("stated as they are", [_mean(run, arm, "laws_stated") for arm in arms]),
    ]
    return Bars(
        "laws",
        f"Laws of the theory that were found (share), {_seeds(run)}",
        "share of the laws",
        arms,
        series,
        y_range=(0, 1.05),
        caption="A law counts as known when it is a theorem or follows from the theorems without induction.",
    )


def _funnel(run: Run, arms: Sequence[str]) -> Table:
    rows = [(arm, *(_mean(run, arm, measure) for measure in FUNNEL)) for arm in arms]
    return Table(
        "funnel",
        f"From statements to theorems, {_seeds(run)}",
        ("arm", *FUNNEL.values()),
        rows,
        "Enumerated are pairs of terms and premises with conclusions; renamed, reordered and turned variants count "
        "once from the filter on. Essential theorems do not follow from the others.",
    )


def _checkers(run: Run, arms: Sequence[str]) -> Table:
    measures = {
        "kernel_accepted": "accepted by the kernel",
        "metamath_verified": "verified by metamath",
        "false_at_large": "false at large numbers",
        "mutants_rejected": "broken proofs rejected",
        "mutants_noticed": "noticed in the citations alone",
        "circles_rejected": "circles rejected",
        "circles_noticed": "rejected one by one",
    }
    rows = [(arm, *(_mean(run, arm, measure) for measure in measures)) for arm in arms]
    return Table(
        "checkers",
        f"What the checkers say (shares; theorems for 'false'), {_seeds(run)}",
        ("arm", *measures.values()),
        rows,
        "An empty cell does not apply, or the program is not installed. A circle are theorems that cite each other; "
        "checked one by one, with the others believed, every one of them is in order.",
    )


def _laws(run: Run, arm: str) -> Table:
    record = run.trial(arm, run.seeds[0])
    axioms: Mapping[str, Sequence[str]] = record.artifact("axioms")
    rows = [
        (one["law"], one["statement"], one["state"], one["name"], ", ".join(axioms.get(one["name"], ())))
        for one in record.artifact("laws")
    ]
    return Table(
        f"laws-of-{_slug(arm)}",
        f"{arm}, seed {run.seeds[0]}: the laws, and the axioms that the kernel saw in each proof",
        ("law", "as an equation", "state", "name", "axioms"),
        rows,
        "'follows': no theorem as it stands, but proved from the theorems without induction.",
    )


def _theorems(run: Run, arm: str) -> Table:
    rows = [
        (one["name"], one["statement"], one["kind"], one["lines"], one["work"], "yes" if one["essential"] else "")
        for one in run.trial(arm, run.seeds[0]).artifact("theorems")
    ]
    return Table(
        f"theorems-of-{_slug(arm)}",
        f"{arm}, seed {run.seeds[0]}: every theorem in the order of discovery",
        ("name", "statement", "proof", "lines", "found after matches", "essential"),
        rows,
        f"The proofs, to search and to follow: arms/{arm}/seed-{run.seeds[0]}/artifacts/proofs.html; for other "
        "programs: proofs.json and proofs.mm beside it.",
    )


def _reported(run: Run, arm: str) -> Table:
    rows = [
        (at, one["statement"], one["state"], one["name"])
        for at, one in enumerate(run.trial(arm, run.seeds[0]).artifact("reported"), start=1)
    ]
    return Table(
        f"reported-by-{_slug(arm)}",
        f"{arm}, seed {run.seeds[0]}: what the original reports at its Peano stage",
        ("number", "statement", "state", "name"),
        rows,
        "One row for each pair of statement and mirror image: written with functions the two are one equation.",
    )


def _citations(run: Run, arm: str) -> list[Circuit]:
    """The theorems behind the laws: a node's row is the longest way down to the axioms."""
    record = run.trial(arm, run.seeds[0])
    cites: Mapping[str, Sequence[str]] = record.artifact("citations")
    said = {one["name"]: one["statement"] for one in record.artifact("theorems")}
    laws = {one["name"] for one in record.artifact("laws") if one["state"] == "theorem"}
    wanted, todo = set[str](), sorted(laws)
    while todo:
        name = todo.pop()
        if name not in wanted and name in said:
            wanted.add(name)
            todo += cites[name]
    depth: dict[str, int] = {}
    for name in said:  # in the order of discovery, so that what is cited comes first
        if name in wanted:
            depth[name] = 1 + max((depth[one] for one in cites[name] if one in depth), default=-1)
    if not depth:
        return []
    rows: dict[int, list[str]] = {}
    for name, row in depth.items():
        rows.setdefault(row, []).append(name)
    widest = max(map(len, rows.values()))
    nodes = [
        CircuitNode(name, said[name], (at + 0.5) * widest / len(names), row, 1.0 if name in laws else 0.3)
        for row, names in rows.items()
        for at, name in enumerate(names)
    ]
    edges = [CircuitEdge(one, name, 0.4) for name in depth for one in cites[name] if one in depth]
    return [
        Circuit(
            f"citations-of-{_slug(arm)}",
            f"{arm}, seed {run.seeds[0]}: the theorems that the laws rest on",
            nodes,
            edges,
            "An edge goes from a theorem to one that cites it; the laws are strong. Axioms are left out.",
            rows=[f"depth {row}" for row in range(len(rows))],
        )
    ]


def _mean(run: Run, arm: str, measure: str) -> float:
    found = [(run.trial(arm, seed).measures() or {})[measure] for seed in run.seeds]
    return math.fsum(found) / len(found) if all(map(math.isfinite, found)) else math.nan


def _seeds(run: Run) -> str:
    return f"mean of {len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"


def _slug(arm: str) -> str:
    return arm.replace("_", "-")
