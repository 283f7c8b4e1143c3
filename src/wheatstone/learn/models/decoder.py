"""The decoder of pretrained language models: GPT-2's block and Llama's, hookable as `Transformer` is.

A block is x + attention(norm(x)), then x + mlp(norm(x)). GPT-2 (Radford et al. 2019) takes layer norm, learned
positions, biases and one GELU layer; Llama (Touvron et al. 2023, arXiv:2302.13971) takes RMS norm (Zhang and Sennrich
2019), rotary positions (Su et al. 2021), no biases and a gated layer, down(silu(gate(x)) * up(x)) (Shazeer 2020,
arXiv:2002.05202). Several query heads may share one key and value head (Ainslie et al. 2023, arXiv:2305.13245).

Rotary features are paired i with i + d_head / 2. Files that pair neighbours (2 i with 2 i + 1) are permuted when they
are read: the same permutation of queries and keys leaves every score as it is, so there is one computation here.

The sites are those of `Sites`, and `blocks.L.mlp.hook_post`, the neurons. Keys and values have the heads that the
weights have: `kv_head`, not `head`. `blocks.L.ln2.hook_normalized` is what the feed-forward layer reads, the norm's
gain included (TransformerLens folds the gain away or, for RMS norm, shows the value before it).

Shapes use the words `batch pos head kv_head d_model d_head d_mlp vocab`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor, nn

from wheatstone.learn.models.transformer import (
    INIT_STD,
    Heads,
    Hooks,
    Mask,
    Past,
    Sites,
    attention_pattern,
    causal_mask,
    rotate,
    tap,
)


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and variants of a `Decoder`; the defaults are Llama's."""

    vocab: Annotated[int, Gt(0)]
    """Number of tokens."""
    context: Annotated[int, Gt(0)]
    """Longest sequence (positions)."""
    d_model: Annotated[int, Gt(0)]
    """Width of the residual stream."""
    n_layer: Annotated[int, Gt(0)]
    n_head: Annotated[int, Gt(0)]
    """Query heads."""
    n_kv_head: Annotated[int, Gt(0)]
    """Key and value heads; divides n_head."""
    d_head: Annotated[int, Gt(0)]
    """Width of a head; even where positions are rotary."""
    d_mlp: Annotated[int, Ge(0)]
    """Width of the feed-forward layer; 0 is attention only."""
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: Annotated[float, Gt(0)] = 1e-5
    positions: Literal["rotary", "learned", "none"] = "rotary"
    rotary_base: Annotated[float, Gt(0)] = 10_000.0
    mlp: Literal["swiglu", "gelu", "gelu_tanh"] = "swiglu"
    qkv_bias: bool = False
    """Biases of queries, keys and values."""
    bias: bool = False
    """Biases of the attention's output and of the feed-forward layer."""
    tied: bool = False
    """Unembed with the transposed embedding."""

    def __post_init__(self) -> None:
        if self.n_head % self.n_kv_head:
            raise ValueError(f"n_kv_head must divide n_head: got n_kv_head {self.n_kv_head}, n_head {self.n_head}")
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(f"rotary positions pair features: d_head is {self.d_head}, must be even")

    @property
    def depth(self) -> int:
        """Applied blocks, under the name that `TransformerConfig` has for them."""
        return self.n_layer

    @property
    def queries_per_kv_head(self) -> int:
        return self.n_head // self.n_kv_head


