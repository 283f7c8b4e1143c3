"""Dictionaries put in the place of feed-forward layers, neurons kept or not, and ablations: as hooks.

Position 0 of every row passes through unchanged, as it was left out of training (see `store`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wheatstone.bench.errors import UserError
from wheatstone.interp.transcoders.dictionary import Dictionary
from wheatstone.interp.transcoders.store import SKIPPED
from wheatstone.learn.models.transformer import Hook, Sites

Edit = Callable[[Float[Tensor, "*batch feature"]], Float[Tensor, "*batch feature"]]
"""Changes activations before they are decoded: an ablation, say."""


def replacing(dictionaries: Mapping[int, Dictionary], edits: Mapping[int, Edit] | None = None) -> dict[str, Hook]:
    """Hooks that put each layer's dictionary in the place of its feed-forward output."""
    hooks: dict[str, Hook] = {}
    for layer, dictionary in dictionaries.items():
        hooks |= _replacing_one(layer, dictionary, (edits or {}).get(layer))
    return hooks


def _replacing_one(layer: int, dictionary: Dictionary, edit: Edit | None) -> dict[str, Hook]:
    sites, read = Sites.of(layer), dict[str, Tensor]()

    def keep(value: Tensor) -> None:
        read["x"] = value

    def replace(value: Tensor) -> Tensor:
        x = value if dictionary.cfg.kind == "sae" else read.pop("x")
        z = dictionary.encode(x)
        return torch.cat([value[:, :SKIPPED], dictionary.decode(z if edit is None else edit(z), x)[:, SKIPPED:]], 1)

    return {sites.mlp_out: replace} if dictionary.cfg.kind == "sae" else {sites.mlp_in: keep, sites.mlp_out: replace}


def writing(layer: int, output: Float[Tensor, " d_model"] | None) -> dict[str, Hook]:
    """Hooks that make a feed-forward layer write a constant, zero with None: mean- and zero-ablation."""

    def write(value: Tensor) -> Tensor:
        constant = torch.zeros_like(value) if output is None else output.expand_as(value)
        return torch.cat([value[:, :SKIPPED], constant[:, SKIPPED:]], 1)

    return {Sites.of(layer).mlp_out: write}


def keeping_neurons(layer: int, keep: Callable[[Tensor], Tensor]) -> dict[str, Hook]:
    """Hooks that pass the neurons of a layer through `keep`, which returns them with some set to zero."""

    def hook(value: Tensor) -> Tensor:
        return torch.cat([value[:, :SKIPPED], keep(value)[:, SKIPPED:]], 1)

    return {f"blocks.{layer}.mlp.hook_post": hook}


def largest_neurons(k: int, lengths: Float[Tensor, " neuron"]) -> Callable[[Tensor], Tensor]:
    """Of each token the k neurons that write most: largest activation times length of what it writes."""

    def keep(value: Tensor) -> Tensor:
        at = (value.abs() * lengths).topk(k, -1, sorted=False).indices
        return torch.zeros_like(value).scatter(-1, at, value.gather(-1, at))

    return keep


def check_fit(dictionary: Dictionary, d_model: int, place: str) -> None:
    """Raises UserError when a dictionary was made for another width than the model has."""
    cfg = dictionary.cfg
    for name, width in (("d_in", cfg.d_in), ("d_out", cfg.d_out)):
        if width != d_model:
            raise UserError(f"{place}: {name} {width}, model {d_model}. It was trained on another model.")


@contextmanager
def replaced(model: nn.Module, dictionaries: Mapping[int, Dictionary]) -> Generator[None]:
    """While it is open, `model` computes with the dictionaries in place, in whatever way it is called.

    For code that takes no hooks: the feed-forward modules themselves are wrapped, and put back at the end.
    """
    handles = []
    blocks: nn.ModuleList = model.blocks  # type: ignore[assignment]
    for layer, dictionary in dictionaries.items():

        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, tc: Dictionary = dictionary) -> Tensor:
            predicted = tc(output if tc.cfg.kind == "sae" else inputs[0])
            return torch.cat([output[:, :SKIPPED], predicted[:, SKIPPED:]], 1)

        mlp: nn.Module = blocks[layer].mlp  # type: ignore[assignment]
        handles.append(mlp.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
