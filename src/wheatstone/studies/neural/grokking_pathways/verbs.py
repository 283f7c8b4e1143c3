"""`wheatstone apply grokking-pathways measure`: both metrics on a router log or on a checkpoint of a real mixture."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from wheatstone.bench.errors import UserError
from wheatstone.bench.shown import say

if TYPE_CHECKING:
    from wheatstone.domains.routing.traces import Measured, Trace

By = Literal["sample", "last"]
TEXT_TOO = "Give the text or tokens to route: --on FILE (.txt, a sample a line; or .jsonl)."


def measure(
    path: Path,
    *,
    on: Path | None = None,
    by: By = "sample",
    top_k: Annotated[int, Ge(0)] = 0,
    share: Annotated[float, Gt(0), Le(1)] | None = None,
    pairs: Annotated[int, Ge(1)] = 2000,
    seed: Annotated[int, Ge(0)] = 0,
    as_json: bool = False,
) -> int:
    """Distance between pathways and consistency along them: of a router log, a checkpoint, or a folder of several.

    Args:
        path: a router log (.jsonl, .npz, .safetensors), the folder of a Hugging Face checkpoint (Mixtral, OLMoE,
            Qwen-MoE), or a folder that holds several of either, which are measured in the order of their numbers.
        on: what a checkpoint is run on: a .txt with a sample a line, or a .jsonl with text or tokens, and groups.
        by: the pathway of a sample is that of its mean weights over tokens (sample), or of its last token (last).
        top_k: experts of a layer that belong to a pathway; 0: as many as the router chooses for one token.
        share: instead, the heaviest experts that together hold this share of a layer's weight.
        pairs: pairs of samples that are compared in each group, at most.
        seed: seeds which pairs, and the control.
        as_json: print JSON.
    """
    from wheatstone.domains.routing.traces import measure as measured

    rows: list[tuple[str, tuple[Measured, ...]]] = []
    for one in _found(path):
        whole = _trace(one, on)
        # As many as the router chooses for a token, unless the user says otherwise.
        kept = top_k or int((whole.weights > 0).sum(-1).max())
        trace = whole.by_sample() if by == "sample" else whole.last_tokens()
        try:
            found = measured(trace, top_k=None if share else kept, share=share, pairs=pairs, seed=seed)
        except UserError as error:
            raise UserError(f"{one}: {error}") from None
        rows.append((one.name, found))
    if as_json:
        print(json.dumps({name: [dataclasses.asdict(one) for one in found] for name, found in rows}, indent=2))
    else:
        _print(rows)
    return 0


def _found(path: Path) -> Sequence[Path]:
    """The logs or checkpoints that a path names, in the order of the last number in their names."""
    from wheatstone.domains.routing.checkpoints import is_checkpoint
    from wheatstone.domains.routing.files import ENDINGS, is_log

    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if not path.is_dir() or is_checkpoint(path):
        return [path]
    inside = [one for one in path.iterdir() if is_checkpoint(one) or (one.is_file() and is_log(one))]
    if not inside:
        raise UserError(
            f"{path}: neither a config.json, nor router logs ({', '.join(ENDINGS)}), nor checkpoints in it."
        )
    return sorted(inside, key=lambda one: (int((re.findall(r"\d+", one.name) or ["0"])[-1]), one.name))


def _trace(path: Path, on: Path | None) -> Trace:
    """The routing of one log or checkpoint."""
    from wheatstone.domains.routing.checkpoints import is_checkpoint, read_config, read_samples, route
    from wheatstone.domains.routing.files import read_log

    if not is_checkpoint(path):
        if on is not None:
            raise UserError(f"{path}: a router log holds its samples; --on is for checkpoints.")
        return read_log(path)
    read_config(path)
    if on is None:
        raise UserError(f"{path}: a checkpoint needs something to route. {TEXT_TOO}")
    from rich.console import Console
    from rich.progress import Progress

    samples = read_samples(on)
    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(f"routing {path.name}", total=len(samples))
        return route(path, samples, on, lambda done, total: shown.update(task, completed=done, total=total))


def _print(rows: Sequence[tuple[str, tuple[Measured, ...]]]) -> None:
    """A line for each log and group."""
    width = max(len(f"{name}  {one.group}") for name, found in rows for one in found)
    head = ("samples", "distance", "shuffled", "consistency", "complexity", "use")
    say(f"{'':<{width}}" + "".join(f"{title:>13}" for title in head))
    for name, found in rows:
        for one in found:
            cells = (one.distance, one.shuffled, one.consistency, one.complexity, one.entropy)
            numbers = "".join(f"{'-' if cell is None else format(cell, '.4f'):>13}" for cell in cells)
            say(f"{f'{name}  {one.group}':<{width}}{one.samples:>13,}{numbers}")
    say(
        "\ndistance: mean edit distance of the pathways of two samples, as a share of the longer; shuffled: the same,\n"
        "experts renamed at random: what unrelated ways have; consistency: mean cosine of consecutive layers (needs\n"
        "the routers' rows); use: entropy of expert use over that of even use. Over training, a distance that falls\n"
        "and a consistency that rises, with use unchanged, are the paper's sign of generalising."
    )
