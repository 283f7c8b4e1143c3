"""The settings of the study: which circuits, which tokens, which network, how circuits are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from wheatstone.learn.recipe import Recipe

Source = Literal["mqt_bench", "own"]
Maker = Literal["transformer", "ngram", "uniform", "matched", "shuffled", "copied", "spliced", "library_random"]


@dataclass(frozen=True)
class Config(Recipe):
    """One trial makes circuits in one way, and measures how real they look and how much of them is copied."""

    maker: Maker = "transformer"
    """What makes the circuits: the trained network, or one of its rivals."""
    tokens: Literal["words", "lines"] = "words"
    """A token for each gate, operand and angle, or for each statement (the paper: statements)."""
    source: Source = "mqt_bench"
    """Where the known circuits come from: MQT Bench, or the user's own files."""
    families: str = ""
    """Families of MQT Bench that are used, joined by '+'; empty for all."""
    max_qubits: Annotated[int, Ge(2), Le(128)] = 24
    """Largest register."""
    max_words: Annotated[int, Ge(16)] = 320
    """Longest circuit, in gates, operands and angles (the paper: 1,023 lines)."""
    held_out_files: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of the files that training does not see."""
    held_out_families: Annotated[int, Ge(0)] = 3
    """Families that training does not see."""
    relabelled: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of the training copies whose qubits are renumbered at random."""
    named: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of the training copies that name their family; circuits are then drawn for families as they occur."""
    copies: Annotated[int, Ge(1)] = 8
    """Copies of every training circuit, before the order repeats."""
    order: Annotated[int, Ge(1), Le(8)] = 4
    """Words that the n-gram model relates, the next one included."""
    samples: Annotated[int, Ge(2)] = 200
    """Circuits that are made (the paper: 1,000)."""
    top_k: Annotated[int, Ge(0)] = 5
    """Draw from the so many most probable tokens (the paper: 5); 0 for all."""
    temperature: Annotated[float, Gt(0)] = 1.0
    """Divides the logits (the paper: 1)."""
    compiled: Annotated[int, Ge(1)] = 32
    """Real circuits, and as many made ones, that are compiled to a line, a grid and a heavy hexagon."""
