"""The settings of the study: which circuit, which method sizes it, how the agent learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt


@dataclass(frozen=True)
class Config:
    """One trial sizes one testbench by one method with a fixed number of simulations."""

    method: Literal["agent", "random", "bo", "cma_es", "tpe"] = "agent"
    """What proposes sizings."""
    testbench: str = "tia3_sky130"
    """The circuit: a testbench of this package, or the path of a specification file."""
    simulations: Annotated[int, Ge(1)] = 1500
    """Simulations of the trial, failed ones included (paper: 40 000 and 50 000)."""
    compared: Annotated[int, Ge(1)] = 1500
    """Simulations after which methods are compared, where a method goes on longer."""
    network: Literal["seq2seq", "mlp"] = "seq2seq"
    """Actor and critic: LSTMs over the components (paper), or all components as one vector."""
    hidden: Annotated[int, Ge(1)] = 128
    """Width of the networks (paper: not given)."""
    episode: Annotated[int, Ge(1)] = 1
    """Simulations of one episode, which begins at the middle of all ranges (paper: a few, its number is not given)."""
    gamma: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Discount; only longer episodes use one."""
    observe: bool = True
    """Show the agent the operating point and the frequency response of the design before."""
    reward: Literal["log", "linear"] = "log"
    """How far a constraint is missed: in decades, or as a share of the bound."""
    gated: bool = True
    """Count targets only once all constraints hold (paper); else from the start."""
    warmup: Annotated[int, Ge(1)] = 150
    """Uniform proposals before the first update."""
    noise: Annotated[float, Gt(0)] = 0.5
    """Standard deviation of the exploration at its start, in units of half a range."""
    noise_end: Annotated[float, Gt(0)] = 0.05
    """Standard deviation at the end of its decay."""
    decay: Annotated[float, Gt(0), Le(1)] = 0.6
    """Share of the simulations over which the exploration decays, linearly."""
    updates: Annotated[int, Ge(1)] = 4
    """Gradient steps a simulation."""
    batch: Annotated[int, Ge(1)] = 64
    """Transitions of a gradient step."""
    actor_lr: Annotated[float, Gt(0)] = 1e-3
    """Learning rate of the actor."""
    critic_lr: Annotated[float, Gt(0)] = 3e-3
    """Learning rate of the critic."""
    penalty: Annotated[float, Ge(0)] = 1e-2
    """Weight of the mean square of the actor's output before its tanh."""
    corners: bool = True
    """Simulate the winner at the corners and temperatures of the specification."""
