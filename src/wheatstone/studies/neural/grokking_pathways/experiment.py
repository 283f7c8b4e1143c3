"""One trial: train four domains in one model, follow the pathways of training questions, correlate with the test."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wheatstone.bench.run import Trial
from wheatstone.interp.monitors import Numbers, block_bootstrap, detrended, fall, settles, tells
from wheatstone.interp.pathways import (
    Floats,
    Ints,
    centred,
    consistencies,
    mean_distance,
    most_active,
    pathways,
    shuffled,
    usage_entropy,
)
from wheatstone.learn.models.mixture import Mixture, routing_site
from wheatstone.learn.models.transformer import Hook, Transformer
from wheatstone.learn.replicas import Trained
from wheatstone.learn.training import Fitted, Point, Training, evaluation_steps
from wheatstone.studies.neural.grokking_pathways.config import Config
from wheatstone.studies.neural.grokking_pathways.domains import CONTEXT, DOMAINS, Task, make_task

MEMORISED = 0.95
"""Training accuracy that counts as memorised, at the first of three evaluations that have it."""
GENERALISED = 0.9
"""Test accuracy that counts as generalised, at the first of three evaluations that have it."""
ROUTES, ROUTES_EVERY = "routes", 5
LATER = 0.1
"""How far ahead the test is that a monitor has to foretell, as a share of the run."""
NAN = float("nan")
MONITORS = {
    "distance": -1.0,
    "unrelated": -1.0,
    "ratio": -1.0,
    "sequence": -1.0,
    "consistency": 1.0,
    "centred": 1.0,
    "loss": -1.0,
    "entropy": -1.0,
    "shuffled": -1.0,
}
"""What is correlated with test accuracy -> the sign that it should have: the loss and distances fall."""

PER_DOMAIN = {
    "train": "training questions answered right at the end [0, 1]",
    "test": "questions of the same domain that were not in training answered right at the end [0, 1]",
    "gain": "test accuracy at the end minus that of the step at which the domain was memorised; NaN if never [-1, 1]",
    "memorised": "step at which the domain is memorised: training accuracy >= 0.95 in three evaluations; NaN if never",
    "lag": "steps from then to generalising, test accuracy >= 0.9 in three evaluations; negative where that is sooner; "
    "never generalised counts as the end of the run; NaN if never memorised",
    "drop": "fall of the distance of related pathways: 1 - mean of the last quarter of the run / peak, which is the "
    "highest mean of three consecutive evaluations",
    "drop_unrelated": "the same for pairs of any two training questions",
    "rise": "rise of consistency from its lowest point to the mean of the last quarter of the run [-2, 2]",
    "window": "evaluations from memorising to the end, which the correlations rest on (a whole number)",
    "by_distance": "Spearman's correlation of test accuracy with minus the distance of related pathways, from the step "
    "at which the domain was memorised; NaN if that is less than 3 evaluations before the end [-1, 1]",
    "by_consistency": "the same with consistency",
    "by_unrelated": "the same with minus the distance of pathways of any two training questions",
    "by_ratio": "the same with minus the distance of related pathways as a share of that of any two",
    "by_sequence": "the same with minus the distance of related pathways of weights averaged over all positions",
    "by_centred": "the same with consistency of router rows less the mean row of their layer, which routes nothing",
    "by_loss": "the same with minus the training loss of the domain",
    "by_entropy": "the same with minus the entropy of expert use",
    "by_shuffled": "the same with minus the distance when experts are renamed at random in every row and layer",
    "by_norm": "the size of the same with the norm of all weights, whichever way it goes: a rival that is but a clock",
    "low_distance": "lower end of the 95 % interval of by_distance, from blocks of neighbouring evaluations",
    "high_distance": "its upper end",
    "low_over_loss": "lower end of such an interval of by_distance less by_loss",
    "high_over_loss": "its upper end",
    "by_distance_detrended": "by_distance with the order of the evaluations held fixed: partial rank correlation",
    "by_loss_detrended": "by_loss with the order of the evaluations held fixed",
    "by_distance_differences": "correlation over the whole run of changes of test accuracy and of minus the distance "
    "from one evaluation to the next: a common trend does not count [-1, 1]",
    "by_distance_later": "by_distance with test accuracy taken a tenth of the run later",
}
MEASURES = {f"{name}_{domain}": f"{domain}: {text}" for domain in DOMAINS for name, text in PER_DOMAIN.items()} | {
    "entropy": "entropy of expert use at the end as a share of even use, over all training questions [0, 1]",
    "scrambled_distance": "distance at the end of related two-hop pathways with experts renamed at random [0, 1]",
}


class Prepared(NamedTuple):
    """A trial before training."""

    task: Task
    training: Training


class Observed(NamedTuple):
    """One forward pass over training questions."""

    weights: Floats
    """[question layer expert] at the last position; of a dense model, neurons in the place of experts."""
    averaged: Floats
    """The mean of the same over all positions."""
    loss: float
    right: Tensor
    """[question] of booleans: answered right."""

    @property
    def accuracy(self) -> float:
        return self.right.float().mean().item()


def prepare(trial: Trial[Config]) -> Prepared:
    """The trial's data, and its model with initial weights."""
    config, task = trial.config, make_task(trial)
    device = "cuda" if config.accelerator and torch.cuda.is_available() else "cpu"
    init = torch.Generator().manual_seed(trial.seed_for("init"))
    model = config.model(task.vocab, CONTEXT, init).to(device)
    seed = trial.seed_for("shuffled")

    fitting = config.fitting()
    plan = evaluation_steps(fitting.steps, fitting.evaluations, fitting.spacing)
    single: dict[str, Tensor] = {}

    def evaluate(model: Transformer) -> dict[str, float]:
        found, of_questions = evaluated(model, task, config.top_k, seed)
        single.update(of_questions)
        return found

    def keep(point: Point, _model: Transformer) -> None:
        drawn = plan.index(point.step) % ROUTES_EVERY == 0 or point.step == plan[-1]
        kept = {name: value for name, value in single.items() if drawn or name != ROUTES}
        trial.save_tensors(questions_at(point.step), kept)

    training = Training(
        model,
        task.train,
        fitting,
        trial.seed_for("order") % 2**31,
        evaluate=evaluate,
        keeper=trial,
        on_evaluation=keep,
    )
    return Prepared(task, training)


