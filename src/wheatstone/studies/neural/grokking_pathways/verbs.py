"""`wheatstone apply grokking-pathways measure`: both metrics on a router log or on a checkpoint of a real mixture."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from annotated_types import Ge, Gt, Le

from wheatstone.bench.errors import UserError
from wheatstone.bench.shown import printable, say

if TYPE_CHECKING:
    from wheatstone.domains.routing.traces import Measured, Trace

By = Literal["sample", "last"]
TEXT_TOO = "Give the text or tokens to route: --on FILE (.txt, a sample a line; or .jsonl)."
FEWEST = 3
"""Checkpoints in a row from which on it is said where each metric would have stopped the training."""

USE = 0.6
"""Entropy of expert use, as a share of even use, below which a distance that falls says little."""


def measure(
    path: Path,
    *,
    on: Path | None = None,
    by: By = "sample",
    top_k: Annotated[int, Ge(0)] = 0,
    share: Annotated[float, Gt(0), Le(1)] | None = None,
    longest: Annotated[int, Ge(1)] = 512,
    pairs: Annotated[int, Ge(1)] = 2000,
    seed: Annotated[int, Ge(0)] = 0,
    curve: Path | None = None,
    accelerator: bool = False,
    as_json: bool = False,
) -> int:
    """Distance between pathways and consistency along them: of a router log, a checkpoint, or a folder of several.

    A router log has a line a token, with the chosen experts of each layer and their weights: {"sample": "q1", "group":
    "math", "experts": [[3, 1], [0, 2]], "weights": [[0.6, 0.2], [0.5, 0.5]]}; sample and group may be left out. A first
    line may say {"n_expert": 64, "embedding": [[[...]]]}, the routers' rows [layer expert width], for consistency.
    Archives hold arrays of the same names: experts and weights [row layer choice], sample and group [row].

    A checkpoint is run in single precision with one layer's weights in memory at a time: of OLMoE's 7 billion
    parameters an estimated 3 GB, beside 0.8 GB of states for 100 000 tokens.

    Args:
        path: a router log (.jsonl, .npz, .safetensors), the folder of a Hugging Face checkpoint (OLMoE, Mixtral,
            Qwen-MoE, DeepSeek), or a folder that holds several of either, in the order of the first number in their
            names that differs: step500-tokens2B, step1000-tokens4B.
        on: what a checkpoint is run on: a .txt with a sample a line, or a .jsonl with text or tokens, and groups.
        by: the pathway of a sample is that of its mean weights over tokens (sample), or of its last token (last).
        top_k: experts of a layer that belong to a pathway; 0: as many as the router chooses for one token.
        share: instead, the heaviest experts that together hold this share of a layer's weight.
        longest: tokens of a sample that are read, at most.
        pairs: pairs of samples that are compared in each group, at most.
        seed: seeds which pairs, and the control.
        curve: where to draw both metrics of several checkpoints over their numbers (.svg).
        accelerator: run checkpoints on a GPU where there is one.
        as_json: print JSON.
    """
    from wheatstone.domains.routing.traces import measure as measured

    if curve is not None and curve.suffix != ".svg":
        raise UserError(f"--curve {curve}: drawings are SVG, give it a name that ends in .svg")
    found = _found(path)
    if curve is not None and len(found) < 2:
        raise UserError(f"--curve: {path} is one, and a curve is of several. Give a folder that holds them.")
    rows: list[Row] = []
    for step, one in found:
        trace = _trace(one, on, by, longest, accelerator)
        try:
            groups = measured(trace, top_k=None if share else top_k or trace.top_k, share=share, pairs=pairs, seed=seed)
        except UserError as error:
            raise UserError(f"{one}: {error}") from None
        rows.append(Row(one.name, step, groups))
    if as_json:
        print(json.dumps({row.name: [dataclasses.asdict(one) for one in row.groups] for row in rows}, indent=2))
    else:
        _print(rows)
    if curve is not None:
        _draw(rows, curve)
        print(f"Curve: {curve}", file=sys.stderr)
    return 0


class Row(NamedTuple):
    """What was measured of one log or checkpoint."""

    name: str
    step: float
    groups: tuple[Measured, ...]


def _found(path: Path) -> Sequence[tuple[float, Path]]:
    """The logs or checkpoints that a path names, each with the number that orders them."""
    from wheatstone.domains.routing.checkpoints import is_checkpoint
    from wheatstone.domains.routing.files import ENDINGS, is_log

    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if not path.is_dir() or is_checkpoint(path):
        return [(0, path)]
    inside = sorted(one for one in path.iterdir() if is_checkpoint(one) or (one.is_file() and is_log(one)))
    if not inside:
        raise UserError(
            f"{path}: neither a config.json, nor router logs ({', '.join(ENDINGS)}), nor checkpoints in it."
        )
    numbers = [[int(digits) for digits in re.findall(r"\d+", one.name)] for one in inside]
    if len(set(map(len, numbers))) == 1:
        for column in zip(*numbers, strict=True):
            if len(set(column)) == len(inside):
                return sorted(zip(map(float, column), inside, strict=True))
    return list(enumerate(map(Path, inside), start=1))


def _trace(path: Path, on: Path | None, by: By, longest: int, accelerator: bool) -> Trace:
    """The routing of one log or checkpoint, one row a sample."""
    from wheatstone.domains.routing.checkpoints import is_checkpoint, read_config, read_samples, route
    from wheatstone.domains.routing.files import read_log

    if not is_checkpoint(path):
        if on is not None:
            raise UserError(f"{path}: a router log holds its samples; --on is for checkpoints.")
        log = read_log(path)
        return log.by_sample() if by == "sample" else log.last_tokens()
    read_config(path)
    if on is None:
        raise UserError(f"{path}: a checkpoint needs something to route. {TEXT_TOO}")
    import torch
    from rich.console import Console
    from rich.progress import Progress

    samples = read_samples(on)
    device = "cuda" if accelerator and torch.cuda.is_available() else "cpu"
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(f"routing {path.name}", total=None)

        def progress(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        trace = route(path, samples, on, progress, by=by, longest=longest, device=device)
    if trace.cut:
        note = f"{path.name}: of {trace.cut} of {len(samples)} samples the first {longest} tokens alone are read."
        print(printable(note), file=sys.stderr)
    return trace


def _print(rows: Sequence[Row]) -> None:
    """A line for each log and group."""
    width = max(len(f"{row.name}  {one.group}") for row in rows for one in row.groups)
    head = ("samples", "distance", "shuffled", "consistency", "complexity", "use")
    say(f"{'':<{width}}" + "".join(f"{title:>13}" for title in head))
    for row in rows:
        for one in row.groups:
            cells = (one.distance, one.shuffled, one.consistency, one.complexity, one.entropy)
            numbers = "".join(f"{'-' if cell is None else format(cell, '.4f'):>13}" for cell in cells)
            say(f"{f'{row.name}  {one.group}':<{width}}{one.samples:>13,}{numbers}")
    say(
        "\ndistance: mean edit distance of the pathways of two samples, as a share of the longer; shuffled: the same,\n"
        "experts renamed at random: what unrelated ways have; consistency: mean cosine of consecutive layers (needs\n"
        "the routers' rows); use: entropy of expert use over that of even use. Over training, a distance that falls\n"
        "and a consistency that rises, with use unchanged, are the paper's sign of generalising."
    )
    if len(rows) >= FEWEST:
        say("")
        for group, of_group in _by_group(rows).items():
            say(f"{group}: {advice(of_group)}")


def _by_group(rows: Sequence[Row]) -> dict[str, list[tuple[str, float, Measured]]]:
    """Group -> (name, step, what was measured) of each log or checkpoint that has it."""
    found: dict[str, list[tuple[str, float, Measured]]] = {}
    for row in rows:
        for one in row.groups:
            found.setdefault(one.group, []).append((row.name, row.step, one))
    return found


def advice(rows: Sequence[tuple[str, float, Measured]]) -> str:
    """Where distance and consistency would have stopped the training: at their best after the distance's peak."""
    known = [(name, one.distance, one) for name, _, one in rows if one.distance is not None]
    if not known:
        return "no two samples."
    top = max(range(len(known)), key=lambda at: known[at][1])
    at_peak, peak, then = known[top]
    at_lowest, lowest, now = min(known[top:], key=lambda row: row[1])
    if not lowest < peak:
        return "the distance has not fallen: no sign of generalising yet."
    said = f"distance highest at {at_peak}, lowest after it at {at_lowest}, by {1 - lowest / peak:.0%}"
    smooth = [(one.consistency, name) for name, _, one in known[top:] if one.consistency is not None]
    if smooth:
        said += f"; consistency highest at {max(smooth)[1]}"
    if now.entropy < USE < then.entropy:
        said += (
            f". But the use of experts has fallen from {then.entropy:.2f} to {now.entropy:.2f}: where few experts do "
            "everything, pathways are alike without being shared"
        )
    return said + "."


def _draw(rows: Sequence[Row], path: Path) -> None:
    """Distance and consistency of each group over the numbers of the checkpoints, as one drawing."""
    from wheatstone.bench.draw import standing_svg
    from wheatstone.bench.exhibit import Line, Lines
    from wheatstone.bench.files import write_atomically

    lines: list[Line] = []
    for group, found in _by_group(rows).items():
        read = {
            "distance": [one.distance for _, _, one in found],
            "consistency": [one.consistency for _, _, one in found],
            "use": [one.entropy for _, _, one in found] if group == rows[0].groups[0].group else [],
        }
        for name, values in read.items():
            points = [(step, value) for (_, step, _), value in zip(found, values, strict=False) if value is not None]
            if points:
                x, y = zip(*points, strict=True)
                lines.append(Line(f"{group}: {name}", x, y))
    title = "Distance between pathways, consistency along them (cosine), and use of experts (shares of 1)"
    drawn = Lines("pathways", title, "number of the checkpoint", "share or cosine", lines)
    write_atomically(path, standing_svg(drawn, []).encode())