class GroupedAttention(nn.Module):
    """Attention in which `queries_per_kv_head` neighbouring query heads share one key and value head."""

    def __init__(self, cfg: DecoderConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.q = nn.Linear(cfg.d_model, cfg.n_head * cfg.d_head, bias=cfg.qkv_bias)
        self.k = nn.Linear(cfg.d_model, cfg.n_kv_head * cfg.d_head, bias=cfg.qkv_bias)
        self.v = nn.Linear(cfg.d_model, cfg.n_kv_head * cfg.d_head, bias=cfg.qkv_bias)
        self.out = nn.Linear(cfg.n_head * cfg.d_head, cfg.d_model, bias=cfg.bias)

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        mask: Mask | None,
        positions: Int[Tensor, " pos"],
        hooks: Hooks | None,
        sites: Sites,
    ) -> Float[Tensor, "batch pos d_model"]:
        q, k, v = self._split(x, positions)  # batch pos head d_head, batch pos kv_head d_head
        q, k, v = tap(hooks, sites.q, q), tap(hooks, sites.k, k), tap(hooks, sites.v, v)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if hooks is not None and sites.pattern in hooks:  # the fused kernel does not show its pattern
            pattern = tap(hooks, sites.pattern, attention_pattern(q, self.shared(k), mask))
            z = pattern @ self.shared(v)
        else:
            z = F.scaled_dot_product_attention(
                q, self.shared(k), self.shared(v), attn_mask=mask, is_causal=mask is None
            )
        z = tap(hooks, sites.z, z.transpose(1, 2))  # batch pos head d_head
        return self.out(z.flatten(2))

    def heads(self, x: Float[Tensor, "batch pos d_model"], positions: Int[Tensor, " pos"]) -> Heads:
        """Queries [batch head pos d_head], keys and values [batch kv_head pos d_head] of every position."""
        return Heads(*(part.transpose(1, 2) for part in self._split(x, positions)))

    def read(self, heads: Heads) -> Float[Tensor, "batch asked d_model"]:
        """What the last positions read, as many as there are queries."""
        return self.out(self.mixed(heads).flatten(2))

    def mixed(self, heads: Heads) -> Float[Tensor, "batch asked head d_head"]:
        """What each head reads there, before the output matrix."""
        asked, length = heads.q.shape[2], heads.k.shape[2]
        seen = None if asked == 1 else causal_mask(length, heads.q.device)[-asked:]
        z = F.scaled_dot_product_attention(heads.q, self.shared(heads.k), self.shared(heads.v), attn_mask=seen)
        return z.transpose(1, 2)

    def going_on(
        self, x: Float[Tensor, "batch pos d_model"], positions: Int[Tensor, " pos"], past: Past | None
    ) -> tuple[Float[Tensor, "batch pos d_model"], Past]:
        """What new positions read from all and from `past`, and the past of the next call."""
        q, k, v = self.heads(x, positions)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        return self.read(Heads(q, k, v)), (k, v)

    def shared(self, kv: Float[Tensor, "batch kv_head pos d_head"]) -> Float[Tensor, "batch head pos d_head"]:
        """Keys or values as each query head sees them."""
        groups = self.cfg.queries_per_kv_head
        return kv if groups == 1 else kv.repeat_interleave(groups, 1)

    def head_outputs(self, z: Float[Tensor, "*batch head d_head"]) -> Float[Tensor, "*batch head d_model"]:
        """What each head writes into the stream; their sum and the bias are the attention's output."""
        matrix = self.out.weight.view(-1, self.cfg.n_head, self.cfg.d_head)
        return torch.einsum("...hf,mhf->...hm", z, matrix)

    def _split(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, pos, _ = x.shape
        q, k, v = (part.view(batch, pos, -1, self.cfg.d_head) for part in (self.q(x), self.k(x), self.v(x)))
        if self.cfg.positions == "rotary":
            q, k = (rotate(part, positions, self.cfg.rotary_base) for part in (q, k))
        return q, k, v


class FeedForward(nn.Module):
    """down(silu(gate(x)) * up(x)), or down(gelu(up(x)))."""

    def __init__(self, cfg: DecoderConfig) -> None:
        super().__init__()
        self.kind = cfg.mlp
        self.gate = nn.Linear(cfg.d_model, cfg.d_mlp, bias=cfg.bias) if cfg.mlp == "swiglu" else None
        self.up = nn.Linear(cfg.d_model, cfg.d_mlp, bias=cfg.bias)
        self.down = nn.Linear(cfg.d_mlp, cfg.d_model, bias=cfg.bias)

    def forward(
        self, x: Float[Tensor, "*batch d_model"], hooks: Hooks | None = None, site: str = ""
    ) -> Float[Tensor, "*batch d_model"]:
        if self.gate is not None:
            neurons = F.silu(self.gate(x)) * self.up(x)
        else:
            neurons = F.gelu(self.up(x), approximate="tanh" if self.kind == "gelu_tanh" else "none")
        return self.down(tap(hooks, site, neurons))


def _norm(cfg: DecoderConfig) -> nn.Module:
    kind = nn.RMSNorm if cfg.norm == "rms" else nn.LayerNorm
    return kind(cfg.d_model, eps=cfg.norm_eps)


class DecoderBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, cfg: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.neurons = f"blocks.{layer}.mlp.hook_post"
        self.norm_attn = _norm(cfg)
        self.attn = GroupedAttention(cfg)
        self.norm_mlp = _norm(cfg) if cfg.d_mlp else None
        self.mlp = FeedForward(cfg) if cfg.d_mlp else None

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        mask: Mask | None,
        positions: Int[Tensor, " pos"],
        hooks: Hooks | None,
        sites: Sites,
    ) -> Float[Tensor, "batch pos d_model"]:
        x = tap(hooks, sites.resid_pre, x)
        x = x + tap(hooks, sites.attn_out, self.attn(self.norm_attn(x), mask, positions, hooks, sites))
        x = tap(hooks, sites.resid_mid, x)
        if self.norm_mlp is not None and self.mlp is not None:
            normed = tap(hooks, sites.mlp_in, self.norm_mlp(x))
            x = x + tap(
                hooks,
                sites.mlp_out,
                self.mlp(normed, hooks, self.neurons),
            )
        return tap(hooks, sites.resid_post, x)

    def going_on(
        self, x: Float[Tensor, "batch pos d_model"], positions: Int[Tensor, " pos"], past: Past | None
    ) -> tuple[Float[Tensor, "batch pos d_model"], Past]:
        """`forward` for new positions only; see `GroupedAttention.going_on`."""
        attn, past = self.attn.going_on(self.norm_attn(x), positions, past)
        return self.after(x, attn), past

    def after(
        self, x: Float[Tensor, "*batch d_model"], attn: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_model"]:
        """The stream after the block when its positions have read `attn`."""
        x = x + attn
        return x if self.norm_mlp is None or self.mlp is None else x + self.mlp(self.norm_mlp(x))


class Decoder(nn.Module):
    """tokens -> residual stream -> logits. Without `init` the weights are left to whoever loads them."""

    def __init__(self, cfg: DecoderConfig, init: torch.Generator | None = None) -> None:
        super().__init__()
        self.cfg = cfg
        with torch.device("meta") if init is None else torch.device("cpu"):
            self.embedding = nn.Parameter(torch.empty(cfg.vocab, cfg.d_model))
            learned = cfg.positions == "learned"
            self.position = nn.Parameter(torch.empty(cfg.context, cfg.d_model)) if learned else None
            self.blocks = nn.ModuleList(DecoderBlock(cfg, layer) for layer in range(cfg.n_layer))
            self.norm_final = _norm(cfg)
            self.unembedding = None if cfg.tied else nn.Parameter(torch.empty(cfg.vocab, cfg.d_model))
        self.sites = tuple(Sites.of(layer) for layer in range(cfg.n_layer))
        if init is not None:
            self._initialise(init)

    @torch.no_grad()
    def _initialise(self, init: torch.Generator) -> None:
        """GPT-2's initialisation: normal 0.02, branch outputs scaled by 1/sqrt(2 n_layer), biases zero."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                branch_output = name.endswith(("attn.out.weight", "down.weight"))
                parameter.normal_(
                    0.0, INIT_STD / math.sqrt(2 * self.cfg.n_layer if branch_output else 1), generator=init
                )
            elif name.endswith("bias"):
                parameter.zero_()

    def forward(
        self,
        tokens: Int[Tensor, "batch pos"],
        *,
        mask: Mask | None = None,
        positions: Int[Tensor, " pos"] | None = None,
        hooks: Hooks | None = None,
    ) -> Float[Tensor, "batch pos vocab"]:
        """Logits at every position."""
        return self.unembed(self.resid(tokens, mask=mask, positions=positions, hooks=hooks), hooks=hooks)

    def resid(
        self,
        tokens: Int[Tensor, "batch pos"],
        *,
        mask: Mask | None = None,
        positions: Int[Tensor, " pos"] | None = None,
        hooks: Hooks | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream after the last block: unembed only the positions whose logits are needed."""
        x, positions = self.embed(tokens, positions, hooks)
        return self.run_blocks(x, mask=mask, positions=positions, hooks=hooks)

    def embed(
        self, tokens: Int[Tensor, "batch pos"], positions: Int[Tensor, " pos"] | None, hooks: Hooks | None
    ) -> tuple[Float[Tensor, "batch pos d_model"], Int[Tensor, " pos"]]:
        """The stream before the first block, and the positions of its columns."""
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = tap(hooks, "hook_embed", F.embedding(tokens, self.embedding))
        if self.position is not None:
            x = x + tap(hooks, "hook_pos_embed", self.position[positions].expand_as(x))
        return x, positions

    def run_blocks(
        self,
        x: Float[Tensor, "batch pos d_model"],
        *,
        start: int = 0,
        stop: int | None = None,
        mask: Mask | None = None,
        positions: Int[Tensor, " pos"] | None = None,
        hooks: Hooks | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """Apply layers `start` .. `stop` - 1 (None: to the end): an intervention re-runs only what follows it."""
        if positions is None:
            positions = torch.arange(x.shape[1], device=x.device)
        for layer in range(start, self.cfg.n_layer if stop is None else stop):
            x = self.block(layer)(x, mask, positions, hooks, self.sites[layer])
        return x

    def going_on(
        self, tokens: Int[Tensor, "batch pos"], past: Sequence[Past] = ()
    ) -> tuple[Float[Tensor, "batch pos d_model"], list[Past]]:
        """`resid` of new tokens that follow those of `past` (empty: the start), and the past of the next call."""
        begin = past[0][0].shape[2] if past else 0
        x, positions = self.embed(tokens, torch.arange(begin, begin + tokens.shape[1], device=tokens.device), None)
        now: list[Past] = []
        for layer in range(self.cfg.n_layer):
            x, of_layer = self.block(layer).going_on(x, positions, past[layer] if past else None)
            now.append(of_layer)
        return x, now

    def block(self, layer: int) -> DecoderBlock:
        """The block that is applied as layer `layer`."""
        return cast("DecoderBlock", self.blocks[layer])

    def unembed(
        self, resid: Float[Tensor, "*batch d_model"], *, hooks: Hooks | None = None
    ) -> Float[Tensor, "*batch vocab"]:
        """Final norm, then the (tied) unembedding."""
        return tap(hooks, "ln_final.hook_normalized", self.norm_final(resid)) @ self.unembedding_matrix.T

    @property
    def unembedding_matrix(self) -> Float[Tensor, "vocab d_model"]:
        return self.embedding if self.unembedding is None else self.unembedding

    def config_json(self) -> dict[str, object]:
        return dataclasses.asdict(self.cfg)
