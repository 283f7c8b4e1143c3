"""`wheatstone apply l2dc size` and `simulate`: size a user's own netlist, or simulate it once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from annotated_types import Ge

from wheatstone.bench.errors import UserError

if TYPE_CHECKING:
    from wheatstone.domains.electronic.analog.engine import Engine
    from wheatstone.domains.electronic.analog.testbench import Outcome, Testbench
    from wheatstone.studies.electronic.l2dc.search import History, Row

Method = Literal["agent", "random", "bo", "cma_es", "tpe"]
SLOW = 300
"""Simulations below which the agent has seen too little to learn from."""


class Winner(NamedTuple):
    """The best design and what surrounds it."""

    row: Row
    outcome: Outcome
    corners: list[dict[str, object]]


def size(
    netlist: Path,
    *,
    spec: Path | None = None,
    method: Method = "cma_es",
    simulations: Annotated[int, Ge(1)] = 1500,
    seed: int = 0,
    out: Path | None = None,
) -> int:
    """Choose the open values of your own SPICE netlist so that it meets a specification.

    Writes best.cir (runs by itself with ngspice -b), history.csv (every simulation, failed ones too) and report.md.

    Args:
        netlist: SPICE netlist; open values are {holes} or .param names, or fields that the specification sets.
        spec: TOML file: parameters with ranges, measures, constraints and targets; NETLIST.toml when not given.
        method: what proposes sizings; cma_es is the strongest below some thousand simulations, agent is the paper's.
        simulations: simulations, failed ones included.
        seed: of the method's random numbers.
        out: folder for the three files; NETLIST-sized beside the netlist when not given.
    """
    import numpy as np

    from wheatstone.bench.files import write_atomically
    from wheatstone.bench.progress import follow_trials
    from wheatstone.bench.work import Task
    from wheatstone.domains.electronic.analog.engine import Engine
    from wheatstone.studies.electronic.l2dc.config import Config
    from wheatstone.studies.electronic.l2dc.experiment import at_corners
    from wheatstone.studies.electronic.l2dc.search import History, make, search

    bench = _bench(netlist, spec)
    if method == "agent" and simulations < SLOW:
        print(f"note: the agent learns little from fewer than {SLOW} simulations; try cma_es.", file=sys.stderr)
    folder = out or netlist.with_name(f"{netlist.stem}-sized")
    config = Config(method=method, simulations=simulations, warmup=min(150, max(1, simulations // 5)))
    proposer = make(bench, config, np.random.default_rng(seed), seed)
    history, task = History(), Task(method, seed)
    with Engine(timeout=bench.spec.timeout) as engine, follow_trials(f"sizing {netlist.name}", 1, 0) as watch:
        _try_middle(bench, engine)
        watch.started(task)

        def noted(row: Row, outcome: Outcome) -> None:  # noqa: ARG001
            watch.progress(task, row.number, simulations, f"best {history.best().reward:.3f}")

        search(bench, engine, proposer, simulations, history, noted)
        best = history.best()
        watch.finished(task, {"worth": best.reward})
        winner = Winner(best, bench.simulate(engine, best.values), at_corners(bench, engine, best.values))
    deck = bench.self_contained(best.values, f"sized by wheatstone l2dc, {method}, {simulations} simulations")
    report = _report(bench, history, winner, method)
    for name, text in (("best.cir", deck), ("history.csv", history.csv(bench)), ("report.md", report)):
        write_atomically(folder / name, text.encode())
    print(report)
    print(f"{folder}{os.sep}: best.cir, history.csv, report.md. Check by hand: ngspice -b {folder / 'best.cir'}")
    return 0


def simulate(netlist: Path, *, spec: Path | None = None, set: str = "") -> int:
    """Simulate your netlist once: its measures and the operating point of every transistor.

    Args:
        netlist: SPICE netlist, as for size.
        spec: TOML file, as for size.
        set: values as 'w1=2u r1=10k'; others are the designer's (hand) or the middle of their range.
    """
    from wheatstone.domains.electronic.analog.engine import Engine

    bench = _bench(netlist, spec)
    middle = bench.values([0.5] * len(bench.params))
    values = middle | {one.name: one.hand for one in bench.params if one.hand is not None} | _given(bench, set)
    with Engine(timeout=bench.spec.timeout) as engine:
        outcome = bench.simulate(engine, values)
    if outcome.failure is not None:
        print(f"{netlist.name}: {_blamed(bench, outcome)}", file=sys.stderr)
        return 1
    print("\n".join([*_measure_lines(bench, outcome), "", *_transistor_lines(outcome)]))
    return 0


def _bench(netlist: Path, spec: Path | None) -> Testbench:
    from wheatstone.domains.electronic.analog.engine import chosen_backend
    from wheatstone.domains.electronic.analog.netlist import read_netlist
    from wheatstone.domains.electronic.analog.specification import read_specification
    from wheatstone.domains.electronic.analog.testbench import Testbench

    spec = spec or netlist.with_suffix(".toml")
    for path, what in ((netlist, "the netlist"), (spec, "the specification; name it with --spec")):
        if not path.is_file():
            raise UserError(f"{path}: no such file ({what}).")
    bench = Testbench(read_specification(spec), read_netlist(netlist))
    chosen_backend()
    return bench


def _given(bench: Testbench, text: str) -> dict[str, float]:
    from wheatstone.bench.errors import did_you_mean
    from wheatstone.domains.electronic.analog.units import number

    found: dict[str, float] = {}
    known = [one.name for one in bench.params]
    for word in text.replace(",", " ").split():
        name, sign, value = word.partition("=")
        if not sign or name.lower() not in known:
            raise UserError(
                f"simulate --set: '{word}'.{did_you_mean(name, known)} Write name=value of {', '.join(known)}."
            )
        try:
            found[name.lower()] = number(value)
        except ValueError as fault:
            raise UserError(f"simulate --set: {fault}.") from None
    return found


def _try_middle(bench: Testbench, engine: Engine) -> None:
    """A netlist that ngspice cannot read is said so before the search, with the line that it is about."""
    outcome = bench.simulate(engine, bench.values([0.5] * len(bench.params)))
    if outcome.failure is not None and outcome.failure.kind in ("netlist", "missing"):
        raise UserError(_blamed(bench, outcome))


def _blamed(bench: Testbench, outcome: Outcome) -> str:
    """The failure with the line of the netlist that it names."""
    failure = outcome.failure
    assert failure is not None
    for word in failure.message.lower().replace(":", " ").split():
        line = bench.netlist.device_line(word)
        if line is not None:
            return f"{line.file}:{line.number}: {failure.message} (ngspice)"
    return f"{bench.netlist.name}: {failure.message} (ngspice)"


def _measure_lines(bench: Testbench, outcome: Outcome) -> list[str]:
    from wheatstone.domains.electronic.analog.units import shown

    asked = {one.measure.name: one for one in bench.spec.constraints}
    wanted = {one.measure.name: one for one in bench.spec.targets}
    lines = ["| measure | value | asked | met |", "| --- | --- | --- | --- |"]
    for one in bench.spec.measures:
        value = outcome.measures[one.name]
        text = outcome.missing.get(one.name) or shown(value, one.unit)
        if one.name in asked:
            bound = asked[one.name]
            sign = "at least" if bound.is_floor else "at most"
            met = "yes" if bound.is_met(value) else "no"
            lines.append(f"| {one.name} | {text} | {sign} {shown(bound.bound, one.unit)} | {met} |")
        elif one.name in wanted:
            goal = "larger" if wanted[one.name].is_larger else "smaller"
            lines.append(f"| {one.name} | {text} | {goal} is better | |")
        else:
            lines.append(f"| {one.name} | {text} | | |")
    return lines


def _transistor_lines(outcome: Outcome) -> list[str]:
    from wheatstone.domains.electronic.analog.units import shown

    lines = ["| transistor | region | current | gm | Vds, Vce | Vdsat |", "| --- | --- | --- | --- | --- | --- |"]
    for one in outcome.transistors:
        across = one.get("vds") if one.kind == "m" else one.get("vbe") - one.get("vbc")
        current = one.get("id") if one.kind == "m" else one.get("ic")
        cells = (shown(current, "A"), shown(one.get("gm"), "S"), shown(across, "V"), shown(one.get("vdsat"), "V"))
        lines.append(f"| {one.name} | {one.region} | {' | '.join(cells)} |")
    return lines


def _report(bench: Testbench, history: History, winner: Winner, method: str) -> str:
    from wheatstone.domains.electronic.analog.engine import version
    from wheatstone.domains.electronic.analog.units import shown

    rows, first = history.rows, history.first_feasible()
    failed = sum(row.reason.startswith("failed") for row in rows)
    reasons: dict[str, int] = {}
    for row in rows:
        if row.reason.startswith("failed"):
            kind = ":".join(row.reason.split(":")[:2])
            reasons[kind] = reasons.get(kind, 0) + 1
    lines = [
        f"# {bench.netlist.name}, sized",
        "",
        f"{len(rows)} simulations by {method} in {version()}, {failed} of them failed"
        + (f" ({', '.join(f'{kind} {n}' for kind, n in reasons.items())})." if reasons else "."),
        f"First design that meets every constraint: simulation {first.number}." if first else
        "No design meets every constraint; this one misses them least.",
        f"Best: simulation {winner.row.number}, worth {winner.row.reward:.4f} (0: all constraints met).",
        "",
        *_measure_lines(bench, winner.outcome),
        "",
        "| parameter | value | range |",
        "| --- | --- | --- |",
        *(
            f"| {one.name} | {shown(winner.row.values[one.name], one.unit, 6)} | "
            f"{shown(one.low, one.unit)} to {shown(one.high, one.unit)} |"
            for one in bench.params
        ),
        "",
        *_transistor_lines(winner.outcome),
        "",
    ]  # fmt: skip
    if len(winner.corners) > 1:
        lines += ["| corner | temperature | all constraints met |", "| --- | --- | --- |"]
        lines += [
            f"| {one['corner']} | {one['temperature']} C | {'yes' if one['feasible'] else 'no'} |"
            for one in winner.corners
        ]
        lines += ["", "Sizes were chosen at the first corner and 27 C only; no mismatch, no parasitics of a layout."]
    return "\n".join(lines) + "\n"
