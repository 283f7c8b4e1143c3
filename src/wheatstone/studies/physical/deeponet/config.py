"""Settings of one trial: which operator, which data, which method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from annotated_types import Ge, Gt, Le

from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.function_spaces import SpaceName
from wheatstone.learn.models.operator_network import Activation, Hard, Kind, OperatorNetworkConfig
from wheatstone.learn.regression import RegressionConfig

OperatorName = Literal[
    "antiderivative", "riccati", "pendulum", "equations", "reaction", "legendre", "circuit", "triples"
]
Method = Literal["network", "grid", "ensemble", "linear", "pod", "functions", "points", "sensors"]


@dataclass(frozen=True)
class Config:
    """One trial of `deeponet`; the defaults are the `cpu` preset on the antiderivative."""

    operator: OperatorName = "antiderivative"
    """What is learnt: s' = u, s' = -s^2 + u, the pendulum, own equations, s_t = D s_xx + k s^2 + u, Legendre
    coefficients, a SPICE netlist, or a file of triples."""
    formula: str = ""
    """Right-hand sides of own equations, separated by ';', in the states s, s2, ..., u and t."""
    start: str = ""
    """Initial values of own equations, separated by ';'; zeros when empty."""
    horizon: Annotated[float, Gt(0)] = 1.0
    """Last time, in the operator's unit (seconds for a netlist)."""
    space: SpaceName = "gaussian"
    """Where input functions are drawn from."""
    length: Annotated[float, Gt(0)] = 0.2
    """Correlation length of a field, a share of the horizon (section 3: 0.2)."""
    amplitude: Annotated[float, Gt(0)] = 1.0
    """Factor on every input function; volts or amperes for a netlist."""
    offset: float = 0.0
    """Added to the drive of a netlist, in volts or amperes."""
    netlist: Literal["clipper", "hard_clipper"] = "clipper"
    """Which of the study's own netlists, where a user gives none."""
    source: str = "V1"
    """Driven source of a netlist."""
    probe: str = "v(out)"
    """What is read of a netlist; several with commas."""
    output: Annotated[int, Ge(0)] = 0
    """Which of them is learnt, or which state of own equations, from 0."""
    resolution: Annotated[int, Ge(20)] = 500
    """Grid places through which an input function is a spline (the paper's code: 1000)."""
    n_functions: Annotated[int, Ge(10)] = 2000
    """Training functions (paper: 10 000)."""
    points: Annotated[int, Ge(1)] = 1
    """Labels of each training function, at random places (section 4.1: 1)."""
    aligned: bool = False
    """Label every training function at the same, even places."""
    n_test: Annotated[int, Ge(4)] = 500
    """Test functions."""
    test_points: Annotated[int, Ge(2)] = 100
    """Even places at which each test function is judged."""
    calibration: Annotated[int, Ge(0)] = 0
    """Functions kept apart to set the size of error bars; of a user's own functions, half of those held out instead.
    0 sets none."""
    method: Method = "network"
    """One network, the best of a grid of networks, an ensemble, linear algebra, or a sweep."""
    kind: Kind = "deeponet"
    """The network, where there is one."""
    sensors: Annotated[int, Ge(2)] = 100
    """Values of an input function that a method sees (m)."""
    width: Annotated[int, Ge(1)] = 40
    """Width of all layers, and the number of products (p)."""
    depth: Annotated[int, Ge(1)] = 2
    """Layers of branch and trunk; hidden layers of an FNN."""
    activation: Activation = "relu"
    """Between layers, and after the trunk."""
    stacked: bool = False
    """One branch network for each product."""
    bias: bool = True
    """A trained number is added to the sum of products."""
    fourier: Annotated[int, Ge(0)] = 0
    """Harmonics of the place that the trunk sees as well."""
    hard: Hard = "none"
    """Where the output is zero by construction."""
    trunk: Literal["network", "components"] = "network"
    """A trained trunk, or the principal components of aligned outputs, whose coefficients start from ridge
    regression."""
    modes: Annotated[int, Ge(1)] = 32
    """Components at most."""
    frequencies: Annotated[int, Ge(1)] = 16
    """Frequencies that Fourier layers mix over all places."""
    normalise: bool = False
    """Inputs and outputs in units of their spread over the training data."""
    loss: Literal["labels", "equation"] = "labels"
    """Squared error of labels, or the squared residual of the equation, which needs no label."""
    by_function: bool = False
    """Steps on whole functions of aligned data, branch and trunk computed once each, instead of on single labels."""
    steps: Annotated[int, Ge(1)] = 8000
    """Optimiser steps (section 4: 50 000)."""
    batch: Annotated[int, Ge(1)] = 500
    """Labels a step; functions a step with by_function."""
    lr: Annotated[float, Gt(0), Le(1)] = 1e-3
    """Rate of Adam."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Constant as in the paper, or a half cosine down to a hundredth."""
    evaluations: Annotated[int, Ge(1)] = 8
    """Evaluations; the weights with the least training error of these are kept, as in the paper's code."""
    grid: str = "40@0.001,40@0.003,100@0.001,100@0.003,300@0.001"
    """Widths and rates of Adam of the grid of fully connected networks."""
    sweep_functions: str = "100,300,1000,3000"
    """Numbers of training functions of the sweep."""
    sweep_sensors: str = "5,10,20,50,100"
    """Numbers of sensors of the sweep."""
    sweep_steps: Annotated[int, Ge(1)] = 4000
    """Steps of each network of a sweep."""
    members: Annotated[int, Ge(2), Le(50)] = 5
    """Networks of an ensemble."""

    def network(self, dim: int, sensors: int | None = None, width: int | None = None) -> OperatorNetworkConfig:
        """The network for places of `dim` coordinates. Raises UserError where its kind is not for so many."""
        if self.kind in ("fno", "lstm") and dim > 1:
            raise UserError(f"deeponet --kind {self.kind}: is for places of one coordinate; here there are {dim}.")
        if self.kind == "lstm" and self.method == "ensemble":
            raise UserError("deeponet --kind lstm: no ensemble, its cells cannot be batched over members.")
        return OperatorNetworkConfig(
            sensors=self.sensors if sensors is None else sensors,
            dim=dim,
            kind=self.kind,
            width=width or self.width,
            depth=self.depth,
            activation=self.activation,
            stacked=self.stacked,
            bias=self.bias,
            fourier=self.fourier,
            hard=self.hard,
            frequencies=self.frequencies,
        )

    def fitting(self, *, steps: int | None = None, lr: float | None = None) -> RegressionConfig:
        """The training loop's settings."""
        return RegressionConfig(
            steps=steps or self.steps,
            batch=self.batch,
            lr=lr or self.lr,
            schedule=self.schedule,
            evaluations=self.evaluations,
            keep="train_mse",
        )


class GridPoint(NamedTuple):
    """One network of a grid."""

    width: int
    rate: float


def grid_points(text: str) -> list[GridPoint]:
    """The networks of a grid, as '40@0.001,100@0.003'. Raises UserError."""
    found: list[GridPoint] = []
    for word in text.split(","):
        width, _, rate = word.partition("@")
        try:
            point = GridPoint(int(width), float(rate))
        except ValueError:
            point = GridPoint(0, 0.0)
        if point.width < 1 or not 0 < point.rate <= 1:
            raise UserError(f"deeponet --grid: got '{word}', must be a width and a rate, as 100@0.001.")
        found.append(point)
    return found


def numbers(text: str, field: str) -> list[float]:
    """The numbers of a field that holds several. Raises UserError."""
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < value < 1e9 for value in found):
        raise UserError(f"deeponet --{field.replace('_', '-')}: got '{text}', must be positive numbers with commas.")
    return found
