"""One trial: a task's circuit beside the reference task's, or a repair of Colored Objects, on one prompt sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.run import Trial
from wheatstone.domains.lm import load_model
from wheatstone.domains.lm.prompts import TaskPrompts, encode_prompts
from wheatstone.domains.lm.tasks import TaskName, make_task
from wheatstone.interp.end_column import EndTrace, Head, end_pattern, trace_end
from wheatstone.interp.forced_attention import forced_attention, mean_ablated
from wheatstone.interp.head_sets import count_of, group_overlap, overlap, random_heads
from wheatstone.interp.path_patching import Traced, by_hooks, path_effects
from wheatstone.interp.task_circuit import Search, TaskCircuit, find_task_circuit
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.studies.neural.circuit_reuse.config import Config
from wheatstone.studies.neural.circuit_reuse.own import own_model

SAMPLES_KEPT = 3
"""Traces of one kind that stay in memory, 0.3 GB each at the size of SmolLM2: the arms of a seed share them."""
CIRCUITS_KEPT = 64
HOOK_PROMPTS = 2
MEASURES = {
    "accuracy": "share of prompts whose most probable next token is an answer",
    "choice_accuracy": "share of prompts whose best choice is an answer (chance: 1/2, 1/3 for colours)",
    "logit_difference": "logit of the answer minus logit of the wrong token, mean over prompts [logits]",
    "counterfactual_accuracy": "share of counterfactual prompts answered with the clean prompt's answer",
    "counterfactual_logit_difference": "the same difference on the counterfactual prompts [logits]",
    "shared_heads": "heads of the top 2 % by direct effect that the reference task's top 2 % has too",
    "shared_by_chance": "heads that two random sets of that size share on average (hypergeometric)",
    "shared_p_value": "probability that two random sets share as many or more",
    "jaccard": "shared over united of the two sets, 0 to 1",
    "jaccard_groups": "the same at the level of key heads, which query heads share, 0 to 1",
    "shared_stage_two": "heads of the top 2 % by effect on the movers' queries that both tasks have",
    "stability": "Jaccard index of the direct set with those of resampled prompts, mean, 0 to 1",
    "inhibition_effect": "absolute effect of the reference's inhibition heads on the queries of this task's movers, "
    "mean over heads [logits]",
    "inhibition_ratio": "the same over its value on the reference task's own prompts",
    "own_ablation": "share of the logit difference that goes when the task's own top heads are mean-ablated",
    "reference_ablation": "share of the logit difference that goes when the reference's top heads are mean-ablated",
    "random_ablation": "share that goes when as many random heads of the same layers are",
    "backend_gap": "largest difference of an effect between the exact column and whole passes with hooks [logits]",
    "three_way": "share of repair prompts whose best of the three colours of the scene is right (chance 1/3)",
    "three_way_plain": "the same without any repair",
    "three_way_change": "absolute change of that share by the repair",
    "argmax": "share of repair prompts whose most probable next token is right: the paper's accuracy",
    "argmax_plain": "the same without any repair",
    "new_mistakes": "share of the repair prompts that are right without the repair and wrong with it, three-way",
    "repaired_heads": "heads that are told where to look",
}


def language_model(config: Config) -> LanguageModel:
    """The model that the config names. Raises UserError when it is not there."""
    return own_model(config.own_steps) if config.model == "own" else _loaded(config.model)


@lru_cache(maxsize=1)
def _loaded(name: str) -> LanguageModel:
    return load_model(name)


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Measures of one arm on one sample of prompts; what does not apply is NaN."""
    measures = dict.fromkeys(MEASURES, math.nan)
    if trial.config.repair == "none":
        measures |= _compared(trial)
    if trial.config.repair != "none" or trial.config.task == "colored_objects":
        measures |= _repaired(trial)
    return measures


class Found(NamedTuple):
    """A task's circuit with what it was found on."""

    circuit: TaskCircuit
    prompts: TaskPrompts
    traced: Traced


