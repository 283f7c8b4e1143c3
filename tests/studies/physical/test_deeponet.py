"""deeponet: honest splits, labels that know no sensors, a baseline that is not crippled, and a user's own operators."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Lines, Table
from wheatstone.bench.run import Run
from wheatstone.bench.trial import Trial
from wheatstone.bench.work import Task, perform
from wheatstone.domains.electronic.analog.engine import chosen_backend
from wheatstone.domains.physics.surrogate import Surrogate
from wheatstone.domains.physics.triples import Triples, shared_functions
from wheatstone.studies.physical.deeponet import study, verbs
from wheatstone.studies.physical.deeponet.config import Config, grid_points, numbers
from wheatstone.studies.physical.deeponet.exhibits import exhibits
from wheatstone.studies.physical.deeponet.measures import rank_correlation, scores
from wheatstone.studies.physical.deeponet.predict import predict
from wheatstone.studies.physical.deeponet.problem import Problem, make_problem

TINY = dataclasses.replace(study.SMOKE, n_functions=60, steps=12, n_test=12, evaluations=2, sweep_steps=6, batch=20)
ARMS = ("deeponet", "fnn", "linear", "pod", "stacked", "ensemble", "labels", "sensors", "pendulum", "riccati_equation",
        "reaction", "legendre", "swinging_pod")  # fmt: skip


def created(folder: Path, config: Config, *arms: str) -> Run:
    return Run.create(folder / "run", study.STUDY, "smoke", config, (0,), arms, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A very short run of every kind of arm."""
    made = created(tmp_path_factory.mktemp("deeponet"), TINY, *ARMS)
    for arm in ARMS:
        perform(made, study.STUDY, Task(arm, 0), lambda *_: None)
    return made


def trial(run: Run, arm: str, **changes: object) -> Trial[Config]:
    record = run.trial(arm, 0)
    config = dataclasses.replace(record.config(study.STUDY), **changes)
    return Trial(run, record, config, lambda *_: None)


def problem(run: Run, arm: str = "deeponet", **changes: object) -> Problem:
    return make_problem(trial(run, arm, **changes))


def measure(run: Run, arm: str, name: str) -> float:
    return (run.trial(arm, 0).measures() or {})[name]


def test_labels_do_not_know_the_sensors(run: Run) -> None:
    few, many = problem(run, sensors=7), problem(run, sensors=90)
    assert few.train.u.shape[1] == 7
    assert np.array_equal(few.train.s, many.train.s)
    assert np.array_equal(few.test.s, many.test.s)
    assert np.array_equal(few.with_sensors(90).train.u, many.train.u)


def test_arms_share_their_data_and_no_function_is_on_both_sides(run: Run) -> None:
    one, other = problem(run), problem(run, "fnn")
    for mine, theirs in ((one.train, other.train), (one.test, other.test)):
        assert np.array_equal(mine.u, theirs.u)
        assert np.array_equal(mine.s, theirs.s)
    assert shared_functions(one.train, one.test) == 0
    assert all(measure(run, arm, "n_shared") == 0 for arm in ARMS)
    assert shared_functions(one.train, one.train) == len(one.train)


def test_every_arm_returns_its_scores(run: Run) -> None:
    for arm in ARMS:
        assert math.isfinite(measure(run, arm, "test_mse")), arm
        assert measure(run, arm, "test_mse_trimmed") <= measure(run, arm, "test_mse") * (1 + 1e-9)
    assert measure(run, "deeponet", "true_nonlinearity") < 1e-6
    assert measure(run, "pendulum", "true_nonlinearity") > 1e-4
    assert math.isfinite(measure(run, "sensors", "order"))


def test_linear_algebra_solves_the_antiderivative_and_says_so(run: Run) -> None:
    assert measure(run, "pod", "relative_l2") < 1e-3
    assert measure(run, "linear", "relative_l2") < measure(run, "deeponet", "relative_l2") / 2
    assert measure(run, "linear", "nonlinearity") < 0.05
    table = next(one for one in exhibits(run) if isinstance(one, Table) and one.name == "scores")
    assert {row[0] for row in table.rows} >= {"deeponet", "fnn", "linear", "pod"}


