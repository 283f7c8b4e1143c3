"""One trial: search recipes for every test circuit by one method, prove each result, and measure what was found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from wheatstone.bench.checkpoint import Checkpoint
from wheatstone.bench.run import Trial
from wheatstone.domains.data import require_file
from wheatstone.domains.electronic.logic.abc import Abc
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.equivalence import check_equivalence
from wheatstone.domains.electronic.logic.liberty import Library, default_library, generic_library, read_library
from wheatstone.domains.electronic.logic.synthesis import ACTIONS, SCRIPTS, Qor, Synthesis, replay
from wheatstone.studies.electronic.abc_rl.config import Config
from wheatstone.studies.electronic.abc_rl.network import CircuitPolicy, PolicyNet, embed, graph_batch
from wheatstone.studies.electronic.abc_rl.policy_file import Trained
from wheatstone.studies.electronic.abc_rl.pretraining import Course, Memory, shuffled
from wheatstone.studies.electronic.abc_rl.retrieval import Nearest, Trust, calibrate, nearest
from wheatstone.studies.electronic.abc_rl.search import (
    METHODS,
    Bench,
    BudgetSpent,
    Found,
    Guide,
    evaluations_to,
    tree_method,
)
from wheatstone.studies.electronic.abc_rl.store import Keep, Store
from wheatstone.studies.electronic.abc_rl.suite import Suite, check_apart, chosen_suite, load_suite
from wheatstone.studies.electronic.abc_rl.training import exponent_gains

ASAP7 = (
    "liberty/asap7sc7p5t_SIMPLE_RVT_FF_nldm_211120.lib.gz",
    "liberty/asap7sc7p5t_INVBUF_RVT_FF_nldm_220122.lib.gz",
)
MISLED = 0.995
"""Half a percent: what the method may lose against a rival without being behind it."""
PLAIN = "search"
"""Random stream of the plain search that all arms share."""
SHARED = ("circuits", "library", "size", "iterations", "simulations", "epochs", "learning_rate", "exploration")
"""Settings that self-play depends on."""


class Plain(NamedTuple):
    """Plain tree search on one circuit."""

    curve: list[float]
    passes: int
    trace: list[Found]


class Advice(NamedTuple):
    """What retrieval says of one circuit."""

    nearest: Nearest
    alpha: float
    guide: Guide


def chosen_library(kind: str) -> Library:
    """The timing library for a config's `library`."""
    if kind == "asap7":
        return read_library([require_file(name, "ASAP7 cells (from The-OpenROAD-Project/OpenSTA)") for name in ASAP7])
    return generic_library() if kind == "generic" else default_library()


