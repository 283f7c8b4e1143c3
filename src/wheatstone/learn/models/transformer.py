"""One decoder-only transformer for every study, read top to bottom: embed, blocks, unembed.

The block is GPT-2's (Radford et al. 2019): pre-layer-norm, tanh-approximated GELU, tied embeddings; with GPT-2's own
weights it computes GPT-2's logits. Options are those that the studies vary: how positions enter, sharing the layers
over several loops (Universal Transformer; App. E.2 of Wang et al. 2024, arXiv:2405.15071), one feed-forward memory
shared by all layers, attention only.

Every intermediate value that an experimenter may want passes a named site (names of TransformerLens, so that notebooks
carry over: `blocks.0.hook_resid_post`). `forward(tokens, hooks={site: function})` lets the function read the value and,
by returning a tensor, replace it. Without hooks a site costs one comparison.

Shapes use the words `batch pos head d_model d_head d_mlp vocab`; `layer` counts applied blocks, so a block that is
looped twice has two layers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Past = tuple[Tensor, Tensor]
"""Keys and values [batch head pos d_head] of the positions that one applied block has seen."""
Hook = Callable[[Tensor], Tensor | None]
Hooks = Mapping[str, Hook]
Mask = Bool[Tensor, "pos pos"] | Bool[Tensor, "batch 1 1 pos"]
"""Which keys a query sees: one matrix for all rows, or one set of keys a row, seen by each of its queries."""

INIT_STD = 0.02


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and variants of a `Transformer`."""

    vocab: Annotated[int, Gt(0)]
    """Number of tokens."""
    context: Annotated[int, Gt(0)]
    """Longest sequence (positions)."""
    d_model: Annotated[int, Gt(0)] = 128
    """Width of the residual stream."""
    n_layer: Annotated[int, Gt(0)] = 2
    """Blocks with weights of their own."""
    n_head: Annotated[int, Gt(0)] = 4
    """Attention heads; divides d_model."""
    d_mlp: Annotated[int, Ge(0)] | None = None
    """Width of the feed-forward layer; None is 4 d_model (GPT-2), 0 is attention only."""
    positions: Literal["learned", "rotary", "sinusoidal", "none"] = "learned"
    """Added vectors (GPT-2), rotated queries and keys (Su et al. 2021), added waves (Vaswani et al. 2017), or only the
    causal mask."""
    loops: Annotated[int, Gt(0)] = 1
    """Times that the whole stack is applied with the same weights."""
    shared_memory: Annotated[int, Ge(0)] = 0
    """Width of one feed-forward layer that every block also reads (0: none; 1536 in arXiv:2405.15071's code)."""
    tied: bool = True
    """Unembed with the transposed embedding."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Dropout on embeddings, attention and both branch outputs (GPT-2: 0.1)."""

    def __post_init__(self) -> None:
        if self.d_model % self.n_head:
            raise ValueError(f"n_head must divide d_model: got n_head {self.n_head}, d_model {self.d_model}")

    @property
    def depth(self) -> int:
        """Applied blocks: n_layer times loops."""
        return self.n_layer * self.loops

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_head


class Sites(NamedTuple):
    """The hook sites of one applied block."""

    resid_pre: str
    q: str
    k: str
    v: str
    pattern: str
    z: str
    attn_out: str
    resid_mid: str
    mlp_out: str
    resid_post: str
    mlp_in: str
    """The normalised stream that the feed-forward layer reads."""

    @staticmethod
    def of(layer: int) -> Sites:
        block = f"blocks.{layer}"
        return Sites(
            f"{block}.hook_resid_pre",
            *(f"{block}.attn.hook_{name}" for name in ("q", "k", "v", "pattern", "z")),
            *(f"{block}.hook_{name}" for name in ("attn_out", "resid_mid", "mlp_out", "resid_post")),
            mlp_in=f"{block}.ln2.hook_normalized",
        )


