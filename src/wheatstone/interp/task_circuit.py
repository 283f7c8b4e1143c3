"""The circuit of a task as a record: which heads act on the answer, which act on those, how sure each is.

Stage 1 patches paths to the answer; stage 2 patches paths to the queries of the heads that carry it. In the words of
Wang et al. 2023 (arXiv:2211.00593) and Merullo et al. 2024 (arXiv:2310.08744), by what patching shows and not by
attention:

    mover             a top head of stage 1 whose replacement lowers the logit difference: it carries the answer
    negative mover    a top head of stage 1 whose replacement raises it: it acts against the answer
    inhibition        a top head of stage 2 whose replacement lowers it: it tells movers where to look

As JSON (`to_json`, `from_json`), version 1:

    {"format": "wheatstone-circuit", "version": 1,
     "model": "smollm2", "n_layer": 30, "n_head": 9, "n_kv_head": 3,
     "task": "ioi", "prompts": 64, "accuracy": 0.98, "choice_accuracy": 1.0,
     "logit_difference": 5.4, "counterfactual_logit_difference": -5.3, "freeze_mlps": true,
     "stages": [{"receivers": [], "component": "logits",        receivers as [layer, head]; none: the answer
                 "effect": [[...], ...],                        [layer][head], mean over prompts, logits
                 "heads": [{"layer": 23, "head": 3, "role": "mover", "effect": -4.1, "low": -4.9, "high": -3.2,
                            "frequency": 1.0}],                 strongest first; 95 % bootstrap interval; share of
                                                                resamples that have it among the top
                 "stability": 0.95, "stability_low": 0.7, "stability_high": 1.0}]}
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import read_json, write_json
from wheatstone.interp.end_column import Head
from wheatstone.interp.head_sets import stability, top_heads
from wheatstone.interp.path_patching import PathEffects, Traced, path_effects
from wheatstone.learn.models.decoder import Decoder

FORMAT, VERSION = "wheatstone-circuit", 1
SENDERS = 4
"""Heads of stage 2 that are taken together as the task's inhibition (the paper names three in GPT-2 Medium)."""
Role = Literal["mover", "negative mover", "inhibition", "other"]


@dataclass(frozen=True)
class HeadEffect:
    """A head of a stage."""

    layer: Annotated[int, Ge(0)]
    head: Annotated[int, Ge(0)]
    role: Role
    effect: float
    low: float
    high: float
    frequency: Annotated[float, Ge(0), Le(1)]

    @property
    def place(self) -> Head:
        return Head(self.layer, self.head)


@dataclass(frozen=True)
class Stage:
    """Effects of all heads on some receivers."""

    receivers: tuple[tuple[int, int], ...]
    component: Literal["logits", "q", "k", "v"]
    effect: tuple[tuple[float, ...], ...]
    heads: tuple[HeadEffect, ...]
    stability: float
    stability_low: float
    stability_high: float

    def tensor(self) -> Tensor:
        """Effects as [layer, head]."""
        return torch.tensor(self.effect)


