"""`wheatstone apply circuit-reuse circuit` and `compare`: circuits of your own prompts, and what they share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from annotated_types import Ge, Gt, Le

from wheatstone.bench.errors import UserError
from wheatstone.bench.shown import say

if TYPE_CHECKING:
    from wheatstone.domains.lm.tasks import TaskName
    from wheatstone.interp.task_circuit import TaskCircuit

SMALLEST = 4
"""Prompts below which resampling says nothing."""


class Options(NamedTuple):
    """How a circuit is looked for."""

    top_share: float
    resamples: int
    freeze_mlps: bool
    prompts: int


def circuit(
    task: str,
    *,
    model: str = "smollm2",
    top_share: Annotated[float, Gt(0), Le(1)] = 0.02,
    resamples: Annotated[int, Ge(10)] = 200,
    freeze_mlps: bool = True,
    prompts: Annotated[int, Ge(SMALLEST)] = 64,
    seed: Annotated[int, Ge(0)] = 0,
    out: Path | None = None,
) -> int:
    """Which heads of a language model carry a task: path patching to the answer, then to the heads that carry it.

    Args:
        task: a JSONL file of prompts with counterfactuals, or ioi, colored_objects, greater_than, capitals.
        model: smollm2, stories260K, or a Hugging Face folder, GGUF file or llama2.c file.
        top_share: share of all heads that make up a stage's set.
        resamples: bootstrap resamples for intervals and stability.
        freeze_mlps: hold feed-forward layers while a path is patched.
        prompts: how many to draw of a named task; a file is read whole.
        seed: of the draw and the resamples.
        out: folder for circuit.json and its pictures; circuits/TASK when not given.
    """
    from wheatstone.interp.task_circuit import save_circuit

    found = _task(task, model, Options(top_share, resamples, freeze_mlps, prompts), seed)
    folder = out or Path("circuits") / Path(task).stem
    say(
        f"{found.task} in {found.model}: {found.prompts} prompts, accuracy {found.accuracy:.2f}, logit difference "
        f"{found.logit_difference:.2f} (counterfactual {found.counterfactual_logit_difference:.2f})"
    )
    save_circuit(folder / "circuit.json", found)
    for number, stage in enumerate(found.stages, start=1):
        behind = (
            "the answer" if not stage.receivers else "queries of " + ", ".join(f"{a}.{b}" for a, b in stage.receivers)
        )
        say(f"\nStage {number}, to {behind}; stability under resampling {stage.stability:.2f} (Jaccard)")
        for head in stage.heads:
            say(
                f"  {head.place!s:<6} {head.role:<14} {head.effect:+.3f} [{head.low:+.3f}, {head.high:+.3f}] logits, "
                f"among the top in {head.frequency:.0%} of resamples"
            )
    if found.is_solved:
        for path in _draw(found, folder):
            say(str(path))
    else:
        say(
            f"\n{found.model} does not prefer the answers (logit difference {found.logit_difference:.2f}), so these "
            "effects are no circuit of the task, and none is drawn."
        )
    say(str(folder / "circuit.json"))
    return 0


def compare(
    first: str,
    second: str,
    *,
    model: str = "smollm2",
    top_share: Annotated[float, Gt(0), Le(1)] = 0.02,
    resamples: Annotated[int, Ge(10)] = 200,
    freeze_mlps: bool = True,
    prompts: Annotated[int, Ge(SMALLEST)] = 64,
    seed: Annotated[int, Ge(0)] = 0,
) -> int:
    """How many heads two tasks share at each stage, beside what chance shares.

    Args:
        first: a JSONL file of prompts, a named task, or a circuit.json.
        second: the same.
        model: as in `circuit`; not used for a circuit.json.
        top_share: share of all heads that make up a stage's set.
        resamples: bootstrap resamples for intervals and stability.
        freeze_mlps: hold feed-forward layers while a path is patched.
        prompts: how many to draw of a named task; a file is read whole.
        seed: of the draw and the resamples.
    """
    from wheatstone.interp.head_sets import count_of
    from wheatstone.interp.task_circuit import load_circuit
    from wheatstone.studies.neural.circuit_reuse.exhibits import compared

    options = Options(top_share, resamples, freeze_mlps, prompts)
    found: dict[str, TaskCircuit] = {}
    for number, task in enumerate((first, second), start=1):
        one = load_circuit(Path(task)) if task.endswith(".json") else _task(task, model, options, seed)
        found[one.task if one.task not in found else f"{one.task} ({number})"] = one
    a, b = found.values()
    if (a.model, a.n_layer, a.n_head) != (b.model, b.n_layer, b.n_head):
        raise UserError(
            f"{first} is of {a.model} ({a.n_layer} layers of {a.n_head} heads), {second} of {b.model} ({b.n_layer} of "
            f"{b.n_head}): heads of two models cannot be compared by place"
        )
    for one in found.values():
        mark = "" if one.is_solved else "  (the model does not prefer the answers)"
        numbers = f"accuracy {one.accuracy:.2f}, logit difference {one.logit_difference:.2f}"
        say(f"{one.task}: {one.prompts} prompts, {numbers}{mark}")
    for row in compared(found, count_of(top_share, a.n_layer * a.n_head)).rows:
        _, _, stage, shared, size, chance, p, jaccard, heads = row
        numbers = f"{chance:.2f} by chance, p = {p:.1e}, Jaccard {jaccard:.2f}"
        say(f"stage {stage}: {shared} of {size} shared ({numbers}): {heads}")
    return 0


def _task(task: str, model: str, options: Options, seed: int) -> TaskCircuit:
    """The circuit of a file or a named task. A file is read before the model: its faults come at once."""
    import numpy as np

    from wheatstone.domains.lm.prompts import encode_prompts, load_prompts
    from wheatstone.domains.lm.tasks import make_task, task_names
    from wheatstone.interp.head_sets import count_of
    from wheatstone.interp.path_patching import Traced
    from wheatstone.interp.task_circuit import Search, find_task_circuit
    from wheatstone.studies.neural.circuit_reuse.config import Config
    from wheatstone.studies.neural.circuit_reuse.experiment import language_model

    rng = np.random.default_rng(seed)
    name: TaskName | None = next((known for known in task_names() if known == task), None)
    if name is None and not Path(task).exists():
        raise UserError(f"{task}: no such file, and no task of that name. Named tasks: {', '.join(task_names())}.")
    given = None if name else load_prompts(Path(task))
    loaded = language_model(Config(model=model))
    drawn = make_task(name, loaded, options.prompts, rng) if name else given or []
    encoded = encode_prompts(loaded, Path(task).stem, drawn, None if name else Path(task).name)
    if encoded.contrast.size < SMALLEST:
        raise UserError(f"{task}: {encoded.contrast.size} prompts, {SMALLEST} are needed to say how sure an effect is")
    count = count_of(options.top_share, loaded.block_count * loaded.head_count)
    search = Search(count, options.resamples, options.freeze_mlps)
    traced = Traced.of(loaded.model, encoded.contrast)
    return find_task_circuit(loaded.model, (loaded.name, encoded.name), traced, encoded.choices, search, rng)


def _draw(circuit: TaskCircuit, folder: Path) -> list[Path]:
    from wheatstone.bench.draw.png import png
    from wheatstone.bench.files import write_atomically
    from wheatstone.studies.neural.circuit_reuse.exhibits import drawing, maps

    written: list[Path] = []
    for one in (*maps(circuit, "task", ""), drawing(circuit, "circuit")):
        picture = png(one)
        if picture is not None:
            written.append(folder / f"{one.name}.png")
            write_atomically(written[-1], picture)
    return written
