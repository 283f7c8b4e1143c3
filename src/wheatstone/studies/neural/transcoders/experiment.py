"""One trial: train the dictionaries of an arm, then measure how faithful they are and what their circuits are worth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.trial import Trial
from wheatstone.interp.transcoders.anatomy import anatomy_of
from wheatstone.interp.transcoders.connections import boosted, connections, deembed, top_tokens
from wheatstone.interp.transcoders.dictionary import Dictionary
from wheatstone.interp.transcoders.evaluation import Evaluation, LayerFaith, evaluate, layer_faith
from wheatstone.interp.transcoders.examples import activations, sampled_features, token_share, top_examples
from wheatstone.interp.transcoders.frozen import freeze
from wheatstone.interp.transcoders.graph import build_graph
from wheatstone.interp.transcoders.planted import mean_max_cosine, planted
from wheatstone.interp.transcoders.replacement import keeping_neurons, largest_neurons, replacing
from wheatstone.interp.transcoders.store import LayerStore, store_of
from wheatstone.interp.transcoders.training import Training, train
from wheatstone.learn.models.transformer import Hook
from wheatstone.studies.neural.transcoders import checks
from wheatstone.studies.neural.transcoders.config import Config
from wheatstone.studies.neural.transcoders.greater_than import DEFINED, greater_than
from wheatstone.studies.neural.transcoders.subject import INPUT, TEXT, Subject, subject_of

NAN = math.nan
MEASURES = {
    "recovered": "CE recovered by the first layer's dictionary against zero ablation (1: as good as the layer)",
    "worst_recovered": "the smallest CE recovered of all layers, each replaced alone",
    "worst_recovered_mean": "the same against mean ablation",
    "all_recovered": "CE recovered with all layers replaced at once, against all zeroed",
    "ce_original": "next-token cross-entropy of the model on held-out text, nats",
    "ce_zero": "the same with the layers zeroed",
    "ce_mean": "the same with the layers at their mean",
    "ce_replaced": "the same with the layers replaced",
    "kl_replaced": "KL of the model's next-token distribution from the replaced model's, nats",
    "l0": "active features a token, mean over layers",
    "fvu": "share of the variance of the layers' outputs left unexplained, mean over layers",
    "dead": "share of features that fire nowhere in the held-out text, mean over layers",
    "neurons_recovered": "CE recovered by the first layer's largest neurons, as many as active features",
    "token_share": "variance of a live feature that the current token explains, mean over features (0 to 1)",
    "completeness": "largest relative error of sums of contributions",
    "without_errors": "the same with error nodes left out, median over targets",
    "weight_error": "largest relative distance of an edge's weight from the connection table, over prompts",
    "contribution_spread": "relative difference of an edge's contribution between prompts, median over edges",
    "attribution_rank": "rank correlation of attributions with effects of ablation, top 30 features, mean over prompts",
    "other_target_rank": "the same with attributions to another target",
    "error_mass": "share of the drawn graph's influence that ends in errors or outputs that no transcoder models",
    "replacement_score": "influence from tokens / (tokens + errors) in the drawn graph",
    "gt_model": "greater-than score of the model, P(> U) - P(<= U)",
    "gt_zero": "the same with the layer zeroed",
    "gt_replaced": "the same with the layer's dictionary",
    "gt_features": "the same with 30 features kept, the others at their mean",
    "gt_neurons": "the same with 30 neurons kept, the others at their mean",
    "gt_features_zero": "the same with 30 features kept, the others at zero",
    "gt_neurons_zero": "the same with 30 neurons kept, the others at zero",
    "planted_cosine": "mean over the planted directions of the largest cosine with a decoder row",
}
PLANTED_WIDTH, PLANTED_FEATURES = 32, 64
EXAMPLES, FED_BY = 4, 5
CARD_ROWS = 24
"""Held-out rows that cards and token shares are taken from."""


@dataclass(frozen=True)
class Job:
    """One dictionary to train."""

    layer: int
    level: float

    @property
    def name(self) -> str:
        return f"layer {self.layer}, {self.level:g}"


class _Saver:
    """Gives a training's checkpoints what the trial needs besides: the dictionaries that are finished."""

    def __init__(self, trial: Trial[Config], finished: Mapping[str, Tensor], job: int) -> None:
        self.trial, self.finished, self.job = trial, finished, job
        self.log, self.progress = trial.log, trial.progress

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        now = {f"now.{name}": value for name, value in tensors.items()}
        self.trial.save_checkpoint({**self.finished, **now}, {"job": self.job, **state})


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Trains and measures one arm with one seed."""
    measures = dict.fromkeys(MEASURES, NAN)
    found = _planted(trial) if trial.config.subject == "planted" else _language(trial)
    unknown = found.keys() - measures.keys()
    assert not unknown, unknown
    return measures | found


def train_all(trial: Trial[Config], jobs: Sequence[Job], stores: Mapping[int, LayerStore]) -> dict[Job, Dictionary]:
    """Trains the dictionaries one after another; goes on where a killed trial stopped."""
    config = trial.config
    saved = trial.load_checkpoint()
    tensors = dict(saved.tensors) if saved else {}
    at, done = (int(saved.state["job"]), int(saved.state["done"])) if saved else (0, 0)
    finished = {name: value for name, value in tensors.items() if not name.startswith("now.")}
    now = {name.removeprefix("now."): value for name, value in tensors.items() if name.startswith("now.")}
    for number, job in enumerate(jobs):
        if number < at:
            continue
        training = training_of(trial, job, stores[job.layer])
        if number == at and now:
            training.load_state(now, done)
        if config.trained:
            saver = _Saver(trial, finished, number)
            before, total = number * config.steps, len(jobs) * config.steps
            made = train(training, saver, label=f"l{job.layer}_{job.level:g}_", before=before, total=total).dictionary
        else:
            made = training.dictionary()
        finished |= {f"{number}.{name}": value for name, value in tensors_of(made).items()}
        trial.save_checkpoint(finished, {"job": number + 1, "done": 0})
    width = stores[jobs[0].layer].inputs.shape[1]
    return {
        job: dictionary_from(finished, f"{number}.", config.dictionary(width, job.level))
        for number, job in enumerate(jobs)
    }


def training_of(trial: Trial[Config], job: Job, store: LayerStore) -> Training:
    """The training of a job: the same first weights and order in every arm of one shape."""
    config = trial.config
    init, order = trial.seed_for(f"init {job.layer}"), trial.seed_for(f"order {job.layer}")
    width = store.inputs.shape[1]
    return Training(config.dictionary(width, job.level), config.training(job.level), store, init=init, order=order)


def tensors_of(dictionary: Dictionary) -> dict[str, Tensor]:
    """The tensors that a dictionary has."""
    fields = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "W_skip")
    return {name: value for name in fields if (value := getattr(dictionary, name)) is not None}


def dictionary_from(tensors: Mapping[str, Tensor], prefix: str, cfg: Any) -> Dictionary:
    """What `tensors_of` took apart."""
    parts = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return Dictionary(cfg, **parts)


def _planted(trial: Trial[Config]) -> dict[str, float]:
    """The toy whose features are known."""
    config = trial.config
    truth = planted(PLANTED_WIDTH, PLANTED_FEATURES, config.tokens, trial.rng("planted"))
    jobs = [Job(0, config.level_values[0])]
    (found,) = train_all(trial, jobs, {0: store_of(truth.inputs, truth.outputs)}).values()
    fresh = planted(PLANTED_WIDTH, PLANTED_FEATURES, config.held_out, trial.rng("planted held out"))
    z = found.encode(fresh.inputs)
    left = (found.decode(z, fresh.inputs) - fresh.outputs).square().sum()
    return {
        "planted_cosine": mean_max_cosine(truth.directions, found.W_dec),
        "fvu": (left / (fresh.outputs - fresh.outputs.mean(0)).square().sum()).item(),
        "l0": (z != 0).sum(-1).float().mean().item(),
        "dead": (z == 0).all(0).float().mean().item(),
    }


def _language(trial: Trial[Config]) -> dict[str, float]:
    config = trial.config
    given = trial.input(TEXT) if config.text == INPUT else None
    subject = subject_of(config, trial.seed_for("text") % 2**32, given)
    stores = subject.stores(lambda done, total: trial.progress(done, total, "activations"))
    jobs = [Job(layer, level) for level in config.level_values for layer in subject.layers]
    made = train_all(trial, jobs, stores)
    main = {job.layer: dictionary for job, dictionary in made.items() if job.level == config.level_values[0]}
    trial.save_tensors(
        "dictionaries", {f"{job.name}/{n}": t for job, d in made.items() for n, t in tensors_of(d).items()}
    )
    measures = _faith(trial, subject, stores, made)
    if config.kind == "transcoder" and config.prompts:
        measures |= _circuits(trial, subject, main)
    if config.cards:
        measures["token_share"] = _cards(trial, subject, main)
    if config.greater_than:
        measures |= _greater_than(trial, subject, main[subject.layers[0]])
    return measures


def _faith(
    trial: Trial[Config], subject: Subject, stores: Mapping[int, LayerStore], made: Mapping[Job, Dictionary]
) -> dict[str, float]:
    """Losses of every layer alone, and of all at once; writes the curve."""
    config, decoder, held_out = trial.config, subject.model.model, subject.rows.held_out
    means = {layer: store.output_scaling.mean for layer, store in stores.items()}
    first, level = subject.layers[0], config.level_values[0]
    curve: list[dict[str, Any]] = []
    alone: dict[int, Evaluation] = {}
    faiths: dict[int, LayerFaith] = {}
    for layer in subject.layers:
        of_layer = {job: dictionary for job, dictionary in made.items() if job.layer == layer}
        hooks: dict[str, Mapping[str, Hook]] = {job.name: replacing({layer: one}) for job, one in of_layer.items()}
        if config.neurons:
            hooks |= {f"neurons {job.level:g}": _neurons(subject, layer, int(job.level)) for job in of_layer}
        alone[layer] = evaluate(decoder, held_out, [layer], means, hooks)
        for job, dictionary in of_layer.items():
            faith = layer_faith(decoder, held_out, {layer: dictionary})[layer]
            curve.append(_point(job, alone[layer], faith))
            if config.neurons:
                curve[-1]["neurons"] = alone[layer].recovered(f"neurons {job.level:g}")
            if job.level == level:
                faiths[layer] = faith
    trial.write("curve", curve)
    trial.write("frequencies", {str(layer): faith.frequencies.tolist() for layer, faith in faiths.items()})
    main = {job.layer: dictionary for job, dictionary in made.items() if job.level == level}
    names = {layer: Job(layer, level).name for layer in subject.layers}
    together, name = alone[first], names[first]
    if len(main) > 1:
        name = "all"
        together = evaluate(decoder, held_out, subject.layers, means, {name: replacing(main)})
    return {
        "recovered": alone[first].recovered(names[first]),
        "worst_recovered": min(one.recovered(names[layer]) for layer, one in alone.items()),
        "worst_recovered_mean": min(one.recovered(names[layer], ablation="mean") for layer, one in alone.items()),
        "all_recovered": together.recovered(name),
        "ce_original": together.original,
        "ce_zero": together.zero.ce,
        "ce_mean": together.mean.ce,
        "ce_replaced": together.replaced[name].ce,
        "kl_replaced": together.replaced[name].kl,
        "l0": float(np.mean([faith.l0 for faith in faiths.values()])),
        "fvu": float(np.mean([faith.fvu for faith in faiths.values()])),
        "dead": float(np.mean([faith.dead for faith in faiths.values()])),
        "neurons_recovered": alone[first].recovered(f"neurons {level:g}") if config.neurons else NAN,
    }


def _point(job: Job, found: Evaluation, faith: LayerFaith) -> dict[str, Any]:
    replaced = found.replaced[job.name]
    return {
        "layer": job.layer,
        "level": job.level,
        "l0": faith.l0,
        "fvu": faith.fvu,
        "dead": faith.dead,
        "ce": replaced.ce,
        "kl": replaced.kl,
        "recovered": found.recovered(job.name),
        "ce_original": found.original,
        "ce_zero": found.zero.ce,
        "ce_mean": found.mean.ce,
    }


def _neurons(subject: Subject, layer: int, k: int) -> dict[str, Hook]:
    mlp = subject.model.model.block(layer).mlp
    assert mlp is not None
    return keeping_neurons(layer, largest_neurons(min(k, mlp.down.in_features), mlp.down.weight.norm(dim=0)))


def _circuits(trial: Trial[Config], subject: Subject, main: Mapping[int, Dictionary]) -> dict[str, float]:
    """What is checked on prompts, and the graph that is drawn."""
    config, decoder = trial.config, subject.model.model
    rows = subject.rows.held_out
    frozens = checks.traced(decoder, rows, config.prompts, config.prompt_length, main)
    sums = [pair for frozen in frozens for pair in checks.sums(frozen, decoder)]
    ranked = [found for frozen in frozens if (found := checks.ranks(decoder, frozen)) is not None]
    trial.write("points", [point for _, _, points in ranked for point in points])
    constant = checks.invariance(frozens, main)
    if constant is not None:
        trial.write("connections", dataclasses.asdict(constant))
    drawn = frozens[0]
    if config.prompt:
        bos = subject.model.tokenizer.bos if config.begin else None
        ids = ([] if bos is None else [bos]) + subject.model.encode(config.prompt)
        drawn = freeze(decoder, torch.tensor(ids), main)
    target, _ = checks.prediction(drawn, decoder)
    names = " over ".join(repr(subject.words([int(token)])) for token in target.name.split("-"))
    words = [subject.words([token]) for token in drawn.tokens.tolist()]
    graph = build_graph(drawn, dataclasses.replace(target, name=f"logit {names}"), words)
    trial.write("graph", graph.kept(60).to_json())
    return {
        "completeness": max([error for error, _ in sums] + [graph.relative_error]),
        "without_errors": float(np.median([without for _, without in sums])) if sums else NAN,
        "weight_error": NAN if constant is None else constant.weight_error,
        "contribution_spread": NAN if constant is None else constant.contribution_spread,
        "attribution_rank": float(np.mean([rank for rank, _, _ in ranked])) if ranked else NAN,
        "other_target_rank": float(np.mean([rank for _, rank, _ in ranked])) if ranked else NAN,
        "error_mass": graph.error_mass,
        "replacement_score": graph.replacement_score,
    }


def _cards(trial: Trial[Config], subject: Subject, main: Mapping[int, Dictionary]) -> float:
    """Writes cards of live features drawn at random; returns what the current token explains, over all live ones."""
    config, layer = trial.config, subject.layers[0]
    dictionary, rows = main[layer], subject.rows.held_out[:CARD_ROWS]
    z = activations(subject.model.model, rows, layer, dictionary)
    chosen = sampled_features(z, config.cards, trial.rng("cards"))
    trial.write("cards", cards_of(subject, main, layer, z, rows, chosen))
    return token_share(z, rows)


def cards_of(
    subject: Subject,
    dictionaries: Mapping[int, Dictionary],
    layer: int,
    z: Tensor,
    rows: Tensor,
    chosen: Sequence[int],
) -> list[dict[str, Any]]:
    """What a card shows: examples, tokens and earlier features that excite the feature by weights, tokens it boosts."""
    anatomy, dictionary = anatomy_of(subject.model.model), dictionaries[layer]
    reads_input = dictionary.cfg.kind == "transcoder"

    def words(scores: Tensor) -> list[str]:
        return [subject.words([token]) for token, _ in top_tokens(scores)]

    return [
        {
            "layer": layer,
            "feature": feature,
            "frequency": (z[..., feature] > 0).float().mean().item(),
            "examples": [
                {
                    "words": [subject.words([token]) for token in one.tokens],
                    "activations": list(one.activations),
                    "peak": one.peak,
                }
                for one in top_examples(z[..., feature], rows, EXAMPLES)
            ],
            "excited_by": words(deembed(anatomy, dictionaries, layer, feature)) if reads_input else [],
            "boosts": words(boosted(anatomy, dictionary, feature)),
            "fed_by": [
                f"L{one.layer}.f{one.feature} {one.weight:+.2f}"
                for one in (connections(anatomy, dictionaries, layer, feature, top=FED_BY) if reads_input else [])
            ],
        }
        for feature in chosen
    ]


def _greater_than(trial: Trial[Config], subject: Subject, dictionary: Dictionary) -> dict[str, float]:
    found = greater_than(subject.model, subject.layers[0], dictionary, subject.rows.train)
    trial.write("greater_than", dataclasses.asdict(found))
    return {
        "gt_model": found.model,
        "gt_zero": found.zero_ablated,
        "gt_replaced": found.replaced,
        "gt_features": found.features.mean.get(DEFINED, NAN),
        "gt_neurons": found.neurons.mean.get(DEFINED, NAN),
        "gt_features_zero": found.features.zero.get(DEFINED, NAN),
        "gt_neurons_zero": found.neurons.zero.get(DEFINED, NAN),
    }
