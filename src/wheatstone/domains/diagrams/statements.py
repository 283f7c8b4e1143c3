"""The transformer over a set of statements as a diagram: `learn/models/statements.py`, drawn as it reads.

A statement is three whole numbers here, its kind and two names, where the model packs them into one. Rows have no
padding: every position sees every other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheatstone.domains.diagrams.drawing import draw
from wheatstone.domains.diagrams.models import (
    CAPTION,
    added_positions,
    blocks_term,
    trained_config,
    trained_title,
    transformer_sizes,
)
from wheatstone.domains.diagrams.terms import (
    Elementwise,
    Embed,
    Map,
    Term,
    Weight,
    layer_norm,
    linear,
    par,
    seq,
)
from wheatstone.domains.diagrams.types import Axis, Obj, Size, obj, symbol

if TYPE_CHECKING:
    from wheatstone.bench.exhibit import Diagram
    from wheatstone.bench.run import Run
    from wheatstone.learn.models.transformer import TransformerConfig

KINDS, ANSWERS = 4, 2


def statement_term(cfg: TransformerConfig, vocab: Size | None = None) -> Term:
    """Statements, as kinds `t`, first names `t` and second names `t`, to logits `t v` of no and yes.

    Weights are named as in a `StatementTransformer`'s state dictionary. `vocab` may stand for the number of names,
    as a symbol.
    """
    vocab = cfg.vocab if vocab is None else vocab

    def name(part: str) -> Term:
        return seq(Embed(vocab, Axis("e", cfg.d_model), Weight("embedding")), linear("e -> m", part, bias=False))

    names = seq(par(name("first"), name("second")), Elementwise("add", 2))
    embed: list[Term] = [
        par(Embed(KINDS, Axis("m", cfg.d_model), Weight("kind")), names),
        Elementwise("add", 2),
        *added_positions(cfg),
    ]
    answer = Map(("m",), (Axis("v", ANSWERS),), Weight("unembedding"))
    return seq(*embed, blocks_term(cfg, causal=False), layer_norm("m", "norm_final"), answer)


def statement_domain(length: int | str = "t") -> Obj:
    """What the diagram takes: kind, first and second name of `length` statements."""
    return obj("int t, int t, int t", t=length)


def statement_network(run: Run, arm: str) -> Diagram:
    """The network that an arm of a run trains, drawn from the arm's recipe; the number of names stays a letter, `w`."""
    cfg = trained_config(run, arm)
    sizes = dict[str, Size](transformer_sizes(cfg))
    term = statement_term(cfg, symbol("w"))
    return draw(term, statement_domain(), sizes, name="network", title=trained_title(cfg, arm), caption=CAPTION)