@lru_cache(maxsize=SAMPLES_KEPT)
def _found(config: Config, task: TaskName, n: int, seed: int) -> Found:
    model = language_model(config)
    drawn = make_task(task, model, n, np.random.default_rng(seed), config.counterfactual)
    prompts = encode_prompts(model, task, drawn)
    traced = Traced.of(model.model, prompts.contrast)
    search = Search(_count(config, model), config.resamples, config.freeze_mlps)
    circuit = find_task_circuit(
        model.model, (model.name, task), traced, prompts.choices, search, np.random.default_rng(seed + 1)
    )
    return Found(circuit, prompts, traced)


@lru_cache(maxsize=CIRCUITS_KEPT)
def _circuit(config: Config, task: TaskName, n: int, seed: int) -> TaskCircuit:
    return _found(config, task, n, seed).circuit


def _key(config: Config, counterfactual: Literal["flip", "abc"]) -> Config:
    """The settings that a circuit depends on, all others at their defaults: arms that agree in them share it."""
    return Config(
        model=config.model,
        counterfactual=counterfactual,
        freeze_mlps=config.freeze_mlps,
        top_share=config.top_share,
        resamples=config.resamples,
        own_steps=config.own_steps,
    )


def _task_found(trial: Trial[Config]) -> Found:
    """The circuit of the trial's task on its own sample of prompts."""
    config = trial.config
    n = config.n_reference if config.task == config.reference else config.n_task
    return _found(_key(config, config.counterfactual), config.task, n, trial.seed_for(config.task))


def _reference(trial: Trial[Config]) -> TaskCircuit:
    config = trial.config
    return _circuit(_key(config, "flip"), config.reference, config.n_reference, trial.seed_for("reference"))


def _count(config: Config, model: LanguageModel) -> int:
    return count_of(config.top_share, model.block_count * model.head_count)


def _compared(trial: Trial[Config]) -> dict[str, float]:
    """The task's circuit beside the reference's."""
    config, model = trial.config, language_model(trial.config)
    steps = 4
    trial.progress(0, steps, "reference circuit")
    reference = _reference(trial)
    trial.progress(1, steps, f"circuit of {config.task}")
    task = _task_found(trial)
    trial.progress(2, steps, "comparison")
    ours, theirs = task.circuit.stages, reference.stages
    count = _count(config, model)
    first, second = (overlap(a.tensor(), b.tensor(), count) for a, b in zip(ours, theirs, strict=True))
    senders = reference.inhibition
    on_task, on_reference = (_mean_effect(stages[1].tensor(), senders) for stages in (ours, theirs))
    measures = {
        "accuracy": task.circuit.accuracy,
        "choice_accuracy": task.circuit.choice_accuracy,
        "logit_difference": task.circuit.logit_difference,
        "counterfactual_accuracy": _counterfactual_accuracy(model, task),
        "counterfactual_logit_difference": task.circuit.counterfactual_logit_difference,
        "shared_heads": float(len(first.shared)),
        "shared_by_chance": first.by_chance,
        "shared_p_value": first.p_value,
        "jaccard": first.jaccard,
        "jaccard_groups": group_overlap(
            ours[0].tensor(), theirs[0].tensor(), count, model.model.cfg.queries_per_kv_head
        ),
        "shared_stage_two": float(len(second.shared)),
        "stability": ours[0].stability,
        "inhibition_effect": on_task,
        "inhibition_ratio": on_task / on_reference if on_reference else math.nan,
        **_ablations(trial, model, task, reference),
        "backend_gap": _backend_gap(trial, model, task),
    }
    trial.write("circuit", task.circuit.to_json())
    trial.write("reference", reference.to_json())
    trial.write("attention", _attention(model, task))
    trial.progress(steps, steps)
    return measures


def _mean_effect(effect: Tensor, heads: tuple[Head, ...]) -> float:
    values = [abs(float(effect[head.layer, head.head])) for head in heads]
    return float(np.mean(values)) if values else math.nan


