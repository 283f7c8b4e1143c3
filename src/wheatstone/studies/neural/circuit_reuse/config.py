"""Settings of the circuit-reuse study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from wheatstone.domains.lm.tasks import TaskName

Repair = Literal["none", "negative_movers", "inhibition", "both", "random_heads", "shuffled_gold"]


@dataclass(frozen=True)
class Config:
    """One model, one task, compared with the reference task."""

    model: str = "smollm2"
    """A named model (`wheatstone models list`), the path of one, or 'own': trained on the four tasks when needed."""
    task: TaskName = "ioi"
    """What is asked: ioi, colored_objects, greater_than or capitals."""
    reference: TaskName = "ioi"
    """The task whose circuit it is compared with (the paper: IOI)."""
    counterfactual: Literal["flip", "abc"] = "flip"
    """IOI's other prompt: the names exchanged at the end (the paper), or three other names (Wang et al.)."""
    freeze_mlps: bool = True
    """Hold feed-forward layers while a path is patched."""
    top_share: Annotated[float, Gt(0), Le(1)] = 0.02
    """Share of all heads that make up a set (the paper: 2 %)."""
    n_reference: Annotated[int, Ge(2)] = 64
    """Prompts of the reference task (the paper: 1000)."""
    n_task: Annotated[int, Ge(2)] = 48
    """Prompts of the task."""
    resamples: Annotated[int, Ge(10)] = 200
    """Bootstrap resamples of the prompts, for intervals and stability."""
    repair: Repair = "none"
    """Heads that are told where to look in Colored Objects; 'none' measures circuits instead."""
    n_repair: Annotated[int, Ge(2)] = 96
    """Colored Objects prompts of the repair, apart from those that the heads were found with."""
    draws: Annotated[int, Ge(1)] = 20
    """Random sets of heads, or random golds, that a control is the mean of."""
    checked: Annotated[int, Ge(1)] = 2
    """Senders whose effects are computed a second time, through hooks on whole passes, on two prompts."""
    own_steps: Annotated[int, Ge(1)] = 1500
    """Optimiser steps of the model 'own'."""
