"""Figures and tables of a run: faithfulness over sparsity, dead features, cards, the graph, greater-than."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Circuit,
    CircuitEdge,
    CircuitNode,
    Exhibit,
    Line,
    Lines,
    Mark,
    Scatter,
    ScatterSeries,
    Table,
    curve_line,
)
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import t_interval
from wheatstone.interp.transcoders.graph import FeatureGraph, GraphNode

CURVES = ("layer_2", "sae", "skip", "relu_l1", "batchtopk", "jumprelu", "random_weights")
TRAINED = ("transcoder", "layer_2", "sae", "skip", "relu_l1", "batchtopk", "jumprelu", "smollm2_l8", "smollm2_l10")
FAITH = ("recovered", "worst_recovered_mean", "all_recovered", "ce_original", "ce_zero", "ce_replaced", "kl_replaced")
BINS = ("never", "0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1")
"""Of firing frequency: upper ends, two a decade; what fires more rarely than the first is in it."""
DRAWN = 22
"""Nodes of the drawn graph."""
LEAST_EDGE = 0.2
"""Of the strongest contribution into the same node: weaker ones are not drawn."""
DIGITS = 3


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = [arm for arm in run.arms if all(run.trial(arm, seed).is_finished for seed in run.seeds)]
    if not finished:
        return []
    shown: list[Exhibit] = [*_curves(run, finished), *_layers(run, finished), *_training(run, finished)]
    shown += [_faith(run, finished), *_frequencies(run, finished), *_greater_than(run, finished)]
    shown += [*_causal(run, finished), *_graphs(run, finished)]
    return [*shown, *(card for arm in finished for card in _cards(run, arm))]


def _curves(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """CE recovered and FVU over active features, one line an arm."""
    arms = [arm for arm in CURVES if arm in finished and run.trial(arm, run.seeds[0]).has("curve")]
    if not arms:
        return []
    shown: list[Exhibit] = []
    titles = {"recovered": "CE recovered against zero ablation", "fvu": "share of variance left (FVU)"}
    for measure, title in titles.items():
        lines = [_curve(run, arm, measure) for arm in arms]
        if measure == "recovered" and "layer_2" in arms:
            lines.append(_curve(run, "layer_2", "neurons"))
        shown.append(
            Lines(
                f"sparsity-{measure}",
                f"Layer 2 of the story model: {title} over active features, {_seeds(run)}",
                "active features a token (L0)",
                title,
                lines,
                caption="Held-out text. Bands: 95 % t intervals over seeds. An autoencoder copies what it is given, "
                "which is an easier job than computing it. 'neurons': as many of the layer's own neurons, the largest "
                "of each token. random_weights has another model's loss and is there for its FVU.",
            )
        )
    return shown


def _curve(run: Run, arm: str, measure: str) -> Line:
    points: dict[float, list[Mapping[str, float]]] = {}
    for seed in run.seeds:
        for point in run.trial(arm, seed).artifact("curve"):
            points.setdefault(point["level"], []).append(point)
    rows = sorted((_mean([one["l0"] for one in found]), [one[measure] for one in found]) for found in points.values())
    intervals = [t_interval(values) if len(values) > 1 else None for _, values in rows]
    is_arm = measure != "neurons"
    return Line(
        arm if is_arm else "neurons",
        [x for x, _ in rows],
        [_mean(values) for _, values in rows],
        [math.nan if one is None else one.low for one in intervals],
        [math.nan if one is None else one.high for one in intervals],
        arm=arm if is_arm else None,
    )


def _layers(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """CE recovered by each layer's transcoder alone."""
    arms = [arm for arm in ("transcoder", "untrained") if arm in finished]
    layers = sorted({point["layer"] for arm in arms for point in run.trial(arm, run.seeds[0]).artifact("curve")})
    if not layers:
        return []
    return [
        Bars(
            "layers",
            f"CE recovered, one layer replaced, {_seeds(run)}",
            "CE recovered",
            [f"layer {layer}" for layer in layers],
            [_layer_series(run, arm, layers) for arm in arms],
            caption="Against zero ablation of the same layer, on held-out text. Below zero: worse than nothing there. "
            "Whiskers: 95 % t intervals over seeds.",
        )
    ]


def _layer_series(run: Run, arm: str, layers: Sequence[int]) -> BarSeries:
    values, low, high = [], [], []
    for layer in layers:
        found = [
            point["recovered"]
            for seed in run.seeds
            for point in run.trial(arm, seed).artifact("curve")
            if point["layer"] == layer
        ]
        interval = t_interval(found) if len(found) > 1 else None
        values.append(_mean(found))
        low.append(interval.low if interval else math.nan)
        high.append(interval.high if interval else math.nan)
    return BarSeries(arm, values, low, high, arm=arm)