class Experiment:
    """Everything that a trial works with."""

    def __init__(self, trial: Trial[Config], abc: Abc) -> None:
        self.trial, self.cfg = trial, trial.config
        self.suite: Suite = chosen_suite(self.cfg.circuits, self.cfg.size)
        self.aigs = load_suite(self.suite)
        self.synthesis = Synthesis(abc, chosen_library(self.cfg.library))
        self.roots = {name: self.synthesis.add(aig) for name, aig in self.aigs.items()}
        check_apart(self.suite, self.roots)
        self.store = Store(trial.run.path / "shared")

    def about(self, *fields: str, **more: Any) -> dict[str, Any]:
        """What a shared piece depends on."""
        settings = {name: getattr(self.cfg, name) for name in fields}
        roots = {name: self.roots[name] for name in self.suite.train + self.suite.validation + self.suite.test}
        where = {"seed": self.trial.seed, "library": self.synthesis.library.digest(), "circuits": roots}
        return settings | where | more

    def bench(self, name: str, budget: int | None = None) -> Bench:
        return Bench(self.synthesis, self.roots[name], budget or self.cfg.budget)

    def course(self) -> Course:
        train = {name: self.aigs[name] for name in self.suite.train}
        return Course(self.cfg, self.synthesis, train, self.trial.seed_for)

    def plain(self) -> dict[str, Plain]:
        """Plain tree search on every test circuit, which the arm `mcts` reports and the others are compared with."""

        def make(_: Checkpoint | None, keep: Keep) -> None:
            made: dict[str, Any] = {}
            for name in self.suite.test:
                bench = self.bench(name)
                tree_method(bench, None, self.trial.rng(f"{PLAIN}/{name}"), self.cfg.exploration)
                trace = [[found.recipe, *found.qor] for found in bench.trace]
                made[name] = {"curve": bench.curve(), "passes": len(bench.seen), "trace": trace}
                self.trial.progress(len(made), len(self.suite.test), "plain tree search")
            keep({}, made, finished=True)

        found = self.store.get("plain", self.about("budget", "exploration"), make).state
        return {
            name: Plain(one["curve"], one["passes"], [Found(tuple(recipe), Qor(*qor)) for recipe, *qor in one["trace"]])
            for name, one in found.items()
        }

    def memory(self, course: Course) -> tuple[Memory, dict[str, torch.Tensor]]:
        """What self-play saw, and the weights that it ended with."""

        def make(begun: Checkpoint | None, keep: Keep) -> None:
            net, memory, done = course.new_net(), Memory(course.names), 0
            best = list[float]()
            if begun is not None:
                net.load_state_dict(begun.tensors)
                memory, done = Memory.from_json(begun.state["memory"]), begun.state["done"]
                best = begun.state["best"]
            total = self.cfg.iterations * len(course.names)
            for iteration in range(done, self.cfg.iterations):
                past = iteration * len(course.names)
                best.append(
                    course.play(
                        net, memory, iteration, lambda n, p=past: self.trial.progress(p + n, total, "self-play")
                    )
                )
                course.learn(net, memory, f"{iteration}", "best")
                state = {"memory": memory.to_json(), "done": iteration + 1, "best": best}
                keep(net.state_dict(), state, finished=iteration + 1 == self.cfg.iterations)

        found = self.store.get("memory", self.about(*SHARED, "rollout"), make)
        return Memory.from_json(found.state["memory"]), found.tensors

    def trained(self) -> Trained:
        """The policy that this trial searches with, and how it is to be trusted."""
        course, cfg = self.course(), self.cfg
        memory, weights = self.memory(course)
        variant = (cfg.targets, cfg.shuffle, cfg.recipe_encoder)

        def make(_: Checkpoint | None, keep: Keep) -> None:
            net = course.new_net(recipe_encoder=cfg.recipe_encoder)
            if variant == ("best", False, True):
                net.load_state_dict(weights)
            else:  # the same games, fitted in another way
                course.learn(net, shuffled(memory) if cfg.shuffle else memory, "variant", cfg.targets)
            trust, shown = self.calibrated(net)
            keep(net.state_dict(), {"trust": list(trust), "validation": shown}, finished=True)

        about = self.about(*SHARED, "rollout", "targets", "shuffle", "recipe_encoder", "validation_budget")
        found = self.store.get("policy", about, make)
        net = course.new_net(recipe_encoder=cfg.recipe_encoder)
        net.load_state_dict(found.tensors)
        self.trial.write("validation", found.state["validation"])
        self.trial.write("map", self.map_of(net))
        return Trained(net, embed(net, course.graphs), course.names, Trust(*found.state["trust"]))

    def map_of(self, net: PolicyNet) -> list[dict[str, Any]]:
        """Every circuit's place in the plane of the two largest principal components of the training vectors."""
        parts = {"training": self.suite.train, "near": self.suite.near, "far": self.suite.far}
        names = [(part, name) for part, members in parts.items() for name in members]
        vectors = embed(net, [graph_batch(self.aigs[name]) for _, name in names]).double()
        unit = vectors / vectors.norm(dim=1, keepdim=True)
        trained = unit[: len(self.suite.train)]
        centre = trained.mean(dim=0)
        axes = torch.linalg.svd(trained - centre, full_matrices=False)[2][:2]
        places = ((unit - centre) @ axes.T).tolist()
        return [
            {"circuit": name, "part": part, "x": place[0], "y": place[-1]}
            for (part, name), place in zip(names, places, strict=True)
        ]

    def calibrated(self, net: PolicyNet) -> tuple[Trust, list[dict[str, Any]]]:
        """d_th and T from the validation circuits, and what was seen there."""
        vectors = embed(net, [graph_batch(self.aigs[name]) for name in self.suite.train])
        distances, gains, rows = dict[str, float](), dict[str, list[float]](), list[dict[str, Any]]()
        for number, name in enumerate(self.suite.validation):
            vector = embed(net, [graph_batch(self.aigs[name])])[0]
            near = nearest(vector, vectors, self.suite.train)
            distances[name] = near.distance
            seed = self.trial.seed_for(f"validation/{name}")
            gains[name] = exponent_gains(self.synthesis, net, self.aigs[name], self.cfg, seed)
            rows.append({"circuit": name, "nearest": near.name, "distance": near.distance, "gains": gains[name]})
            self.trial.progress(number + 1, len(self.suite.validation), "validation")
        return calibrate(distances, gains), rows

    def advice(self, name: str, trained: Trained) -> Advice:
        """The nearest training circuit and the guide that follows from its distance."""
        vector = embed(trained.net, [graph_batch(self.aigs[name])])[0]
        near = nearest(vector, trained.vectors, trained.names)
        alpha = self.cfg.fixed_alpha if self.cfg.alpha == "fixed" else trained.trust.alpha(near.distance)
        guide = Guide(CircuitPolicy(trained.net, vector), alpha, self.cfg.normalise, self.cfg.rollout)
        return Advice(near, alpha, guide)