@dataclass(frozen=True)
class TaskCircuit:
    """What path patching found about one task in one model."""

    model: str
    n_layer: Annotated[int, Gt(0)]
    n_head: Annotated[int, Gt(0)]
    n_kv_head: Annotated[int, Gt(0)]
    task: str
    prompts: Annotated[int, Gt(0)]
    accuracy: float
    """Share of prompts whose most probable next token is an answer."""
    choice_accuracy: float
    """Share of prompts whose best choice is an answer."""
    logit_difference: float
    counterfactual_logit_difference: float
    freeze_mlps: bool
    stages: tuple[Stage, ...]

    def heads(self, role: Role, stage: int = 0) -> tuple[Head, ...]:
        """The heads of that role, strongest first."""
        return tuple(head.place for head in self.stages[stage].heads if head.role == role)

    @property
    def inhibition(self) -> tuple[Head, ...]:
        """The SENDERS strongest inhibition heads; none where only one stage was patched."""
        return self.heads("inhibition", 1)[:SENDERS] if len(self.stages) > 1 else ()

    @property
    def is_solved(self) -> bool:
        """Whether the model prefers answers at all: without that, effects on them are no circuit of the task."""
        return self.logit_difference > 0

    def to_json(self) -> dict[str, Any]:
        """See the module's text."""
        return {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}

    @staticmethod
    def from_json(data: Any, place: str = "circuit") -> TaskCircuit:
        """The circuit that `to_json` gave. Raises UserError for anything else, and for a version of later days."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise UserError(f"{place}: not a circuit: 'format' must be '{FORMAT}'")
        if data.get("version") != VERSION:
            raise UserError(f"{place}: a circuit of version {data.get('version')!r}; this program reads {VERSION}")
        content = {name: value for name, value in data.items() if name not in ("format", "version")}
        try:
            circuit = TypeAdapter(TaskCircuit).validate_json(json.dumps(content), strict=True)
        except (ValidationError, ValueError) as error:
            if not isinstance(error, ValidationError):
                raise UserError(f"{place}: damaged ({error})") from None
            first = error.errors(include_url=False)[0]
            raise UserError(f"{place} field '{'.'.join(map(str, first['loc']))}': {first['msg']}") from None
        for number, stage in enumerate(circuit.stages):
            rows = {len(row) for row in stage.effect}
            if len(stage.effect) != circuit.n_layer or rows != {circuit.n_head}:
                raise UserError(
                    f"{place} field 'stages.{number}.effect': must be {circuit.n_layer} rows of {circuit.n_head}"
                )
            outside = [h for h in stage.heads if h.layer >= circuit.n_layer or h.head >= circuit.n_head]
            if outside:
                raise UserError(f"{place} field 'stages.{number}.heads': there is no head {outside[0].place}")
        if not circuit.stages:
            raise UserError(f"{place} field 'stages': must hold one at least")
        return circuit


def load_circuit(path: Path) -> TaskCircuit:
    """A circuit's JSON file. Raises UserError for anything else."""
    try:
        return TaskCircuit.from_json(read_json(path), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def save_circuit(path: Path, circuit: TaskCircuit) -> None:
    """Writes what `load_circuit` reads."""
    write_json(path, circuit.to_json())


@dataclass(frozen=True)
class Search:
    """How a circuit is looked for."""

    count: int
    """Top heads of a stage."""
    resamples: int
    """Bootstrap resamples of the prompts."""
    freeze_mlps: bool = True
    stages: Literal[1, 2] = 2


def find_task_circuit(
    model: Decoder,
    names: tuple[str, str],
    traced: Traced,
    choices: Sequence[Sequence[int]],
    search: Search,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> TaskCircuit:
    """Both stages of the task called `names[1]` in the model called `names[0]`."""

    def half(second: bool) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(done + second * total, search.stages * total)

        return report

    direct = path_effects(model, traced, freeze_mlps=search.freeze_mlps, progress=half(False))
    stages = [_stage(direct, (), "logits", search, rng)]
    if search.stages == 2:
        movers = [head.place for head in stages[0].heads if head.role == "mover"]
        # Nothing carries the answer where no replacement lowers it: then stage 2 looks behind the strongest head.
        receivers = movers or [stages[0].heads[0].place]
        behind = path_effects(model, traced, receivers, "q", freeze_mlps=search.freeze_mlps, progress=half(True))
        stages.append(_stage(behind, tuple(receivers), "q", search, rng))
    logits = model.unembed(traced.clean.resid[-1])
    right = [set(tokens) for tokens in traced.contrast.answers]
    best = [row[int(logit[list(row)].argmax())] for logit, row in zip(logits, choices, strict=True)]
    return TaskCircuit(
        names[0],
        model.cfg.n_layer,
        model.cfg.n_head,
        model.cfg.n_kv_head,
        names[1],
        traced.contrast.size,
        float(np.mean([int(logit.argmax()) in tokens for logit, tokens in zip(logits, right, strict=True)])),
        float(np.mean([token in tokens for token, tokens in zip(best, right, strict=True)])),
        float(direct.clean.mean()),
        float(direct.counterfactual.mean()),
        search.freeze_mlps,
        tuple(stages),
    )


def _stage(
    effects: PathEffects, receivers: tuple[Head, ...], component: Literal["logits", "q"], search: Search,
    rng: np.random.Generator,
) -> Stage:  # fmt: skip
    found = stability(effects.effect, search.count, search.resamples, rng)
    mean = effects.mean
    n = effects.effect.shape[0]
    draws = torch.from_numpy(rng.integers(0, n, (search.resamples, n)))
    heads: list[HeadEffect] = []
    for head in top_heads(mean, search.count):
        of_head = effects.effect[:, head.layer, head.head]
        low, high = np.quantile(of_head[draws].mean(1).numpy(), (0.025, 0.975))
        value = float(mean[head.layer, head.head])
        lowering: Role = "mover" if component == "logits" else "inhibition"
        raising: Role = "negative mover" if component == "logits" else "other"
        role: Role = lowering if value < 0 else raising if value > 0 else "other"
        frequency = found.frequency.get(head, 0.0)
        heads.append(HeadEffect(head.layer, head.head, role, value, float(low), float(high), frequency))
    return Stage(
        tuple((head.layer, head.head) for head in receivers),
        component,
        tuple(tuple(float(value) for value in row) for row in mean),
        tuple(heads),
        found.mean,
        found.low,
        found.high,
    )
