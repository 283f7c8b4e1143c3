"""Figures and tables of a run: the diagrams themselves, how equal they are, laws, work, memory, mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import Bars, BarSeries, Exhibit, Mark, Note, Table
from wheatstone.bench.record import TrialRecord
from wheatstone.bench.run import Run
from wheatstone.domains.diagrams import architectures as arch
from wheatstone.domains.diagrams.backward import backward
from wheatstone.domains.diagrams.cost import cost
from wheatstone.domains.diagrams.drawing import draw, draw_program
from wheatstone.domains.diagrams.models import CAPTION
from wheatstone.domains.diagrams.program import check
from wheatstone.domains.diagrams.source import source
from wheatstone.domains.diagrams.terms import Term
from wheatstone.domains.diagrams.types import Obj, obj

Drawn = tuple[str, Term, Obj]
"""Title, term, and what it takes."""
OF = {"residual-block": "resnet", "visual-attention": "visual attention"}
"""The architecture that a drawing belongs to, where that has another name."""
GALLERY: Mapping[str, Drawn] = {
    "mlp": ("The recogniser: two hidden layers", arch.mlp("i", "a", "b", "o", classify=True), obj("n i")),
    "attention": ("Scaled dot-product attention", arch.scaled_attention(), obj("y k, x k, x k")),
    "multi-head": ("Multi-head attention", arch.multi_head_attention(), obj("y m, x m")),
    "transformer": ("The transformer's encoder and decoder layer", arch.encoder_decoder(), obj("x m, y m")),
    "conv2d": (
        "A convolution with stride, padding and groups",
        arch.conv("c", "d", "conv", stride=2, padding=1, groups=2),
        obj("n c y x"),
    ),
    "resnet": ("The identity ResNet", arch.resnet(), obj("n c y x")),
    "residual-block": ("Its residual block, opened", arch.res_block("q", ""), obj("n q y x")),
    "unet": ("The U-Net", arch.unet(), obj("n c y x")),
    "vit": ("The vision transformer", arch.vision_transformer(16), obj("c y x")),
    "visual-attention": ("Attention whose learned maps are convolutions", arch.visual_attention(), obj("c y x")),
}


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = [record for record in run.records() if record.is_finished]
    if not finished:
        return []
    by_arm = {arm: [record for record in finished if record.arm == arm] for arm in run.arms}
    found: list[Exhibit] = []
    if by_arm.get("diagrams"):
        seen = {row["name"] for row in by_arm["diagrams"][0].artifact("architectures")}
        shown = {name: one for name, one in GALLERY.items() if OF.get(name, name) in seen}
        found += [*_gallery(shown), _backward(), _costs(shown), _code()]
        found += [_equality(by_arm["diagrams"]), _laws(by_arm), _memory(by_arm["diagrams"])]
        found.append(_mistakes(by_arm["diagrams"]))
        found.append(_refusals(by_arm["diagrams"][0]))
    return found


def _gallery(shown: Mapping[str, Drawn]) -> list[Exhibit]:
    return [
        draw(term, domain, name=f"diagram-{name}", title=title, caption=CAPTION)
        for name, (title, term, domain) in shown.items()
    ]


def _backward() -> Exhibit:
    """The derivative of attention, drawn as a diagram like any other."""
    program = backward(check(arch.scaled_attention(), obj("y k, x k, x k"))).program
    caption = (
        "The same diagram run forwards, then backwards: what runs past between the two halves is what a backward pass "
        "keeps. Inputs: query, keys, values, and the gradient of the output; outputs: the gradients of the three."
    )
    title = "The derivative of attention, as a diagram"
    return draw_program(program, name="diagram-attention-backward", title=title, caption=caption)


def _costs(shown: Mapping[str, Drawn]) -> Exhibit:
    rows: list[list[str]] = []
    for title, term, domain in shown.values():
        found = cost(check(term, domain))
        rows.append([title, *(_polynomial(size) for size in (found.flops, found.weights, found.saved))])
    columns = ["Diagram", "work (multiply-add: 2)", "learned numbers", "kept for the backward pass"]
    caption = "Polynomials of the sizes; of a long one the terms are counted. 'kept' leaves inputs and weights out."
    return Table("costs", "What the diagrams cost", columns, rows, caption)


def _polynomial(size: object) -> str:
    text = str(size).replace("**", "^").replace("*", " ")
    return text if len(text) <= 90 else f"{len(text.split(' + '))} terms"


def _code() -> Exhibit:
    sizes: dict[str, Any] = {"y": 20, "x": 22, "k": 16}
    text = source(arch.scaled_attention(), obj("y k, x k, x k"), sizes, "Attention")
    body = text[text.index("    def forward") :]
    lines = "\n\n".join(line.strip() for line in body.splitlines() if line.strip())
    return Note("code", "The same term as code: attention at y = 20, x = 22, k = 16", lines)


def _equality(records: Sequence[TrialRecord]) -> Exhibit:
    """The worst of every draw and seed for each architecture."""
    rows: dict[str, dict[str, float]] = {}
    columns = ("forward", "gradient", "single", "derived", "numpy", "source")
    for record in records:
        for row in record.artifact("architectures"):
            worst = rows.setdefault(row["name"], dict.fromkeys(columns, 0.0))
            for name in columns:
                worst[name] = max(worst[name], float("inf") if row[name] is None else row[name])
    table = [[name, *(f"{worst[one]:.1e}" for one in columns)] for name, worst in rows.items()]
    heads = ["Architecture", "outputs", "gradients", "outputs, float32", "derived diagram", "numpy", "generated code"]
    caption = (
        "Largest difference, relative where values are above 1, over all draws of sizes and seeds. The first three are "
        "against torch's own layers on copied weights, the others against the compiled diagram."
    )
    return Table("equality", "Diagrams against torch's layers", heads, table, caption)


def _laws(by_arm: Mapping[str, Sequence[TrialRecord]]) -> Exhibit:
    shares: dict[str, dict[str, list[int]]] = {}
    says: dict[str, str] = {}
    for arm in ("diagrams", "mutated"):
        for record in by_arm.get(arm, ()):
            for row in record.artifact("laws"):
                says[row["law"]] = row["says"]
                tried = shares.setdefault(row["law"], {}).setdefault(arm, [0, 0])
                tried[0] += row["failures"]
                tried[1] += row["tried"]
    arms = ("diagrams", "mutated")
    rows = [[name, says[name], *(_share(one.get(arm)) for arm in arms)] for name, one in shares.items()]
    caption = "Random terms with tuples of up to four arrays and axes of size 1. A mutant has one operation exchanged."
    return Table("laws", "Laws on random terms", ["Law", "", "failures", "failures of mutants"], rows, caption)


def _share(counts: Sequence[int] | None) -> str | None:
    return None if counts is None else f"{counts[0]} of {counts[1]}"


def _memory(records: Sequence[TrialRecord]) -> Exhibit:
    rows = records[0].artifact("memory")
    names = [row["name"] for row in rows]
    ratio = BarSeries("by formula, over what torch kept", [row["formula"] / max(1, row["measured"]) for row in rows])
    caption = (
        "Inputs and weights left out, each storage once. torch also keeps what an einsum has to copy, the formula not."
    )
    title = "Numbers kept for the backward pass: the formula over what torch kept, one seed"
    return Bars("memory", title, "ratio", names, [ratio], (0, 1.4), caption, (Mark("y", 1.0, "equal"),))


def _mistakes(records: Sequence[TrialRecord]) -> Exhibit:
    counts: dict[tuple[str, str], list[int]] = {}
    for record in records:
        for row in record.artifact("mistakes"):
            one = counts.setdefault((row["kind"], row["name"]), [0, 0, 0])
            one[0] += 1
            one[1] += row["placed"]
            one[2] += row["silent"]
    rows = [[kind, name, tried, placed, silent] for (kind, name), (tried, placed, silent) in counts.items()]
    columns = ["Kind", "Mistake", "tried", "refused at its place", "silent in plain torch"]
    return Table("mistakes", "Mistakes, as diagrams and in plain torch", columns, rows)


def _refusals(record: TrialRecord) -> Exhibit:
    rows = [[row["name"], row["says"]] for row in record.artifact("mistakes") if row["draw"] == 0]
    return Table("refusals", "What the checker says, first draw", ["Mistake", "message"], rows)