def test_the_grid_keeps_the_network_with_the_least_test_error(tmp_path: Path) -> None:
    made = created(tmp_path, dataclasses.replace(TINY, grid="4@0.001,32@0.01"), "fnn")
    perform(made, study.STUDY, Task("fnn", 0), lambda *_: None)
    rows = made.trial("fnn", 0).artifact("grid")
    assert measure(made, "fnn", "test_mse") == pytest.approx(min(row["test"] for row in rows))
    assert measure(made, "fnn", "least_train_mse") == min(row["train"] for row in rows)


def test_scores_against_arithmetic() -> None:
    truth = np.array([[1.0, -1.0], [2.0, 2.0], [0.0, 0.0]])
    found = scores(truth + np.array([[0.1, 0.1], [0.2, 0.2], [0.0, 0.0]]), truth)
    assert found.mse == pytest.approx((2 * 0.01 + 2 * 0.04) / 6)
    assert found.relative_l2 == pytest.approx(0.1)  # a function that is zero everywhere is left out
    assert found.r2 == pytest.approx(1 - found.mse / truth.var())
    wild = np.zeros((10, 200))
    wild[0, 0] = 100.0
    assert scores(wild, np.zeros((10, 200))).trimmed == 0.0
    assert rank_correlation(np.array([1.0, 2, 9]), np.array([0.1, 0.3, 0.2])) == pytest.approx(0.5)
    assert math.isnan(rank_correlation(np.ones(4), np.arange(4.0)))