def _counterfactual_accuracy(model: LanguageModel, found: Found) -> float:
    logits = model.model.unembed(found.traced.counterfactual.resid[-1])
    answers = found.traced.contrast.answers
    return float(np.mean([int(row.argmax()) in tokens for row, tokens in zip(logits, answers, strict=True)]))


def _ablations(trial: Trial[Config], model: LanguageModel, task: Found, reference: TaskCircuit) -> dict[str, float]:
    """Whose heads does the task need? Its own, the reference's, random ones."""
    traced = task.traced
    before = task.circuit.logit_difference
    own, other = (circuit.heads("mover") for circuit in (task.circuit, reference))
    random, taken = trial.rng("random heads"), {*own, *other}
    drawn = [random_heads(own, model.head_count, taken, random) for _ in range(trial.config.draws)]

    def lost(heads: tuple[Head, ...]) -> float:
        if not heads or before <= 0:
            return math.nan
        last = mean_ablated(model.model, traced.clean, heads)
        return 1 - float(traced.difference(model.model, last[None]).mean()) / before

    return {
        "own_ablation": lost(own),
        "reference_ablation": lost(other),
        "random_ablation": float(np.mean([lost(heads) for heads in drawn])),
    }


def _backend_gap(trial: Trial[Config], model: LanguageModel, found: Found) -> float:
    """Effects of a few senders again, by hooks: the strongest of both stages and random ones."""
    rows = range(min(HOOK_PROMPTS, found.traced.contrast.size))
    part = found.traced.contrast.part(rows)
    traced = Traced.of(model.model, part)
    receivers = [Head(*place) for place in found.circuit.stages[1].receivers]
    cfg, random, freeze = model.model.cfg, trial.rng("checked senders"), trial.config.freeze_mlps
    senders = [found.circuit.stages[0].heads[0].place, found.circuit.stages[1].heads[0].place]
    senders += [
        Head(int(random.integers(cfg.n_layer)), int(random.integers(cfg.n_head))) for _ in range(trial.config.checked)
    ]
    gap = 0.0
    for targets in (None, receivers):
        fast = path_effects(model.model, traced, targets, freeze_mlps=freeze).effect
        checked = senders[: trial.config.checked]
        slow = by_hooks(model.model, part, checked, targets, freeze_mlps=freeze)
        same = torch.stack([fast[:, sender.layer, sender.head] for sender in checked])
        gap = max(gap, float((same - slow).abs().max()))
    return gap


def _attention(model: LanguageModel, found: Found) -> list[dict[str, object]]:
    """How much END attends to each role, for every top head: mean weight over prompts."""
    rows = torch.arange(found.traced.contrast.size)
    shown: list[dict[str, object]] = []
    for number, stage in enumerate(found.circuit.stages):
        for head in stage.heads:
            pattern = end_pattern(model.model, found.traced.clean, head.place)
            weights = {role: float(pattern[rows, at].mean()) for role, at in found.prompts.roles.items()}
            shown.append({"stage": number, "head": str(head.place), "role": head.role, "weights": weights})
    return shown


@lru_cache(maxsize=SAMPLES_KEPT)
def _repair_sample(model_key: Config, n: int, seed: int) -> tuple[TaskPrompts, EndTrace]:
    model = language_model(model_key)
    drawn = make_task("colored_objects", model, n, np.random.default_rng(seed))
    prompts = encode_prompts(model, "colored_objects", drawn)
    return prompts, trace_end(model.model, prompts.contrast.clean, prompts.contrast.end)