def tap(hooks: Hooks | None, site: str, value: Tensor) -> Tensor:
    """Show `value` to the hook at `site`; the hook's tensor, if it returns one, replaces it."""
    if hooks is None or site not in hooks:
        return value
    replacement = hooks[site](value)
    return value if replacement is None else replacement


class Heads(NamedTuple):
    """Queries, keys and values of one applied block, each [batch head pos d_head] (after rotary turns)."""

    q: Tensor
    k: Tensor
    v: Tensor


class Attention(nn.Module):
    """Multi-head attention. Queries, keys and values have weights of their own: Muon orthogonalises each alone."""

    def __init__(self, cfg: TransformerConfig) -> None:
        super().__init__()
        self.n_head, self.d_head = cfg.n_head, cfg.d_head
        self.dropout, self.rotary = cfg.dropout, cfg.positions == "rotary"
        self.q = nn.Linear(cfg.d_model, cfg.d_model)
        self.k = nn.Linear(cfg.d_model, cfg.d_model)
        self.v = nn.Linear(cfg.d_model, cfg.d_model)
        self.out = nn.Linear(cfg.d_model, cfg.d_model)

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        mask: Mask | None,
        positions: Int[Tensor, " pos"],
        hooks: Hooks | None,
        sites: Sites,
        at: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch asked d_model"]:
        """What every position reads; with `at`, what one position a row reads (`pos` of the result is then 1)."""
        if at is not None:
            return self._at(x, mask, positions, at)
        split = (*x.shape[:2], self.n_head, self.d_head)
        q, k, v = self.q(x).view(split), self.k(x).view(split), self.v(x).view(split)  # batch pos head d_head
        if self.rotary:
            q, k = rotate(q, positions), rotate(k, positions)
        q, k, v = tap(hooks, sites.q, q), tap(hooks, sites.k, k), tap(hooks, sites.v, v)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # batch head pos d_head
        if hooks is not None and sites.pattern in hooks:  # the fused kernel does not show its pattern
            z = tap(hooks, sites.pattern, attention_pattern(q, k, mask)) @ v
        else:
            dropout = self.dropout if self.training else 0.0
            z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, dropout_p=dropout)
        z = tap(hooks, sites.z, z.transpose(1, 2))  # batch pos head d_head
        return self.out(z.flatten(2))

    def heads(self, x: Float[Tensor, "batch pos d_model"], positions: Int[Tensor, " pos"]) -> Heads:
        """Queries, keys and values of every position."""
        split = (*x.shape[:2], self.n_head, self.d_head)
        q, k, v = self.q(x).view(split), self.k(x).view(split), self.v(x).view(split)
        if self.rotary:
            q, k = rotate(q, positions), rotate(k, positions)
        return Heads(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))

    def read(self, heads: Heads) -> Float[Tensor, "batch asked d_model"]:
        """What the last positions read, as many as there are queries."""
        asked, length = heads.q.shape[2], heads.k.shape[2]
        seen = None if asked == 1 else causal_mask(length, heads.q.device)[-asked:]
        z = F.scaled_dot_product_attention(heads.q, heads.k, heads.v, attn_mask=seen)
        return self.out(z.transpose(1, 2).flatten(2))

    def going_on(
        self, x: Float[Tensor, "batch pos d_model"], positions: Int[Tensor, " pos"], past: Past | None, asked: int
    ) -> tuple[Float[Tensor, "batch asked d_model"], Past]:
        """What the last `asked` of the new positions read from all and from `past`, and the past of the next call."""
        q, k, v = self.heads(x, positions)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        return self.read(Heads(q[:, :, q.shape[2] - asked :], k, v)), (k, v)

    def _at(
        self,
        x: Float[Tensor, "batch pos d_model"],
        mask: Mask | None,
        positions: Int[Tensor, " pos"],
        at: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch 1 d_model"]:
        batch, length = x.shape[:2]
        split = (batch, length, self.n_head, self.d_head)
        k, v = self.k(x).view(split), self.v(x).view(split)
        q = self.q(row_at(x, at)).view(batch, 1, self.n_head, self.d_head)
        if self.rotary:
            k = rotate(k, positions)
            q = rotate(q.transpose(0, 1), positions[at]).transpose(0, 1)  # one position a row: rows take its place
        if mask is None or mask.ndim == 2:
            mask = (causal_mask(length, x.device) if mask is None else mask)[at][:, None, None]  # batch 1 1 pos
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(z.transpose(1, 2).flatten(2))


def attention_pattern(
    q: Float[Tensor, "batch head pos d_head"], k: Float[Tensor, "batch head pos d_head"], mask: Tensor | None
) -> Float[Tensor, "batch head pos pos"]:
    """softmax(q k / sqrt(d_head)) over the positions that `mask` lets a query see (None: causal)."""
    if mask is None:
        mask = causal_mask(q.shape[2], q.device)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, -torch.inf).softmax(-1)


