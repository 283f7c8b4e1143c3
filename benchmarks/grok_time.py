"""Wall time until 0.95 of unseen two-hop questions are answered: our default recipe, the published one, a tuned rival.

wheatstone   `fit` with the recipe of the study `grokked-transformers`
published    Hugging Face GPT-2 of the same size, AdamW, rate 1e-4 after 2000 steps of warm-up, decay 0.1, batch 512,
             dropout 0.1, rows with answer and end of answer, full-vocabulary logits at all positions, a DataLoader,
             eager (Wang et al., NeurIPS 2024, arXiv:2405.15071 and its code); stopped after --budget seconds, or after
             1.2 times the time at which the goal would be met
tuned        the same Hugging Face loop with the batch, the schedule and no dropout of ours, and AdamW at the best of a
             grid as large as the one around our default (`benchmarks.tuning`, on a seed that is not timed)
AdamW        our loop with that AdamW: what the optimiser alone is worth

Time is that of training; evaluations stand outside on all sides. Then each factor alone, as the time of one step of the
plain loop with that one thing changed: it changes no result, so the ratio is that of the time to grok.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import tuning
from benchmarks.composition import composition, settings, transformer, with_answers
from benchmarks.grok_runs import (
    CLIP,
    GENERALISED,
    PlainRecipe,
    Reached,
    answer_rows,
    endless,
    gpt2_for,
    random_rows,
    with_fit,
    with_hugging_face,
)
from benchmarks.peers import hugging_face
from benchmarks.side_by_side import Benchmark, Options, Part, alternate, spread, timed
from wheatstone.cli.benchmarks import Comparison, Curve, Point
from wheatstone.domains.tasks import Task
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.optimisers import Optimiser
from wheatstone.learn.sequences import NO_TARGET, Sequences
from wheatstone.studies.neural.grokked_transformers.config import Config

GOAL = 10.0
TOLERANCE = 1e-4
SEEDS = {50: 3, 100: 1}
LENGTHS = {50: 400, 100: 800}
"""Steps of our schedule: the study's at 50 entities; twice as many facts of each kind get twice as many steps."""
DEFAULT, PUBLISHED = "wheatstone", "published recipe"
TUNED, ADAMW = "Hugging Face, tuned AdamW", "our loop, tuned AdamW"


@dataclass(frozen=True)
class GrokOptions(Options):
    """How long the rivals may take."""

    budget: float = 0.0
    """Seconds of training that the published recipe gets at each size; 0 gives it 1.2 times what the goal allows."""
    seeds: int = 0
    """Timed seeds; 0 takes 3 at 50 entities and 1 at 100 (two more with --full)."""
    entities: tuple[int, ...] = (50, 100)
    """Sizes of the composition task."""
    factors: bool = True
    """Also time each factor alone."""


def measure(options: GrokOptions, threads: int, part: Part) -> None:
    """Every size, then every factor."""
    for entities in (12,) if options.quick else options.entities:
        time_to_grok(options, entities, threads, part)
    if options.factors:
        factors(options, threads, part)


def our_recipe(entities: int, quick: bool) -> Config:
    """The study's settings, at a tiny size for --quick."""
    if quick:
        return settings(entities, phi=8.0, d_model=32, n_head=2, steps=10, warmup=2, batch=64)
    return settings(entities, steps=LENGTHS[entities])


def tuned_recipe(side: str, entities: int, quick: bool) -> tuple[Config, str]:
    """The best cell of a side's grid at this size, or at 50 entities with the longer schedule; and where it is from."""
    if quick:
        return dataclasses.replace(our_recipe(entities, quick), optimiser=side), "untuned"
    source = entities if tuning.complete(entities) else 50
    found = tuning.best(side, source)
    if found is None:
        sys.exit("the tuning grid has no result yet: python -m benchmarks.tuning")
    done = sum(cell.path.exists() for cell in tuning.cells(source))
    if done < len(tuning.cells(source)):
        print(f"  the tuning grid has {done} of {len(tuning.cells(source))} cells: python -m benchmarks.tuning")
    scale = LENGTHS[entities] // LENGTHS[source]
    config = settings(entities, optimiser=side, steps=found.cell.steps * scale, **dict(found.cell.changes))
    words = ", ".join(f"{name} {value:g}" for name, value in found.cell.changes)
    return config, f"{words}, {found.cell.steps * scale} steps, tuned at {source} entities"


