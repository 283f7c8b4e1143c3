"""Twenty mistakes that are made when architectures are written down, as diagrams and as plain torch.

Each is a text with its right and its wrong form, the place where the wrong one breaks a rule of typing, and the same
mistake in torch. Sizes are small and collide, as real ones do (as many keys as queries, d_model = sequence length): the
names tell axes apart where sizes do not. Three draws of sizes for each make sixty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wheatstone.bench.errors import UserError
from wheatstone.domains.diagrams.notation import parse
from wheatstone.domains.diagrams.program import check

Kind = Literal["wrong axis", "swapped", "missing broadcast"]
Plain = Callable[[Mapping[str, int]], object]
FILE = "mistake.ncd"
CHOICE = re.compile(r"<<(?P<wrong>.*?)\|(?P<right>.*?)>>")
FREE = ("y", "x", "z", "k", "h", "t", "m", "n", "c", "d")


@dataclass(frozen=True)
class Mistake:
    """A mistake in both languages. In `text`, <<wrong|right>> is what differs and '@' stands before the fault."""

    name: str
    kind: Kind
    text: str
    plain: Plain

    def written(self, sizes: Mapping[str, int], *, wrong: bool) -> str:
        """The diagram with its sizes."""
        head = f"size {', '.join(f'{name} = {size}' for name, size in sizes.items())}\n"
        return head + CHOICE.sub(lambda found: found["wrong" if wrong else "right"], self.text).replace("@", "")

    def place(self) -> tuple[int, int]:
        """Line and column of the fault in the wrong form, the line of sizes counted."""
        shown = CHOICE.sub(lambda found: found["wrong"], self.text)
        before = shown[: shown.index("@")]
        return before.count("\n") + 2, len(before) - (before.rfind("\n") + 1) + 1


@dataclass(frozen=True)
class Outcome:
    """What became of a mistake."""

    mistake: Mistake
    is_caught: bool
    is_placed: bool
    """Caught, and at its place."""
    says: str
    is_silent: bool
    """The torch code ran without an exception."""
    is_false_alarm: bool
    """The right form was refused."""


def judge(mistake: Mistake, sizes: Mapping[str, int]) -> Outcome:
    """Both forms of a mistake by the checker, and its torch code."""
    says = _refusal(mistake.written(sizes, wrong=True))
    line, column = mistake.place()
    is_placed = says is not None and says.startswith(f"{FILE}:{line}:{column}:")
    alarm = _refusal(mistake.written(sizes, wrong=False))
    try:
        mistake.plain(sizes)
        is_silent = True
    except (RuntimeError, IndexError, ValueError, TypeError):
        is_silent = False
    return Outcome(mistake, says is not None, is_placed, says or alarm or "", is_silent, alarm is not None)


def _refusal(text: str) -> str | None:
    """Why the checker refuses a text, None when it does not."""
    try:
        notebook = parse(text, FILE)
        main = notebook.main()
        check(main.block, main.domain, dict(notebook.sizes))
    except UserError as fault:
        return str(fault)
    return None


def draw_sizes(rng: np.random.Generator) -> dict[str, int]:
    """Sizes of every axis, from 2 to 4: about every third pair is equal."""
    return {name: int(rng.integers(2, 5)) for name in FREE} | {"h": 2}


def _r(*shape: int) -> Tensor:
    return torch.ones(shape)


def _head_order(s: Mapping[str, int]) -> Tensor:
    q = _r(s["y"], s["h"] * s["k"]).view(s["y"], s["k"], s["h"])
    return torch.einsum("yhk,xhk->hyx", q, q)


def _scores_turned(s: Mapping[str, int]) -> Tensor:
    return (_r(s["x"], s["k"]) @ _r(s["y"], s["k"]).T).softmax(-1) @ _r(s["x"], s["k"])


def _decoder(s: Mapping[str, int]) -> Tensor:
    layer = nn.TransformerDecoderLayer(2 * s["k"], 2, 8, batch_first=True)
    return layer(_r(1, s["x"], 2 * s["k"]), _r(1, s["y"], 2 * s["k"]))


ATTEND = 'contract("y k, x k -> y x")'
READ = 'contract("y x, x k -> y k")'
MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "softmax over an axis that is summed",
        "wrong axis",
        f"a : (y k, x k, x k) -> (y k) =\n  {ATTEND} ; scale(1/sqrt(k)) ; @softmax[<<k|x>>] ; {READ}",
        lambda s: (_r(s["y"], s["k"]) @ _r(s["x"], s["k"]).T).softmax(0) @ _r(s["x"], s["k"]),
    ),
    Mistake(
        "values of another sequence",
        "wrong axis",
        f"a : (y k, x k, <<z k|x k>>) -> (y k) =\n  {ATTEND} ; softmax[x] ; @{READ}",
        lambda s: (_r(s["y"], s["k"]) @ _r(s["x"], s["k"]).T).softmax(-1) @ _r(s["z"], s["k"]),
    ),
    Mistake(
        "a table of all pairs for one number each",
        "wrong axis",
        'dot : (t m, t m) -> (t) =\n  @contract("<<t m, z m -> t z|t m, t m -> t>>")',
        lambda s: _r(s["t"], s["m"]) @ _r(s["t"], s["m"]).T,
    ),
    Mistake(
        "the U-Net notebook's channels",
        "wrong axis",
        'two : (n c) -> (n e:5) =\n  linear("c -> d") ; relu ; @linear("<<c|d>> -> e", e=5) ; relu',
        lambda s: nn.Linear(s["c"], 5)(nn.Linear(s["c"], s["d"])(_r(s["n"], s["c"])).relu()),
    ),
    Mistake(
        "a head's factor on its features",
        "wrong axis",
        'f : (<<k|h>>, y h k) -> (y h k) =\n  @contract("h, y h k -> y h k")',
        lambda s: torch.einsum("h,yhk->yhk", _r(s["k"]), _r(s["y"], s["h"], s["k"])),
    ),
    Mistake(
        "a stride that leaves places out",
        "wrong axis",
        'pool : (c x:7) -> (c x:3) =\n  @window("x -> x w", w=<<2|3>>, stride=2) ; max[w]',
        lambda s: F.max_pool1d(_r(1, s["c"], 7), 2, 2),
    ),
    Mistake(
        "pooled over features",
        "wrong axis",
        "pool : (t m, y k) -> (y k) =\n  [@mean[<<y|t>>], id] ; [sum[m], id] ; [drop, id]",
        lambda s: _r(s["t"], s["m"]).mean(1).sum(),
    ),
    Mistake(
        "values times weights",
        "swapped",
        f'a : (y k, x k, x k) -> (y k) =\n  {ATTEND} ; softmax[x] ; @contract("<<x k, y x|y x, x k>> -> y k")',
        lambda s: _r(s["x"], s["k"]) @ (_r(s["y"], s["k"]) @ _r(s["x"], s["k"]).T).softmax(-1),
    ),
    Mistake(
        "scores with keys first",
        "swapped",
        f'a : (y k, x k, x k) -> (y k) =\n  contract("y k, x k -> <<x y|y x>>") ; softmax[x] ; @{READ}',
        _scores_turned,
    ),
    Mistake(
        "features split before heads",
        "swapped",
        'a : (y m:4, x m:4) -> (h y x) =\n  [split("m -> <<k h|h k>>", h=2, k=2), split("m -> h k", h=2, k=2)] ;\n'
        '  @contract("y h k, x h k -> h y x")',
        _head_order,
    ),
    Mistake(
        "heads merged before they stand side by side",
        "swapped",
        'a : (h y k) -> (y m:8) =\n  <<id|order[y h k]>> ; @merge("h k -> m") ; map("m -> o", o=8) ; rename("o -> m")',
        lambda s: _r(s["h"], s["y"], s["k"]).reshape(s["y"], s["h"] * s["k"]),
    ),
    Mistake(
        "skip and picture joined along rows",
        "swapped",
        'join : (c y x, c:3 y x) -> (c:4 y x) =\n  <<[id, rename("c -> d")] ; @cat[y]|cat[c]>> ; map("c -> e", e=4) ; '
        'rename("e -> c")',
        lambda s: torch.cat((_r(s["c"], s["y"], s["x"]), _r(3, s["y"], s["x"])), 1),
    ),
    Mistake(
        "memory and target exchanged",
        "swapped",
        "cross : (y k, x k) -> (y k) =\n  [id, copy] ; " + f"{ATTEND} ; softmax[x] ; {READ}\n"
        "layer : (x k, y k) -> (y k) =\n  <<id(2)|swap>> ; @cross",
        _decoder,
    ),
    Mistake(
        "sequence and features exchanged",
        "swapped",
        'mix : (m t) -> (m t) =\n  map("t -> u", u=4) ; map("u -> t")\n'
        "use : (t m) -> (m t) =\n  <<id|order[m t]>> ; @mix",
        lambda s: nn.Linear(s["t"], 4)(_r(s["t"], s["m"])),
    ),
    Mistake(
        "mean of the sequence added to each token",
        "missing broadcast",
        "f : (t m) -> (t m) =\n  copy ; [id, mean[t] <<|; spread[t] ; order[t m]>>] ; @add",
        lambda s: _r(s["t"], s["m"]) + _r(s["t"], s["m"]).mean(0),
    ),
    Mistake(
        "mean of the features taken off without an axis",
        "missing broadcast",
        "f : (t m) -> (t m) =\n  copy ; [id, mean[m] <<|; spread[m]>>] ; @sub",
        lambda s: _r(s["t"], s["m"]) - _r(s["t"], s["m"]).mean(1),
    ),
    Mistake(
        "a gate for each token on its features",
        "missing broadcast",
        "f : (t m, t) -> (t m) =\n  [id, sigmoid <<|; spread[m]>>] ; @mul",
        lambda s: _r(s["t"], s["m"]) * _r(s["t"]).sigmoid(),
    ),
    Mistake(
        "predictions [n, 1] against targets [n]",
        "missing broadcast",
        "loss : (n o:1, n) -> (1) =\n  [<<id|sum[o]>>, id] ; @sub ; square ; <<mean[n o]|mean[n]>>",
        lambda s: (_r(s["n"], 1) - _r(s["n"])).square().mean(),
    ),
    Mistake(
        "an embedding of the class on a batch of sequences",
        "missing broadcast",
        "f : (n t m, n m) -> (n t m) =\n  [id, <<id|spread[t] ; order[n t m]>>] ; @add",
        lambda s: _r(s["n"], s["t"], s["m"]) + _r(s["n"], s["m"]),
    ),
    Mistake(
        "normalised weights of one query for all",
        "missing broadcast",
        "f : (y x, y) -> (y x) =\n  [exp, <<id|spread[x]>>] ; @div",
        lambda s: _r(s["y"], s["x"]).exp() / _r(s["y"]),
    ),
)
