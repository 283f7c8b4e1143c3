"""What one trial learns from: the real graph, its synthetic facts, and questions that training never shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from wheatstone.domains.kg import catalogue
from wheatstone.domains.kg.augment import REAL, augment
from wheatstone.domains.kg.encode import Vocabulary
from wheatstone.domains.kg.graph import Bool, Chains, Graph
from wheatstone.domains.kg.load import load
from wheatstone.domains.kg.phi import PhiReport, phi_report, require_chains
from wheatstone.domains.kg.questions import load_questions, question_chains
from wheatstone.domains.kg.split import assert_no_leak, real_split
from wheatstone.domains.probes import fact_tokens, question_tokens
from wheatstone.learn.recipe import Recipe
from wheatstone.learn.sequences import Sequences, padded

THRESHOLD = 3.6
"""Chains for each fact below which no generalisation was seen (arXiv:2405.15071; arXiv:2504.20752, section 3)."""
HEADS_PER_REAL = 3
"""Synthetic heads at most for each real one, when their number is left to `phi`: a relation whose phi tends to just
below the target would otherwise draw heads without end (20,000 on UMLS, whose 834 facts then drown)."""
FACTS, QUESTIONS = "facts", "questions"
"""Names of a run's inputs."""


@dataclass(frozen=True)
class Config(Recipe):
    """One arm: which graph, which synthetic facts, which training."""

    graph: str = "countries"
    """A graph of `wheatstone data`, or a file; a run of `wheatstone grok` has the user's file instead."""
    inverse: bool = False
    """Add the inverse of every relation."""
    multi: Literal["first", "strict", "error"] = "first"
    """What to do where a head has several tails in one relation: keep one, drop them all, or stop."""
    train_phi: Annotated[float, Gt(0)] = 1.3
    """Real two-hop questions in training for each fact (what a question list would give)."""
    ood_share: Annotated[float, Ge(0), Le(0.5)] = 0.1
    """Share of the real facts that are in no training chain; chains of two such facts are the OOD test."""
    augment: bool = True
    """Add synthetic heads with their facts and chains."""
    heads: Annotated[int, Ge(-1)] = -1
    """Synthetic heads; -1 draws them until `phi` and `contexts` are met."""
    phi: Annotated[float, Gt(0)] = 8.0
    """Chains for each fact that every relation which can shall reach (the paper's comparison task: 8)."""
    contexts: Annotated[int, Ge(1)] = 8
    """Training chains that shall use each second-hop fact."""
    world: Literal["true", "false_consistent", "inconsistent"] = "true"
    """Whether synthetic facts agree with reality, contradict it consistently, or contradict their own chains."""
    false_share: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of the synthetic links that are false, in the worlds that have any."""
    tests: Annotated[int, Gt(0)] = 3000
    """Real questions that each evaluation asks at most."""
    probes: Annotated[int, Gt(0)] = 400
    """Training questions that the circuit is measured on."""


@dataclass(frozen=True)
class World:
    """Everything that one trial trains and tests on; entities and relations of the real graph keep their ids."""

    graph: Graph
    """The real graph."""
    whole: Graph
    """With synthetic entities and facts."""
    real_train: Chains
    train: Chains
    test: Chains
    """Real chains without a held-out fact that training does not show."""
    test_ood: Chains
    """Real chains of two held-out facts."""
    held_out: Bool
    is_synthetic_fact: npt.NDArray[np.bool_]
    log: tuple[str, ...]

    @property
    def n_entity(self) -> int:
        return len(self.whole.entities)

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.of(self.whole)

    @property
    def phi(self) -> float:
        """Training chains for each fact."""
        return len(self.train) / len(self.whole.triples)

    @cached_property
    def leads_on(self) -> Bool:
        """[n_entity]: has facts of its own, so an answer like it is an entity rather than an attribute."""
        return np.asarray((self.whole.table >= 0).any(1))

    def report(self) -> PhiReport:
        """phi of every relation as training has it."""
        return phi_report(self.whole, self.train, threshold=THRESHOLD)

    def sequences(self) -> Sequences:
        """Every fact as a one-hop question and every training chain as a two-hop question."""
        facts = self.whole.triples
        prompts = [fact_tokens(facts, self.n_entity), question_tokens(self.train, self.n_entity)]
        return padded(prompts, [facts[:, 2], self.train.tail])

    def asked(self, chains: Chains) -> tuple[Tensor, Tensor]:
        """Prompts [n, 3] and answers [n] of chains."""
        prompts = torch.from_numpy(question_tokens(chains, self.n_entity))
        return prompts, torch.from_numpy(chains.tail.astype(np.int64))

    def known_table(self) -> npt.NDArray[np.int32]:
        """[n_entity, n_relation]: the real facts that training chains may use; -1 elsewhere."""
        table = np.full_like(self.whole.table, -1)
        n_real, n_relation = self.graph.table.shape
        table[:n_real, :n_relation] = np.where(self.held_out, -1, self.graph.table)
        return table


def build(cfg: Config, inputs: Mapping[str, Path], seed: int) -> World:
    """The world of one arm: the graph and its split depend on seed and graph alone, so arms share their tests.

    Raises UserError for a graph or question file that cannot be used.
    """
    facts = inputs[FACTS] if FACTS in inputs else catalogue.resolve(cfg.graph)
    graph = load(facts, multi=cfg.multi, inverse=cfg.inverse).graph
    require_chains(graph)
    if QUESTIONS in inputs:
        listed = question_chains(load_questions(inputs[QUESTIONS], graph), graph)
        split = real_split(graph, questions=listed, seed=seed)
    else:
        reachable = phi_report(graph).reachable * (1 - cfg.ood_share) ** 2
        # A graph with hardly more chains than asked for still leaves half of them for the test.
        train_phi = min(cfg.train_phi, reachable / 2)
        split = real_split(graph, train_phi=train_phi, ood_share=cfg.ood_share, seed=seed)
    tests = split.real_test
    held_first = split.held_out[tests.head, tests.r1]
    held_second = split.held_out[tests.bridge, tests.r2]
    test, test_ood = tests[~held_first & ~held_second], tests[held_first & held_second]
    if not cfg.augment:
        nothing = np.zeros(len(graph.triples), bool)
        return World(graph, graph, split.real_train, split.real_train, test, test_ood, split.held_out, nothing, ())
    added = augment(
        graph,
        phi=cfg.phi,
        contexts=cfg.contexts,
        heads=None if cfg.heads < 0 else cfg.heads,
        max_heads=HEADS_PER_REAL * int((graph.table >= 0).any(1).sum()),
        world=cfg.world,
        false_share=cfg.false_share,
        train_chains=split.real_train,
        held_out=split.held_out,
        seed=seed,
    )
    assert_no_leak(split, added.chains)
    return World(
        graph,
        added.graph,
        split.real_train,
        added.chains,
        test,
        test_ood,
        split.held_out,
        added.provenance != REAL,
        added.log,
    )


def some(chains: Chains, count: int, rng: np.random.Generator) -> Chains:
    """At most `count` chains, drawn without replacement."""
    return chains if len(chains) <= count else chains[np.sort(rng.permutation(len(chains))[:count])]


def phi_rows(report: PhiReport) -> list[dict[str, Any]]:
    """phi of each relation as JSON."""
    return [
        {"relation": row.relation, "phi": row.phi, "facts": row.facts, "heads_needed": row.heads_needed}
        for row in report.relations
    ]
