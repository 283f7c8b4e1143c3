"""What follows from independencies by the graphoid axioms (Dawid 1979; Pearl 1988, section 3.1), each with its proof.

    symmetry       X _||_ Y | Z                                  gives  Y _||_ X | Z
    decomposition  X _||_ Y, W | Z                               gives  X _||_ Y | Z
    weak union     X _||_ Y, W | Z                               gives  X _||_ Y | Z, W
    contraction    X _||_ Y | Z        and  X _||_ W | Z, Y      give   X _||_ Y, W | Z
    intersection   X _||_ Y | Z, W     and  X _||_ W | Z, Y      give   X _||_ Y, W | Z   (no probability is zero)
    composition    X _||_ Y | Z        and  X _||_ W | Z         give   X _||_ Y, W | Z   (graphs, Gaussians)

The first four hold of every distribution. From the list that says of each node of a causal graph, causes first, that
its parents shield it from all before it, they give every d-separation and nothing else (Geiger, Verma and Pearl 1990).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import networkx as nx

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean
from wheatstone.domains.causal.derivation import steps_to
from wheatstone.domains.causal.graphs import CausalGraph

Extra = Literal["intersection", "composition"]
MOST_VARIABLES = 9
"""Nine variables have up to 112 000 statements, followed in two seconds; each further one makes it four times that."""
SIGN = "_||_"
_SIGN = re.compile(r"_\|\|_|⊥⊥|⊥|⟂|⫫")
_NAME = re.compile(r'"[^"\n]+"|[^\s,|"]+')
_PLAIN = re.compile(r"[^\s,|\"⊥⟂⫫]+")
WORDING = f"Write 'A, B {SIGN} C | D, E', or 'A {SIGN} C' where nothing is given."


class Independence(NamedTuple):
    """Two sets of variables are independent given a third; the order of the two does not matter."""

    first: frozenset[str]
    second: frozenset[str]
    given: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """As it is read from a file."""
        sides = sorted((sorted(self.first), sorted(self.second)))
        given = f" | {_listed(sorted(self.given))}" if self.given else ""
        return f"{_listed(sides[0])} {SIGN} {_listed(sides[1])}{given}"


class Stated(NamedTuple):
    """A statement, and where it stands."""

    claim: Independence
    line: int | None


class Step(NamedTuple):
    """A statement with the axiom that gives it, or None where it was stated."""

    claim: Independence
    axiom: str | None
    premises: tuple[Independence, ...]

    def __str__(self) -> str:
        if self.axiom is None:
            return f"{self.claim}  stated"
        return f"{self.claim}  by {self.axiom} from {' and '.join(map(str, self.premises))}"


Triple = tuple[int, int, int]
"""First, second and given set as bits; the first is the smaller number, since symmetry goes without saying."""


@dataclass(frozen=True)
class Graphoid:
    """All that follows from some statements. Make one with `graphoid`."""

    names: tuple[str, ...]
    steps: Mapping[Triple, tuple[str | None, tuple[Triple, ...]]]

    def holds(self, claim: Independence) -> bool:
        """Whether the statement follows. Raises KeyError for a variable that the statements do not have."""
        return self._triple(claim) in self.steps

    def proof(self, claim: Independence) -> list[Step]:
        """Every step that the statement needs, premises first. Raises KeyError where it does not follow."""
        order = steps_to(self._triple(claim), lambda triple: self.steps[triple][1])
        return [
            Step(self._claim(triple), self.steps[triple][0], tuple(map(self._claim, self.steps[triple][1])))
            for triple in order
        ]

    def pairs(self) -> list[Independence]:
        """What follows about single variables, those with the fewest given first."""
        single = [triple for triple in self.steps if triple[0].bit_count() == triple[1].bit_count() == 1]
        return [self._claim(one) for one in sorted(single, key=lambda one: (one[2].bit_count(), one))]

    def _triple(self, claim: Independence) -> Triple:
        return _ordered(*(_bits(part, self.names) for part in claim))

    def _claim(self, triple: Triple) -> Independence:
        return Independence(
            *(frozenset(name for at, name in enumerate(self.names) if bits >> at & 1) for bits in triple)
        )


def graphoid(stated: Sequence[Independence], file: str, extra: Sequence[Extra] = ()) -> Graphoid:
    """Everything that follows by the first four axioms and `extra` ones.

    Raises UserError for more than `MOST_VARIABLES` variables.
    """
    names = tuple(sorted(frozenset[str]().union(*(part for claim in stated for part in claim))))
    if len(names) > MOST_VARIABLES:
        text = f"{len(names)} variables; the axioms are followed for at most {MOST_VARIABLES}. State those you need."
        raise UserError(f"{file}: {text}")
    first = [_ordered(*(_bits(part, names) for part in claim)) for claim in stated]
    steps: dict[Triple, tuple[str | None, tuple[Triple, ...]]] = dict.fromkeys(first, (None, ()))
    known = _Known()
    waiting = deque(steps)
    while waiting:
        triple = waiting.popleft()
        known.add(triple)
        for made, axiom, premises in _applied(triple, known, extra):
            if made not in steps:
                steps[made] = (axiom, premises)
                waiting.append(made)
    return Graphoid(names, steps)


def local_markov(graph: CausalGraph) -> list[Independence]:
    """Of each node, causes first: its parents shield it from all other nodes before it."""
    before: list[int] = []
    found: list[Independence] = []
    for node in nx.topological_sort(graph.network):
        parents = set(graph.network.predecessors(node))
        if others := set(before) - parents:
            sides = ({node}, others, parents)
            found.append(Independence(*(frozenset(graph.names[one] for one in side) for side in sides)))
        before.append(node)
    return found


def parse_independencies(text: str, file: str) -> list[Stated]:
    """A statement a line; blank lines and those that begin with '#' are left out.

    Raises InputError, with line and field, for a line that is none, an empty side, and sets that overlap.
    """
    found: list[Stated] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            read = _statement(line, number, file)
            if isinstance(read, Fault):
                faults.append(read)
            else:
                found.append(Stated(read, number))
    if not faults and not found:
        faults.append(Fault(file, None, None, f"no statements. {WORDING}"))
    if faults:
        raise InputError(faults)
    return found


def check_known(claims: Sequence[Stated], known: Sequence[str], file: str) -> None:
    """Raises InputError where a statement has a variable that is not among the known ones."""
    faults = [
        Fault(file, line, field, f"no variable '{name}' in what is stated.{did_you_mean(name, known)}")
        for claim, line in claims
        for field, part in zip(Independence._fields, claim, strict=True)
        for name in sorted(part - set(known))
    ]
    if faults:
        raise InputError(faults)


class _Known:
    """Statements by each of their sides, for the axioms that need two."""

    def __init__(self) -> None:
        self.of: dict[tuple[int, int], dict[int, None]] = {}

    def add(self, triple: Triple) -> None:
        first, second, given = triple
        self.of.setdefault((first, given), {})[second] = None
        self.of.setdefault((second, given), {})[first] = None

    def beside(self, side: int, given: int) -> Collection[int]:
        """What is known to be independent of `side` given `given`."""
        return self.of.get((side, given), {})


Made = tuple[Triple, str, tuple[Triple, ...]]


def _applied(triple: Triple, known: _Known, extra: Sequence[Extra]) -> Iterator[Made]:
    """What the axioms give from a statement, alone and with known ones."""
    for x, y in ((triple[0], triple[1]), (triple[1], triple[0])):
        z = triple[2]
        for w in _subsets(y):
            if y != w:
                yield _ordered(x, y ^ w, z), "decomposition", (triple,)
                yield _ordered(x, y ^ w, z | w), "weak union", (triple,)
        for w in known.beside(x, z | y):  # the statement is contraction's first premise
            yield _ordered(x, y | w, z), "contraction", (triple, _ordered(x, w, z | y))
        for w in _subsets(z):  # its second, with the first about w given the rest
            if w in known.beside(x, z ^ w):
                yield _ordered(x, y | w, z ^ w), "contraction", (_ordered(x, w, z ^ w), triple)
            if "intersection" in extra and w in known.beside(x, (z ^ w) | y):
                yield _ordered(x, y | w, z ^ w), "intersection", (triple, _ordered(x, w, (z ^ w) | y))
        if "composition" in extra:
            for w in known.beside(x, z):
                if not w & y:
                    yield _ordered(x, y | w, z), "composition", (triple, _ordered(x, w, z))


def _ordered(first: int, second: int, given: int) -> Triple:
    return (first, second, given) if first < second else (second, first, given)


def _bits(part: frozenset[str], names: Sequence[str]) -> int:
    number = {name: at for at, name in enumerate(names)}
    return sum(1 << number[name] for name in part)


def _subsets(bits: int) -> Iterator[int]:
    """Every subset but the empty one."""
    subset = bits
    while subset:
        yield subset
        subset = (subset - 1) & bits


def _statement(line: str, number: int, file: str) -> Independence | Fault:
    left, *rest = _SIGN.split(line.strip().rstrip("."))
    if len(rest) != 1:
        return Fault(file, number, None, f"'{line.strip()[:60]}' is no statement. {WORDING}")
    right, *given = rest[0].split("|")
    if len(given) > 1:
        return Fault(file, number, "given", f"{len(given)} times '|', must be one. {WORDING}")
    names = [[name.strip('"') for name in _NAME.findall(part)] for part in (left, right, *given, "")][:3]
    claim = Independence(*map(frozenset[str], names))
    for field, part in (("first", claim.first), ("second", claim.second)):
        if not part:
            return Fault(file, number, field, f"no variable there. {WORDING}")
    for field, part, others in (
        ("second", claim.second, claim.first),
        ("given", claim.given, claim.first | claim.second),
    ):
        if both := sorted(part & others):
            return Fault(file, number, field, f"'{both[0]}' stands in two of the sets; they must not overlap.")
    return claim


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name if _PLAIN.fullmatch(name) else f'"{name}"' for name in names)