def questions_at(step: int) -> str:
    """The artifact with what is kept of single questions at a step: `train_DOMAIN` and `test_DOMAIN`, answered right;
    at every fifth evaluation also ROUTES [question layer expert], the weights of two hops at the last position."""
    return f"questions-{step}"


@torch.no_grad()
def observe(model: Transformer, prompts: Tensor, answers: Tensor, top_k: int) -> Observed:
    """What routers do with prompts (of a dense model, its `top_k` most active neurons), and the answers to them."""
    seen: list[Floats] = []
    device = next(model.parameters()).device
    prompts, answers = prompts.to(device), answers.to(device)

    def keep(weights: Tensor) -> None:
        seen.append(weights.double().cpu().numpy())  # [question pos expert]

    def keep_neurons(layer: int, normed: Tensor) -> None:
        hidden = F.gelu(neurons(model, layer)(normed), approximate="tanh")
        seen.append(most_active(hidden.double().cpu().numpy(), top_k))

    hooks: dict[str, Hook] = {}
    for layer in range(model.cfg.depth):
        if isinstance(model, Mixture):
            hooks[routing_site(layer)] = keep
        else:
            hooks[model.sites[layer].mlp_in] = functools.partial(keep_neurons, layer)
    resid = model.resid(prompts, hooks=hooks)
    logits = model.unembed(resid[:, -1])
    right = logits.argmax(-1) == answers
    weights = np.stack(seen, 2)
    return Observed(weights[:, -1], weights.mean(1), F.cross_entropy(logits, answers).item(), right)


def neurons(model: Transformer, layer: int) -> nn.Linear:
    """What a dense layer's neurons read."""
    mlp = model.block(layer).mlp
    assert mlp is not None
    return mlp.up


def embeddings(model: Transformer) -> Floats:
    """[layer expert d_model]: the rows of all routers; of a dense model, what its neurons read."""
    layers = range(model.cfg.depth)
    maps = [model.experts(at).router if isinstance(model, Mixture) else neurons(model, at) for at in layers]
    return torch.stack([one.weight.detach() for one in maps]).double().cpu().numpy()


