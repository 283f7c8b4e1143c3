"""Path patching: what one head tells another, or the answer, with everything else held as it was.

Wang et al. 2023 (arXiv:2211.00593, section 3.1), as Merullo et al. 2024 (arXiv:2310.08744) use it at the last token:

    1  The sender's output at END comes from the counterfactual prompt, the outputs of all other heads (and, where
       `freeze_mlps`, of all feed-forward layers) at END stay those of the clean prompt; what the receivers compute is
       recorded.
    2  The clean prompt is run again with the receivers' recorded values in the place of their own, nothing else held.
    3  effect = logit difference after - logit difference before, in logits; negative for a sender that carries the
       answer. The published score divides by the same difference of the whole counterfactual run (`normalised`).

Receivers are the answer itself, or queries, keys or values of heads at END. A sender in a receiver's block or after it
cannot reach it: its effect is 0.

Two ways that agree. `by_hooks` runs the whole model twice per sender. `path_effects` uses that everything else is held:
a sender's change arrives in a receiver's stream as it left the sender (`d_model` numbers, added), so step 1 costs a few
vectors and step 2 one column (see `end_column`). Exact, not an approximation: both differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.interp.end_column import (
    Component,
    EndTrace,
    Head,
    Overrides,
    column,
    end_components,
    trace_end,
    trace_variant,
)
from wheatstone.learn.models.decoder import Decoder
from wheatstone.learn.models.transformer import Hook

Receiving = Literal["q", "k", "v"]
CHUNK = 16
"""Senders whose columns are computed together: enough for full matrix products, little memory."""
LEAST_CONTRAST = 0.3
"""Logits between clean and counterfactual prompt below which a normalised score means nothing."""


@dataclass(frozen=True)
class Contrast:
    """Prompts with a counterfactual each, and what is read off at END."""

    clean: Int[Tensor, "batch pos"]
    """Padded on the right."""
    counterfactual: Int[Tensor, "batch pos"]
    """As long as the clean prompt, row by row."""
    end: Int[Tensor, " batch"]
    answers: tuple[tuple[int, ...], ...]
    """Right tokens of each prompt, often one."""
    wrong: tuple[tuple[int, ...], ...]
    """Tokens that the answer is measured against."""

    @property
    def size(self) -> int:
        return len(self.end)

    def part(self, rows: Sequence[int]) -> Contrast:
        """Some of the prompts."""
        index = torch.tensor(list(rows))
        return Contrast(
            self.clean[index],
            self.counterfactual[index],
            self.end[index],
            tuple(self.answers[row] for row in rows),
            tuple(self.wrong[row] for row in rows),
        )

    def readout(self, model: Decoder) -> Float[Tensor, "batch d_model"]:
        """The direction whose product with the normalised last state is the logit difference.

        Where there are several right or wrong tokens, the difference is one of mean logits.
        """
        matrix = model.unembedding_matrix

        def mean(tokens: tuple[tuple[int, ...], ...]) -> Tensor:
            return torch.stack([matrix[list(row)].mean(0) for row in tokens])

        return mean(self.answers) - mean(self.wrong)


@dataclass(frozen=True)
class PathEffects:
    """Effects of all heads on some receivers, per prompt, and what they are measured against."""

    effect: Float[Tensor, "batch layer head"]
    """Logit difference after patching minus before [logits]."""
    clean: Float[Tensor, " batch"]
    """Logit difference of the clean prompt."""
    counterfactual: Float[Tensor, " batch"]
    """Logit difference of the counterfactual prompt, same tokens."""

    @property
    def mean(self) -> Float[Tensor, "layer head"]:
        return self.effect.mean(0)

    def normalised(self) -> Float[Tensor, "layer head"]:
        """Mean effect over the mean difference that the whole counterfactual prompt makes; NaN where that is small."""
        contrast = (self.counterfactual - self.clean).mean()
        return self.mean / (contrast if contrast.abs() >= LEAST_CONTRAST else torch.nan)


@dataclass(frozen=True)
class Traced:
    """Both runs of a contrast, made once for all receivers."""

    contrast: Contrast
    readout: Float[Tensor, "batch d_model"]
    clean: EndTrace
    counterfactual: EndTrace

    @staticmethod
    def of(model: Decoder, contrast: Contrast) -> Traced:
        clean = trace_end(model, contrast.clean, contrast.end)
        other = trace_variant(model, contrast.counterfactual, contrast.clean, clean)
        return Traced(contrast, contrast.readout(model), clean, other)

    def difference(self, model: Decoder, last: Float[Tensor, "patch batch d_model"]) -> Float[Tensor, "patch batch"]:
        """Logit difference of last states."""
        return (model.norm_final(last) * self.readout).sum(-1)


@torch.no_grad()
def path_effects(
    model: Decoder,
    traced: Traced,
    receivers: Sequence[Head] | None = None,
    component: Receiving = "q",
    *,
    freeze_mlps: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> PathEffects:
    """Effect of every head on `receivers` (None: on the answer directly) at END.

    For keys and values a receiver's `head` counts key heads: they are shared, so all their queries see the change.
    """
    clean = traced.clean
    before = traced.difference(model, clean.resid[-1][None])[0]
    after_all = traced.difference(model, traced.counterfactual.resid[-1][None])[0]
    n_layer, n_head = model.cfg.n_layer, model.cfg.n_head
    effect = torch.zeros(clean.size, n_layer, n_head)
    reach = n_layer if receivers is None else max((head.layer for head in receivers), default=0)
    for layer in range(reach):
        delta = model.block(layer).attn.head_outputs(traced.counterfactual.z[layer] - clean.z[layer])
        for begin in range(0, n_head, CHUNK):
            change = delta[:, begin : begin + CHUNK].transpose(0, 1)  # patch batch d_model
            streams = _streams(model, clean, layer, change, freeze_mlps)
            if receivers is None:
                last = streams[n_layer]
            else:
                last = column(model, clean, _received(model, clean, receivers, component, streams))
            effect[:, layer, begin : begin + CHUNK] = (traced.difference(model, last) - before).T
        if progress is not None:
            progress(layer + 1, reach)
    return PathEffects(effect, before, after_all)


@torch.no_grad()
def by_hooks(
    model: Decoder,
    contrast: Contrast,
    senders: Sequence[Head],
    receivers: Sequence[Head] | None = None,
    component: Receiving = "q",
    *,
    freeze_mlps: bool = True,
    at: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "sender batch"]:
    """The effects of some senders, by one or two whole forward passes with hooks each: the oracle.

    `at` is the position of senders and receivers where it is not END.
    """
    rows, at = torch.arange(contrast.size), contrast.end if at is None else at
    outputs = [site for sites in model.sites for site in (sites.z, sites.mlp_out)]
    clean, other = (_values_at(model, tokens, outputs, at) for tokens in (contrast.clean, contrast.counterfactual))
    before = _difference(model, contrast, model.resid(contrast.clean))

    def hold(site: str, head: int | None) -> Hook:
        def put(value: Tensor) -> Tensor:
            value = value.clone()
            value[rows, at] = clean[site]
            if head is not None:
                value[rows, at, head] = other[site][:, head]
            return value

        return put

    def receive(site: str, recorded: Tensor) -> Hook:
        def put(value: Tensor) -> Tensor:
            value = value.clone()
            for head in receivers or ():
                if _site(model, head, component) == site:
                    value[rows, at, head.head] = recorded[:, head.head]
            return value

        return put

    effects: list[Tensor] = []
    for sender in senders:
        hooks: dict[str, Hook] = {}
        for layer, sites in enumerate(model.sites):
            hooks[sites.z] = hold(sites.z, sender.head if layer == sender.layer else None)
            if freeze_mlps:
                hooks[sites.mlp_out] = hold(sites.mlp_out, None)
        if receivers is not None:
            recorded: dict[str, Tensor] = {}
            for site in {_site(model, head, component) for head in receivers}:
                hooks[site] = lambda value, site=site, kept=recorded: kept.__setitem__(site, value[rows, at])
            model.resid(contrast.clean, hooks=hooks)
            hooks = {site: receive(site, value) for site, value in recorded.items()}
        effects.append(_difference(model, contrast, model.resid(contrast.clean, hooks=hooks)) - before)
    return torch.stack(effects)


def _streams(
    model: Decoder, clean: EndTrace, sender: int, change: Float[Tensor, "patch batch d_model"], freeze_mlps: bool
) -> dict[int, Float[Tensor, "patch batch d_model"]]:
    """The stream at END before each block after the sender's, and after the last, all other heads held."""
    layers = range(sender + 1, model.cfg.n_layer + 1)
    if freeze_mlps:
        return {layer: clean.resid[layer] + change for layer in layers}
    found: dict[int, Tensor] = {}
    x = clean.resid[sender] + change
    for layer in layers:
        x = model.block(layer - 1).after(x, clean.read[layer - 1].expand_as(x))
        found[layer] = x
    return found


def _received(
    model: Decoder, clean: EndTrace, receivers: Sequence[Head], component: Component, streams: dict[int, Tensor]
) -> Overrides:
    """What the receivers compute from these streams; those before the sender compute what they did."""
    values: dict[Head, Tensor] = {}
    for head in receivers:
        x = streams.get(head.layer)
        if x is not None:
            normed = model.block(head.layer).norm_attn(x)
            values[head] = end_components(model, head.layer, normed, clean.end)[component][:, :, head.head]
    return Overrides.of(component, values)


def _values_at(model: Decoder, tokens: Tensor, sites: Sequence[str], at: Tensor) -> dict[str, Tensor]:
    rows = torch.arange(len(tokens))
    found: dict[str, Tensor] = {}
    model.resid(tokens, hooks={s: (lambda value, s=s: found.__setitem__(s, value[rows, at])) for s in sites})
    return found


def _difference(model: Decoder, contrast: Contrast, resid: Float[Tensor, "batch pos d_model"]) -> Tensor:
    last = model.norm_final(resid[torch.arange(contrast.size), contrast.end])
    return (last * contrast.readout(model)).sum(-1)


def _site(model: Decoder, head: Head, component: Receiving) -> str:
    return getattr(model.sites[head.layer], component)
