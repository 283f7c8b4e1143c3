"""The trained model of a run, asked about a graph: its answer under several namings of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.shape import WHOLE
from wheatstone.bench.shape import check as check_shape
from wheatstone.domains.causal.axioms import AxiomName
from wheatstone.domains.causal.graphs import CausalGraph, Question
from wheatstone.learn.models.transformer import Transformer
from wheatstone.studies.neural.axiomatic_training.config import Config
from wheatstone.studies.neural.axiomatic_training.encoding import encoding_of

NAME = "axiomatic-training"
ARM_OF: dict[AxiomName, str] = {"transitivity": "mixed", "d_separation": "d_separation"}
SHAPE = {"context": WHOLE}
NAMINGS = 16
"""Times that the model is asked, with other names: its answer should not depend on them."""


class Opinion(NamedTuple):
    """What a model answers, asked under several namings of the nodes."""

    yes: int
    """Namings under which it says yes."""
    asked: int

    @property
    def says_yes(self) -> bool:
        return 2 * self.yes > self.asked


class Learner(NamedTuple):
    """A trained model with what it needs to be asked."""

    model: Transformer
    config: Config


def load_learner(path: Path, arm: str | None, seed: int | None, axiom: AxiomName) -> Learner:
    """The model of an arm that was taught the axiom. Raises UserError where the run has none."""
    from wheatstone.bench.registry import load

    run = Run.open(path)
    if run.study_name != NAME:
        raise UserError(f"{path}: holds a run of '{run.study_name}'. Make one: wheatstone run {NAME}")
    name = ARM_OF[axiom] if arm is None else arm
    if name not in run.arms:
        raise UserError(f"{path}: has no arm '{name}', only {', '.join(run.arms)}. Choose one with --arm.")
    record = run.trial(name, run.seeds[0] if seed is None else seed)
    config = record.config(load(NAME))
    if config.axiom != axiom:
        raise UserError(f"--arm {name}: was taught {config.axiom}, the question is about {axiom}.")
    shape = record.artifact("shape")
    try:
        check_shape(shape, SHAPE)
    except ValueError as error:
        raise UserError(f"{record.path}: damaged ({error}). Delete the trial's folder and run again.") from None
    model = encoding_of(config).model(shape["context"], torch.Generator())
    model.load_state_dict(record.tensors("model"))
    return Learner(model.eval(), config)


def opinions_of(learner: Learner, graph: CausalGraph, place: str, questions: Sequence[Question]) -> list[Opinion]:
    """What the model answers under `NAMINGS` random namings. Raises UserError for a graph that is too large for it."""
    config, model = learner.config, learner.model
    encoding = encoding_of(config)
    if config.encoding == "statements" and len(graph.names) > config.n_name:
        raise UserError(
            f"{place}: the graph has {len(graph.names)} nodes, the model knows {config.n_name} names. "
            "Ask about a part of it, or train one with more: --config.n-name."
        )
    rng = np.random.default_rng(0)
    instances = graph.instances(questions)
    votes = np.zeros(len(questions), np.int64)
    for _ in range(NAMINGS):
        rows = encoding.rows(instances, rng)
        if config.positions == "learned" and rows.shape[1] > model.cfg.context:
            raise UserError(
                f"{place}: {rows.shape[1]} {encoding.unit}; this arm has positions for {model.cfg.context}."
            )
        votes += encoding.says_yes(model, torch.from_numpy(rows))
    return [Opinion(int(yes), NAMINGS) for yes in votes]
