"""One trial: make the data, train, measure accuracies over training and the circuit at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from wheatstone.bench.run import Trial
from wheatstone.domains.kg.comparison import comparison_split, complex_split
from wheatstone.domains.kg.load import load
from wheatstone.domains.kg.phi import require_chains
from wheatstone.domains.kg.split import composition_split
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.domains.tasks import Pool, Sampling, Task, comparison_task, composition_task, relabelled
from wheatstone.interp.circuit import Circuit, Probe, find_circuit
from wheatstone.interp.lens import logit_lens
from wheatstone.interp.patching import states
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.replicas import Trained
from wheatstone.learn.training import Fitted, Point, Training, answers
from wheatstone.studies.neural.grokked_transformers.config import Config

FACTS = "facts"
"""The run's input that holds a user's own triples."""
MEMORISED = 0.99
"""Training accuracy from which a model counts as having memorised."""
GENERALISED = 0.95
"""ID accuracy from which it counts as having generalised."""
SAMPLES = 4
"""Questions of each pool that are written down with what the model makes of them."""
NAN = float("nan")

MEASURES = {
    "train_accuracy": "inferred facts of the training set answered exactly at the end [0, 1]",
    "atomic_accuracy": "facts, ID and OOD, answered exactly at the end [0, 1]",
    "id_accuracy": "unseen inferred facts of ID facts answered exactly [0, 1]; NaN for complex reasoning",
    "ood_accuracy": "inferred facts of OOD facts answered exactly (complex reasoning: the hard questions) [0, 1]",
    "majority": "ID accuracy of the most frequent training answer of the same relations or attribute [0, 1]",
    "direct": "share of two-hop ID tests whose answer is also one hop away from the head [0, 1]",
    "n_ood": "OOD tests there are (a whole number)",
    "phi": "inferred facts in training for each ID fact, counted in the training set",
    "step_train_99": "first evaluated step with training accuracy >= 0.99; NaN if never",
    "step_id_95": "first evaluated step with ID accuracy >= 0.95; steps + 1 if never, so that late and never compare",
    "delay": "step_id_95 / step_train_99: how long after memorising it generalises; NaN if either is never",
    "bridge_interchange": "two hops: share of answers that become those of another bridge when the state at r1 between "
    "first and last block is exchanged, at its best layer [0, 1]",
    "bridge_lens": "two hops: mean reciprocal rank of the bridge in the state at r1 after block 1 [0, 1]",
    "values_interchange": "comparison: the same for the two values at e1 and e2; the lower of the two [0, 1]",
    "wrong_position": "the same at a position that cannot hold the variable: h for the bridge, '?' for values [0, 1]",
    "self_patch": "largest change of any logit when a state is replaced by itself; must be 0",
    "staged": "1 if one state holds the bridge (interchange >= 0.90), else 0",
    "parallel": "1 if two states hold one value each (interchange >= 0.90), else 0",
}


class Prepared(NamedTuple):
    """A trial before training."""

    task: Task
    training: Training


def prepare(trial: Trial[Config]) -> Prepared:
    """The trial's data, and its model with initial weights."""
    config = trial.config
    recipe = config.recipe()
    task = make_task(trial)
    device = "cuda" if config.accelerator and torch.cuda.is_available() else "cpu"
    model = Transformer(
        recipe.transformer(task.vocab, task.context), torch.Generator().manual_seed(trial.seed_for("init"))
    ).to(device)
    pools = {"train": task.inferred, "atomic": task.atomic, "id": task.test_id, "ood": task.test_ood}
    record = trial.run.trial(trial.arm, trial.seed)

    def evaluate(model: Transformer) -> dict[str, float]:
        return {f"{name}_accuracy": pool.accuracy(model) for name, pool in pools.items()}

    def keep_memorised(point: Point, model: Transformer) -> None:
        # The metrics file says which evaluation is the first, whatever was interrupted in between.
        reached = [step for step, value in record.curve("train_accuracy") if value >= MEMORISED]
        if reached and reached[0] == point.step:
            trial.save_tensors("memorised", model.state_dict())

    training = Training(
        model,
        task.train,
        recipe.fitting(),
        order_seed=trial.seed_for("order") % 2**31,
        evaluate=evaluate,
        keeper=trial,
        on_evaluation=keep_memorised,
    )
    return Prepared(task, training)


def measure(trial: Trial[Config], prepared: Prepared, fitted: Fitted) -> Mapping[str, float]:
    """Accuracies over training, and the circuit at its end."""
    task, model = prepared.task, prepared.training.model.to("cpu")
    trial.save_tensors("weights", model.state_dict())
    circuit = find_circuit(model, task.probe)
    trial.write("circuit", circuit.to_json())
    trial.write("samples", samples(model, task, trial.config.task))
    measures = {
        **{name: value for name, value in fitted.history[-1].values.items() if name in MEASURES},
        "majority": task.guesses.majority,
        "direct": task.guesses.direct,
        "n_ood": float(task.n_ood),
        "phi": task.phi,
        **times(fitted),
        **circuit_measures(circuit),
        "self_patch": self_patch(model, task.probe),
    }
    if fitted.first("train_accuracy", MEMORISED):
        model.load_state_dict(trial.run.trial(trial.arm, trial.seed).tensors("memorised"))
        trial.write("circuit_memorised", find_circuit(model, task.probe).to_json())
    return measures


