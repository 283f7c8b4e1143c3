"""`wheatstone apply transcoders train`, `graph` and `features`: on a model, text and prompts of your own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Ge, Gt

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_atomically, write_json
from wheatstone.bench.run import Run
from wheatstone.bench.shown import say

if TYPE_CHECKING:
    import numpy as np

    from wheatstone.interp.transcoders.graph import FeatureGraph
    from wheatstone.studies.neural.transcoders.source import Source

NAME = "transcoders"
ARMS = ("transcoder", "untrained")
LONGEST_ROW = 128


def train(
    model: str,
    text: Annotated[str, tyro.conf.Positional] = "own",
    *,
    layers: str = "all",
    features: Annotated[int, Gt(0)] = 1024,
    k: Annotated[int, Gt(0)] = 32,
    steps: Annotated[int, Gt(0)] = 1500,
    tokens: Annotated[int, Gt(0)] = 80_000,
    context: Annotated[int, Ge(4)] | None = None,
    batch: Annotated[int, Gt(0)] = 256,
    sae: bool = False,
    skip: bool = False,
    activation: str = "topk",
    begin: bool = True,
    control: bool = True,
    out: Path | None = None,
) -> int:
    """Train a transcoder on each of some layers of a model, and say how much of each layer it recovers.

    Args:
        model: a name (smollm2, stories260K), a GGUF or llama2.c file, a Hugging Face folder, or a model trained here.
        text: a UTF-8 text of several documents (a blank line between two); `own` takes the model's own samples.
        layers: which layers, as `2` or `0,3`, or all.
        features: features of each dictionary.
        k: active features a token.
        steps: optimiser steps of each dictionary.
        tokens: tokens to train on.
        context: tokens of a row; 128, or as many as the model takes, when not given.
        batch: tokens a step.
        sae: train autoencoders on the layers' outputs instead.
        skip: add an affine path from input to output.
        activation: topk, batchtopk or jumprelu.
        begin: begin every row with the model's begin of text, where it has one.
        control: also measure untrained dictionaries.
        out: the run directory; runs/... named after the content when not given.
    """
    from wheatstone.bench.config import to_json, validate
    from wheatstone.bench.engine import InlineEngine, execute_run
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.registry import load
    from wheatstone.studies.neural.transcoders.config import Config
    from wheatstone.studies.neural.transcoders.source import export, load_source
    from wheatstone.studies.neural.transcoders.subject import INPUT, TEXT, named_model, subject_of

    study = load(NAME)
    place = Path(model)
    context = context or min(LONGEST_ROW, named_model(str(place) if place.exists() else model).model.cfg.context)
    changes = {
        "model": str(place.resolve()) if place.exists() else model,
        "text": "" if text == "own" else INPUT,
        "begin": begin,
        "layers": layers,
        "kind": "sae" if sae else "transcoder",
        "activation": activation,
        "levels": str(k),
        "skip": skip,
        "n_features": features,
        "tokens": tokens,
        "held_out": max(context * 2, tokens // 10),
        "context": context,
        "steps": steps,
        "batch": batch,
        "prompt": "",
        "prompts": 4,
        "prompt_length": min(24, context),
    }
    config = validate(Config, to_json(study.presets["cpu"].config) | changes, f"{NAME} train")
    config.dictionary(1, k)  # refuses what fits no dictionary before anything is read
    if sae and skip:
        raise UserError("--skip: an autoencoder with an affine path would copy its input")
    inputs = {} if text == "own" else {TEXT: Path(text)}
    subject = subject_of(dataclasses.replace(config, text=text if inputs else ""), 0)
    say(
        f"{subject.model.name}: {subject.model.block_count} layers of width {subject.model.d_model}. "
        f"{subject.rows.train.numel():,} tokens to train on, {subject.rows.held_out.numel():,} held out."
    )
    arms = ARMS if control else ARMS[:1]
    run = Run.create(
        out or run_path(study, "cpu", config, range(1), arms, inputs), study, "cpu", config, range(1), arms, 1, inputs
    )
    with follow(run) as watch:
        execute_run(run, study, InlineEngine(), watch)
    _print_outcome(run)
    folders = export(load_source(run.path), run.path / "dictionaries", config.model)
    say(f"\nIn SAELens's layout: {', '.join(str(folder) for folder in folders)}")
    say(f"Report: {run.path / 'report.html'}")
    return 0


def _print_outcome(run: Run) -> None:
    for arm in run.arms:
        record = run.trial(arm, run.seeds[0])
        say(f"\n{arm}: cross-entropy in nats on held-out text, each layer replaced alone")
        for point in record.artifact("curve"):
            say(
                f"  layer {point['layer']:<3} original {point['ce_original']:.3f}  zeroed {point['ce_zero']:.3f}  "
                f"replaced {point['ce']:.3f}  recovered {point['recovered']:.3f}  L0 {point['l0']:.1f}  "
                f"dead {point['dead']:.1%}"
            )
        found = record.measures() or {}
        say(f"  all at once: replaced {found['ce_replaced']:.3f}, recovered {found['all_recovered']:.3f}")


def graph(
    source: Path,
    *,
    prompt: str = "",
    target: str | None = None,
    model: str | None = None,
    arm: str | None = None,
    seed: int | None = None,
    branches: Annotated[int, Gt(0)] = 8,
    rounds: Annotated[int, Gt(0)] = 8,
    out: Path | None = None,
) -> int:
    """Trace what made a model predict a token: the attribution graph of one prompt, as a page and as JSON.

    Args:
        source: a run of `train`, or a folder of dictionaries in SAELens's layout.
        prompt: the text that is traced.
        target: a difference of logits as " Mary- John", one token, or a feature as L8.f123@-1; the top prediction
            against the runner-up when not given.
        model: the model of a folder of dictionaries, where the files name none.
        arm: which arm of the run; its first when not given.
        seed: which seed of the run; its first when not given.
        branches: features whose own sources are looked up in each round.
        rounds: how often.
        out: the page; graph.html in the source when not given. The record lies beside it, as .json.
    """
    import torch

    from wheatstone.interp.transcoders.frozen import freeze
    from wheatstone.interp.transcoders.graph import build_graph
    from wheatstone.studies.neural.transcoders.pages import graph_page
    from wheatstone.studies.neural.transcoders.source import load_source, parse_target, predicted_target

    found = load_source(source, model, arm, seed)
    if not prompt:
        raise UserError('--prompt: give the text that is traced, as --prompt "The capital of France is"')
    ids = found.encode(prompt)
    frozen = freeze(found.model.model, torch.tensor(ids), found.dictionaries)
    reading = predicted_target(frozen, found) if target is None else parse_target(target, found, frozen)
    words = [found.model.decode([token]) for token in ids]
    made = build_graph(frozen, reading, words, branches=branches, rounds=rounds)
    page = out or source / "graph.html"
    write_atomically(page, graph_page(made).encode())
    write_json(page.with_suffix(".json"), made.to_json())
    _print_graph(made)
    say(f"\nPage: {page}\nRecord: {page.with_suffix('.json')}")
    return 0


def _print_graph(made: FeatureGraph) -> None:
    say(f"{made.target}: {made.value:.4g}; contributions add up within {made.relative_error:.1e}")
    say(
        f"Influence from tokens {made.token_mass:.2f}, errors {made.error_mass:.2f}, not opened "
        f"{made.closed_mass:.2f}; replacement score {made.replacement_score:.2f}"
    )
    say("\nMost influence:")
    ranked = sorted((node for node in made.nodes if node.kind != "target"), key=lambda node: -node.influence)
    into = {edge.source: edge.contribution for edge in made.edges if edge.target == "target"}
    for node in ranked[:15]:
        word = repr(made.prompt[node.position]) if node.position >= 0 else ""
        given = f"{into[node.id]:+.3f} directly" if node.id in into else ""
        say(f"  {node.influence:6.1%}  {node.id:<20} {word:<14} {given}")


def features(
    source: Path,
    *,
    layer: int | None = None,
    count: Annotated[int, Gt(0)] = 20,
    feature: tuple[int, ...] = (),
    sample: Annotated[int, Ge(0)] = 0,
    blind: bool = False,
    beside: Path | None = None,
    model: str | None = None,
    arm: str | None = None,
    seed: int | None = None,
    out: Path | None = None,
) -> int:
    """Cards of features: where they fire, which tokens excite them, what they boost. Drawn at random, not chosen.

    Args:
        source: a run of `train`, or a folder of dictionaries in SAELens's layout.
        layer: which layer; the first that has a dictionary when not given.
        count: how many live features are drawn.
        feature: these features instead of drawn ones.
        sample: the seed of the draw.
        blind: hide where a card comes from, shuffle, and ask for a rating; the key lies beside the page, as .key.json.
        beside: another run or folder, whose features are mixed in (for a blind comparison with autoencoders).
        model: the model of a folder of dictionaries, where the files name none.
        arm: which arm of the run; its first when not given.
        seed: which seed of the run; its first when not given.
        out: the page; features.html in the source when not given.
    """
    import numpy as np

    from wheatstone.studies.neural.transcoders.pages import cards_page
    from wheatstone.studies.neural.transcoders.source import load_source

    rng = np.random.default_rng(sample)
    places = [source] if beside is None else [source, beside]
    cards: list[dict[str, object]] = []
    for place in places:
        found = load_source(place, model, arm if place == source else None, seed if place == source else None)
        cards += [{**card, "source": str(place)} for card in _drawn_cards(found, layer, count, feature, rng)]
    if blind:
        cards = [cards[i] for i in rng.permutation(len(cards))]
    page = out or source / "features.html"
    drawn = "given features" if feature else f"live features, drawn at random with seed {sample}"
    about = f"{len(cards)} {drawn}. Shade: activation, relative to the framed token. Text that no training saw."
    write_atomically(page, cards_page("Features", cards, about, blind=blind).encode())
    if blind:
        key = {i: {n: card[n] for n in ("source", "layer", "feature")} for i, card in enumerate(cards, start=1)}
        write_json(page.with_suffix(".key.json"), key)
        say(f"Key: {page.with_suffix('.key.json')}")
    say(f"Page: {page} ({len(cards)} cards)")
    return 0


def _drawn_cards(
    found: Source, layer: int | None, count: int, chosen: tuple[int, ...], rng: np.random.Generator
) -> list[dict[str, object]]:
    from wheatstone.interp.transcoders.examples import activations, sampled_features
    from wheatstone.studies.neural.transcoders.experiment import CARD_ROWS, cards_of

    at = min(found.dictionaries) if layer is None else layer
    if at not in found.dictionaries:
        have = ", ".join(map(str, sorted(found.dictionaries)))
        raise UserError(f"--layer: got {at}, there are dictionaries for {have}")
    n = found.dictionaries[at].cfg.n_features
    for one in chosen:
        if not 0 <= one < n:
            raise UserError(f"--feature: got {one}, must be from 0 to {n - 1}")
    subject = found.subject()
    rows = subject.rows.held_out[:CARD_ROWS]
    z = activations(found.model.model, rows, at, found.dictionaries[at])
    ids = list(chosen) or sampled_features(z, count, rng)
    if not ids:
        raise UserError(f"layer {at}: no feature fires on the held-out text")
    return cards_of(subject, found.dictionaries, at, z, rows, ids)
