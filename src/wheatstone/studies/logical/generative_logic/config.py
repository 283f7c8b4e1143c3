"""The settings of the study: which theory, which conjectures, and how much work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le


@dataclass(frozen=True)
class Config:
    """Every limit is a number of things, never a time: a run finds the same on every machine."""

    theory: Literal["peano", "addition", "groups", "sums"] = "peano"
    """The theory that is explored; all four come with the package."""
    without_axiom: str = ""
    """Name of an axiom that is left out; empty for none."""
    induction: bool = True
    """Whether the theory's induction may be used."""
    filter: bool = True
    """Whether conjectures are tested in small worlds before they are proved."""
    reuse: bool = True
    """Whether proofs may cite earlier theorems."""
    order: Literal["size", "random"] = "size"
    """Order of the conjectures: small ones first, or drawn at random."""
    equation: Annotated[int, Ge(3), Le(7)] = 5
    """Largest term of an equation, in symbols; products and sums of two applications are added from 5 on."""
    conditional: Annotated[int, Ge(0), Le(12)] = 10
    """Most symbols of a sequent with one premise; 0 makes none (the original joins up to 5 atoms)."""
    joined: Annotated[int, Ge(0), Le(12)] = 9
    """Most symbols of a sequent with two premises; 0 makes none."""
    window: Annotated[int, Ge(2), Le(6)] = 4
    """Values of each variable in the exhaustive part of the window of numbers."""
    samples: Annotated[int, Ge(0)] = 40
    """Further assignments of the window, drawn at random."""
    reach: Annotated[int, Ge(20), Le(400)] = 100
    """Numbers in the tables of the window; larger values are unknown."""
    largest_world: Annotated[int, Ge(2), Le(8)] = 6
    """Elements of the largest finite model, for theories without induction."""
    work: Annotated[int, Gt(0)] = 6_000_000
    """Matches that all proof attempts of a trial may use."""
    mutants: Annotated[int, Ge(0)] = 300
    """Broken proofs that are given to the kernel."""
    spot_checks: Annotated[int, Ge(0)] = 200
    """Assignments of numbers up to 10000 at which each theorem about numbers is evaluated."""
