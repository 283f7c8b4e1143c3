"""The settings of the study: which laws, which network, how it is trained before it adapts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class Config:
    """One trial trains a network on some systems by one method and lets it adapt to tasks of a system left out."""

    method: Literal["maml", "first_order", "reptile", "anil", "context", "joint", "none"] = "maml"
    """How the start is found: five kinds of meta-learning, joint pre-training, or not at all. With `anil` only the
    readout adapts, with `context` only a vector that shifts the features."""
    context: Annotated[int, Ge(1)] = 8
    """Numbers in that vector; other methods have none."""
    mismatched: bool = False
    """Judge each task's adaptation on another task's query points: meta-learning that cannot learn to adapt."""
    network: Literal["hamiltonian", "vector_field"] = "hamiltonian"
    """A network of the energy, or one of equal size that says the time derivatives directly."""
    setting: Literal["conflict", "fixed"] = "conflict"
    """Constants drawn anew for each trajectory, so that tasks disagree, or all 1 (paper: all 1)."""
    systems: str = "spring,pendulum,henon-heiles,magnetic-mirror"
    """All systems; training takes those that are not held out (paper: also two-body and three-body)."""
    held_out: str = "magnetic-mirror"
    """The system that it adapts to."""
    potential: str = ""
    """A potential of your own in x, or x and y, to adapt to instead of `held_out`, as '0.5*x**2 + 0.1*x**4'."""
    oracle: bool = False
    """Train on the held-out system itself."""
    n_training: Annotated[int, Ge(0)] = 0
    """How many of the other systems are trained on, in their order; 0 is all."""
    trajectories: Annotated[int, Ge(1)] = 60
    """Training trajectories of each system, each a task (paper: 10 000)."""
    duration: Annotated[float, Gt(0)] = 10.0
    """Time that a trajectory lasts (paper: 10)."""
    samples: Annotated[int, Ge(12)] = 200
    """Equally spaced states of a trajectory (paper: 200)."""
    width: Annotated[int, Ge(1)] = 64
    """Features of a node."""
    layers: Annotated[int, Ge(1)] = 1
    """Rounds of messages after the embedding."""
    iterations: Annotated[int, Ge(1)] = 600
    """Outer iterations; joint pre-training takes inner_steps + 1 ordinary steps for each, on as many points."""
    tasks: Annotated[int, Ge(1)] = 8
    """Tasks of one outer iteration."""
    shots: Annotated[int, Ge(1)] = 50
    """Points of a support set; a query set has as many."""
    few_shots: Annotated[int, Ge(1)] = 10
    """Points of the small support sets that adaptation is also measured with."""
    inner_steps: Annotated[int, Ge(1)] = 5
    """Steps of gradient descent in the inner loop."""
    inner_lr: Annotated[float, Gt(0)] = 0.05
    """Their learning rate."""
    outer_lr: Annotated[float, Gt(0)] = 3e-3
    """Learning rate of Adam, also of joint pre-training."""
    adapt_steps: Annotated[int, Ge(1)] = 100
    """Most steps of adaptation that are measured."""
    test_tasks: Annotated[int, Ge(2)] = 24
    """Tasks of the held-out system that are measured."""
    validation_tasks: Annotated[int, Ge(2)] = 8
    """Other tasks of it, on which each start chooses its learning rate for each number of steps."""
    rollout_tasks: Annotated[int, Ge(1)] = 12
    """Test tasks of which orbits are predicted."""
    horizon: Annotated[float, Ge(1)] = 10.0
    """Length of those orbits, in durations of a trajectory."""
    dt: Annotated[float, Gt(0)] = 0.1
    """Time step of those orbits."""