TRIAL = Trained(prepare, measure)


def make_task(trial: Trial[Config]) -> Task:
    """The data of a trial: its own random facts, or those of the user's file."""
    config = trial.config
    sampling = Sampling(trial.rng("questions"), config.asked, config.probe)
    split_seed = trial.seed_for("split")
    if config.task != "composition":
        sizes = config.comparison_entities, config.n_attribute, config.n_value
        if config.task == "comparison":
            split = comparison_split(
                *sizes,
                phi=config.comparison_phi,
                ood_share=config.comparison_ood_share,
                test_share=config.comparison_test_share,
                seed=split_seed,
            )
        else:
            split = complex_split(
                *sizes,
                n_ood=round(config.comparison_ood_share * config.comparison_entities),
                train_share=config.complex_share,
                per_label=config.complex_tests,
                seed=split_seed,
            )
        return comparison_task(split, config.n_value, sampling, repeat=config.fact_copies)
    if FACTS in trial.run.inputs:
        return task_of_file(trial.input(FACTS), config, sampling, split_seed)
    table = random_table(config.n_entity, config.n_relation, config.out_degree, trial.rng("facts"))
    split = composition_split(
        table, phi=config.phi or None, ood_share=config.ood_share, test_share=config.test_share, seed=split_seed
    )
    if config.relabel:
        split = relabelled(split, trial.rng("names").permutation(config.n_entity))
    return composition_task(split, sampling)


def task_of_file(facts: Path, config: Config, sampling: Sampling, split_seed: int) -> Task:
    """Two-hop questions about the triples in a file.

    Raises InputError or UserError for a file that cannot be read, has no chain, or has fewer than phi asks for.
    """
    graph = load(facts).graph
    require_chains(graph)
    split = composition_split(
        graph.table, phi=config.phi or None, ood_share=config.ood_share, test_share=config.test_share, seed=split_seed
    )
    return composition_task(split, sampling, entities=graph.entities, relations=graph.relations)


def times(fitted: Fitted) -> dict[str, float]:
    """When it memorised and when it generalised, in optimiser steps."""
    memorised = fitted.first("train_accuracy", MEMORISED)
    generalised = fitted.first("id_accuracy", GENERALISED)
    return {
        "step_train_99": float(memorised.step) if memorised else NAN,
        "step_id_95": float(generalised.step if generalised else fitted.steps + 1),
        "delay": generalised.step / memorised.step if generalised and memorised else NAN,
    }


def circuit_measures(circuit: Circuit) -> dict[str, float]:
    """What the claims are about, out of all maps; NaN where a map does not exist (depth 1, nothing answered)."""
    composition = "bridge" in circuit.sites
    wrong = dict.fromkeys(circuit.interchange, 0 if composition else 1)
    lens = circuit.lens.get("bridge", [])
    values = [circuit.best(name, position) for name, position in (("value 1", 2), ("value 2", 4))]
    return {
        "bridge_interchange": circuit.best("bridge", 1),
        "bridge_lens": lens[1][1] if len(lens) > 2 else NAN,
        "values_interchange": min(values),
        "wrong_position": max((circuit.best(name, position) for name, position in wrong.items()), default=NAN),
        "staged": float(circuit.structure == "staged"),
        "parallel": float(circuit.structure == "parallel"),
    }


@torch.no_grad()
def self_patch(model: Transformer, probe: Probe) -> float:
    """Largest change of a logit when a state is replaced by the same state and the rest of the run repeated."""
    here = states(model, probe.clean)
    before = model.unembed(here[-1][:, -1])
    after = [model.unembed(model.run_blocks(here[layer], start=layer)[:, -1]) for layer in range(len(here))]
    return max((logits - before).abs().max().item() for logits in after)


@torch.no_grad()
def samples(model: Transformer, task: Task, kind: str) -> list[dict[str, Any]]:
    """Some questions of each pool, the answer, and for two hops the token that the lens reads at r1 after block 1."""
    found: list[dict[str, Any]] = []
    chosen: dict[str, Pool] = {"training": task.inferred, "ID test": task.test_id, "OOD test": task.test_ood}
    for name, pool in chosen.items():
        prompts, expected = pool.prompts[:SAMPLES], pool.answers[:SAMPLES]
        if not len(prompts):
            continue
        given = answers(model, prompts).tolist()
        read = logit_lens(model, states(model, prompts)[1][:, 1]).argmax(-1).tolist()
        for prompt, answer, right, decoded in zip(prompts.tolist(), given, expected.tolist(), read, strict=True):
            found.append(
                {
                    "pool": name,
                    "question": " ".join(task.tokens[token] for token in prompt),
                    "answer": task.tokens[answer],
                    "right": task.tokens[right],
                    "bridge": task.bridge(prompt[0], prompt[1]) if kind == "composition" else None,
                    "decoded": task.tokens[decoded] if kind == "composition" else None,
                }
            )
    return found


def seeded_sampling(config: Config) -> Sampling:
    """Sampling that is good for a check of the data alone."""
    return Sampling(np.random.default_rng(0), config.asked, config.probe)
