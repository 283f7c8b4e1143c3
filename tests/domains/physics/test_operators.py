"""Operators against scipy, closed forms and finer grids; labels that never see the sensors."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import eval_legendre

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.analog.engine import chosen_backend
from wheatstone.domains.electronic.analog.netlist import parse_netlist
from wheatstone.domains.physics.function_spaces import FunctionBatch, FunctionSpace, named_functions
from wheatstone.domains.physics.operators import same_for_all
from wheatstone.domains.physics.operators.circuit import Circuit
from wheatstone.domains.physics.operators.kept import Kept
from wheatstone.domains.physics.operators.legendre import Legendre
from wheatstone.domains.physics.operators.ode import EXAMPLES, Ode
from wheatstone.domains.physics.operators.reaction import DiffusionReaction

U = FunctionSpace(points=200).sample(8, np.random.default_rng(0))
RNG = np.random.default_rng


def constant(value: float, n: int = 50) -> FunctionBatch:
    return FunctionBatch(np.linspace(0, 1, n), np.full((1, n), value))


def test_functions_have_the_kernel_of_their_field() -> None:
    many = FunctionSpace(length=0.3, points=100).sample(4000, RNG(1)).at(np.array([0.2, 0.5]))
    assert np.cov(many.T) == pytest.approx(np.array([[1, math.exp(-0.5)], [math.exp(-0.5), 1]]), abs=0.08)
    rough = FunctionSpace("rough", length=0.3, points=100).sample(4000, RNG(1)).at(np.array([0.2, 0.5]))
    assert np.cov(rough.T)[0, 1] == pytest.approx(math.exp(-1), abs=0.08)


@pytest.mark.parametrize("name", ["gaussian", "rough", "power", "chebyshev"])
def test_a_space_is_a_function_of_its_seed(name) -> None:
    space = FunctionSpace(name, points=60)
    one, same, other = (space.sample(5, RNG(seed)) for seed in (3, 3, 4))
    assert one.digests() == same.digests()
    assert not set(one.digests()) & set(other.digests())
    assert np.array_equal(space.sample(3, RNG(3)).at(np.array([0.1])), one.at(np.array([0.1]))[:3])


def test_functions_are_read_anywhere() -> None:
    x = RNG(2).uniform(0, 1, (8, 5))
    assert np.allclose(U.each_at(x), np.stack([U[i : i + 1].at(x[i])[0] for i in range(8)]), atol=1e-12)
    assert np.allclose(named_functions().at(np.array([0.3]))[:, 0], [0.3, math.sin(0.3 * math.pi),
                       math.sin(0.6 * math.pi), 0.3 * math.sin(0.6 * math.pi)], atol=1e-9)  # fmt: skip
    with pytest.raises(UserError, match="correlation length"):
        FunctionSpace(length=1e-4).sample(1, RNG(0))


def test_the_antiderivative_is_that_of_the_spline() -> None:
    operator = Ode.of(EXAMPLES["antiderivative"])
    y = operator.random_points(8, 4, RNG(1))
    exact = np.stack([U.spline.antiderivative()(y[i, :, 0])[:, i] for i in range(8)])
    assert np.allclose(operator.label(U, y), exact, atol=1e-7)


def test_the_pendulum_is_what_scipy_says() -> None:
    operator = Ode.of(EXAMPLES["pendulum"], horizon=3.0)
    y = same_for_all(operator.even_points(7), 8)
    for i in range(2):
        truth = solve_ivp(lambda t, s, i=i: [s[1], -math.sin(s[0]) + U.spline(t / 3)[i]], (0, 3), [0, 0],
                          rtol=1e-9, atol=1e-11, t_eval=y[0, :, 0])  # fmt: skip
        assert np.allclose(operator.label(U, y)[i], truth.y[0], atol=1e-6)


def test_time_start_and_stiffness() -> None:
    y = np.array([[[0.5], [1.0]]])
    assert Ode.of(["t*s"], start=[2.0]).label(constant(0.0), y) == pytest.approx(2 * np.exp(y[:, :, 0] ** 2 / 2))
    stiff = Ode.of(["-20000*(s - u)"]).label(constant(0.7), y)
    assert stiff == pytest.approx(np.full((1, 2), 0.7), abs=1e-6)


def test_a_function_without_solution_is_named() -> None:
    functions = FunctionBatch(np.linspace(0, 1, 30), np.stack([np.zeros(30), np.full(30, -40.0)]))
    with pytest.raises(
        UserError, match=r"--ode: '-s\*\*2 \+ u' has no bounded solution up to t = 1 for input function 1"
    ):
        Ode.of(EXAMPLES["riccati"]).label(functions, np.full((2, 1, 1), 1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": []}, "no equation"),
        ({"texts": ["s3"]}, "unknown name 's3'"),
        ({"texts": ["s"], "horizon": 0.0}, "last time"),
        ({"texts": ["s"], "start": [1.0, 2.0]}, "2 initial values for 1 equations"),
    ],
    ids=str,
)
def test_equations_with_faults_are_refused(arguments, message) -> None:
    with pytest.raises(UserError, match=message):
        Ode.of(**arguments)


def test_diffusion_and_reaction_converge_with_the_square_of_the_spacing() -> None:
    coarse, middle, fine = (DiffusionReaction(cells=n).solution(U) for n in (25, 50, 200))
    errors = [np.abs(s - fine[:: 200 // n, :: 200 // n]).max() for s, n in ((coarse, 25), (middle, 50))]
    assert errors[1] < errors[0] / 3
    assert errors[1] < 5e-3


def test_diffusion_alone_has_a_closed_form() -> None:
    grid = np.linspace(0, 1, 200)
    source = FunctionBatch(grid, np.sin(np.pi * grid)[None])
    rate = 0.5 * np.pi**2
    y = np.array([[[0.5, 0.4], [0.25, 1.0], [0.0, 0.7], [0.3, 0.0]]])
    found = DiffusionReaction(diffusion=0.5, reaction=0.0, cells=100).label(source, np.round(y, 2))
    exact = np.sin(np.pi * y[..., 0]) * (1 - np.exp(-rate * y[..., 1])) / rate
    assert np.allclose(found, exact, atol=1e-4)
    with pytest.raises(UserError, match="input function 0 grows without bound"):
        DiffusionReaction(reaction=1e9).label(source, y)


def test_coefficients_of_a_legendre_polynomial() -> None:
    grid = np.linspace(0, 1, 500)
    third = FunctionBatch(grid, eval_legendre(3, 2 * grid - 1)[None])
    operator = Legendre()
    found = operator.label(third, same_for_all(operator.even_points(20), 1))[0]
    assert np.allclose(found, np.where(np.arange(20) == 3, 2 / 7, 0.0), atol=1e-7)


RC = "an RC low pass\nV1 in 0 0\nR1 in out 1k\nC1 out 0 1u\n"


def spice() -> None:
    try:
        chosen_backend()
    except UserError as fault:
        pytest.skip(str(fault))


def test_a_circuit_is_simulated_by_ngspice() -> None:
    spice()
    operator = Circuit(parse_netlist(RC, "rc.cir"), "V1", ("v(out)",), 5e-3, amplitude=2.0, offset=1.0)
    ramp = FunctionBatch(np.linspace(0, 1, 20), np.linspace(0, 1, 20)[None])
    t = operator.even_points(6)
    slope, tau = 2.0 / 5e-3, 1e-3
    exact = 1 + slope * (t[:, 0] - tau * (1 - np.exp(-t[:, 0] / tau)))
    assert np.allclose(operator.label(ramp, same_for_all(t, 1))[0], exact, atol=2e-3)
    assert operator.runs == 1


@pytest.mark.parametrize(
    ("source", "probe", "message"),
    [
        ("V2", "v(out)", "no source 'V2'"),
        ("V1", "v(uot)", r"no v\(uot\).*Did you mean 'v\(out\)'\? Nodes: v\(in\), v\(out\)\."),
    ],
)
def test_a_circuit_without_source_or_probe_is_refused(source, probe, message) -> None:
    spice()
    operator = Circuit(parse_netlist(RC, "rc.cir"), source, (probe,), 1e-3)
    with pytest.raises(UserError, match=rf"rc\.cir.*{message}"):
        operator.label(constant(1.0), np.full((1, 1, 1), 1e-3))


def test_a_drive_is_simulated_once_for_all_probes(tmp_path, monkeypatch) -> None:
    spice()
    from wheatstone.domains.electronic.analog.engine import Engine
    from wheatstone.domains.physics.operators import circuit

    simulated: list[int] = []
    run_all = Engine.run_all
    monkeypatch.setattr(Engine, "run_all", lambda self, jobs: simulated.append(len(jobs)) or run_all(self, jobs))
    monkeypatch.setattr(circuit, "SAVE_SECONDS", 0.0)
    netlist, t = parse_netlist(RC, "rc.cir"), np.linspace(0, 1e-3, 5)[:, None]
    u = FunctionSpace(points=50).sample(12, RNG(0))

    def operator(**changes) -> Circuit:
        return Circuit(netlist, "V1", ("v(in)", "v(out)"), 1e-3, file=tmp_path / "w.safetensors", **changes)

    seen: list[int] = []
    first = operator(watch=seen.append).label(u[:9], same_for_all(t, 9))
    assert (simulated, seen) == ([1, 8], [0, 1, 8])
    other = operator(output=1)
    found = other.label(u, same_for_all(t, 12))
    assert sum(simulated) == 12
    assert other.runs == 12
    assert np.allclose(first, u[:9].at(t[:, 0] / 1e-3), atol=5e-3)
    assert np.abs(found[:9] - first).max() > 0.1
    assert np.array_equal(operator().label(u[:9], same_for_all(t, 9)), first)
    assert sum(simulated) == 12
    (tmp_path / "w.safetensors").write_bytes(b"damaged")
    assert np.array_equal(operator().label(u[:2], same_for_all(t, 2)), first[:2])
    assert sum(simulated) == 14
    assert operator(amplitude=1.0).label(u[:1], same_for_all(t, 1)).shape == (1, 5)
    Circuit(netlist, "V1", ("v(in)",), 1e-3, file=tmp_path / "w.safetensors").label(u[:1], same_for_all(t, 1))
    assert sum(simulated) == 15  # what another circuit or other probes gave is no answer


def test_drives_without_an_answer_are_told_or_refused(monkeypatch) -> None:
    spice()
    from wheatstone.domains.electronic.analog.jobs import Failure
    from wheatstone.domains.physics.operators import circuit

    def respond(*arguments):
        drives, at = arguments[5], arguments[6]
        return [Failure("convergence", "timestep too small") if row[0] > 1 else at[None] for row in drives]

    monkeypatch.setattr(circuit, "respond", respond)
    values = np.zeros((10, 50))
    values[4] = 2.0
    u, t = FunctionBatch(np.linspace(0, 1, 50), values), np.full((10, 1, 1), 1e-3)
    operator = Circuit(parse_netlist(RC, "rc.cir"), "V1", ("v(out)",), 1e-3, may_fail=0.1)
    assert np.flatnonzero(np.isnan(operator.label(u, t)[:, 0])).tolist() == [4]
    with pytest.raises(UserError, match=r"no v\(out\) for input function 4: timestep too small"):
        Circuit(parse_netlist(RC, "rc.cir"), "V1", ("v(out)",), 1e-3).label(u, t)


def test_any_state_can_be_the_output() -> None:
    """s' = s2, s2' = -s + u with u = 0 from (1, 0): cosine and minus sine; and a stiff pair, solved one by one."""
    t = np.linspace(0.001, 1.999, 9)[None, :, None]  # between the steps
    for output, exact in ((0, np.cos), (1, lambda x: -np.sin(x))):
        operator = Ode.of(["s2", "-s + u"], 2.0, [1.0, 0.0], output=output)
        assert np.allclose(operator.label(constant(0.0), t)[0], exact(t[0, :, 0]), atol=1e-6)
    told: list[int] = []
    stiff = Ode.of(["-1e5*(s - u)", "s"], 2.0, output=1)
    found = dataclasses.replace(stiff, watch=told.append).label(constant(1.0), t)
    assert np.allclose(found[0], t[0, :, 0] - 1e-5, atol=1e-6)
    assert sum(told) == 1


def test_what_was_answered_is_not_asked_again(tmp_path) -> None:
    told: list[int] = []
    operator = dataclasses.replace(Ode.of(["-s + u"]), watch=told.append)
    kept = Kept(operator, tmp_path / "labels")
    y = kept.random_points(8, 2, RNG(0))
    first = kept.label(U, y)
    assert np.array_equal(first, operator.label(U, y))
    assert sum(told) == 16
    assert np.array_equal(Kept(operator, tmp_path / "labels").label(U, y), first)
    assert sum(told) == 16
    other = Kept(dataclasses.replace(operator, horizon=0.5), tmp_path / "labels").label(U, y / 2)
    assert not np.array_equal(other, first)
    assert not np.array_equal(kept.label(U, y / 2), first)
    assert sum(told) == 32


def test_what_was_simulated_before_an_interrupt_is_kept(tmp_path, monkeypatch) -> None:
    spice()
    from wheatstone.domains.physics.operators import circuit

    calls: list[int] = []

    def respond(*arguments):
        calls.append(len(arguments[5]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return [at[None] for at in [arguments[6]] * len(arguments[5])]

    monkeypatch.setattr(circuit, "respond", respond)
    u, t = FunctionSpace(points=50).sample(20, RNG(0)), np.linspace(0, 1e-3, 5)[:, None]
    operator = Circuit(parse_netlist(RC, "rc.cir"), "V1", ("v(out)",), 1e-3, file=tmp_path / "w.safetensors")
    with pytest.raises(KeyboardInterrupt):
        operator.label(u, same_for_all(t, 20))
    again = Circuit(parse_netlist(RC, "rc.cir"), "V1", ("v(out)",), 1e-3, file=tmp_path / "w.safetensors")
    again.label(u, same_for_all(t, 20))
    assert calls == [1, 8, 8, 1, 8, 2]