def row_at(x: Float[Tensor, "batch pos d_model"], at: Int[Tensor, " batch"]) -> Float[Tensor, "batch 1 d_model"]:
    """The state of one position of each row."""
    return x.gather(1, at[:, None, None].expand(-1, 1, x.shape[-1]))


def causal_mask(length: int, device: torch.device | None = None) -> Bool[Tensor, "pos pos"]:
    """True where the query (row) may see the key (column)."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def rotate(x: Float[Tensor, "batch pos head d_head"], positions: Int[Tensor, " pos"], base: float = 10_000) -> Tensor:
    """Rotary position embedding (Su et al. 2021, eq. 34), pairing feature i with i + d_head / 2."""
    half = x.shape[-1] // 2
    rate = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = positions[:, None].float() * rate  # pos half
    cos, sin = angle.cos()[:, None].to(x.dtype), angle.sin()[:, None].to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def waves(positions: Int[Tensor, " pos"], d_model: int, base: float = 10_000) -> Float[Tensor, "pos d_model"]:
    """Sines in the even features, cosines in the odd ones (Vaswani et al. 2017, section 3.5), times `INIT_STD`.

    There as in arXiv:2407.07612 they are added to token vectors with entries of about 1; here those begin at INIT_STD.
    """
    rate = base ** (-torch.arange(0, d_model, 2, device=positions.device, dtype=torch.float32) / d_model)
    angle = positions[:, None].float() * rate  # pos feature/2
    return INIT_STD * torch.stack((angle.sin(), angle.cos()), -1).flatten(1)[:, :d_model]


class MLP(nn.Module):
    """Two linear maps with GPT-2's tanh-approximated GELU between them."""

    def __init__(self, d_model: int, d_mlp: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, d_mlp)
        self.down = nn.Linear(d_mlp, d_model)

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)) (+ the shared memory's answer)."""

    def __init__(self, cfg: TransformerConfig) -> None:
        super().__init__()
        d_mlp = 4 * cfg.d_model if cfg.d_mlp is None else cfg.d_mlp
        self.norm_attn = nn.LayerNorm(cfg.d_model)
        self.attn = Attention(cfg)
        self.norm_mlp = nn.LayerNorm(cfg.d_model) if d_mlp or cfg.shared_memory else None
        self.mlp = MLP(cfg.d_model, d_mlp) if d_mlp else None
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        mask: Mask | None,
        positions: Int[Tensor, " pos"],
        memory: MLP | None,
        hooks: Hooks | None,
        sites: Sites,
        at: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch asked d_model"]:
        x = tap(hooks, sites.resid_pre, x)
        attn = self.dropout(self.attn(self.norm_attn(x), mask, positions, hooks, sites, at))
        x = x if at is None else row_at(x, at)
        x = tap(hooks, sites.resid_mid, x + tap(hooks, sites.attn_out, attn))
        if self.norm_mlp is not None:
            x = x + tap(hooks, sites.mlp_out, self.dropout(self._feed_forward(x, memory, hooks, sites)))
        return tap(hooks, sites.resid_post, x)

    def going_on(
        self,
        x: Float[Tensor, "batch pos d_model"],
        positions: Int[Tensor, " pos"],
        memory: MLP | None,
        past: Past | None,
        asked: int | None = None,
    ) -> tuple[Float[Tensor, "batch asked d_model"], Past]:
        """`forward` for new positions only, and of those for the last `asked` (None: all); see `Attention.going_on`."""
        asked = x.shape[1] if asked is None else asked
        attn, past = self.attn.going_on(self.norm_attn(x), positions, past, asked)
        return self.after(x[:, x.shape[1] - asked :], attn, memory), past

    def after(
        self, x: Float[Tensor, "batch pos d_model"], attn: Float[Tensor, "batch pos d_model"], memory: MLP | None
    ) -> Float[Tensor, "batch pos d_model"]:
        """The stream after the block when its positions have read `attn`."""
        x = x + attn
        return x if self.norm_mlp is None else x + self._feed_forward(x, memory)

    def _feed_forward(
        self,
        x: Float[Tensor, "*batch d_model"],
        memory: MLP | None,
        hooks: Hooks | None = None,
        sites: Sites | None = None,
    ) -> Float[Tensor, "*batch d_model"]:
        assert self.norm_mlp is not None
        normed = self.norm_mlp(x)
        if sites is not None:
            normed = tap(hooks, sites.mlp_in, normed)
        branches = [branch(normed) for branch in (self.mlp, memory) if branch is not None]
        return branches[0] if len(branches) == 1 else branches[0] + branches[1]


class Transformer(nn.Module):
    """tokens -> residual stream -> logits. `init` seeds the weights; the global generator is not touched."""

    fixed_shapes: ClassVar[bool] = True
    """What is computed has the same shapes for all tokens of one shape, so that a step can be stacked with those of
    other models (`learn/stack.py`) and captured (`learn/captured.py`)."""

    def __init__(self, cfg: TransformerConfig, init: torch.Generator) -> None:
        super().__init__()
        self.cfg = cfg
        self.embedding = nn.Parameter(torch.empty(cfg.vocab, cfg.d_model))
        self.position = nn.Parameter(torch.empty(cfg.context, cfg.d_model)) if cfg.positions == "learned" else None
        self.memory = MLP(cfg.d_model, cfg.shared_memory) if cfg.shared_memory else None
        self.blocks = nn.ModuleList(self.new_block(layer) for layer in range(cfg.n_layer))
        self.norm_final = nn.LayerNorm(cfg.d_model)
        self.unembedding = None if cfg.tied else nn.Parameter(torch.empty(cfg.vocab, cfg.d_model))
        self.dropout = nn.Dropout(cfg.dropout)
        self.sites = tuple(Sites.of(layer) for layer in range(cfg.depth))
        self._initialise(init)

    @torch.no_grad()
    def _initialise(self, init: torch.Generator) -> None:
        """GPT-2's initialisation: normal 0.02, branch outputs scaled by 1/sqrt(2 depth), biases zero."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                branch_output = name.endswith(("attn.out.weight", "down.weight"))
                std = INIT_STD / math.sqrt(2 * self.cfg.depth) if branch_output else INIT_STD
                parameter.normal_(0.0, std, generator=init)
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
        """The residual stream after the last block: unembed only the positions whose logits are needed.

        `mask` says which keys a query sees (None: causal), `positions` the position of each column (None: 0, 1, ...);
        together they let one row hold several questions that share a prefix.
        """
        x, positions = self.embed(tokens, positions, hooks)
        return self.run_blocks(x, mask=mask, positions=positions, hooks=hooks)

    def resid_at(
        self,
        tokens: Int[Tensor, "batch pos"],
        at: Int[Tensor, " batch"],
        *,
        mask: Mask | None = None,
        positions: Int[Tensor, " pos"] | None = None,
    ) -> Float[Tensor, "batch d_model"]:
        """`resid` at one position a row: the last block computes queries and feed-forward for that position alone.

        On questions of three tokens and two blocks this saves 28 % of the multiplications.
        """
        x, positions = self.embed(tokens, positions, None)
        x = self.run_blocks(x, stop=self.cfg.depth - 1, mask=mask, positions=positions)
        last = self.blocks[-1]
        return last(x, mask, positions, self.memory, None, self.sites[-1], at)[:, 0]

    def embed(
        self, tokens: Int[Tensor, "batch pos"], positions: Int[Tensor, " pos"] | None, hooks: Hooks | None
    ) -> tuple[Float[Tensor, "batch pos d_model"], Int[Tensor, " pos"]]:
        """The stream before the first block, and the positions of its columns."""
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = tap(hooks, "hook_embed", F.embedding(tokens, self.embedding))
        return self.dropout(self.placed(x, positions, hooks)), positions

    def placed(
        self, x: Float[Tensor, "batch pos d_model"], positions: Int[Tensor, " pos"], hooks: Hooks | None = None
    ) -> Float[Tensor, "batch pos d_model"]:
        """`x` with the vectors of its positions added, where positions are told that way."""
        if self.position is not None:
            added = self.position[positions]
        elif self.cfg.positions == "sinusoidal":
            added = waves(positions, self.cfg.d_model).to(x.dtype)
        else:
            return x
        return x + tap(hooks, "hook_pos_embed", added.expand_as(x))

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
        for layer in range(start, self.cfg.depth if stop is None else stop):
            x = self.block(layer)(x, mask, positions, self.memory, hooks, self.sites[layer])
        return x

    def going_on(
        self, tokens: Int[Tensor, "batch pos"], past: Sequence[Past] = ()
    ) -> tuple[Float[Tensor, "batch pos d_model"], list[Past]]:
        """`resid` of new tokens that follow those of `past` (empty: the start), and the past of the next call.

        For generating: a new token costs one position, not the whole sequence again. Dropout is not applied.
        """
        begin = past[0][0].shape[2] if past else 0
        positions = torch.arange(begin, begin + tokens.shape[1], device=tokens.device)
        x = self.placed(F.embedding(tokens, self.embedding), positions)
        now: list[Past] = []
        for layer in range(self.cfg.depth):
            x, of_layer = self.block(layer).going_on(x, positions, self.memory, past[layer] if past else None)
            now.append(of_layer)
        return x, now

    def new_block(self, layer: int) -> Block:  # noqa: ARG002, a subclass may tell its blocks where they stand
        """The block of a layer, not initialised: what a subclass with other blocks replaces."""
        return Block(self.cfg)

    def penalty(self) -> Float[Tensor, ""] | float:
        """What the training loop adds to the loss of the forward pass just made: nothing, unless a subclass does."""
        return 0.0

    def block(self, layer: int) -> Block:
        """The block that is applied as layer `layer`."""
        return cast("Block", self.blocks[layer % self.cfg.n_layer])

    def unembed(
        self, resid: Float[Tensor, "*batch d_model"], *, hooks: Hooks | None = None
    ) -> Float[Tensor, "*batch vocab"]:
        """Final layer norm, then the (tied) unembedding."""
        matrix = self.embedding if self.unembedding is None else self.unembedding
        return tap(hooks, "ln_final.hook_normalized", self.norm_final(resid)) @ matrix.T

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The two-dimensional weights inside blocks and memory: what Muon orthogonalises."""
        return [p for name, p in self.named_parameters() if p.ndim == 2 and name.startswith(("blocks.", "memory."))]

    def config_json(self) -> dict[str, object]:
        return dataclasses.asdict(self.cfg)
