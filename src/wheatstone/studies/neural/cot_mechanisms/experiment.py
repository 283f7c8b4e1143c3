"""One trial: make facts and questions, train, and measure what the model writes and how it comes by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.run import Trial
from wheatstone.domains.kg.baselines import baselines
from wheatstone.domains.kg.encode import Vocabulary
from wheatstone.domains.kg.graph import Chains, Graph
from wheatstone.domains.kg.load import load
from wheatstone.domains.kg.phi import require_chains
from wheatstone.domains.kg.split import CompositionSplit, composition_split
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.domains.step_probes import StageProbes, stage_probes
from wheatstone.domains.steps import (
    Asked,
    Corrupted,
    Form,
    StepTokens,
    ThreeHops,
    Written,
    chain_paths,
    chain_questions,
    corrupted,
    fact_questions,
    three_hops,
    written,
)
from wheatstone.interp.circuit import Circuit, Probe, find_circuit
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.replicas import Trained
from wheatstone.learn.sequences import Sequences
from wheatstone.learn.training import Fitted, Training, answers
from wheatstone.studies.neural.cot_mechanisms.config import Config

FACTS = "facts"
"""The run's input that holds a user's own triples."""
SPECIALS = ("<filler>", "<end>")
CONTEXT = 8
"""Positions: a three-hop question, two bridges, the answer and the end."""
GENERALISED = 0.95
"""Accuracy from which a model counts as having generalised."""
SAMPLES = 4
"""Questions of each pool that are written down with what the model makes of them."""
NAN = float("nan")

MEASURES = {
    "train_accuracy": "two-hop training questions whose true answer the model writes [0, 1]",
    "train_written": "two-hop training questions answered word by word as training has them, wrong words too [0, 1]",
    "atomic_accuracy": "facts, ID and OOD, answered right [0, 1]",
    "id_accuracy": "unseen two-hop questions of ID facts whose answer is right, whatever stands before it [0, 1]",
    "id_bridge": "the same, bridge right; NaN without chain of thought [0, 1]",
    "id_exact": "the same, every written token right, as a comparison of strings would have it [0, 1]",
    "id_consistent": "the same, the answer follows from the bridge that the model itself wrote [0, 1]",
    "id_answer_if_bridge_wrong": "right answers among ID questions with a wrong bridge; NaN if there are none [0, 1]",
    "ood_accuracy": "as id_accuracy, for chains of two facts that are in no training chain [0, 1]",
    "ood_bridge": "as id_bridge, OOD [0, 1]",
    "ood_exact": "as id_exact, OOD [0, 1]",
    "n_id": "ID questions asked (a whole number)",
    "n_ood": "OOD questions asked (a whole number)",
    "majority": "ID accuracy of the most frequent training answer of the same relations [0, 1]",
    "gold_bridge_effect": "change of an accuracy when the tests' right bridges are overwritten in the data; must be 0",
    "ood_forced": "OOD answers when the right bridge is fed, which no other measure does; NaN without bridges [0, 1]",
    "noise_bridge": "two-hop training questions with a wrong bridge, counted [0, 1]",
    "noise_answer": "two-hop training questions with a wrong answer, counted [0, 1]",
    "phi": "two-hop questions in training for each ID fact, counted",
    "step_id_95": "first evaluated step with id_accuracy >= 0.95; steps + 1 if never, so that late and never compare",
    "step_ood_95": "the same for ood_accuracy",
    "three_hop_accuracy": "ID three-hop questions answered right; none is trained unless the arm says so [0, 1]",
    "three_hop_first": "the same, first bridge right; NaN without chain of thought [0, 1]",
    "stage_two_bridge": "answers that change when the state at b, after block 1 to the last but one, comes from a "
    "question with another b; best layer; NaN with one block [0, 1]",
    "stage_two_question": "the same for another h or r1, at any position and any layer from 1; the largest [0, 1]",
    "stage_two_interchange": "answers that become those of another bridge when that state at b is exchanged [0, 1]",
    "stage_one_interchange": "written bridges that become another when the state at r1 is exchanged: 0 where they are "
    "looked up at r2, where they are written (table `places` of the report) [0, 1]",
    "direct_interchange": "without chain of thought: answers that become those of another bridge, at r1 [0, 1]",
    "n_probed": "ID questions of the circuit: bridge and answer written right (a whole number)",
}


@dataclass(frozen=True)
class Task:
    """Everything that training and measuring need."""

    split: CompositionSplit
    tokens: StepTokens
    vocabulary: Vocabulary
    train: Sequences
    noise: Corrupted
    atomic: Asked
    trained: Asked
    """Two-hop training questions with their true paths."""
    trained_as_written: Asked
    """The same questions with the paths that training shows."""
    test_id: Asked
    test_ood: Asked
    three_hop: Asked
    majority: float
    probes: StageProbes

    @property
    def table(self) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
        """[n_entity, n_relation]: the tail of every fact, -1 where there is none."""
        return table_of(self.split)


class Prepared(NamedTuple):
    """A trial before training."""

    task: Task
    training: Training


def table_of(split: CompositionSplit, *, ood: bool = True) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """[n_entity, n_relation]: the tails of all facts, or of the ID facts alone; -1 elsewhere."""
    table = np.full((split.n_entity, split.n_relation), -1, np.int32)
    facts = split.atomic if ood else split.atomic_id
    table[facts[:, 0], facts[:, 1]] = facts[:, 2]
    return table


def make_task(trial: Trial[Config]) -> Task:
    """The data of a trial: its own random facts, or those of the user's file."""
    config = trial.config
    if FACTS in trial.run.inputs:
        graph = load(trial.input(FACTS)).graph
        require_chains(graph)
        names = graph.entities, graph.relations
        table = graph.table
    else:
        names = _numbered("e", config.n_entity), _numbered("r", config.n_relation)
        table = random_table(config.n_entity, config.n_relation, config.out_degree, trial.rng("facts"))
    split = split_of(table, config, trial.seed_for("split"))
    tokens = StepTokens(split.n_entity, split.n_relation)
    paths = chain_paths(split.train)
    noise = corrupted(paths, config.wrong, config.noise, split.n_entity, trial.rng("noise"))
    # Three-hop tests begin with a two-hop ID test, so that no training question is the beginning of one.
    triple = three_hops(split.test_id, split.atomic_id, tokens, trial.rng("three hops"), config.asked)
    extra = three_hops(
        split.train, split.atomic_id, tokens, trial.rng("more hops"), round(config.three_hop * len(split.atomic_id))
    )
    shown = some(len(split.train), config.asked, trial.rng("questions"))
    test_id = split.test_id[some(len(split.test_id), config.asked, trial.rng("id"))]
    test_ood = split.test_ood[some(len(split.test_ood), config.asked, trial.rng("ood"))]
    known = table_of(split, ood=False)
    probed = split.test_id[some(len(split.test_id), config.probe, trial.rng("probe"))]
    questions = torch.from_numpy(chain_questions(split.train[shown], tokens))
    return Task(
        split,
        tokens,
        Vocabulary(*names, SPECIALS),
        rows(split, noise, extra, tokens, config.form),
        noise,
        Asked(torch.from_numpy(fact_questions(split.atomic, tokens)), torch.from_numpy(_tails(split))),
        Asked(questions, torch.from_numpy(noise.true[shown])),
        Asked(questions, torch.from_numpy(noise.written[shown])),
        asked(test_id, tokens),
        asked(test_ood, tokens),
        Asked(torch.from_numpy(triple.prompts), torch.from_numpy(triple.path)),
        baselines(split.train, split.test_id, table).majority_pair,
        stage_probes(known, probed, tokens, trial.rng("corruptions")),
    )


