"""The settings of the study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

TaskName = Literal[
    "scan-simple",
    "scan-length",
    "scan-add-jump",
    "scan-add-turn-left",
    "scan-around-right",
    "scan-opposite-right",
    "scan-right",
    "scan-jump-around-right",
    "scan-filler-0",
    "scan-filler-1",
    "scan-filler-2",
    "scan-filler-3",
    "pcfg-iid",
    "pcfg-productivity",
    "pcfg-systematicity",
    "hint",
    "hint-images",
    "hieroglyph",
    "own",
]


@dataclass(frozen=True)
class Config:
    """What is learnt, by whom, and how long."""

    task: TaskName = "scan-length"
    """The data set with its split; 'own' are the pairs of a file."""
    learner: Literal["nsr", "transformer"] = "nsr"
    """The machine of the paper, or a transformer on the same pairs."""
    arities: Literal["given", "learned"] = "given"
    """Whether the number of children of each symbol is told (as in the paper) or found."""
    abduction: bool = True
    """Search for what would make a wrong tree right; without it, only trees that are right by luck teach."""
    exploration: Annotated[float, Ge(0), Le(1)] = 0.15
    """Probability of a uniform parser step, in every second tree that is sampled."""
    recursion: bool = True
    """Programs on numbers may be recursive."""
    curriculum: bool = True
    """Sentences get longer as those of a length are understood."""
    reorder: bool = True
    """SCAN: write `opposite left` as `left opposite`, which makes trees projective (as in the paper's code)."""
    relabel: bool = False
    """Exchange all words, and all output tokens, at random: a check that names carry nothing."""
    taught_perception: bool = True
    """Pictures: what explains an answer teaches the perception; without it, perception stays at its clusters."""
    n_symbol: Annotated[int, Gt(1)] = 32
    """Pictures: symbols that perception may tell apart (HINT has 16)."""
    published: bool = False
    """PCFG SET: the published sequences (a file in the data folder) instead of generated ones."""
    n_train: Annotated[int, Gt(0)] = 20_000
    """Training pairs at most (SCAN has 13,204 to 21,890; letter strings of PCFG SET come on top)."""
    n_test: Annotated[int, Gt(0)] = 1000
    """Test pairs at most, drawn; HINT: in each of its five tests."""
    n_validation: Annotated[int, Gt(0)] = 300
    """Pairs of the training distribution that are kept out of training."""
    longest: Annotated[int, Gt(0)] = 60
    """PCFG SET: letters of a generated output, at most."""
    max_words: Annotated[int, Ge(0)] = 0
    """Words of a training sentence, at most; 0 is no limit."""
    rounds: Annotated[int, Gt(0)] = 40
    """Rounds of learning (paper: 100 epochs)."""
    batch: Annotated[int, Gt(1)] = 300
    """Sentences of a round."""
    tries: Annotated[int, Gt(0)] = 4
    """Trees that are sampled for each sentence of a round."""
    gate: Annotated[float, Ge(0), Le(1)] = 0.55
    """Share of the longest sentences that must be understood before longer ones come."""
    lr: Annotated[float, Gt(0)] = 3e-3
    """Peak rate of the parser's Adam (paper: 1e-4 over far more steps)."""
    hidden: Annotated[int, Gt(0)] = 128
    """Hidden units of the parser (paper: 200)."""
    width: Annotated[int, Gt(0)] = 32
    """Length of a word's vector in the parser (paper: 50)."""
    evaluations: Annotated[int, Gt(0)] = 10
    """Evaluations over the run."""
    baseline_steps: Annotated[int, Gt(0)] = 1500
    """Optimiser steps of the transformer."""
    baseline_batch: Annotated[int, Gt(0)] = 128
    """Pairs of a step of the transformer."""
    baseline_width: Annotated[int, Gt(0)] = 64
    """Width of the transformer."""
    baseline_layers: Annotated[int, Gt(0)] = 2
    """Blocks of the transformer (paper's: 6 and 1, width 512)."""
    baseline_lr: Annotated[float, Gt(0)] = 3e-3
    """Peak rate of the transformer's AdamW."""
    held_out: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Own pairs: share that is kept out of training when no test file is given."""
    numbers: bool = False
    """Own pairs: answers are whole numbers, not lists of tokens."""
