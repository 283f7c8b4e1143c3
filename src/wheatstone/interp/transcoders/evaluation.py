"""How faithful dictionaries are, on held-out documents, by the model's own loss.

Recovered     (CE_ablated - CE) / (CE_ablated - CE_original), with CE the next-token cross-entropy in nats, for zero-
              and mean-ablation of the same layers at the same positions. One is as good as the layer, zero as good as
              nothing there. Where ablation hardly matters the ratio says little, so CE and KL stand beside it
KL            of the original next-token distribution from the replaced one, mean over positions
FVU           share of the variance of the layer's output that the dictionary leaves unexplained
L0            features with a non-zero activation, mean over positions
dead          share of features that fire at no position
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.interp.transcoders.dictionary import Dictionary
from wheatstone.interp.transcoders.replacement import replacing, writing
from wheatstone.interp.transcoders.store import SKIPPED, Hooked, watched
from wheatstone.learn.models.transformer import Hook

BATCH = 8


@dataclass(frozen=True)
class LayerFaith:
    """One dictionary against its layer."""

    l0: float
    fvu: float
    dead: float
    frequencies: Float[Tensor, " feature"]
    """Share of the positions at which each feature fires."""


@dataclass(frozen=True)
class Loss:
    """A changed model on held-out text."""

    ce: float
    """Nats a token."""
    kl: float
    """Nats a token, from the original."""


@dataclass(frozen=True)
class Evaluation:
    """Original, ablated and replaced, on the same text."""

    original: float
    zero: Loss
    mean: Loss
    replaced: Mapping[str, Loss]
    """By the name of the replacement."""
    n_token: int
    n_row: int = field(default=0)

    def recovered(self, name: str, *, ablation: str = "zero") -> float:
        """Share of the ablation's damage that the replacement takes back."""
        ablated = (self.zero if ablation == "zero" else self.mean).ce
        return (ablated - self.replaced[name].ce) / (ablated - self.original)


@torch.no_grad()
def evaluate(
    model: Hooked,
    rows: Int[Tensor, "row pos"],
    layers: Sequence[int],
    means: Mapping[int, Float[Tensor, " d_model"]],
    replacements: Mapping[str, Mapping[str, Hook]],
    *,
    batch: int = BATCH,
) -> Evaluation:
    """Losses with `layers` as they are, zeroed, at their `means`, and under each of the named sets of hooks.

    What lies below the first of `layers` is computed once.
    """
    first, losses = min(layers), dict[str, list[Tensor]]()
    zero: dict[str, Hook] = {}
    mean: dict[str, Hook] = {}
    for layer in layers:
        zero |= writing(layer, None)
        mean |= writing(layer, means[layer])
    variants: dict[str, Mapping[str, Hook]] = {"zero ablation": zero, "mean ablation": mean, **replacements}
    for part in rows.split(batch):
        x, _ = model.embed(part, None, None)
        x = model.run_blocks(x, stop=first)
        original = _log_probabilities(model, x, first, {})
        wanted = part[:, SKIPPED + 1 :].flatten()
        losses.setdefault("", []).append(-original.gather(1, wanted[:, None])[:, 0])
        for name, hooks in variants.items():
            changed = _log_probabilities(model, x, first, hooks)
            losses.setdefault(name, []).append(-changed.gather(1, wanted[:, None])[:, 0])
            kl = F.kl_div(changed, original, log_target=True, reduction="none").sum(-1)
            losses.setdefault(f"kl {name}", []).append(kl)
    found = {name: torch.cat(parts).double().mean().item() for name, parts in losses.items()}
    of = {name: Loss(found[name], found[f"kl {name}"]) for name in variants}
    n_token = len(torch.cat(losses[""]))
    return Evaluation(
        found[""], of["zero ablation"], of["mean ablation"], {n: of[n] for n in replacements}, n_token, len(rows)
    )


def _log_probabilities(model: Hooked, x: Tensor, first: int, hooks: Mapping[str, Hook]) -> Tensor:
    """[token vocab] at the positions that predict and are not left out."""
    resid = model.run_blocks(x, start=first, hooks=hooks)[:, SKIPPED:-1]
    return model.unembed(resid.flatten(0, 1)).log_softmax(-1)


@torch.no_grad()
def layer_faith(
    model: Hooked, rows: Int[Tensor, "row pos"], dictionaries: Mapping[int, Dictionary], *, batch: int = BATCH
) -> dict[int, LayerFaith]:
    """Each dictionary against its layer on the original model's activations."""
    fired = {layer: torch.zeros(tc.cfg.n_features) for layer, tc in dictionaries.items()}
    left, total = dict.fromkeys(dictionaries, 0.0), dict[int, Tensor]()
    means, n = {layer: torch.zeros(tc.cfg.d_out, dtype=torch.float64) for layer, tc in dictionaries.items()}, 0
    for part in rows.split(batch):
        seen = watched(model, part, list(dictionaries))
        for layer, tc in dictionaries.items():
            y = seen[f"{layer}.out"][:, SKIPPED:].flatten(0, 1)
            x = y if tc.cfg.kind == "sae" else seen[f"{layer}.in"][:, SKIPPED:].flatten(0, 1)
            z = tc.encode(x)
            fired[layer] += (z != 0).sum(0)
            left[layer] += (tc.decode(z, x) - y).double().square().sum().item()
            means[layer] += y.double().sum(0)
            total[layer] = total.get(layer, torch.zeros(())) + y.double().square().sum()
        n += len(part) * (part.shape[1] - SKIPPED)
    found: dict[int, LayerFaith] = {}
    for layer, counts in fired.items():
        variance = total[layer].item() - (means[layer].square().sum() / n).item()
        dead = (counts == 0).float().mean().item()
        found[layer] = LayerFaith(counts.sum().item() / n, left[layer] / variance, dead, counts / n)
    return found


def replacement_hooks(dictionaries: Mapping[int, Dictionary]) -> dict[str, Mapping[str, Hook]]:
    """Each layer alone, by `layer L`, and all of them at once, by `all`."""
    single: dict[str, Mapping[str, Hook]] = {
        f"layer {layer}": replacing({layer: tc}) for layer, tc in dictionaries.items()
    }
    return {**single, "all": replacing(dictionaries)}