def time_to_grok(options: GrokOptions, entities: int, threads: int, part: Part) -> None:
    """All sides at one size, seed by seed in turns."""
    config = our_recipe(entities, options.quick)
    tuned, adamw_words = tuned_recipe("adamw", entities, options.quick)
    muon, muon_words = tuned_recipe("muon", entities, options.quick)
    seeds = 1 if options.quick else options.seeds or SEEDS[entities] + (2 if options.full else 0)
    plain_tuned = PlainRecipe(
        lr=tuned.lr,
        weight_decay=tuned.weight_decay,
        beta2=tuned.beta2,
        batch=tuned.batch,
        dropout=0.0,
        warmup=tuned.warmup,
        steps=tuned.steps,
        linear_to=0.05,
    )
    plain_published = PlainRecipe(steps=5) if options.quick else PlainRecipe()
    task = composition(config, seed=0)
    same_loss(task, config, entities, part)
    found: dict[str, list[Reached]] = {name: [] for name in (DEFAULT, PUBLISHED, TUNED, ADAMW, "best of our grid")}
    for seed in range(seeds):
        task = composition(config, seed)
        found[DEFAULT].append(with_fit(config, task, seed))
        found[ADAMW].append(with_fit(tuned, task, seed))
        if seed == 0:
            budget = 2.0 if options.quick else options.budget or 1.2 * GOAL * found[DEFAULT][0].seconds
            found[TUNED].append(with_hugging_face(plain_tuned, config, task, seed, 10 * budget))
            found[PUBLISHED].append(with_hugging_face(plain_published, config, task, seed, budget))
        if dataclasses.replace(muon, steps=config.steps) != config:
            found["best of our grid"].append(with_fit(muon, task, seed))
        said(found, seed)
    where = f"{entities} entities, phi {config.phi:g}, time to {GENERALISED} ID accuracy"
    for name in (PUBLISHED, TUNED, ADAMW):
        against(part, found, name, where, threads, goal=GOAL if name == PUBLISHED and not options.quick else None)
    for name, runs in found.items():
        if runs:
            steps = ", ".join(str(run.step) if run.step else f"not in {run.steps}" for run in runs)
            ends = ", ".join(f"{run.id_accuracy:.2f}" for run in runs)
            part.figure(f"{name}, {entities} entities", f"steps {steps}; ID accuracy {ends}")
    part.notes.append(f"{entities} entities: {TUNED} and {ADAMW} use {adamw_words}.")
    part.notes.append(f"{entities} entities: the best of the grid around our default is {muon_words}.")
    published = found[PUBLISHED][0]
    part.curves.append(
        Curve(
            f"The published recipe at {entities} entities",
            "seconds of training",
            "ID accuracy",
            tuple(Point(point.seconds, point.id_accuracy) for point in published.history),
        )
    )
    if found[DEFAULT][0].step is None and not options.quick:
        part.notes.append(f"{entities} entities: our default recipe did not reach {GENERALISED} on every seed.")


def said(found: dict[str, list[Reached]], seed: int) -> None:
    """One line a seed, for whoever waits."""
    runs = "; ".join(
        f"{name} {'step ' + str(run.step) if run.step else f'{run.id_accuracy:.2f} after {run.steps} steps'}, "
        f"{run.seconds:.1f} s"
        for name, (*_, run) in ((name, runs) for name, runs in found.items() if runs)
    )
    print(f"  seed {seed}: {runs}", flush=True)


def against(
    part: Part, found: dict[str, list[Reached]], name: str, where: str, threads: int, goal: float | None
) -> None:
    """Our default beside one rival; a rival that did not get there gives a lower bound."""
    ours, theirs = found[DEFAULT], found[name]
    unreached = [run for run in theirs if run.step is None]
    failed = [run for run in ours if run.step is None]
    note = f"{len(failed)} of our {len(ours)} runs did not get there" if failed else ""
    part.compared(
        Comparison(
            where,
            "s",
            spread([run.seconds for run in ours]),
            name,
            spread([run.seconds for run in theirs]),
            threads,
            goal=goal,
            bound="at least" if unreached and not failed else "",
            note=note,
        )
    )


def same_loss(task: Task, config: Config, entities: int, part: Part) -> None:
    """Both sides compute one loss: our answer-only step beside Hugging Face on rows with their answers."""
    model = transformer(dataclasses.replace(config), task, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1)
        rows = torch.arange(min(64, len(task.train)))
        ours = answer_loss(model, task.train, rows, asking_position(task.train)[rows]).item()
        gpt2 = hugging_face.with_weights_of(model).eval()
        theirs_logits = gpt2(input_ids=task.train.tokens[rows]).logits
        theirs = F.cross_entropy(theirs_logits.flatten(0, 1), task.train.targets[rows].flatten()).item()
    part.equal(f"loss of one batch, {entities} entities, Hugging Face", abs(ours - theirs), TOLERANCE)


