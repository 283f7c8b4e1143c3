"""The study's own parts: what a sizing is worth, budgets that leave nothing out, decks that run by hand, the verbs."""

from __future__ import annotations

import csv
import dataclasses
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.registry import load
from wheatstone.bench.run import Run
from wheatstone.bench.work import Task, perform
from wheatstone.cli.main import main
from wheatstone.domains.electronic.analog.binding import library_path
from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.jobs import Failure
from wheatstone.domains.electronic.analog.program import program_path
from wheatstone.domains.electronic.analog.testbench import Outcome, Testbench
from wheatstone.studies.electronic.l2dc.agent import Agent, Sequence
from wheatstone.studies.electronic.l2dc.config import Config
from wheatstone.studies.electronic.l2dc.experiment import NAMES, at_corners, by_hand_gap, printed_measures, testbench
from wheatstone.studies.electronic.l2dc.objective import FLOOR, is_feasible, worth
from wheatstone.studies.electronic.l2dc.search import Black, History, Learner, make, search
from wheatstone.studies.electronic.l2dc.study import SMOKE

testbench.__test__ = False  # pyright: ignore[reportFunctionMemberAccess], its name begins with "test"
pytestmark = pytest.mark.skipif(
    library_path() is None or program_path() is None,
    reason="ngspice is not installed: apt-get install ngspice libngspice0",
)
DATA = Path(__file__).parents[2] / "data" / "l2dc"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(timeout=20) as one:
        yield one


@pytest.fixture(scope="module")
def amplifier() -> Testbench:
    return Testbench.read(DATA / "amplifier.toml", DATA / "amplifier.sp")


@pytest.fixture(scope="module")
def benches() -> dict[str, Testbench]:
    try:
        return {name: testbench(name) for name in NAMES}
    except UserError as fault:
        pytest.skip(str(fault).splitlines()[0])


def test_the_square_law_on_paper(amplifier: Testbench, engine: Engine) -> None:
    """ID = KP W / (2 L) Vov^2 (1 + lambda VDS); gain = gm (RD || 1 / gds); pole = 1 / (2 pi R C)."""
    found = amplifier.simulate(engine, {"wn": 20e-6, "rl": 5e3})
    beta, lam, over, vdd = 120e-6 * 20, 0.05, 0.3, 3.3
    drain = (vdd - 5e3 * beta / 2 * over**2) / (1 + 5e3 * beta / 2 * over**2 * lam)
    current = beta / 2 * over**2 * (1 + lam * drain)
    resistance = 1 / (1 / 5e3 + lam * beta / 2 * over**2)
    gain = beta * over * (1 + lam * drain) * resistance
    assert found.measures["gain_db"] == pytest.approx(20 * math.log10(gain), abs=1e-3)
    assert found.measures["bandwidth"] == pytest.approx(1 / (2 * math.pi * resistance * 1e-12), rel=5e-3)
    assert found.measures["power"] == pytest.approx(vdd * current, rel=1e-5)
    assert found.measures["area"] == pytest.approx(20e-12)
    assert [one.region for one in found.transistors] == ["saturation"]


@pytest.mark.parametrize("name", NAMES)
def test_the_designers_sizing_meets_the_specification_in_saturation(
    name: str, benches: dict[str, Testbench], engine: Engine
) -> None:
    bench = benches[name]
    hand = bench.hand()
    assert hand is not None
    found = bench.simulate(engine, hand)
    assert is_feasible(bench.spec, found), found.measures
    assert {one.region for one in found.transistors} <= {"saturation", "active"}
    assert by_hand_gap(bench, bench.self_contained(hand), found.measures) < 1e-4
    assert worth(bench.spec, found) > 1


