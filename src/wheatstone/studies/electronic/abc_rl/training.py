"""A policy from a user's own circuits: self-play, a fit, and held-out circuits that say how far to trust it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np

from wheatstone.bench.progress import follow_trials
from wheatstone.bench.work import Task
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.synthesis import Synthesis
from wheatstone.learn.search.tree import TreeConfig
from wheatstone.studies.electronic.abc_rl.config import Config
from wheatstone.studies.electronic.abc_rl.network import CircuitPolicy, PolicyNet, embed, graph_batch
from wheatstone.studies.electronic.abc_rl.policy_file import Trained
from wheatstone.studies.electronic.abc_rl.pretraining import Course, Memory
from wheatstone.studies.electronic.abc_rl.retrieval import EXPONENTS, PUBLISHED, Trust, calibrate, nearest
from wheatstone.studies.electronic.abc_rl.search import Bench, Guide, tree


def train_policy(
    synthesis: Synthesis,
    train: Mapping[str, Aig],
    held_out: Mapping[str, Aig],
    iterations: int,
    simulations: int,
    seed: int,
) -> Trained:
    """Plays and fits; without held-out circuits the published d_th and T are taken."""
    cfg = Config(iterations=iterations, simulations=simulations)

    def number(stream: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{seed}/{stream}".encode()).digest()[:8], "little") >> 1

    course = Course(cfg, synthesis, train, number)
    net, memory = course.new_net(), Memory(course.names)
    task, total, done, best = Task("self-play", seed), iterations * len(train), 0, 0.0
    with follow_trials(f"training on {len(train)} circuits", 1, 0) as watch:
        watch.started(task)

        def played(_: int) -> None:
            nonlocal done
            done += 1
            watch.progress(task, done, total, f"best return {best:.3f}")

        for iteration in range(iterations):
            best = course.play(net, memory, iteration, played)
            course.learn(net, memory, f"{iteration}", "best")
        watch.finished(task, {"best_return": best})
    vectors = embed(net, course.graphs)
    trust = Trust(*PUBLISHED)
    if held_out:
        distances = {
            name: nearest(embed(net, [graph_batch(aig)])[0], vectors, course.names).distance
            for name, aig in held_out.items()
        }
        gains = {name: exponent_gains(synthesis, net, aig, cfg, number(name)) for name, aig in held_out.items()}
        trust = calibrate(distances, gains)
    return Trained(net, vectors, course.names, trust, synthesis.library.name)


def exponent_gains(synthesis: Synthesis, net: PolicyNet, aig: Aig, cfg: Config, seed: int) -> list[float]:
    """ln gain over resyn2 on one circuit at each of the fixed exponents, with equal budgets and random numbers."""
    root, found = synthesis.add(aig), list[float]()
    policy = CircuitPolicy(net, embed(net, [graph_batch(aig)])[0])
    for exponent in EXPONENTS:
        bench = Bench(synthesis, root, cfg.validation_budget)
        guide = Guide(policy, exponent, rollout=cfg.rollout)
        tree(bench, guide, TreeConfig(cfg.exploration), np.random.default_rng(seed))
        found.append(math.log(bench.curve()[-1]))
    return found
