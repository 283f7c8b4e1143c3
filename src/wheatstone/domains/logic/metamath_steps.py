"""Proofs as trees of Metamath labels, their compressed text, and the formulas that they are about.

Formulas are lists as in the kernel's documents, with more heads: `true`, `imp`, `all`, and `meta` for a wff variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Step(NamedTuple):
    """A node of a proof: a label, and the proofs of its hypotheses, syntax first."""

    label: str
    parts: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Said:
    """A provable statement `|- ( context -> formula )` with its proof."""

    context: Any
    formula: Any
    proof: Step


def cited_label(name: str) -> str:
    """The label of an axiom or theorem: none of the tokens begins like this."""
    return "n." + label(name)


def label(name: str) -> str:
    """A Metamath label for a name: letters, digits, '.', '-' and '_' stay, others are spelt out."""
    spelt = {"+": "plus", "*": "times", ":": ".", "'": ".q", "/": "over", "<": "lt", "=": "eq"}
    return "".join(
        part if re.fullmatch(r"[A-Za-z0-9._-]", part) else spelt.get(part, f"u{ord(part):x}") for part in name
    )


def together(premises: Sequence[Any]) -> Any:
    """The conjunction of premises, to the left."""
    if not premises:
        return ["true"]
    whole = premises[0]
    for one in premises[1:]:
        whole = ["and", whole, one]
    return whole


def compressed(proof: Step, mandatory: Sequence[str]) -> str:
    """A proof in the compressed format: shared steps are written once and referred to afterwards."""
    nodes: list[tuple[str, tuple[int, ...]]] = []
    uses: list[int] = []
    keys: dict[tuple[str, tuple[int, ...]], int] = {}

    def number(step: Step) -> int:
        """Equal subproofs get equal numbers. Iterative: proofs are deeper than Python's stack."""
        stack = [(step, False)]
        while stack:
            node, done = stack.pop()
            if id(node) in seen:
                continue
            if not done:
                stack.append((node, True))
                stack += [(part, False) for part in node.parts if id(part) not in seen]
                continue
            key = (node.label, tuple(seen[id(part)] for part in node.parts))
            if key not in keys:
                keys[key] = len(nodes)
                nodes.append(key)
                uses.append(0)
                for part in key[1]:
                    uses[part] += 1
            seen[id(node)] = keys[key]
        return seen[id(step)]

    seen: dict[int, int] = {}
    root = number(proof)
    labels: list[str] = []
    places = {name: at for at, name in enumerate(mandatory)}
    for name, _ in nodes:
        if name not in places and name not in labels:
            labels.append(name)
    places |= {name: len(mandatory) + at for at, name in enumerate(labels)}
    marked: dict[int, int] = {}
    text: list[str] = []
    base = len(mandatory) + len(labels)
    stack: list[tuple[int, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        name, parts = nodes[node]
        if done:
            text.append(_letters(places[name]))
            if uses[node] > 1 and parts:
                marked[node] = base + len(marked)
                text.append("Z")
        elif node in marked:
            text.append(_letters(marked[node]))
        else:
            stack.append((node, True))
            stack += [(part, False) for part in reversed(parts)]
    return f"( {' '.join(labels)} ) {''.join(text)}"


def _letters(number: int) -> str:
    """The compressed format's numerals: A to T last, U to Y before it."""
    text = chr(ord("A") + number % 20)
    number //= 20
    while number:
        number -= 1
        text = chr(ord("U") + number % 5) + text
        number //= 5
    return text


def free(formula: Any) -> list[str]:
    if formula[0] == "ex":
        return [name for name in free(formula[2]) if name != formula[1]]
    if formula[0] in ("and", "imp"):
        return [*free(formula[1]), *free(formula[2])]
    return list(dict.fromkeys(name for term in formula[1:] for name in _term_variables(term)))


def _term_variables(term: Any) -> list[str]:
    return [term] if isinstance(term, str) else [name for part in term[1:] for name in _term_variables(part)]


def bound_in(formula: Any) -> list[str]:
    if formula[0] == "ex":
        return [formula[1], *bound_in(formula[2])]
    return [*bound_in(formula[1]), *bound_in(formula[2])] if formula[0] in ("and", "imp") else []


def put(formula: Any, values: Mapping[str, Any]) -> Any:
    head = formula[0]
    if head in ("and", "imp"):
        return [head, put(formula[1], values), put(formula[2], values)]
    if head in ("ex", "all"):
        return [head, formula[1], put(formula[2], {name: one for name, one in values.items() if name != formula[1]})]
    return [head, *(put_term(term, values) for term in formula[1:])]


def put_term(term: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(term, str):
        return values.get(term, term)
    return [term[0], *(put_term(part, values) for part in term[1:])]
