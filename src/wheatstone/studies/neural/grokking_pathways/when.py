"""Tables of when: memorised and generalised, domain by domain and question by question, and where to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wheatstone.bench.exhibit import Note, Table
from wheatstone.bench.over_seeds import measured, n_seeds
from wheatstone.bench.run import Run
from wheatstone.interp.monitors import settles
from wheatstone.studies.neural.grokking_pathways.domains import DOMAINS
from wheatstone.studies.neural.grokking_pathways.experiment import GENERALISED, LATER, questions_at
from wheatstone.studies.neural.grokking_pathways.samples import Asynchrony, asynchrony

NAMES = {"two_hop": "two hops", "addition": "addition", "comparison": "comparison", "noise": "random answers"}
MAIN = "learned"
STOPPERS = {"distance": -1.0, "consistency": 1.0, "loss": -1.0}
"""Monitor -> its sign: the larger the product, the better it says that the model is."""
Row = Mapping[str, float]


class Stop(NamedTuple):
    """Where a monitor would stop one run."""

    step: float
    """The evaluation whose weights are kept."""
    test: float
    """Test accuracy there."""
    best: float
    """The best test accuracy of the run from memorising on."""


def lags(run: Run) -> Table:
    """When each domain was memorised and when it generalised."""
    rows: list[tuple[str | float | None, ...]] = []
    for domain in DOMAINS:
        cells = [_mean(run, f"{name}_{domain}") for name in ("memorised", "lag", "window", "train", "test", "gain")]
        rows.append((NAMES[domain], *(None if math.isnan(cell) else cell for cell in cells)))
    return Table(
        "lags",
        f"When domains are memorised and how much later they generalise, {n_seeds(run)}",
        ("domain", "memorised at step", "lag in steps", "evaluations after", "training", "test", "test gained after"),
        rows,
        "Means over the seeds in which it happened. A negative lag: the test was answered before training was "
        "memorised. A domain that never generalised has the rest of the run as its lag.",
    )


def generalised(run: Run, domain: str) -> list[float]:
    """The step at which the domain generalised, of each seed in which it did."""
    found: list[float] = []
    for seed in run.seeds:
        rows = run.trial(MAIN, seed).metrics()
        at = settles([row[f"test_{domain}"] for row in rows], GENERALISED)
        if at is not None:
            found.append(rows[at]["step"])
    return found


def stops(run: Run) -> list[Table | Note]:
    """Where each monitor would stop the training, and in words what that would cost; nothing where none can."""
    patience = 0
    rows: list[tuple[str | float | None, ...]] = []
    said: list[str] = []
    for domain in DOMAINS:
        records = [_after(run, seed, domain) for seed in run.seeds]
        known = [record for record in records if record]
        if not known:
            continue
        patience = max(1, round(LATER * len(run.trial(MAIN, run.seeds[0]).metrics())))
        told: list[str] = []
        for name, sign in STOPPERS.items():
            patient = _means([stopped(record, domain, name, sign, patience) for record in known])
            hindsight = _means([stopped(record, domain, name, sign, len(record)) for record in known])
            rows.append((NAMES[domain], name, len(known), *patient[:2], *hindsight[:2], patient.best))
            told.append(f"{name} at step {patient.step:.0f} (test accuracy there {patient.test:.2f})")
        said.append(
            f"{NAMES[domain].capitalize()}: {', '.join(told)}; the best after memorising is {rows[-1][-1]:.2f}."
        )
    if not rows:
        return []
    title = f"Where each monitor would stop the training, {n_seeds(run)}"
    advice = f"What the monitors would have advised, {n_seeds(run)}"
    note = (
        "A monitor stops the training where it has not been bettered for a tenth of the run, from memorising on, and "
        "the weights of its best evaluation are kept. Means over the seeds that memorised the domain.\n\n"
    )
    columns = ("domain", "monitor", "seeds", "stops at step", "test there", "best at step", "test there", "best test")
    caption = (
        f"Stops: the first evaluation after memorising that {patience} more do not better. Best: in hindsight, the "
        "whole run known. A monitor that is worth having stops late where the test still rises."
    )
    return [Note("advice", advice, note + "\n\n".join(said)), Table("stops", title, columns, rows, caption)]


def stopped(rows: Sequence[Row], domain: str, monitor: str, sign: float, patience: int) -> Stop:
    """The first of `rows` (evaluations from memorising on) that the next `patience` do not better; else the best."""
    values = [sign * row[f"{monitor}_{domain}"] for row in rows]
    best = 0
    for at, value in enumerate(values):
        if value > values[best]:
            best = at
        if at - best >= patience:
            break
    tests = [row[f"test_{domain}"] for row in rows]
    return Stop(rows[best]["step"], tests[best], max(tests))


def _after(run: Run, seed: int, domain: str) -> list[Row]:
    """The evaluations from memorising on; none where the domain was not memorised."""
    record = run.trial(MAIN, seed)
    start = (record.measures() or {})[f"memorised_{domain}"]
    return [row for row in record.metrics() if not math.isnan(start) and row["step"] >= start]


def _means(found: Sequence[Stop]) -> Stop:
    return Stop(*(math.fsum(values) / len(values) for values in zip(*found, strict=True)))


def by_question(run: Run) -> list[Table]:
    """How far apart single questions are memorised and generalised; nothing for a run that has not kept them."""
    rows: list[tuple[str | float | None, ...]] = []
    for domain in DOMAINS:
        found = [one for seed in run.seeds if (one := _asynchrony(run, seed, domain)) is not None]
        if not found:
            return []
        whole = [one for one in found if one.matches]
        correlations = [one.correlation for one in found if not math.isnan(one.correlation)]
        for quarter in range(4 if whole else 0):
            matches = [one.matches[quarter] for one in whole]
            memorised, step, similar = (float(np.mean(values)) for values in zip(*matches, strict=True))
            rows.append((NAMES[domain], quarter + 1, memorised, step, step - memorised, similar, None, None, None))
        never = [
            float(np.mean([getattr(one, name) for one in found])) for name in ("never_memorised", "never_generalised")
        ]
        mean = float(np.mean(correlations)) if correlations else None
        similar = float(np.mean([one.similarity for one in found]))
        rows.append((NAMES[domain], "all", None, None, None, similar, mean, *never))
    return [
        Table(
            "by-question",
            f"Quarters of the training questions by when they are memorised, {n_seeds(run)}",
            (
                "domain",
                "quarter",
                "memorised at step",
                "matched generalise at",
                "lag in steps",
                "similarity",
                "early and early",
                "never memorised",
                "never generalised",
            ),
            rows,
            "A question counts from the evaluation on from which it is always answered right: medians of a quarter, "
            "means over seeds. A quarter of the test questions is matched with each, so that as many pairs as can be "
            "need the same last step (similarity: their share; beside 'all' that of any two: what matching adds). "
            "Early and early: rank correlation, over last steps, of the mean time of memorising and of "
            "generalising. The last columns: shares of training and of test.",
        )
    ]


def _asynchrony(run: Run, seed: int, domain: str) -> Asynchrony | None:
    record = run.trial(MAIN, seed)
    steps = [int(row["step"]) for row in record.metrics()]
    if not record.has("keys") or not all(record.has(questions_at(step)) for step in steps):
        return None
    single = [record.tensors(questions_at(step)) for step in steps]
    train, test = (np.array([one[f"{name}_{domain}"].tolist() for one in single], bool) for name in ("train", "test"))
    keys, test_keys = (np.array(value, np.int64) for value in record.artifact("keys")[domain])
    return asynchrony(steps, train, test, keys, test_keys)


def _mean(run: Run, measure: str) -> float:
    values = [value for value in measured(run, MAIN, measure) if not math.isnan(value)]
    return math.fsum(values) / len(values) if values else math.nan