def _repaired(trial: Trial[Config]) -> dict[str, float]:
    """Colored Objects with some heads told to look at the two wrong colours: an oracle, read from the answers."""
    config, model = trial.config, language_model(trial.config)
    key = Config(model=config.model, own_steps=config.own_steps)
    trial.progress(0, 3, "repair prompts")
    prompts, trace = _repair_sample(key, config.n_repair, trial.seed_for("repair"))
    plain = _right(model, prompts, trace.resid[-1])
    if config.repair == "none":
        share, argmax = plain.three_way.mean(), plain.argmax.mean()
        return {
            "three_way": share,
            "three_way_plain": share,
            "three_way_change": 0.0,
            "argmax": argmax,
            "argmax_plain": argmax,
            "new_mistakes": 0.0,
            "repaired_heads": 0.0,
        }
    trial.progress(1, 3, "circuits")
    co = _circuit(
        _key(config, config.counterfactual), "colored_objects", config.n_task, trial.seed_for("colored_objects")
    )
    ioi = _reference(trial)
    trial.progress(2, 3, config.repair)
    outcomes = [
        _right(model, prompts, forced_attention(model.model, trace, heads, positions)) if heads else plain
        for heads, positions in _interventions(trial, model, prompts, co, ioi)
    ]
    heads = _chosen(config, co, ioi)
    trial.write("repaired", {"heads": [str(head) for head in heads], "draws": len(outcomes)})
    trial.progress(3, 3)
    if not heads:
        return {}
    three_way = float(np.mean([o.three_way.mean() for o in outcomes]))
    return {
        "three_way": three_way,
        "three_way_plain": plain.three_way.mean(),
        "three_way_change": abs(three_way - plain.three_way.mean()),
        "argmax": float(np.mean([o.argmax.mean() for o in outcomes])),
        "argmax_plain": plain.argmax.mean(),
        "new_mistakes": float(np.mean([(plain.three_way & ~o.three_way).mean() for o in outcomes])),
        "repaired_heads": float(len(heads)),
    }


def _chosen(config: Config, co: TaskCircuit, ioi: TaskCircuit) -> tuple[Head, ...]:
    """The heads of an intervention; for random ones, those that give number and layers."""
    negative, inhibition = co.heads("negative mover"), ioi.inhibition
    match config.repair:
        case "inhibition":
            return inhibition
        case "both" | "random_heads":
            return (*negative, *(head for head in inhibition if head not in negative))
        case _:
            return negative


def _interventions(
    trial: Trial[Config], model: LanguageModel, prompts: TaskPrompts, co: TaskCircuit, ioi: TaskCircuit
) -> list[tuple[tuple[Head, ...], Tensor]]:
    """(heads, positions that they are told to look at): one, or several where a control is drawn."""
    config = trial.config
    heads = _chosen(config, co, ioi)
    right, wrong = prompts.roles["right"], torch.stack((prompts.roles["wrong1"], prompts.roles["wrong2"]), 1)
    if config.repair == "random_heads":
        random = trial.rng("random heads")
        taken = {head.place for circuit in (co, ioi) for stage in circuit.stages for head in stage.heads}
        return [(random_heads(heads, model.head_count, taken, random), wrong) for _ in range(config.draws)]
    if config.repair == "shuffled_gold":
        random = trial.rng("shuffled gold")
        colours = torch.cat((right[:, None], wrong), 1)
        return [(heads, _without_one(colours, random)) for _ in range(config.draws)]
    return [(heads, wrong)]


def _without_one(colours: Tensor, random: np.random.Generator) -> Tensor:
    """Two of each prompt's three colours: the third is drawn, and is the right one in a third of the prompts."""
    gold = torch.from_numpy(random.integers(0, 3, len(colours)))
    return torch.stack([row[torch.arange(3) != g] for row, g in zip(colours, gold, strict=True)])


class Right(NamedTuple):
    """Which prompts are answered right, as arrays of truth values."""

    three_way: np.ndarray
    argmax: np.ndarray


def _right(model: LanguageModel, prompts: TaskPrompts, last: Tensor) -> Right:
    logits = model.model.unembed(last)
    rows = list(zip(logits, prompts.choices, prompts.contrast.answers, strict=True))
    return Right(
        np.array([choices[int(row[list(choices)].argmax())] in answers for row, choices, answers in rows]),
        np.array([int(row.argmax()) in answers for row, _, answers in rows]),
    )