def search(cfg: Config, bench: Bench, guide: Guide | None, rng: np.random.Generator, plain: Plain) -> int:
    """Spends the whole budget by the config's method; returns how many passes had to run.

    Without a guide the tree's prior is uniform; the search that all arms share is not made again.
    """
    if cfg.method == "tree" and guide is None and cfg.stream == PLAIN:
        bench.trace[:] = plain.trace
        return plain.passes
    try:
        if cfg.method == "tree":
            tree_method(bench, guide, rng, cfg.exploration)
        else:
            METHODS[cfg.method](bench, rng)
    except BudgetSpent:
        pass
    return len(bench.seen)


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Searches every test circuit, goes on behind the last one of the checkpoint, and measures."""
    # This module is what imports torch, after the engine has held it to the run's threads where it was there already;
    # another number of threads sums in another order.
    torch.set_num_threads(trial.run.threads)
    with Abc() as abc:
        experiment = Experiment(trial, abc)
        rows: list[dict[str, Any]] = []
        if checkpoint := trial.load_checkpoint():
            rows = checkpoint.state["rows"]
        plain = experiment.plain()
        is_guided = trial.config.method == "tree" and trial.config.prior == "policy"
        trained = experiment.trained() if is_guided else None
        for number, name in enumerate(experiment.suite.test):
            if number >= len(rows):
                rows.append(_searched(experiment, name, trained, plain[name]))
                trial.log(number, circuit_gain=rows[-1]["curve"][-1])
                trial.save_checkpoint({"rows": np.array([len(rows)])}, {"rows": rows})
            trial.progress(number + 1, len(experiment.suite.test), name)
        trial.write("circuits", rows)
        trial.write(
            "setting",
            {
                "circuits": experiment.suite.kind,
                "library": experiment.synthesis.library.name,
                "cells": experiment.synthesis.cells,
                "trust": list(trained.trust) if trained else None,
            },
        )
        _log_curves(trial, rows)
        return measure(rows)


def _searched(experiment: Experiment, name: str, trained: Trained | None, plain: Plain) -> dict[str, Any]:
    """One test circuit: what was found, proved and replayed."""
    cfg, synthesis, root = experiment.cfg, experiment.synthesis, experiment.roots[name]
    advice = experiment.advice(name, trained) if trained else None
    bench = experiment.bench(name)
    rng = experiment.trial.rng(f"{cfg.stream}/{name}")
    passes = search(cfg, bench, advice.guide if advice else None, rng, plain)
    best = bench.best
    recipe = [ACTIONS[action] for action in best.recipe]
    result = synthesis.graph(synthesis.walk(root, recipe).keys[-1])
    if cfg.fault:
        result = _faulty(result, experiment.aigs[name], experiment.trial.rng(f"fault/{name}"))
    proof = check_equivalence(experiment.aigs[name], result, synthesis.abc)
    fresh = replay(experiment.aigs[name], recipe, synthesis.library, synthesis.abc.binary)
    scripts = {script: synthesis.script(root, commands).adp for script, commands in SCRIPTS.items()}
    return {
        "circuit": name,
        "group": "near" if name in experiment.suite.near else "far",
        "gates": experiment.aigs[name].n_gates,
        "gates_after": result.n_gates,
        "nearest": advice.nearest.name if advice else None,
        "distance": advice.nearest.distance if advice else None,
        "alpha": advice.alpha if advice else None,
        "area": best.qor.area,
        "delay": best.qor.delay,
        "adp": best.qor.adp,
        "scripts": scripts,
        "recipe": list(best.recipe),
        "curve": bench.curve(),
        "plain": plain.curve,
        "evaluations": len(bench.trace),
        "passes": passes,
        "verdict": proof.verdict,
        "is_replayed": fresh == best.qor,
        "actions": _action_counts(bench),
    }


def _faulty(result: Aig, source: Aig, rng: np.random.Generator) -> Aig:
    """The result with one inverted fan-in that random vectors show to matter (most do)."""
    patterns = rng.integers(0, 1 << 63, size=(source.n_inputs, 64), dtype=np.uint64)
    wanted = source.simulate(patterns)
    for gate in rng.permutation(result.n_gates).tolist():
        broken = result.with_inverted_fanin(gate, int(rng.integers(2)))
        if not np.array_equal(broken.simulate(patterns), wanted):
            return broken
    raise AssertionError("no inverted fan-in shows at the outputs")


def _action_counts(bench: Bench) -> list[list[int]]:
    """How often each pass stands at each place of the best tenth of the evaluated recipes, [step][action]."""
    counts = [[0] * len(ACTIONS) for _ in range(max(len(found.recipe) for found in bench.trace))]
    ordered = sorted(bench.trace, key=lambda found: found.qor.adp)
    for found in ordered[: max(1, len(ordered) // 10)]:
        for step, action in enumerate(found.recipe):
            counts[step][action] += 1
    return counts


def _log_curves(trial: Trial[Config], rows: Sequence[Mapping[str, Any]]) -> None:
    """Geometric mean of the best-so-far factors, over all, near and far circuits, after each evaluation."""
    groups = {"gain": rows, "near_gain": _group(rows, "near"), "far_gain": _group(rows, "far")}
    for step in range(len(rows[0]["curve"])):
        trial.log(step + 1, **{name: _mean(row["curve"][step] for row in part) for name, part in groups.items()})


def measure(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The study's measures from what was found on each circuit."""
    near, far = _group(rows, "near"), _group(rows, "far")
    final = {row["circuit"]: row["curve"][-1] for row in rows}
    gain = _mean(final.values())
    scripts = {name: _mean(row["scripts"][name] / row["adp"] for row in rows) for name in SCRIPTS}
    speed = [
        evaluations_to(row["curve"], row["plain"][-1]) / evaluations_to(row["plain"], row["plain"][-1]) for row in rows
    ]
    return {
        "gain": gain,
        "gain_less_half_percent": MISLED * gain,
        "near_gain": _mean(final[row["circuit"]] for row in near),
        "far_gain": _mean(final[row["circuit"]] for row in far),
        "gain_over_compress2rs": scripts["compress2rs"],
        "gain_over_dc2": scripts["dc2"],
        "gain_over_nothing": scripts["no optimisation"],
        "worst_far": min(row["curve"][-1] / row["plain"][-1] for row in far),
        "near_evaluations": _mean(speed[place] for place, row in enumerate(rows) if row["group"] == "near"),
        "far_evaluations": _mean(speed[place] for place, row in enumerate(rows) if row["group"] == "far"),
        "evaluations": math.fsum(row["evaluations"] for row in rows) / len(rows),
        "passes": math.fsum(row["passes"] for row in rows) / len(rows),
        "proved": math.fsum(row["verdict"] == "equivalent" for row in rows) / len(rows),
        "replayed": math.fsum(row["is_replayed"] for row in rows) / len(rows),
        "near_alpha": _plain_mean(row["alpha"] for row in near),
        "far_alpha": _plain_mean(row["alpha"] for row in far),
    }


def _group(rows: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["group"] == name]


def _mean(values: Any) -> float:
    """Geometric mean."""
    logs = [math.log(value) for value in values]
    return math.exp(math.fsum(logs) / len(logs))


def _plain_mean(values: Any) -> float:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan
