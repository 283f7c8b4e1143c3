"""The loop that every method shares: propose, simulate, tell, write down. A row for each simulation, failures included.

An agent goes on from its own tensors after a kill. The optimisers of other libraries cannot be stored without pickle:
they are asked the same questions again and told the recorded answers, which costs no simulation.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.testbench import Outcome, Testbench
from wheatstone.learn.blackbox import OPTIMISERS, Optimiser
from wheatstone.studies.electronic.l2dc.agent import Agent
from wheatstone.studies.electronic.l2dc.agent import Sequence as Components
from wheatstone.studies.electronic.l2dc.config import Config
from wheatstone.studies.electronic.l2dc.objective import is_feasible, worth


@dataclass
class Row:
    """One simulation."""

    number: int
    """From 1."""
    values: Mapping[str, float]
    measures: Mapping[str, float]
    reward: float
    """By the study's own measure of worth, whatever the method was told."""
    feasible: bool
    reason: str
    """'' or why there are no measures, or which are missing."""
    seconds: float
    """Wall time since the trial began, its restarts added up."""


@dataclass
class History:
    """All simulations of a trial."""

    rows: list[Row] = field(default_factory=list[Row])

    def best(self, until: int | None = None) -> Row:
        """The row of the highest worth among the first `until`."""
        return max(self.rows[:until], key=lambda row: row.reward)

    def first_feasible(self) -> Row | None:
        """The first row that meets every hard constraint."""
        return next((row for row in self.rows if row.feasible), None)

    def running_best(self) -> list[float]:
        """Highest worth so far, [row]."""
        return np.maximum.accumulate([row.reward for row in self.rows]).tolist()

    def to_json(self) -> list[list[Any]]:
        """Rows as plain values, for a checkpoint."""
        return [
            [dict(r.values), {k: None if math.isnan(v) else v for k, v in r.measures.items()}, r.reward, r.feasible,
             r.reason, r.seconds]
            for r in self.rows
        ]  # fmt: skip

    @staticmethod
    def from_json(rows: Sequence[Sequence[Any]]) -> History:
        """The history that `to_json` wrote."""
        return History(
            [
                Row(number, values, {k: math.nan if v is None else v for k, v in measures.items()}, *rest)
                for number, (values, measures, *rest) in enumerate(rows, start=1)
            ]
        )

    def csv(self, bench: Testbench) -> str:
        """All rows as CSV: number, worth, feasible, failure, parameters and measures in SI units, seconds."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        params, measures = [one.name for one in bench.params], [one.name for one in bench.spec.measures]
        writer.writerow(["simulation", "reward", "feasible", "failure", *params, *measures, "seconds"])
        for row in self.rows:
            numbers = [repr(row.values[name]) for name in params]
            found = ["" if math.isnan(row.measures[name]) else repr(row.measures[name]) for name in measures]
            words = [row.number, f"{row.reward:.6g}", int(row.feasible), row.reason]
            writer.writerow([*words, *numbers, *found, f"{row.seconds:.3f}"])
        return text.getvalue()


class Proposer(Protocol):
    """A method as the loop sees it."""

    def propose(self) -> np.ndarray:
        """Place of each parameter in its range, [param]."""
        ...

    def told(self, shares: np.ndarray, outcome: Outcome, row: Row) -> None:
        """What came of the proposal."""
        ...


class Black:
    """A black-box optimiser; it is told the study's own measure of worth."""

    def __init__(self, optimiser: Optimiser) -> None:
        self.optimiser = optimiser

    def propose(self) -> np.ndarray:
        return self.optimiser.ask()

    def told(self, shares: np.ndarray, outcome: Outcome, row: Row) -> None:  # noqa: ARG002
        self.optimiser.tell(shares, row.reward)

    def repeat(self, rows: Sequence[Row]) -> None:
        """Asks and tells what is on record."""
        for row in rows:
            self.optimiser.tell(self.optimiser.ask(), row.reward)


class Learner:
    """The agent; it is told what its own settings make of an outcome."""

    def __init__(self, agent: Agent, bench: Testbench) -> None:
        self.agent, self.bench = agent, bench
        self.loss = math.nan

    def propose(self) -> np.ndarray:
        return self.agent.propose()

    def told(self, shares: np.ndarray, outcome: Outcome, row: Row) -> None:  # noqa: ARG002
        config = self.agent.config
        reward = worth(self.bench.spec, outcome, reward=config.reward, gated=config.gated)
        self.loss = self.agent.learn(outcome, reward)


def make(bench: Testbench, config: Config, rng: np.random.Generator, seed: int) -> Black | Learner:
    """The method of a config."""
    if config.method == "agent":
        return Learner(Agent(Components(bench), config, rng, seed), bench)
    return Black(OPTIMISERS[config.method](len(bench.params), rng))


Noted = Callable[[Row, Outcome], None]


def search(
    bench: Testbench, engine: Engine, proposer: Proposer, simulations: int, history: History, noted: Noted
) -> History:
    """Goes on until `history` has so many rows; `noted` hears of each new one."""
    before = history.rows[-1].seconds if history.rows else 0.0
    started = time.perf_counter()
    while len(history.rows) < simulations:
        shares = proposer.propose()
        values = bench.values(shares)
        outcome = bench.simulate(engine, values)
        row = Row(
            len(history.rows) + 1,
            values,
            outcome.measures,
            worth(bench.spec, outcome),
            is_feasible(bench.spec, outcome),
            outcome.reason,
            0.0,
        )
        proposer.told(shares, outcome, row)
        row.seconds = before + time.perf_counter() - started
        history.rows.append(row)
        noted(row, outcome)
    return history
