"""The study's own parts with known answers, trials with other systems, and its verb on a user's files."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.domains.physics.recorded import write_csv
from torch import nn

from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Bars, Heatmap, Lines, Table
from wheatstone.bench.registry import load
from wheatstone.bench.run import Run
from wheatstone.bench.work import Task, perform
from wheatstone.cli.main import main
from wheatstone.domains.physics.rollout import energy_error, rollout
from wheatstone.domains.physics.trajectories import Recorded, read_trajectories
from wheatstone.learn.meta import MetaGradient, MetaLearner, called, parameters_of
from wheatstone.learn.models.hamiltonian import GraphConfig
from wheatstone.studies.physical.hamiltonian_meta.config import Config
from wheatstone.studies.physical.hamiltonian_meta.exhibits import exhibits
from wheatstone.studies.physical.hamiltonian_meta.fitting import prepare, read_model
from wheatstone.studies.physical.hamiltonian_meta.learning import (
    RATES,
    adaptation,
    field_loss,
    field_of,
    make_network,
    moving_names,
)
from wheatstone.studies.physical.hamiltonian_meta.study import SMOKE
from wheatstone.studies.physical.hamiltonian_meta.tasks import (
    check,
    draw_pool,
    draw_test,
    n_particles,
    training_systems,
)

DATA = Path(__file__).parents[2] / "data" / "hamiltonian-meta"


def measured(folder: Path, arm: str, **changes: Any) -> tuple[dict[str, float], Run]:
    study = load("hamiltonian-meta")
    config = dataclasses.replace(SMOKE, **changes)
    run = Run.create(folder / arm, study, "smoke", config, (0,), (arm,), 1)
    return perform(run, study, Task(arm, 0), lambda *_: None), run


def network(kind: str = "hamiltonian", width: int = 12) -> Any:
    return make_network(kind, GraphConfig(width, 2), torch.Generator().manual_seed(0))


def test_the_held_out_system_is_not_trained_on() -> None:
    names = [system.name for system in training_systems(Config())]
    assert names == ["spring", "pendulum", "henon-heiles"]
    assert [system.name for system in training_systems(Config(n_training=1))] == ["spring"]
    assert [system.name for system in training_systems(Config(oracle=True))] == ["magnetic-mirror"]
    assert len(training_systems(Config(potential="x**2"))) == 4
    assert n_particles(Config(systems="spring,three-body", held_out="two-body")) == 3
    assert n_particles(Config(systems="spring,two-body", held_out="three-body"), training_only=True) == 2
    for changes, message in (
        ({"systems": "magnetic-mirror"}, "nothing to train on"),
        ({"systems": "spring,spring"}, "names a system twice"),
        ({"systems": "sprung"}, "Did you mean 'spring'"),
        ({"held_out": "pendulm"}, "Did you mean 'pendulum'"),
        ({"shots": 101}, "support and query need 202 states, a trajectory has --samples 200"),
        ({"potential": "x**2 + p"}, "depends on the momentum p"),
    ):
        with pytest.raises(UserError, match=message):
            check(Config(**changes))  # pyright: ignore[reportArgumentType]


def test_tasks_conflict_in_one_setting_and_agree_in_the_other() -> None:
    for setting, distinct in (("conflict", 4), ("fixed", 1)):
        config = dataclasses.replace(SMOKE, setting=setting)
        pool = draw_pool(config, training_systems(config)[:1], 4, np.random.default_rng(0), 1)
        assert len({law.constants["strength"] for law in pool.laws}) == distinct
        # dq/dt = p, and dp/dt is minus the strength times q: what a network sees is the law.
        x, y = pool.points.x, pool.points.y
        assert torch.equal(y[..., 0], x[..., 2])
        for task, law in enumerate(pool.laws):
            assert torch.allclose(y[task, ..., 2], -law.constants["strength"] * x[task, ..., 0], atol=1e-6)
        assert pool.points.mask.tolist() == [[[1, 0, 1, 0]]] * 4


def test_support_and_query_are_disjoint_and_of_one_orbit() -> None:
    pool = draw_pool(SMOKE, training_systems(SMOKE), 3, np.random.default_rng(0), 1)
    support, query = pool.batch(np.random.default_rng(1), 5, 12)
    for task in range(5):
        s, q = ({tuple(row) for row in points.x[task, :, 0].tolist()} for points in (support, query))
        assert len(s) == len(q) == 12
        assert not s & q
        owners = [one for one in range(3) if s <= {tuple(row) for row in pool.points.x[one, :, 0].tolist()}]
        assert len(owners) == 1
        assert q <= {tuple(row) for row in pool.points.x[owners[0], :, 0].tolist()}


def test_mismatched_tasks_are_judged_on_another_tasks_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The support of each task lies on one orbit, its query on that of its neighbour in the batch."""
    seen: list[tuple[Any, Any]] = []

    def step(_: MetaLearner, support: Any, query: Any) -> MetaGradient:
        seen.append((support, query))
        return MetaGradient({}, torch.tensor(1.0))

    monkeypatch.setattr(MetaLearner, "step", step)
    for arm in ("meta", "mismatched"):
        measured(tmp_path, arm, iterations=1)
    (support, query), (same, turned) = seen
    assert torch.equal(support.x, same.x)
    assert torch.equal(turned.x, query.x.roll(1, 0))
    assert not torch.equal(turned.x, query.x)