def _training(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """Share of variance left over the steps of the first dictionary of each arm: does it still fall?"""
    lines: list[Line] = []
    for arm in finished:
        logged = next(iter(run.trial(arm, run.seeds[0]).metrics()), {})
        name = next((key for key in logged if key.endswith("_fvu")), None)
        if name is not None:
            line = curve_line(run, name, arm, arm)
            lines += [line] if line.x else []
    if not lines:
        return []
    return [
        Lines(
            "training",
            f"Share of variance left in training, {_seeds(run)}",
            "optimiser steps",
            "FVU of the batch",
            lines,
            log_x=True,
            log_y=True,
            caption="The first dictionary of each arm. Means over seeds, bands 95 % t intervals.",
        )
    ]


def _faith(run: Run, finished: Sequence[str]) -> Table:
    """Losses in nats beside the shares: a share says little where ablation hardly matters."""
    rows: list[tuple[str | float | None, ...]] = []
    for arm in finished:
        found = [run.trial(arm, seed).measures() or {} for seed in run.seeds]
        values = [_mean([one[name] for one in found]) for name in (*FAITH, "l0", "fvu", "dead", "token_share")]
        rows.append((arm, *(None if math.isnan(value) else value for value in values)))
    return Table(
        "faith",
        f"Faithfulness on held-out text, means over {_seeds(run)}",
        (
            "arm",
            "recovered",
            "worst, from mean",
            "all at once",
            "CE",
            "CE zeroed",
            "CE replaced",
            "KL",
            "L0",
            "FVU",
            "dead",
            "token share",
        ),
        rows,
        "CE and KL in nats a token. 'recovered': first layer, from zero ablation; 'worst, from mean': the worst layer, "
        "from mean ablation. 'token share': variance of a feature that the current token explains; near one, features "
        "only say which token this is.",
    )


def _frequencies(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """Histogram of firing frequency, with the dead ones in a bar of their own."""
    arms = [arm for arm in TRAINED if arm in finished and run.trial(arm, run.seeds[0]).has("frequencies")]
    if not arms:
        return []
    series: list[BarSeries] = []
    for arm in arms:
        counts = [0.0] * len(BINS)
        total = 0
        for seed in run.seeds:
            for frequencies in run.trial(arm, seed).artifact("frequencies").values():
                total += len(frequencies)
                for frequency in frequencies:
                    counts[_bin(frequency)] += 1
        series.append(BarSeries(arm, [count / total for count in counts], arm=arm))
    return [
        Bars(
            "frequencies",
            f"How often features fire on held-out text, {_seeds(run)}",
            "share of features",
            BINS,
            series,
            caption="Each group ends at the frequency it names (a share of tokens). 'never' are dead features.",
        )
    ]


def _bin(frequency: float) -> int:
    return 0 if frequency <= 0 else max(1, min(len(BINS) - 1, math.ceil(2 * math.log10(frequency)) + len(BINS) - 1))


def _greater_than(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """The score over how many features, or neurons, are kept."""
    arm = next((arm for arm in finished if run.trial(arm, run.seeds[0]).has("greater_than")), None)
    if arm is None:
        return []
    found = [run.trial(arm, seed).artifact("greater_than") for seed in run.seeds]
    lines: list[Line] = []
    for what in ("features", "neurons"):
        for rest in ("mean", "zero"):
            counts = sorted(map(int, found[0][what][rest]))
            values = [[one[what][rest][str(k)] for one in found] for k in counts]
            intervals = [t_interval(one) if len(one) > 1 else None for one in values]
            lines.append(
                Line(
                    f"{what}, others at {rest}",
                    counts,
                    [_mean(one) for one in values],
                    [math.nan if one is None else one.low for one in intervals],
                    [math.nan if one is None else one.high for one in intervals],
                )
            )
    whole, none = _mean([one["model"] for one in found]), _mean([one["zero_ablated"] for one in found])
    return [
        Lines(
            "greater-than",
            f"Greater-than with the best features or neurons of one layer kept, {_seeds(run)}",
            "kept",
            "P(> U) - P(<= U)",
            lines,
            log_x=True,
            marks=(Mark("y", whole, "model"), Mark("y", none, "layer zeroed")),
            caption="Ranked by variance over prompts of other decades. Bands: 95 % t intervals over seeds; neurons "
            "have none, as the model is one. 'others at zero' is the paper's way; a transcoder then keeps its bias.",
        )
    ]


def _causal(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """Attribution against what ablation does."""
    arm = next((arm for arm in finished if run.trial(arm, run.seeds[0]).has("points")), None)
    points = run.trial(arm, run.seeds[0]).artifact("points") if arm else []
    if not points:
        return []
    x, y = ([round(point[side], DIGITS + 2) for point in points] for side in (0, 1))
    return [
        Scatter(
            "causal",
            f"Attribution and measured effect of the 30 strongest features of each prompt, {arm}, seed {run.seeds[0]}",
            "attribution to the logit difference [logits]",
            "loss when the feature is taken out [logits]",
            [ScatterSeries("features", x, y, arm=arm)],
            caption=f"n = {len(points)} features of {len(points) // 30} prompts. Attributions pass active features, "
            "frozen attention and norms; in the measurement everything after the feature is computed anew.",
        )
    ]


def _graphs(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    arm = next((arm for arm in finished if run.trial(arm, run.seeds[0]).has("graph")), None)
    if arm is None:
        return []
    graph = FeatureGraph.from_json(run.trial(arm, run.seeds[0]).artifact("graph"))
    return [graph_picture(graph, "graph", f"{arm}, seed {run.seeds[0]}")]


def graph_picture(graph: FeatureGraph, name: str, heading: str) -> Circuit:
    """The strongest nodes of a graph: columns are tokens, rows layers; a node's colour is its influence."""
    kept = graph.kept(DRAWN)
    nodes = [node for node in kept.nodes if node.kind != "bias"]
    # Every token gets as many columns as its fullest layer has nodes, so that no two nodes lie on each other.
    cells: dict[tuple[int, int], list[GraphNode]] = {}
    for node in sorted(nodes, key=lambda node: -node.influence):
        cells.setdefault((node.position, _row(node)), []).append(node)
    positions = sorted({position for position, _ in cells})
    width = {p: max(len(found) for (position, _), found in cells.items() if position == p) for p in positions}
    starts = {p: sum(width[q] for q in positions if q < p) for p in positions}
    top = max((_row(node) for node in nodes if node.kind != "target"), default=0) + 1
    placed = [
        CircuitNode(
            node.id,
            _label(node, graph),
            starts[position] + (width[position] - len(found)) / 2 + i,
            top if node.kind == "target" else row,
            emphasis=1.0 if node.kind == "target" else min(1.0, 2 * node.influence),
        )
        for (position, row), found in cells.items()
        for i, node in enumerate(found)
    ]
    names = {node.id for node in nodes}
    edges = [edge for edge in kept.edges if edge.source in names and edge.target in names]
    into: dict[str, float] = {}
    for edge in edges:
        into[edge.target] = max(into.get(edge.target, 1e-30), abs(edge.contribution))
    shown = [
        CircuitEdge(edge.source, edge.target, max(-1.0, min(1.0, edge.contribution / into[edge.target])))
        for edge in edges
        if abs(edge.contribution) >= LEAST_EDGE * into[edge.target]
    ]
    columns: list[str] = []
    for p in positions:
        word = "" if p < 0 else graph.prompt[p]
        before = (width[p] - 1) // 2
        columns += [*[""] * before, f"{p}: {word.strip() or repr(word)}", *[""] * (width[p] - 1 - before)]
    return Circuit(
        name,
        f"Attribution graph of {graph.target}, {heading}",
        placed,
        shown,
        caption=f"Target {graph.value:.3g}. Influence that ends in errors {graph.error_mass:.2f}, in tokens "
        f"{graph.token_mass:.2f}, in features not opened and biases {graph.closed_mass:.2f}; replacement score "
        f"{graph.replacement_score:.2f}. The {DRAWN} nodes of most influence; an edge is as wide as its contribution, "
        "relative to the strongest into the same node (at least {LEAST_EDGE:g} of it); dashed against. Prompt: "
        + "".join(graph.prompt).strip(),
        columns=columns,
        rows=("tokens", *(f"layer {layer}" for layer in range(top - 1)), "logit"),
    )


def _row(node: GraphNode) -> int:
    return 0 if node.kind == "embedding" else node.layer + 1


def _label(node: GraphNode, graph: FeatureGraph) -> str:
    match node.kind:
        case "embedding":
            return graph.prompt[node.position].strip() or repr(graph.prompt[node.position])
        case "feature":
            return f"f{node.feature}"
        case "target":
            return graph.target.removeprefix("logit ")
        case _:
            return node.kind


def _cards(run: Run, arm: str) -> list[Exhibit]:
    """Cards of features drawn at random."""
    record = run.trial(arm, run.seeds[0])
    if not record.has("cards") or not (cards := record.artifact("cards")):
        return []
    return [
        Table(
            f"cards-{arm.replace('_', '-')}",
            f"{arm}, seed {run.seeds[0]}: {len(cards)} live features drawn at random",
            ("feature", "fires at", "most active at", "excited by", "boosts"),
            [
                (
                    f"L{card['layer']}.f{card['feature']}",
                    card["frequency"],
                    "   /   ".join(_marked(one) for one in card["examples"][:3]),
                    " ".join(repr(word) for word in card["excited_by"][:5]),
                    " ".join(repr(word) for word in card["boosts"][:5]),
                )
                for card in cards
            ],
            "Not chosen by how well they read. ⟦token⟧ is where the feature is most active in its row of held-out "
            "text; 'excited by': tokens whose embedding it reads most; 'boosts': logits that it raises directly.",
        )
    ]


def _marked(example: Mapping[str, Any]) -> str:
    words, peak = example["words"], example["peak"]
    return f"{''.join(words[max(0, peak - 6) : peak])}⟦{words[peak]}⟧{''.join(words[peak + 1 : peak + 4])}".strip()


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _seeds(run: Run) -> str:
    return f"n = {len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"