def factors(options: GrokOptions, threads: int, part: Part) -> None:
    """A step of the plain loop (Hugging Face, DataLoader, AdamW as torch makes it, eager) with one thing changed."""
    config = our_recipe(12, quick=True) if options.quick else settings(50)
    task = composition(config, seed=0)
    steps, rounds = (2, 1) if options.quick else (4, 5)
    base = plain_step(task, config)
    variants: dict[str, Callable[[], object]] = {
        "batches cut from tensors instead of a DataLoader": plain_step(task, config, loader=False),
        "fused AdamW": plain_step(task, config, fused=True),
        "rows without the answer tokens": plain_step(task, config, answers=False),
        "our model, logits everywhere, answer tokens in the row": our_step(task, config, whole=True),
        "our model, only what the answer needs": our_step(task, config, whole=False),
        "Muon on the matrices, our model, only what the answer needs": our_step(task, config, whole=False, muon=True),
    }
    if not options.quick:
        started = time.perf_counter()
        compiled = plain_step(task, config, compiled=True)
        compiled()
        seconds = time.perf_counter() - started
        variants["torch.compile"] = compiled
        part.figure("torch.compile, first step", f"{seconds:.0f} s")
    for name, step in variants.items():
        sides = {DEFAULT: timed(step, steps, 1e3), "plain": timed(base, steps, 1e3)}
        taken = alternate(sides, rounds)
        part.compared(
            Comparison(f"factor alone: {name}", "ms a step", taken[DEFAULT], "plain loop", taken["plain"], threads)
        )


def plain_step(
    task: Task,
    config: Config,
    *,
    loader: bool = True,
    fused: bool | None = None,
    answers: bool = True,
    compiled: bool = False,
) -> Callable[[], object]:
    """One step of the plain loop; the defaults are the loop of `with_hugging_face`."""
    model: Any = gpt2_for(task, config, 0.0, seed=0)
    run = torch.compile(model) if compiled else model
    rates = {"lr": config.lr, "weight_decay": config.weight_decay, "beta2": config.beta2}
    optimiser = hugging_face.adamw(model, **rates, fused=fused)
    from_loader, rows = endless(task, config.batch, 0), random_rows(task, config.batch, 0)
    tokens, labels = answer_rows(task)
    model.train()

    def loss() -> Tensor:
        if not answers:
            chosen = next(rows)
            logits = run(input_ids=task.train.tokens[chosen]).logits
            return F.cross_entropy(logits.flatten(0, 1), task.train.targets[chosen].flatten())
        if loader:
            some_tokens, some_labels = next(from_loader)
        else:
            chosen = next(rows)
            some_tokens, some_labels = tokens[chosen], labels[chosen]
        return run(input_ids=some_tokens, labels=some_labels).loss

    return updating(model, optimiser, loss)


def our_step(task: Task, config: Config, *, whole: bool, muon: bool = False) -> Callable[[], object]:
    """The plain loop around our model: `whole` gives it the rows with their answers and all logits."""
    data = task.train
    tokens, labels = with_answers(data)
    longer = dataclasses.replace(task, context=task.context + 1) if whole else task
    model = transformer(config, longer, seed=0)
    single, rows = asking_position(data), random_rows(task, config.batch, 0)

    def loss() -> Tensor:
        chosen = next(rows)
        if whole:
            logits = model(tokens[chosen])[:, :-1]
            return F.cross_entropy(logits.flatten(0, 1), labels[chosen][:, 1:].flatten())
        return answer_loss(model, data, chosen, single[chosen])

    if not muon:
        plain = hugging_face.adamw(model, lr=config.lr, weight_decay=config.weight_decay, beta2=config.beta2)
        return updating(model, plain, loss)
    ours = Optimiser(model, config.fitting().optimiser, config.steps)

    def step() -> None:
        loss().backward()
        ours.step(0)

    return step


def asking_position(data: Sequences) -> Tensor:
    """[row]: where each row's only target stands."""
    return (data.targets != NO_TARGET).int().argmax(1)


def answer_loss(model: Transformer, data: Sequences, rows: Tensor, at: Tensor) -> Tensor:
    """Cross-entropy at the answers alone, computed as `fit` does: nothing that they don't need."""
    logits = model.unembed(model.resid_at(data.tokens[rows], at))
    return F.cross_entropy(logits, data.targets[rows].gather(1, at[:, None])[:, 0])


def updating(model: nn.Module, optimiser: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> Callable[[], object]:
    """Backward, clip, step, zero_grad."""

    def step() -> None:
        loss().backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        optimiser.zero_grad()

    return step


BENCHMARK = Benchmark(
    "grok_time",
    "Time to grok",
    "Training time until 0.95 of the unseen ID questions of the two-hop task are answered (entities as given, 20 "
    "relations, out-degree 20, 2 layers of width 128), evaluations excluded on all sides. Rivals: the published "
    "recipe in a plain Hugging Face loop; the same loop with an AdamW that got as large a tuning grid as our default; "
    "and that AdamW in our own loop. `>` marks a rival that had not got there when its time was up.",
    GrokOptions,
    measure,
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