def test_the_second_orbit_has_the_same_law_and_another_energy() -> None:
    test = draw_test(Config(test_tasks=4), 4, np.random.default_rng(0), 1)
    assert torch.equal(test.few.x, test.support.x[:, :10])
    for task, law in enumerate(test.laws):
        q, p = (test.query.x[task, :, :, half].double().numpy() for half in (slice(0, 2), slice(2, 4)))
        here = law.system.energy(q, p, law.constants)
        there = law.system.energy(test.orbits[task].q, test.orbits[task].p, law.constants)
        assert here == pytest.approx(here[0], rel=1e-4)
        assert there == pytest.approx(there[0], rel=1e-4)
        assert abs(there[0] / here[0] - 1) > 1e-3


def test_the_field_of_an_energy_has_no_divergence() -> None:
    """Liouville: exactly, whatever the weights; the rival network has one."""
    state = torch.randn(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for kind, is_zero in (("hamiltonian", True), ("vector_field", False)):
        net = network(kind).double()
        weights, present = parameters_of(net), torch.ones(2, dtype=torch.float64)
        jacobian = torch.func.jacrev(called, argnums=2)(net, weights, state, present)
        divergence = torch.einsum("iaia->", jacobian)
        assert (abs(divergence.item()) < 1e-12) is is_zero


def test_adaptation_is_plain_gradient_descent() -> None:
    """Every task and every rate at once, as torch.optim.SGD finds them one after the other."""
    test = draw_test(SMOKE, 3, np.random.default_rng(0), 1)
    net = network()
    found = adaptation(net, parameters_of(net), test.support, test.query, test.other, [0, 3], keep=[3])
    for task, (number, rate) in ((1, (0, RATES[0])), (2, (3, RATES[3]))):
        alone: nn.Module = network()
        optimiser = torch.optim.SGD(alone.parameters(), rate)
        for _ in range(3):
            optimiser.zero_grad()
            data = test.support.of([task])
            wrong = (alone(data.x[0], data.mask[0, :, 0]) - data.y[0]) * data.mask[0]
            (wrong.square().sum() / (data.mask.sum() * len(wrong[:, 0]))).backward()
            optimiser.step()
        for name, value in alone.named_parameters():
            assert torch.allclose(found.adapted[3][name][number, task], value, atol=1e-5), name
    assert found.query[3].shape == (len(RATES), 3)


@pytest.mark.parametrize(("method", "part"), [("anil", "readout.weight"), ("context", "context")])
def test_a_part_adapts_and_the_rest_stays(method: str, part: str) -> None:
    """In the inner loop and afterwards alike, down to what a file of the network brings back."""
    test = draw_test(SMOKE, 2, np.random.default_rng(0), 1)
    cfg = GraphConfig(8, 1, context=3 if method == "context" else 0)
    net = make_network("hamiltonian", cfg, torch.Generator().manual_seed(0))
    moving = moving_names(net, method, 1)
    start = parameters_of(net)
    found = adaptation(net, start, test.support, test.query, test.other, [0, 4], [0.1], [4], moving=moving).adapted[4]
    for name, value in start.items():
        assert torch.equal(found[name][0, 0], value) is (name != part), name
    assert moving_names(net, "maml", 1) == net.used(1)


def test_padding_is_neither_learnt_nor_moved() -> None:
    """A spring beside a plane system: wrong values along its missing axis change no loss, and its orbit stays on x."""
    config = dataclasses.replace(SMOKE, held_out="henon-heiles")
    pool = draw_pool(config, training_systems(config)[:1], 1, np.random.default_rng(0), 1)
    net, points = network(), pool.points.of([0])
    one = type(points)(points.x[0], points.y[0], points.mask[0])
    loss = field_loss(net)(parameters_of(net), one)
    spoilt = one.y.clone()
    spoilt[..., [1, 3]] = 100
    assert torch.equal(field_loss(net)(parameters_of(net), type(points)(one.x, spoilt, one.mask)), loss)
    stacked = {name: value.detach()[None].double() for name, value in parameters_of(net).items()}
    states = rollout(field_of(net, stacked, points.mask.double()), points.x[:, 0].double(), 0.1, 20)
    assert states[..., [1, 3]].abs().max() == 0
    assert states[-1, 0, 0, 0] != states[0, 0, 0, 0]


def test_a_network_of_the_energy_conserves_its_own_energy_on_any_weights() -> None:
    net = network().double()
    stacked = {name: value.detach()[None] for name, value in net.named_parameters()}
    start = torch.tensor([[[0.6, 0.1, 0.2, -0.4]]], dtype=torch.float64)
    mask = torch.ones(1, 1, 4, dtype=torch.float64)
    states = rollout(field_of(net, stacked, mask), start, 0.1, 100)
    with torch.no_grad():
        energies = net.energy(states[:, 0], torch.ones(1, dtype=torch.float64)).numpy()
    assert (states[-1] - states[0]).abs().max() > 0.1
    assert energy_error(energies[:, None] + 5).rms[0] < 1e-3


def test_systems_with_more_particles_share_the_weights(tmp_path: Path) -> None:
    found, run = measured(tmp_path, "meta", systems="spring,two-body", held_out="three-body", iterations=2)
    assert math.isfinite(found["log_error_5"])
    assert run.trial("meta", 0).artifact("domains")["systems"] == ["spring", "two-body"]
    model = read_model(run.path)
    assert model.network(torch.zeros(3, 4), torch.ones(3)).shape == (3, 4)


def test_a_potential_of_ones_own_can_be_held_out(tmp_path: Path) -> None:
    found, run = measured(tmp_path, "scratch", potential="0.5*x**2 + 0.1*x**4")
    assert found["gradient_points"] == 0
    assert math.isfinite(found["log_energy_drift"])
    assert run.trial("scratch", 0).artifact("domains")["systems"][-1] == "formula"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small but trained network."""
    return measured(tmp_path_factory.mktemp("run"), "pretrained", iterations=60, width=16, systems="spring,pendulum")[
        1
    ].path


def test_figures_show_what_was_measured(trained: Path) -> None:
    run = Run.open(trained)
    measures = run.trial("pretrained", 0).measures() or {}
    shown = {item.name: item for item in exhibits(run)}
    curve = shown["adaptation"]
    assert isinstance(curve, Lines)
    (line,) = curve.lines
    assert line.y[line.x.index(5.0)] == pytest.approx(10 ** measures["log_error_5"])
    assert line.x[0] == 0.5
    assert line.y[0] == pytest.approx(10 ** measures["log_error_0"])
    rates = shown["rates-5"]
    assert isinstance(rates, Lines)
    assert tuple(rates.lines[0].x) == RATES
    best = RATES.index(measures["rate_5"])
    assert rates.lines[0].y[best] == min(rates.lines[0].y)
    accepted = shown["accepted"]
    assert isinstance(accepted, Table)
    assert [row[0] for row in accepted.rows] == ["spring", "pendulum", "magnetic-mirror, to adapt to"]
    assert accepted.rows[0][1] == SMOKE.trajectories
    assert accepted.rows[2][1] / accepted.rows[2][2] == pytest.approx(measures["accepted_test"])
    layers = shown["layers"]
    assert isinstance(layers, Bars)
    assert layers.series[0].values[-1] == pytest.approx(measures["cka_last"])
    heat = shown["domains-pretrained"]
    assert isinstance(heat, Heatmap)
    assert all(0 <= value <= 1 for row in heat.values for value in row)


def integrated(path: Path, motion: Any, start: list[float], span: float, rows: int) -> None:
    """An orbit of a system of equations in positions, then momenta, by another integrator than the study's."""
    from scipy.integrate import solve_ivp

    t, half = np.linspace(0, span, rows), len(start) // 2
    y = solve_ivp(lambda _, y: motion(*y), (0, span), start, "DOP853", t, rtol=1e-9, atol=1e-9).y
    write_csv(path, [Recorded("one", t, y[:half].T, y[half:].T)])


def duffing(path: Path) -> None:
    """x'' = -x - 0.4 x^3."""
    integrated(path, lambda x, p: [p, -x - 0.4 * x**3], [1.1, 0], 12, 240)


def double_pendulum(a: float, b: float, pa: float, pb: float) -> list[float]:
    """Rods of length 1, masses 1, g = 1: angles from the vertical and their canonical momenta."""
    size, apart = 1 + math.sin(a - b) ** 2, a - b
    first = pa * pb * math.sin(apart) / size
    second = (pa**2 + 2 * pb**2 - 2 * pa * pb * math.cos(apart)) * math.sin(2 * apart) / (2 * size**2)
    return [
        (pa - pb * math.cos(apart)) / size,
        (2 * pb - pa * math.cos(apart)) / size,
        -2 * math.sin(a) - first + second,
        -math.sin(b) + first - second,
    ]


def test_adapt_predicts_a_users_orbit(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    duffing(tmp_path / "mine.csv")
    command = ["apply", "hamiltonian-meta", "adapt", str(trained), str(tmp_path / "mine.csv"), "--shots", "40"]
    options = ["--potential", "0.5*x**2 + 0.1*x**4", "--save", str(tmp_path / "mine.safetensors")]
    assert main([*command, *options]) == 0
    said, warned = capsys.readouterr()
    assert warned == ""
    assert "the first half of the trajectory, the second is predicted; derivatives by smoothing splines" in said
    before, after = (float(part.split()[0]) for part in said.split("on the rest ")[1].split("before, "))
    assert after < 0.5 * before
    assert "true energy along it" in said
    assert (tmp_path / "mine.png").stat().st_size > 5000
    again = read_model(tmp_path / "mine.safetensors")
    assert any(not torch.equal(value, read_model(trained).parameters[name]) for name, value in again.parameters.items())


def test_adapt_says_what_a_network_of_the_energy_cannot_follow(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Friction: no energy explains it. A double pendulum: one does, but it is not p^2 / 2m + U(q)."""
    for name, motion, start, warning in (
        ("damped", lambda x, p: [p, -math.sin(x) - 0.3 * p], [2.0, 0.0], "warning: no energy explains this motion"),
        ("double", double_pendulum, [0.9, 0.5, 0.0, 0.0], "% of the velocities are no multiple of the momenta"),
    ):
        integrated(tmp_path / f"{name}.csv", motion, start, 16, 240)
        command = ["apply", "hamiltonian-meta", "adapt", str(trained), str(tmp_path / f"{name}.csv"), "--steps", "5"]
        assert main(command) == 0
        said = capsys.readouterr().err
        assert warning in said
        assert ("no energy explains" in said) is (name == "damped")


def test_adapt_takes_positions_alone(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An encoder with noise: without a mass it is refused, with one the orbit is predicted."""
    duffing(tmp_path / "known.csv")
    (known,) = read_trajectories(tmp_path / "known.csv")
    q = known.q[:, 0] + 0.001 * np.random.default_rng(0).normal(size=len(known.t))
    file = tmp_path / "angle.csv"
    file.write_text("t,q1\n" + "".join(f"{t!r},{x!r}\n" for t, x in zip(known.t.tolist(), q.tolist(), strict=True)))
    command = ["apply", "hamiltonian-meta", "adapt", str(trained), str(file), "--steps", "20"]
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "angle.csv:1 field 'p': no column begins with 'p'. Name them with --p, or give --mass, if the file has "
        "positions alone: momenta are then mass x dq/dt.\n"
    )
    assert main([*command, "--mass", "2.5"]) == 0
    said = capsys.readouterr().out
    assert "momenta and derivatives by smoothing splines, estimated error" in said
    before, after = (float(part.split()[0]) for part in said.split("on the rest ")[1].split("before, "))
    assert after < before


def test_every_particle_has_its_mass() -> None:
    """Two coupled springs, positions alone: momenta are those of the masses, in the units of the scale."""
    t = np.linspace(0, 20, 400)
    q = np.stack([np.cos(t), 0.5 * np.sin(1.5 * t)], 1)
    found = prepare([Recorded("a", t, q, None)], 2, 50, np.random.default_rng(0), "a", masses=(1.0, 4.0))
    x, mask = found.test.points.x, found.test.points.mask
    assert mask.tolist() == [[1, 0, 1, 0]] * 2
    assert found.scale.impulse == pytest.approx(3.0, rel=0.02)  # 4 * 0.5 * 1.5
    assert float(x[:, 0, 2].abs().max()) == pytest.approx(1 / 3, rel=0.03)


def test_units_do_not_matter(tmp_path: Path) -> None:
    """Milli-metres, hours and a mass of 3 give the same scaled points."""
    duffing(tmp_path / "a.csv")
    (read,) = read_trajectories(tmp_path / "a.csv")
    found = [
        prepare(
            [Recorded("a", read.t * unit, read.q * length, read.p * push)], 1, 30, np.random.default_rng(0), "a"
        ).support
        for unit, length, push in ((1.0, 1.0, 1.0), (1 / 3600, 1000.0, 3.0))
    ]
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert found[0].x.abs().max() <= 1 + 1e-6


def test_the_last_of_several_trajectories_is_predicted() -> None:
    t = np.linspace(0, 6, 60)
    several = [
        Recorded(
            str(k),
            t,
            size * np.cos(t)[:, None],
            -size * np.sin(t)[:, None],
            -size * np.sin(t)[:, None],
            -size * np.cos(t)[:, None],
        )
        for k, size in enumerate((1.0, 0.5, 0.8))
    ]
    found = prepare(several, 1, 50, np.random.default_rng(0), "a")
    assert found.told == "2 of 3 trajectories, the last one is predicted"
    assert found.spline_error == 0
    assert float(found.test.points.x[0, 0, 0]) == pytest.approx(0.8)


def test_a_broken_file_is_told_in_these_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "hamiltonian-meta", "adapt", "nowhere", str(DATA / "broken.csv")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "broken.csv:1: 2 positions (q1, q2) and 1 momenta (p1); there must be one each.\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shots", "0"], "adapt --shots: got 0, must be at least 1."),
        (["--lr", "-1"], "adapt --lr: got -1, must be above 0."),
        (
            ["--shots", "100"],
            "rows to adapt to (the first half of the trajectory, the second is predicted), --shots 100 needs 200",
        ),
        (["--potential", "p**2 + x"], "adapt --potential: 'p**2 + x' depends on the momentum p."),
        (["--potential", "x**2 + y**2"], "is for one particle with 2 coordinate(s); mine.csv has 1 position(s)"),
        (["--particles", "2"], "1 positions are no 2 particles"),
        (["--mass", "1"], "mine.csv:1 field 'p1': momenta are in the file, so --mass"),
        (["--mass", "-1"], "adapt --mass: got '-1', must be numbers above 0"),
        (["--mass", "1,2"], "adapt --mass: 2 masses for 1 particle(s)"),
        (["--q", "angle"], "mine.csv:1 field 'angle': no such column; there are trajectory, t, q1, p1."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_told(
    options: list[str], message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    duffing(tmp_path / "mine.csv")
    assert main(["apply", "hamiltonian-meta", "adapt", str(trained), str(tmp_path / "mine.csv"), *options]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_a_rate_that_spoils_the_network_is_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    duffing(tmp_path / "mine.csv")
    command = ["apply", "hamiltonian-meta", "adapt", str(trained), str(tmp_path / "mine.csv"), "--steps", "5"]
    assert main([*command, "--lr", "1e9"]) == 0
    assert "warning: adaptation made the network worse" in capsys.readouterr().err


def test_what_is_no_network_is_told(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    duffing(tmp_path / "mine.csv")
    command = ["apply", "hamiltonian-meta", "adapt"]
    assert main([*command, str(tmp_path), str(tmp_path / "mine.csv")]) == 2
    assert "no trained network there. Train one: wheatstone run hamiltonian-meta" in capsys.readouterr().err
    (tmp_path / "model.safetensors").write_bytes(b"no")
    assert main([*command, str(tmp_path / "model.safetensors"), str(tmp_path / "mine.csv")]) == 2
    assert "model.safetensors: damaged" in capsys.readouterr().err
    assert trained.is_dir()


def test_a_system_that_stands_still_is_told() -> None:
    t = np.linspace(0, 6, 60)
    with pytest.raises(UserError, match="a: nothing moves"):
        prepare([Recorded("", t, np.ones((60, 1)), np.zeros((60, 1)))], 1, 10, np.random.default_rng(0), "a")