@pytest.mark.parametrize(("text", "message"), [("", "must be positive"), ("3,x", "must be positive"), ("0", "must be")])
def test_lists_of_numbers(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        numbers(text, "sweep_sensors")
    with pytest.raises(UserError, match="--grid: got"):
        grid_points(text)


def test_equation_loss_is_zero_for_the_solution_and_not_for_another(run: Run) -> None:
    from wheatstone.studies.physical.deeponet.losses import equation_loss

    data = problem(run, "deeponet", loss="equation")
    assert data.inputs is not None
    spline = data.inputs.spline.antiderivative()
    places, rows = data.train.y[:, 0, 0], torch.arange(len(data.train))
    value = torch.tensor([spline(t)[at] for at, t in enumerate(places)], dtype=torch.float32)
    slope = torch.tensor(data.inputs.each_at(places[:, None])[:, 0], dtype=torch.float32)

    def line(factor: float):  # tangents of the solutions: right value and slope at each place, zero at the start
        def model(_: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            t = y[:, 0]
            found = value + factor * slope * (t - torch.from_numpy(places.astype("float32")))
            return torch.where(t == 0, 0.0, found)

        return model

    loss = equation_loss(data, 1.0)
    assert loss(line(1.0), rows).item() < 1e-9
    assert loss(line(2.0), rows).item() > 0.1
    with pytest.raises(UserError, match="needs one equation"):
        equation_loss(problem(run, "pendulum"), 1.0)


def test_error_bars_are_set_by_functions_of_their_own(tmp_path: Path) -> None:
    made = created(tmp_path, dataclasses.replace(TINY, calibration=60, n_test=200), "ensemble")
    perform(made, study.STUDY, Task("ensemble", 0), lambda *_: None)
    found = made.trial("ensemble", 0).measures() or {}
    # 12 steps leave an error that the members share: their spread is too small, the bars are not.
    assert found["coverage"] < 0.75
    assert found["bar_coverage"] == pytest.approx(0.9, abs=0.06)
    assert found["band_coverage"] == pytest.approx(0.9, abs=0.09)
    assert found["n_shared"] == 0
    data = problem(made, "ensemble")
    assert data.calibration is not None
    assert len(data.calibration) == 60
    without = problem(made, "ensemble", calibration=0)
    assert without.calibration is None
    assert np.array_equal(without.train.u, data.train.u)
    table = next(one for one in exhibits(made) if isinstance(one, Table) and one.name == "error-bars")
    assert table.rows[0][table.columns.index("points within 90 % bars")] == pytest.approx(
        found["bar_coverage"], abs=1e-4
    )
    figure = next(one for one in exhibits(made) if one.name == "predictions-ensemble")
    assert "calibrated" in figure.caption


def test_the_report_shows_what_was_measured(run: Run) -> None:
    shown = {one.name: one for one in exhibits(run)}
    assert {"scores", "training", "convergence", "sensors", "grid", "basis-deeponet", "error-bars"} <= shown.keys()
    sweep = shown["sensors"]
    assert isinstance(sweep, Lines)
    stored = run.trial("sensors", 0).artifact("sweep")
    assert list(sweep.lines[0].y) == pytest.approx([row["test"] for row in stored])


def test_a_stored_network_predicts_as_the_trial_did(run: Run) -> None:
    surrogate = Surrogate.load(run.trial("deeponet", 0).file("operator.safetensors"))
    data = problem(run)
    found = surrogate.predict(data.test.u, data.test.y[0]).mean
    assert ((found - data.test.s) ** 2).mean() == pytest.approx(measure(run, "deeponet", "test_mse"), rel=1e-6)


FAST = {"functions": 12, "points": 6, "sensors": 10, "steps": 6, "members": 2, "width": 6}


def test_a_users_equation_is_learnt_and_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m.safetensors"
    verbs.fit(ode="-s + u", t_end="2", model=model, out=tmp_path / "run", **FAST)
    assert "own_pod" in capsys.readouterr().out
    drive = tmp_path / "u.csv"
    drive.write_text("t,a,b\n0,0,1\n1,0.1,1\n2,0.2,1\n")
    predict(model, input=drive, points=5)
    lines = (tmp_path / "u.out.csv").read_text().splitlines()
    assert lines[0] == "t,a,a_spread,a_low,a_high,b,b_spread,b_low,b_high"
    assert len(lines) == 6
    table = np.loadtxt(tmp_path / "u.out.csv", delimiter=",", skiprows=1)
    assert (table[:, 3] < table[:, 1]).all()
    assert table[:, 3] + table[:, 4] == pytest.approx(2 * table[:, 1])
    predict(model, input=drive, points=5, band=True)
    assert "of the 0.9 band" in capsys.readouterr().out
    assert (np.loadtxt(tmp_path / "u.out.csv", delimiter=",", skiprows=1)[:, 4] >= table[:, 4]).all()
    with pytest.raises(UserError, match=r"level 0\.99 need 99 functions .* has 20"):
        predict(model, input=drive, level=0.99)
    drive.write_text("t,a\n0,0\n2,90\n")
    with pytest.raises(UserError, match=r"u\.csv: a runs from 0 to 90"):
        predict(model, input=drive, strict=True)
    (tmp_path / "at.csv").write_text("0.5\n3\n")
    drive.write_text("t,a\n0,0\n2,0\n")
    with pytest.raises(UserError, match="outside 0 <= t <= 2, as 3"):
        predict(model, input=drive, at=tmp_path / "at.csv", strict=True)
    predict(model, input=drive, at=tmp_path / "at.csv")
    assert "warning: 1 place(s) outside" in capsys.readouterr().err


def test_fourier_layers_are_fitted_as_an_ensemble_and_answer(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    fast = {**FAST, "width": 4, "depth": 1, "network": "fno"}
    verbs.fit(ode="-s + u", control=False, model=model, out=tmp_path / "run", **fast)
    members = Surrogate.load(model).members
    assert [(one.cfg.kind, one.cfg.width) for one in members] == [("fno", 4)] * 2
    made = Run.open(tmp_path / "run")
    data = make_problem(trial(made, "own"))
    found = Surrogate.load(model).predict(data.test.u, data.test.y[0]).mean
    assert ((found - data.test.s) ** 2).mean() == pytest.approx(measure(made, "own", "test_mse"), rel=1e-5)
    u = np.random.default_rng(0).standard_normal((12, 8))
    np.savez(tmp_path / "flat.npz", U=u, Y=np.random.default_rng(1).uniform(size=(5, 2)), S=u[:, :5])
    with pytest.raises(UserError, match=r"flat\.npz: places have 2 coordinates; --network fno"):
        verbs.fit(data=tmp_path / "flat.npz", network="fno", model=model)
    with pytest.raises(UserError, match="--kind fno: is for places of one coordinate"):
        Config(kind="fno").network(2)
    with pytest.raises(UserError, match="--kind lstm: no ensemble"):
        Config(kind="lstm", method="ensemble").network(1)


def test_a_fixed_basis_needs_common_places(tmp_path: Path, run: Run) -> None:
    from wheatstone.studies.physical.deeponet.experiment import reduction_of, scaling_of

    at_odds = trial(run, "deeponet", trunk="components")
    data = make_problem(at_odds)
    with pytest.raises(UserError, match="--trunk components"):
        reduction_of(at_odds, data, scaling_of(data, at_odds.config))
    verbs.fit(ode="u", hard="start", control=False, model=tmp_path / "a.safetensors", out=tmp_path / "a", **FAST)
    assert Surrogate.load(tmp_path / "a.safetensors").members[0].cfg.modes == 0
    fast = {**FAST, "functions": 40}
    verbs.fit(ode="u", control=False, model=tmp_path / "b.safetensors", out=tmp_path / "b", **fast)
    assert Surrogate.load(tmp_path / "b.safetensors").members[0].cfg.modes > 0
    linear, own = Run.open(tmp_path / "b"), Run.open(tmp_path / "a")
    assert measure(linear, "own", "relative_l2") < 0.2 * measure(own, "own", "relative_l2")


@pytest.mark.parametrize("aligned", [True, False])
def test_a_users_triples_are_split_by_function(tmp_path: Path, aligned: bool) -> None:
    draw = np.random.default_rng(0)
    u = np.repeat(draw.standard_normal((12, 10)), 2, axis=0)  # each function twice
    y = np.broadcast_to(np.linspace(0, 1, 5), (24, 5)) if aligned else draw.uniform(0, 1, (24, 5))
    np.savez(tmp_path / "t.npz", U=u, Y=y, S=u[:, :5] ** 2)
    verbs.fit(data=tmp_path / "t.npz", model=tmp_path / "m.safetensors", out=tmp_path / "run", **FAST)
    made = Run.open(tmp_path / "run")
    assert ("own_pod" in made.arms) == aligned
    assert all(measure(made, arm, "n_shared") == 0 for arm in made.arms)
    found = make_problem(trial(made, "own"))
    assert isinstance(found.train, Triples)
    assert found.calibration is not None
    assert [len(found.train), len(found.test), len(found.calibration)] == [20, 2, 2]


def test_a_users_netlist_is_simulated(tmp_path: Path) -> None:
    try:
        chosen_backend()
    except UserError as fault:
        pytest.skip(str(fault))
    (tmp_path / "part.inc").write_text(".param rs=1k\nC1 out 0 1u\n")
    netlist = tmp_path / "rc.cir"
    netlist.write_text("low pass\nVin in 0 0\nR1 in out {rs}\n.include part.inc\n.end\n")
    verbs.fit(spice=netlist, source="vin", probe="v(out)", t_end="5m", control=False, model=tmp_path / "m.safetensors",
              out=tmp_path / "run", **FAST)  # fmt: skip
    made = Run.open(tmp_path / "run")
    assert measure(made, "own", "spice_runs") >= 32
    (tmp_path / "u.csv").write_text("t,u\n0,0\n5e-3,1\n")
    predict(tmp_path / "m.safetensors", input=tmp_path / "u.csv", points=3)
    assert (tmp_path / "u.out.csv").read_text().startswith("t,s,s_spread,s_low,s_high\n0,")
    for changes, message in (
        ({"source": "V9"}, "no source 'V9'"),
        ({"probe": "v(x)"}, "gives no v"),
        ({"t_end": ""}, "t-end"),
    ):
        given = {"spice": netlist, "source": "Vin", "probe": "v(out)", "t_end": "5m"} | changes
        with pytest.raises(UserError, match=message):
            verbs.fit(**given, model=tmp_path / "n.safetensors", out=tmp_path / "other", **FAST)
    assert not (tmp_path / "other").exists()


def test_several_outputs_are_one_model_and_one_set_of_simulations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wheatstone.domains.electronic.analog.engine import Engine

    try:
        chosen_backend()
    except UserError as fault:
        pytest.skip(str(fault))
    simulated: list[int] = []
    run_all = Engine.run_all
    monkeypatch.setattr(Engine, "run_all", lambda self, jobs: simulated.append(len(jobs)) or run_all(self, jobs))
    netlist, model = tmp_path / "rc.cir", tmp_path / "m.safetensors"
    netlist.write_text("low pass\nV1 in 0 0\nR1 in out 1k\nC1 out 0 1u\n")
    verbs.fit(spice=netlist, probe="v(out), v(in,out)", t_end="5m", model=model, out=tmp_path / "run", **FAST)
    assert sum(simulated) == 1 + 12 + 20 + 20 + 2 * 20  # a check, training, test, error bars, other kinds
    assert capsys.readouterr().out.count("Output v(in,out)") == 2
    assert measure(Run.open(tmp_path / "run" / "output-1"), "own_linear", "relative_l2") < 0.5
    (tmp_path / "u.csv").write_text("t,u\n0,0.5\n5e-3,0.5\n")
    predict(model, input=tmp_path / "u.csv", points=3)
    table = np.genfromtxt(tmp_path / "u.out.csv", delimiter=",", skip_header=1)
    head = (tmp_path / "u.out.csv").read_text().split("\n")[0].split(",")
    assert head[1::4] == ["v(out)", "v(in-out)"]
    assert table[1:, 1] + table[1:, 5] == pytest.approx(0.5, abs=0.1)  # the two probes share the drive between them
    with pytest.raises(UserError, match="2 outputs"):
        Surrogate.load(model)
    fine = {**FAST, "points": 60}
    verbs.fit(ode="s2; -s + u", probe="s2", control=False, model=model, out=tmp_path / "ode", **fine)
    found = make_problem(trial(Run.open(tmp_path / "ode"), "own"))
    assert found.train.s[:, 0] == pytest.approx(0.0)
    slope = np.gradient(found.train.s[0], found.train.y[0, :, 0])[0]
    assert slope == pytest.approx(found.train.u[0, 0], abs=0.1)
    with pytest.raises(UserError, match=r"no state 's3'\. The equations have s, s2"):
        verbs.fit(ode="s2; -s + u", probe="s3", model=model)
    with pytest.raises(UserError, match="labels of one output"):
        verbs.fit(data=tmp_path / "t.npz", probe="s", model=model)


def test_drives_without_an_answer_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wheatstone.domains.electronic.analog.jobs import Failure
    from wheatstone.domains.physics.operators import circuit

    def respond(*arguments: object) -> list[object]:
        drives, at = arguments[5], arguments[6]
        assert isinstance(drives, np.ndarray)
        return [Failure("convergence", "") if row.max() > 2.5 else np.cumsum(row)[None, :1] + at for row in drives]

    monkeypatch.setattr(circuit, "respond", respond)
    (tmp_path / "rc.cir").write_text("low pass\nV1 in 0 0\nR1 in out 1k\nC1 out 0 1u\n")
    fast = {**FAST, "functions": 60}
    model = tmp_path / "m.safetensors"
    verbs.fit(spice=tmp_path / "rc.cir", t_end="5m", control=False, model=model, out=tmp_path / "r", **fast)
    left_out = measure(Run.open(tmp_path / "r"), "own", "left_out")
    assert left_out > 0
    assert f"no answer for {left_out:.0f} of the drives" in capsys.readouterr().out
    data = make_problem(trial(Run.open(tmp_path / "r"), "own"))
    assert data.inputs is not None
    assert len(data.inputs) == len(data.train)
    assert data.train.u.max() < 2.51


def test_a_users_drives_are_the_training_inputs(tmp_path: Path) -> None:
    t = np.linspace(0, 1, 30)
    table = np.stack([t, *(np.sin(k * t) for k in range(1, 13))], axis=1)
    np.savetxt(tmp_path / "u.csv", table, delimiter=",")
    verbs.fit(ode="u", drives=tmp_path / "u.csv", control=False, model=tmp_path / "m.safetensors",
              out=tmp_path / "run", **FAST)  # fmt: skip
    found = make_problem(trial(Run.open(tmp_path / "run"), "own"))
    assert found.calibration is not None
    assert [len(found.train), len(found.test), len(found.calibration)] == [10, 1, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one of"),
        ({"ode": "u", "data": Path("t.npz")}, "give one of"),
        ({"ode": "v"}, "--ode: 'v', character 1"),
        ({"ode": "u", "start": "x"}, "--start: got 'x'"),
        ({"ode": "u", "t_end": "soon"}, "--t-end"),
        ({"ode": "u", "model": Path("m.pt")}, "must end in .safetensors"),
        ({"spice": Path("none.cir"), "t_end": "1m"}, "none.cir: no such file"),
        ({"data": Path("none.npz")}, "none.npz: no such file"),
        ({"ode": "u", "drives": Path("none.csv")}, "none.csv: no such file"),
    ],
    ids=str,
)
def test_a_wrong_wish_is_refused_before_anything_runs(
    given: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        verbs.fit(**given)
    assert not list(tmp_path.iterdir())


def test_a_run_is_a_record_of_plain_json(run: Run) -> None:
    for record in run.records():
        json.loads((record.path / "measures.json").read_text())
