"""Greater-than: does a layer's part of a known behaviour survive when only its top features, or neurons, are kept?

Prompts       "The war lasted from the year 17YU to the year 17Y": the tokenizer splits digits, so the units digit is
              asked, which must be greater than U (with two digits a token in Hanna et al. 2023, arXiv:2305.00586)
Score         mean over prompts of P(> U) - P(<= U) among the ten digits
Ranking       features, or neurons times the length of what each writes, by the variance of their activation over
              ranking prompts, summed over positions (Dunefsky et al. 2024, section 5.3: variance over prompts)
Kept          the k best. The others are held at their mean over text, so that keeping none is mean ablation for both;
              and, as in the paper, at zero
Ranking and test prompts are of different decades.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from wheatstone.interp.transcoders.dictionary import Dictionary
from wheatstone.interp.transcoders.replacement import keeping_neurons, replacing, writing
from wheatstone.interp.transcoders.store import watched
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.transformer import Hook

RANKING_DECADES, TEST_DECADES = (2, 5, 8), (3, 6)
UNITS = range(1, 9)
KEPT = (1, 3, 10, 30, 100)
MEAN_ROWS = 8
DEFINED = 30
"""The number of features that the claim is about."""


@dataclass(frozen=True)
class Prompts:
    """Prompts of one length and the units digit of each."""

    tokens: Int[Tensor, "prompt pos"]
    units: Int[Tensor, " prompt"]


@dataclass(frozen=True)
class Kept:
    """Scores by how many are kept, the others at their mean or at zero."""

    mean: dict[int, float]
    zero: dict[int, float]


@dataclass(frozen=True)
class GreaterThan:
    """Scores of the model, without the layer, with the dictionary, and with the best of each kept."""

    model: float
    zero_ablated: float
    replaced: float
    features: Kept
    neurons: Kept
    best: tuple[int, ...]
    """The features of highest rank, first first."""


def prompts_of(model: LanguageModel, decades: tuple[int, ...]) -> Prompts:
    """The prompts of some decades."""
    pairs = [(decade, unit) for decade in decades for unit in UNITS]
    texts = [f"The war lasted from the year 17{decade}{unit} to the year 17{decade}" for decade, unit in pairs]
    return Prompts(torch.tensor([model.encode(text) for text in texts]), torch.tensor([unit for _, unit in pairs]))


@torch.no_grad()
def greater_than(model: LanguageModel, layer: int, dictionary: Dictionary, text: Int[Tensor, "row pos"]) -> GreaterThan:
    """All scores of one layer; `text` gives the means."""
    ranking, test = prompts_of(model, RANKING_DECADES), prompts_of(model, TEST_DECADES)
    digits = torch.tensor([model.token(str(digit)) for digit in range(10)])
    decoder = model.model
    below, _ = decoder.embed(test.tokens, None, None)
    below = decoder.run_blocks(below, stop=layer)

    def score(hooks: Mapping[str, Hook]) -> float:
        final = decoder.run_blocks(below, start=layer, hooks=hooks)[:, -1]
        p = decoder.unembed(final).softmax(-1)[:, digits]
        greater = torch.arange(10) > test.units[:, None]
        return (p * torch.where(greater, 1.0, -1.0)).sum(-1).mean().item()

    def kept(order: Tensor, mean: Tensor, hooks_of: Callable[[Callable[[Tensor], Tensor]], Mapping[str, Hook]]) -> Kept:
        def scores(rest: Tensor) -> dict[int, float]:
            return {k: score(hooks_of(_keeping(order[:k], rest))) for k in KEPT if k <= len(order)}

        return Kept(scores(mean), scores(torch.zeros_like(mean)))

    side = "out" if dictionary.cfg.kind == "sae" else "in"
    z = dictionary.encode(watched(decoder, ranking.tokens, [layer])[f"{layer}.{side}"])
    z_mean = dictionary.encode(watched(decoder, text[:MEAN_ROWS], [layer])[f"{layer}.{side}"])[:, 1:].mean((0, 1))
    down = decoder.block(layer).mlp
    assert down is not None
    lengths = down.down.weight.norm(dim=0)
    a = neuron_activations(model, layer, ranking.tokens) * lengths
    a_mean = neuron_activations(model, layer, text[:MEAN_ROWS])[:, 1:].mean((0, 1))
    of_features, of_neurons = _order(z), _order(a)
    return GreaterThan(
        score({}),
        score(writing(layer, None)),
        score(replacing({layer: dictionary})),
        kept(of_features, z_mean, lambda keep: replacing({layer: dictionary}, {layer: keep})),
        kept(of_neurons, a_mean, lambda keep: keeping_neurons(layer, keep)),
        tuple(of_features[:8].tolist()),
    )


def neuron_activations(
    model: LanguageModel, layer: int, tokens: Int[Tensor, "row pos"]
) -> Float[Tensor, "row pos neuron"]:
    """Activations of a layer's neurons."""
    seen: list[Tensor] = []
    x, _ = model.model.embed(tokens, None, None)
    model.model.run_blocks(x, stop=layer + 1, hooks={f"blocks.{layer}.mlp.hook_post": seen.append})
    return seen[0]


def _order(activations: Float[Tensor, "prompt pos unit"]) -> Int[Tensor, " unit"]:
    return activations.var(0).sum(0).argsort(descending=True)


def _keeping(units: Int[Tensor, " kept"], rest: Float[Tensor, " unit"]) -> Callable[[Tensor], Tensor]:
    is_kept: Bool[Tensor, " unit"] = torch.zeros(len(rest), dtype=torch.bool)
    is_kept[units] = True
    return lambda value: torch.where(is_kept, value, rest)