def evaluated(model: Transformer, task: Task, top_k: int, seed: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Every monitor of every domain and the accuracies that they should foretell; and single questions."""
    found: dict[str, float] = {}
    single: dict[str, Tensor] = {}
    rows = embeddings(model)
    everything: list[Floats] = []
    for name, probes in task.probes.items():
        seen = observe(model, probes.train, probes.train_answers, top_k)
        everything.append(seen.weights)
        paths = pathways(seen.weights)
        mixed = pathways(shuffled(seen.weights, np.random.default_rng(seed)))
        related, unrelated = mean_distance(paths, probes.related), mean_distance(paths, probes.unrelated)
        tested = observe(model, probes.test, probes.test_answers, top_k)
        single |= {f"train_{name}": seen.right.cpu(), f"test_{name}": tested.right.cpu()}
        if name == "two_hop" and isinstance(model, Mixture):
            single[ROUTES] = torch.from_numpy(seen.weights).half()
        found |= {
            f"train_{name}": seen.accuracy,
            f"test_{name}": tested.accuracy,
            f"loss_{name}": seen.loss,
            f"distance_{name}": related,
            f"unrelated_{name}": unrelated,
            f"same_token_{name}": mean_distance(paths, probes.same_token),
            f"ratio_{name}": related / unrelated if unrelated else NAN,
            f"sequence_{name}": mean_distance(pathways(seen.averaged, top_k=top_k), probes.related),
            f"shuffled_{name}": mean_distance(mixed, probes.related),
            f"consistency_{name}": float(consistencies(seen.weights, rows).mean()),
            f"centred_{name}": float(consistencies(seen.weights, centred(rows)).mean()),
            f"entropy_{name}": usage_entropy(seen.weights),
        }
        found |= {f"layer_{at}_{name}": value for at, value in enumerate(by_layer(seen.weights, probes.related), 1)}
    norm = math.sqrt(sum(float(p.detach().square().sum()) for p in model.parameters()))
    return found | {"entropy": usage_entropy(np.concatenate(everything)), "norm": norm}, single


def measure(trial: Trial[Config], prepared: Prepared, fitted: Fitted) -> Mapping[str, float]:
    """Correlations over the evaluations, lags, and what each layer shares at the end."""
    trial.write("layers", layers(prepared.training.model, prepared.task, trial.config.top_k))
    trial.write("keys", {name: [one.keys, one.test_keys] for name, one in prepared.task.probes.items()})
    measures: dict[str, float] = {}
    for domain in DOMAINS:
        found = of_domain(fitted.history, domain, trial.rng(f"blocks {domain}"))
        measures |= {f"{name}_{domain}": value for name, value in found.items()}
    last = fitted.history[-1].values
    return measures | {"entropy": last["entropy"], "scrambled_distance": last["shuffled_two_hop"]}


TRIAL = Trained(prepare, measure)


def of_domain(history: Sequence[Point], domain: str, rng: np.random.Generator) -> dict[str, float]:
    """The measures of `PER_DOMAIN` from the evaluations of a run."""
    steps = [point.step for point in history]
    curves = {name: [point.values[f"{name}_{domain}"] for point in history] for name in ("train", "test", *MONITORS)}
    test, distance = curves["test"], curves["distance"]
    memorised = settles(curves["train"], MEMORISED)
    start = len(steps) if memorised is None else memorised
    generalised = settles(test, GENERALISED)
    by = {
        f"by_{name}": tells([sign * value for value in curves[name][start:]], test[start:])
        for name, sign in MONITORS.items()
    }
    lead = max(1, round(LATER * len(steps)))
    near = [-value for value in distance]
    window = near[start:], test[start:], [-value for value in curves["loss"][start:]]
    alone = block_bootstrap(tells, *window[:2], rng=rng)
    over_loss = block_bootstrap(_tells_more, *window, rng=rng)
    return {
        "train": curves["train"][-1],
        "test": test[-1],
        "gain": NAN if memorised is None else test[-1] - test[start],
        "memorised": NAN if memorised is None else float(steps[memorised]),
        "lag": NAN
        if memorised is None
        else float(steps[-1 if generalised is None else generalised] - steps[memorised]),
        "drop": fall(distance),
        "drop_unrelated": fall(curves["unrelated"]),
        "rise": rise(curves["consistency"]),
        "window": float(len(steps) - start),
        **by,
        "low_distance": alone.low,
        "high_distance": alone.high,
        "low_over_loss": over_loss.low,
        "high_over_loss": over_loss.high,
        "by_norm": abs(tells([point.values["norm"] for point in history[start:]], test[start:])),
        "by_distance_detrended": detrended(*window[:2]),
        "by_loss_detrended": detrended(window[2], window[1]),
        "by_distance_differences": tells(np.diff(near), np.diff(test)),
        "by_distance_later": tells(near[start : len(near) - lead], test[start + lead :]),
    }


def _tells_more(monitor: Numbers, test: Numbers, rival: Numbers) -> float:
    return tells(monitor, test) - tells(rival, test)


def rise(values: Sequence[float]) -> float:
    """How far the last quarter of a curve lies above its lowest point."""
    return NAN if any(map(math.isnan, values)) else float(np.mean(values[-max(1, len(values) // 4) :]) - min(values))


def by_layer(weights: Floats, pairs: Ints) -> list[float]:
    """The mean distance of the pathways of pairs in each layer alone [0, 1]."""
    return [mean_distance(pathways(weights[:, layer : layer + 1]), pairs) for layer in range(weights.shape[1])]


def layers(model: Transformer, task: Task, top_k: int) -> dict[str, dict[str, list[float]]]:
    """For each domain and kind of pair: the distance in each layer alone."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, probes in task.probes.items():
        weights = observe(model, probes.train, probes.train_answers, top_k).weights
        kinds = {"related": probes.related, "unrelated": probes.unrelated}
        found[name] = {kind: by_layer(weights, pairs) for kind, pairs in kinds.items()}
    return found
