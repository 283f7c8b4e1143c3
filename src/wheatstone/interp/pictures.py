"""A measured circuit as exhibits: heatmaps of the maps, and the graph of what reads what."""

from __future__ import annotations

from wheatstone.bench import exhibit
from wheatstone.bench.exhibit import CircuitNode, Heatmap
from wheatstone.interp.circuit import EDGE_SHOWN, Circuit, Map, difference


def layer_names(depth: int) -> tuple[str, ...]:
    """'embedding', 'layer 1', ...: the rows of every map."""
    return ("embedding", *(f"layer {layer}" for layer in range(1, depth + 1)))


def state_map(name: str, title: str, circuit: Circuit, values: Map, value_title: str, caption: str = "") -> Heatmap:
    """One map of a circuit: positions across, layers upwards."""
    return Heatmap(
        name,
        title,
        "position",
        "state after",
        circuit.labels,
        layer_names(circuit.depth),
        values,
        value_title,
        (0, 1),
        caption,
    )


def circuit_maps(name: str, title: str, circuit: Circuit) -> list[Heatmap]:
    """Every map of a circuit: effect of each corruption, interchange accuracy, logit lens."""
    n = f"n = {circuit.n} questions answered right"
    maps: list[Heatmap] = []
    for variable, values in circuit.interchange.items():
        caption = f"Share of answers that become the counterfactual one when this state is exchanged ({n})."
        heading = f"{title}: interchange accuracy of {variable}"
        maps.append(state_map(_slug(name, "interchange", variable), heading, circuit, values, "share", caption))
    for corruption, values in circuit.effects.items():
        caption = f"Share of answers that change when this state comes from the corrupted question ({n})."
        heading = f"{title}: effect of another {corruption}"
        maps.append(state_map(_slug(name, "effect", corruption), heading, circuit, values, "share", caption))
    for token, values in circuit.lens.items():
        caption = f"Mean reciprocal rank among the whole vocabulary, after the final norm ({n}). Shown, not trusted."
        heading = f"{title}: {token} under the logit lens"
        maps.append(state_map(_slug(name, "lens", token), heading, circuit, values, "MRR", caption))
    return maps


def growth_maps(name: str, title: str, after: Circuit, before: Circuit) -> list[Heatmap]:
    """Effect after minus effect before, for every corruption that both have."""
    found: list[Heatmap] = []
    for corruption in after.effects.keys() & before.effects.keys():
        values = difference(after.effects[corruption], before.effects[corruption])
        found.append(
            Heatmap(
                _slug(name, "growth", corruption),
                f"{title}: growth of the effect of another {corruption}",
                "position",
                "state after",
                after.labels,
                layer_names(after.depth),
                values,
                "difference of shares",
                (-1, 1),
                "End of training minus the first evaluation with training accuracy of 0.99.",
            )
        )
    return sorted(found, key=lambda heatmap: heatmap.name)


def circuit_graph(name: str, title: str, circuit: Circuit) -> exhibit.Circuit:
    """The states that matter and what they read, edges of EDGE_SHOWN and more; bold where a variable is held."""
    held = {(layer, _position(circuit, variable)): variable for variable, layer in circuit.sites.items() if layer}
    strongest: dict[tuple[int, int], float] = {}
    for edge in circuit.edges:
        for place in ((edge.layer, edge.source), (edge.layer + 1, edge.reader)):
            strongest[place] = max(strongest.get(place, 0.0), edge.effect)
    nodes = [
        CircuitNode(
            f"{layer}.{position}",
            held.get(
                (layer, position), circuit.labels[position] if layer == 0 else f"S[{layer}, {circuit.labels[position]}]"
            ),
            position,
            layer,
            1.0 if (layer, position) in held else 0.5 * strongest.get((layer, position), 0.0),
        )
        for layer in range(circuit.depth + 1)
        for position in range(len(circuit.labels))
        if layer == 0 or (layer, position) in strongest
    ]
    edges = [
        exhibit.CircuitEdge(
            f"{edge.layer}.{edge.source}", f"{edge.layer + 1}.{edge.reader}", edge.effect, f"{edge.effect:.2f}"
        )
        for edge in circuit.edges
    ]
    where = [f"{v} after layer {layer}" if layer else f"{v} in no single state" for v, layer in circuit.sites.items()]
    caption = (
        f"Verdict: {circuit.structure} ({'; '.join(where)}). An edge is what one position reads from another in one "
        f"block; its number is the share of answers that change when it alone carries another question's state, "
        f"drawn from {EDGE_SHOWN:.2f} (n = {circuit.n})."
    )
    return exhibit.Circuit(name, title, nodes, edges, caption, circuit.labels, layer_names(circuit.depth))


def _position(circuit: Circuit, variable: str) -> int:
    """Where `variable` is held: the position with the highest interchange accuracy in its layer."""
    layer = circuit.sites[variable]
    assert layer is not None
    row = circuit.interchange[variable][layer]
    return row.index(max(row))


def _slug(*parts: str) -> str:
    return "-".join(part.lower().replace(" ", "-") for part in parts)