def split_of(table: np.ndarray[Any, np.dtype[np.int32]], config: Config, seed: int) -> CompositionSplit:
    """The composition split of a table; it has been checked for leaks."""
    return composition_split(
        table, phi=config.phi or None, ood_share=config.ood_share, test_share=config.test_share, seed=seed
    )


def rows(split: CompositionSplit, noise: Corrupted, extra: ThreeHops, tokens: StepTokens, form: Form) -> Sequences:
    """Every fact, every two-hop training question as the noise has left it, and three-hop questions if any."""
    groups = [
        Written(fact_questions(split.atomic, tokens), tokens.continuation(_tails(split), form)),
        Written(chain_questions(split.train, tokens), tokens.continuation(noise.written, form)),
    ]
    if len(extra.prompts):
        groups.append(Written(extra.prompts, tokens.continuation(extra.path, form)))
    return written(groups)


def asked(chains: Chains, tokens: StepTokens) -> Asked:
    """Two-hop questions with their true paths."""
    return Asked(torch.from_numpy(chain_questions(chains, tokens)), torch.from_numpy(chain_paths(chains)))


def some(n: int, limit: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Sorted row numbers, `limit` of `n` at most."""
    return np.sort(rng.permutation(n)[:limit])


def prepare(trial: Trial[Config]) -> Prepared:
    """The trial's data, and its model with initial weights."""
    config, task = trial.config, make_task(trial)
    device = "cuda" if config.accelerator and torch.cuda.is_available() else "cpu"
    init = torch.Generator().manual_seed(trial.seed_for("init"))
    model = Transformer(config.transformer(task.tokens.n_token, CONTEXT), init).to(device)

    def evaluate(model: Transformer) -> dict[str, float]:
        return accuracies(model, task, config.form)

    training = Training(
        model,
        task.train,
        config.fitting(),
        order_seed=trial.seed_for("order") % 2**31,
        evaluate=evaluate,
        keeper=trial,
    )
    return Prepared(task, training)


def accuracies(model: Transformer, task: Task, form: Form) -> dict[str, float]:
    """What the model writes of its own accord on every pool."""
    table, tokens = task.table, task.tokens
    test_id, test_ood = (pool.rates(model, form, tokens, table) for pool in (task.test_id, task.test_ood))
    return {
        "train_accuracy": task.trained.rates(model, form, tokens).answer,
        "train_written": task.trained_as_written.rates(model, form, tokens).exact,
        "atomic_accuracy": task.atomic.rates(model, form, tokens).answer,
        "id_accuracy": test_id.answer,
        "id_bridge": test_id.bridge,
        "id_exact": test_id.exact,
        "id_consistent": test_id.consistent,
        "id_answer_if_bridge_wrong": test_id.answer_if_bridge_wrong,
        "ood_accuracy": test_ood.answer,
        "ood_bridge": test_ood.bridge,
        "ood_exact": test_ood.exact,
    }


def measure(trial: Trial[Config], prepared: Prepared, fitted: Fitted) -> Mapping[str, float]:
    """Accuracies at the end, when they were reached, the trap checks, three hops, and both stages of the circuit."""
    task, model, config = prepared.task, prepared.training.model.to("cpu"), trial.config
    trial.save_tensors("weights", model.state_dict())
    trial.write("knowledge", knowledge_of(task))
    trial.write("samples", samples(model, task, config.form))
    circuits = find_circuits(model, task, config.form)
    for name, circuit in circuits.items():
        trial.write(name, circuit.to_json())
    longer = task.three_hop.rates(model, config.form, task.tokens)
    first = first_step(model, task) if config.form == "cot" else NAN
    trial.write("training", {"seconds": fitted.seconds, "steps": fitted.steps})
    noise_bridge, noise_answer = task.noise.changed
    return {
        **{name: value for name, value in fitted.history[-1].values.items() if name in MEASURES},
        "n_id": float(len(task.test_id)),
        "n_ood": float(len(task.test_ood)),
        "majority": task.majority,
        "gold_bridge_effect": gold_bridge_effect(model, task, config.form, trial.rng("spoilt")),
        "ood_forced": forced(model, task.test_ood) if config.form == "cot" else NAN,
        "noise_bridge": noise_bridge,
        "noise_answer": noise_answer,
        "phi": task.split.phi,
        **times(fitted),
        "three_hop_accuracy": longer.answer,
        "three_hop_first": first,
        **circuit_measures(circuits),
    }


TRIAL = Trained(prepare, measure)


def first_step(model: Transformer, task: Task) -> float:
    """Share of three-hop questions whose first written token is the first bridge."""
    if not len(task.three_hop):
        return NAN
    return (answers(model, task.three_hop.prompts) == task.three_hop.path[:, 0]).float().mean().item()


def forced(model: Transformer, pool: Asked) -> float:
    """Accuracy when the right bridge is fed: what must never be reported as the model's own."""
    if not len(pool):
        return NAN
    fed = torch.cat([pool.prompts, pool.path[:, :-1]], dim=1)
    return (answers(model, fed) == pool.path[:, -1]).float().mean().item()


def gold_bridge_effect(model: Transformer, task: Task, form: Form, rng: np.random.Generator) -> float:
    """Largest change of an answer accuracy when the tests' right bridges are overwritten by random entities."""
    changes = [0.0]
    for pool in (task.test_id, task.test_ood):
        if not len(pool):
            continue
        path = pool.path.clone()
        path[:, :-1] = torch.from_numpy(rng.integers(task.tokens.n_entity, size=path[:, :-1].shape))
        spoilt = Asked(pool.prompts, path).rates(model, form, task.tokens).answer
        changes.append(abs(spoilt - pool.rates(model, form, task.tokens).answer))
    return max(changes)


def times(fitted: Fitted) -> dict[str, float]:
    """When it generalised, in optimiser steps."""
    found: dict[str, float] = {}
    for name in ("id", "ood"):
        point = fitted.first(f"{name}_accuracy", GENERALISED)
        found[f"step_{name}_95"] = float(point.step if point else fitted.steps + 1)
    return found


def find_circuits(model: Transformer, task: Task, form: Form) -> dict[str, Circuit]:
    """Both stages on the ID questions whose bridge and answer are written right; one circuit without steps."""
    probes = task.probes
    if form == "cot":
        right_bridge = answers(model, probes.one.clean) == probes.one.expected
        right_answer = answers(model, probes.two.clean) == probes.two.expected
        both = probes.part(right_bridge & right_answer)
        return {"stage_one": find_circuit(model, both.one), "stage_two": find_circuit(model, both.two)}
    return {"direct": find_circuit(model, direct_probe(task))} if form == "direct" else {}


def direct_probe(task: Task) -> Probe:
    """Stage one's questions, asked for the answer: the same exchanges, with the answers that they should give."""
    one, two = task.probes
    table, n_entity = task.table, task.tokens.n_entity
    variable = one.variables[0]

    def two_hops(prompts: Tensor) -> Tensor:
        h, r1, r2 = (prompts - torch.tensor([0, n_entity, n_entity])).T.numpy()
        return torch.from_numpy(table[table[h, r1], r2].astype(np.int64))

    swapped = type(variable)("bridge", 1, variable.source, two_hops(variable.source))
    return Probe(one.labels, one.clean, two.expected, one.corruptions, (swapped,), one.unrelated, one.readable)


def circuit_measures(circuits: Mapping[str, Circuit]) -> dict[str, float]:
    """What the claims are about, out of all maps; NaN where a map does not exist (one block, nothing answered)."""
    one, two, direct = (circuits.get(name) for name in ("stage_one", "stage_two", "direct"))
    bridge = question = interchange = NAN
    if two is not None and two.n:
        bridge = max((row[3] for row in two.effects["b"][1 : two.depth]), default=NAN)
        question = max(value for name in ("h", "r1") for row in two.effects[name][1:] for value in row)
        interchange = two.best("bridge", 3)
    measured = [circuit for circuit in (two, direct) if circuit is not None]
    return {
        "stage_two_bridge": bridge,
        "stage_two_question": question,
        "stage_two_interchange": interchange,
        "stage_one_interchange": one.best("bridge", 1) if one is not None else NAN,
        "direct_interchange": direct.best("bridge", 1) if direct is not None else NAN,
        "n_probed": float(measured[0].n) if measured else NAN,
    }


def samples(model: Transformer, task: Task, form: Form) -> list[dict[str, Any]]:
    """Some questions of each pool and what the model writes."""
    found: list[dict[str, Any]] = []
    names = task.vocabulary.tokens
    pools = {"training": task.trained, "ID test": task.test_id, "OOD test": task.test_ood, "three hops": task.three_hop}
    for name, pool in pools.items():
        part = Asked(pool.prompts[:SAMPLES], pool.path[:SAMPLES])
        if not len(part):
            continue
        given = part.written_by(model, form, task.tokens.end).tolist()
        for prompt, tokens, path in zip(part.prompts.tolist(), given, part.path.tolist(), strict=True):
            found.append(
                {
                    "pool": name,
                    "question": " | ".join(names[token] for token in prompt),
                    "written": " ".join(names[token] for token in tokens),
                    "right": " ".join(names[token] for token in path),
                }
            )
    return found


def knowledge_of(task: Task) -> dict[str, Any]:
    """What a trained model has to be asked with: names, facts, and which questions training showed."""
    return {
        "vocabulary": task.vocabulary.to_json(),
        "triples": task.split.atomic.tolist(),
        "trained": task.split.train.questions.tolist(),
    }


def graph_of(vocabulary: Vocabulary, triples: list[list[int]]) -> Graph:
    """The graph of stored names and facts. Raises ValueError where they do not belong together."""
    return Graph(vocabulary.entities, vocabulary.relations, np.array(triples, np.int32).reshape(-1, 3))


def check_facts(facts: Path, config: Config) -> CompositionSplit:
    """The split of a user's file, to refuse what cannot work before anything is written.

    Raises InputError or UserError for a file that cannot be read, has no chain, or has fewer than phi asks for.
    """
    graph = load(facts).graph
    require_chains(graph)
    return split_of(graph.table, config, 0)


def _tails(split: CompositionSplit) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return split.atomic[:, 2:].astype(np.int64)


def _numbered(letter: str, count: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number}" for number in range(count))
