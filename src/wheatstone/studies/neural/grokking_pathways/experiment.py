"""One trial: train four domains in one mixture, follow the pathways of training questions, correlate with the test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wheatstone.bench.run import Trial
from wheatstone.interp.monitors import fall, settles, tells
from wheatstone.interp.pathways import (
    Floats,
    centred,
    consistencies,
    mean_distance,
    pathways,
    shuffled,
    usage_entropy,
)
from wheatstone.learn.models.mixture import Mixture, routing_site
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.replicas import Trained
from wheatstone.learn.training import Fitted, Point, Training
from wheatstone.studies.neural.grokking_pathways.config import Config
from wheatstone.studies.neural.grokking_pathways.domains import CONTEXT, DOMAINS, Probes, Task, make_task

MEMORISED = 0.95
"""Training accuracy that counts as memorised, at the first of three evaluations that have it."""
GENERALISED = 0.9
"""Test accuracy that counts as generalised, at the first of three evaluations that have it."""
LATER = 0.1
"""How far ahead the test is that a monitor has to foretell, as a share of the run."""
NAN = float("nan")
MONITORS = {
    "distance": -1.0,
    "unrelated": -1.0,
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
    "by_centred": "the same with consistency of router rows less the mean row of their layer, which routes nothing",
    "by_loss": "the same with minus the training loss of the domain",
    "by_entropy": "the same with minus the entropy of expert use",
    "by_shuffled": "the same with minus the distance when experts are renamed at random in every row and layer",
    "by_distance_differences": "correlation over the whole run of changes of test accuracy and of minus the distance "
    "from one evaluation to the next: a common trend does not count [-1, 1]",
    "by_distance_later": "by_distance with test accuracy taken a tenth of the run later",
    "by_distance_whole": "the same as by_distance over the whole run, memorising included",
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
    """[question layer expert] at the last position."""
    loss: float
    accuracy: float


def prepare(trial: Trial[Config]) -> Prepared:
    """The trial's data, and its model with initial weights."""
    config, task = trial.config, make_task(trial)
    device = "cuda" if config.accelerator and torch.cuda.is_available() else "cpu"
    init = torch.Generator().manual_seed(trial.seed_for("init"))
    model = Mixture(config.mixture(task.vocab, CONTEXT), init).to(device)
    seed = trial.seed_for("shuffled")

    def evaluate(model: Transformer) -> dict[str, float]:
        assert isinstance(model, Mixture)
        return evaluated(model, task, seed)

    order = trial.seed_for("order") % 2**31
    return Prepared(task, Training(model, task.train, config.fitting(), order, evaluate=evaluate, keeper=trial))


@torch.no_grad()
def observe(model: Mixture, prompts: Tensor, answers: Tensor) -> Observed:
    """What the routers do with prompts at their last position, and how well they are answered."""
    seen: list[Tensor] = []
    device = next(model.parameters()).device
    prompts, answers = prompts.to(device), answers.to(device)

    def keep(weights: Tensor) -> None:
        seen.append(weights[:, -1])

    resid = model.resid(prompts, hooks={routing_site(layer): keep for layer in range(model.cfg.depth)})
    logits = model.unembed(resid[:, -1])
    right = (logits.argmax(-1) == answers).float().mean().item()
    return Observed(torch.stack(seen, 1).double().cpu().numpy(), F.cross_entropy(logits, answers).item(), right)


def embeddings(model: Mixture) -> Floats:
    """[layer expert d_model]: the rows of all routers."""
    rows = [model.experts(layer).router.weight.detach() for layer in range(model.cfg.depth)]
    return torch.stack(rows).double().cpu().numpy()


def evaluated(model: Mixture, task: Task, seed: int) -> dict[str, float]:
    """Every monitor of every domain, and the accuracies that they should foretell."""
    found: dict[str, float] = {}
    rows = embeddings(model)
    everything: list[Floats] = []
    for name, probes in task.probes.items():
        seen = observe(model, probes.train, probes.train_answers)
        everything.append(seen.weights)
        paths = pathways(seen.weights)
        mixed = pathways(shuffled(seen.weights, np.random.default_rng(seed)))
        found |= {
            f"train_{name}": seen.accuracy,
            f"test_{name}": observe(model, probes.test, probes.test_answers).accuracy,
            f"loss_{name}": seen.loss,
            f"distance_{name}": mean_distance(paths, probes.related),
            f"unrelated_{name}": mean_distance(paths, probes.unrelated),
            f"shuffled_{name}": mean_distance(mixed, probes.related),
            f"consistency_{name}": float(consistencies(seen.weights, rows).mean()),
            f"centred_{name}": float(consistencies(seen.weights, centred(rows)).mean()),
            f"entropy_{name}": usage_entropy(seen.weights),
        }
    return found | {"entropy": usage_entropy(np.concatenate(everything))}


def measure(trial: Trial[Config], prepared: Prepared, fitted: Fitted) -> Mapping[str, float]:
    """Correlations over the evaluations, lags, and what each layer shares at the end."""
    task, model = prepared.task, prepared.training.model
    assert isinstance(model, Mixture)
    trial.write("layers", layers(model, task))
    measures: dict[str, float] = {}
    for domain in DOMAINS:
        measures |= {f"{name}_{domain}": value for name, value in of_domain(fitted.history, domain).items()}
    last = fitted.history[-1].values
    return measures | {"entropy": last["entropy"], "scrambled_distance": last["shuffled_two_hop"]}


TRIAL = Trained(prepare, measure)


def of_domain(history: Sequence[Point], domain: str) -> dict[str, float]:
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
        "by_distance_differences": tells(np.diff(near), np.diff(test)),
        "by_distance_later": tells(near[start : len(near) - lead], test[start + lead :]),
        "by_distance_whole": tells(near, test),
    }


def rise(values: Sequence[float]) -> float:
    """How far the last quarter of a curve lies above its lowest point."""
    return NAN if any(map(math.isnan, values)) else float(np.mean(values[-max(1, len(values) // 4) :]) - min(values))


def layers(model: Mixture, task: Task) -> dict[str, dict[str, list[float]]]:
    """For each domain and kind of pair: the mean distance of the pathways in each layer alone [0, 1]."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, probes in task.probes.items():
        weights = observe(model, probes.train, probes.train_answers).weights
        alone = [pathways(weights[:, layer : layer + 1]) for layer in range(weights.shape[1])]
        found[name] = {kind: [mean_distance(paths, pairs) for paths in alone] for kind, pairs in _kinds(probes).items()}
    return found


def _kinds(probes: Probes) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    return {"related": probes.related, "unrelated": probes.unrelated}