def test_the_deck_prints_the_same_numbers_by_hand(
    benches: dict[str, Testbench], engine: Engine, tmp_path: Path
) -> None:
    """Nothing but the file and the program: gain, bandwidth, power and area to four digits."""
    bench = benches["tia3_sky130"]
    values = bench.values(np.full(14, 0.45))
    found = bench.simulate(engine, values)
    (tmp_path / "best.cir").write_text(bench.self_contained(values))
    program = shutil.which("ngspice")
    assert program is not None
    done = subprocess.run(
        [program, "-b", "best.cir"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    printed = printed_measures(done.stdout)
    for name in ("gain", "power", "area"):
        assert printed[name] == pytest.approx(found.measures[name], rel=1e-4)


def test_other_model_cards_give_other_results(
    benches: dict[str, Testbench], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = benches["tia3_sky130"]
    hand = bench.hand() or {}
    before = bench.simulate(engine, hand)
    original = bench.deck

    def thicker(*given: object) -> list[str]:
        return [re.sub(r"\btoxe = \S+", "toxe = 4.6e-09", line) for line in original(*given)]  # pyright: ignore

    monkeypatch.setattr(bench, "deck", thicker)
    after = bench.simulate(engine, hand)
    assert after.measures["gain"] != pytest.approx(before.measures["gain"], rel=0.02)


def test_corners_differ_and_the_typical_one_is_what_was_sized(benches: dict[str, Testbench], engine: Engine) -> None:
    bench = benches["tia3_sky130"]
    hand = bench.hand() or {}
    found = at_corners(bench, engine, hand)
    assert len(found) == 15
    gains = {(one["corner"], one["temperature"]): one["measures"]["gain"] for one in found}
    assert len(set(gains.values())) == 15
    assert gains["tt", 27.0] == bench.simulate(engine, hand).measures["gain"]


def test_worth_puts_constraints_first(amplifier: Testbench) -> None:
    spec = amplifier.spec

    def of(gain: float, bandwidth: float, power: float) -> Outcome:
        return Outcome({}, {"gain_db": gain, "bandwidth": bandwidth, "power": power, "area": 1e-12}, {})

    assert worth(spec, of(20, 20e6, 1e-3)) == pytest.approx(1.0)
    assert worth(spec, of(20, 20e6, 1e-4)) == pytest.approx(2.0)
    assert worth(spec, of(0, 20e6, 1e-9)) == pytest.approx(-1.0)  # 20 dB are a decade; the power does not help
    assert worth(spec, of(0, 2e6, 1e-9)) == pytest.approx(-2.0)
    assert worth(spec, of(0, 20e6, 1e-4), gated=False) == pytest.approx(0.0)
    assert worth(spec, of(20, 10e6, 1e-3), reward="linear") == pytest.approx(-0.5)
    assert worth(spec, of(20, math.nan, 1e-3)) == pytest.approx(-2.0)
    assert worth(spec, Outcome({}, {}, {}, Failure("convergence", "x"))) == FLOOR


def test_components_are_read_in_the_order_of_the_netlist(benches: dict[str, Testbench]) -> None:
    sequence = Sequence(benches["tia3_sky130"])
    assert [names[0] for names in sequence.names] == ["vb", "w1", "w2", "r1", "w3", "w4", "w5", "w6", "ib", "w7"]
    shares = np.random.default_rng(0).random(14)
    np.testing.assert_allclose(sequence.shares(sequence.action(shares)), shares, atol=1e-6)
    assert int(sequence.mask.sum()) == 14


def test_an_agent_goes_on_where_it_stopped(amplifier: Testbench, engine: Engine) -> None:
    config = Config(simulations=24, warmup=8, updates=1, batch=4, hidden=8, episode=3, gamma=0.9)

    def agent(seed: int) -> Agent:
        return Agent(Sequence(amplifier), config, np.random.default_rng(seed), seed)

    def go(one: Agent, steps: int) -> list[float]:
        found: list[float] = []
        for _ in range(steps):
            outcome = amplifier.simulate(engine, amplifier.values(one.propose()))
            found.append(worth(amplifier.spec, outcome))
            one.learn(outcome, found[-1])
        return found

    unbroken = agent(0)
    go(unbroken, 12)
    tensors, state = {name: tensor.clone() for name, tensor in unbroken.tensors().items()}, unbroken.state()
    resumed = agent(5)
    resumed.restore(tensors, state)
    assert go(unbroken, 12) == go(resumed, 12)


@pytest.mark.parametrize("method", ["random", "bo", "cma_es", "tpe"])
def test_a_library_goes_on_from_what_it_was_told(method: str, amplifier: Testbench, engine: Engine) -> None:
    """No optimiser is stored: it is asked again, told what is on record, and then proposes what it would have."""
    config = Config(method=method)  # pyright: ignore[reportArgumentType]

    def fresh() -> Black:
        made = make(amplifier, config, np.random.default_rng(0), 0)
        assert isinstance(made, Black)
        return made

    unbroken = search(amplifier, engine, fresh(), 36, History(), lambda *_: None)
    resumed = fresh()
    half = History.from_json(unbroken.to_json()[:33])
    resumed.repeat(half.rows)
    ended = search(amplifier, engine, resumed, 36, half, lambda *_: None)
    assert [row.values for row in ended.rows] == [row.values for row in unbroken.rows]


def test_every_simulation_is_a_row_failures_too(amplifier: Testbench, engine: Engine) -> None:
    """A third of the simulations fail; the budget counts them and the file shows them."""

    class Broken(Testbench):
        count = 0

        def deck(self, *given: object) -> list[str]:
            self.count += 1
            return super().deck(*given) + (["V9 vdd 0 1"] if self.count % 3 == 0 else [])  # pyright: ignore

    bench = Broken(amplifier.spec, amplifier.netlist)
    proposer = make(bench, Config(method="cma_es"), np.random.default_rng(0), 0)
    history = search(bench, engine, proposer, 12, History(), lambda *_: None)
    rows = list(csv.DictReader(history.csv(bench).splitlines()))
    assert [row["simulation"] for row in rows] == [str(number) for number in range(1, 13)]
    failed = [row for row in rows if row["failure"]]
    assert len(failed) == 4
    assert all(row["failure"].startswith("failed: convergence") and row["reward"] == "-6" for row in failed)
    assert [row.reward for row in History.from_json(history.to_json()).rows] == [row.reward for row in history.rows]


def test_the_history_of_a_trial_has_as_many_rows_as_its_budget(tmp_path: Path, benches: dict[str, Testbench]) -> None:
    del benches
    study = load("l2dc")
    config = dataclasses.replace(SMOKE, simulations=12, compared=12, warmup=6)
    run = Run.create(tmp_path / "run", study, "smoke", config, (0,), ("l2dc",), 1)
    found = perform(run, study, Task("l2dc", 0), lambda *_: None)
    folder = run.trial("l2dc", 0).file("history.csv").parent
    assert len((folder / "history.csv").read_text().splitlines()) == 13
    assert found["simulations"] == 12
    assert found["by_hand_gap"] < 1e-4 or math.isnan(found["by_hand_gap"])
    assert (folder / "best.cir").is_file()


def test_the_agent_learns_to_size_the_amplifier(amplifier: Testbench, engine: Engine) -> None:
    """Its last proposals meet the specification more often than uniform ones do."""
    config = Config(
        simulations=300, warmup=60, network="mlp", hidden=64, updates=2, critic_lr=3e-3, decay=0.8, batch=32
    )
    torch.set_num_threads(1)
    method = make(amplifier, config, np.random.default_rng(0), 0)
    assert isinstance(method, Learner)
    history = search(amplifier, engine, method, 300, History(), lambda *_: None)
    uniform = sum(row.feasible for row in history.rows[:60]) / 60
    assert sum(row.feasible for row in history.rows[-60:]) / 60 > max(0.3, 2 * uniform)


def test_size_writes_what_the_user_takes_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("amplifier.sp", "amplifier.toml"):
        shutil.copy(DATA / name, tmp_path)
    assert main(["apply", "l2dc", "size", str(tmp_path / "amplifier.sp"), "--simulations", "60", "--seed", "3"]) == 0
    folder = tmp_path / "amplifier-sized"
    assert len((folder / "history.csv").read_text().splitlines()) == 61
    assert "60 simulations by cma_es" in capsys.readouterr().out
    program = shutil.which("ngspice")
    assert program is not None
    done = subprocess.run([program, "-b", "best.cir"], cwd=folder, capture_output=True, text=True, check=False)
    best = max(csv.DictReader((folder / "history.csv").read_text().splitlines()), key=lambda row: float(row["reward"]))
    printed = printed_measures(done.stdout)
    for name in ("gain_db", "bandwidth", "power", "area"):
        assert printed[name] == pytest.approx(float(best[name]), rel=1e-4)


def test_simulate_shows_measures_and_regions(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["apply", "l2dc", "simulate", str(DATA / "amplifier.sp"), "--set", "wn=20u rl=5k"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "| gain_db | 10.35 dB | at least 20 dB | no |" in out or "at least 20 dB" in out
    assert "| m1 | saturation |" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "broken.sp", "--spec", "spec.toml"], "broken.sp:3: R1 has no value"),
        (["simulate", "amplifier.sp", "--set", "wnn=1u"], "Did you mean 'wn'"),
        (["simulate", "amplifier.sp", "--set", "wn=x"], "'x' is not a number"),
        (["size", "amplifier.sp", "--spec", "none.toml"], "none.toml: no such file"),
        (["size", "amplifier.sp", "--simulations", "0"], "must be at least 1"),
    ],
)
def test_what_is_wrong_is_said(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DATA)
    assert main(["apply", "l2dc", *words]) == 2
    assert message in capsys.readouterr().err


def test_what_ngspice_refuses_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DATA / "amplifier.sp").read_text().replace("CL d 0 1p", "CL d 0 zz")
    (tmp_path / "a.sp").write_text(text)
    assert main(["apply", "l2dc", "size", str(tmp_path / "a.sp"), "--spec", str(DATA / "amplifier.toml")]) == 2
    assert re.search(r"a\.sp:7: .*unknown parameter \(zz\)", capsys.readouterr().err)
