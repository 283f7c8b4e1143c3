"""A small decoder of our own, trained on the tasks in seconds or minutes, where there is no language model.

Its words are those of the tasks, each with the space before it, and digits one by one. It learns the answer at the last
token and nothing else. What it shows is that the pipeline works; a claim about language models it cannot decide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from wheatstone.domains.lm.prompts import TaskPrompts, encode_prompts
from wheatstone.domains.lm.tasks import make_task, task_names
from wheatstone.learn.models.decoder import Decoder, DecoderConfig
from wheatstone.learn.models.language_model import LanguageModel

PIECE = re.compile(r" ?[^\W\d_]+|\d| ?[^\w\s]|\s|_")
MOST_WORDS = 2048
POOL = 256
"""Training prompts of each task."""
BATCH = 32
LR = 3e-3


class WordTokenizer:
    """Words with the space before them; grows until it is closed, then unknown words are one token."""

    bos = None
    eos = None

    def __init__(self) -> None:
        self.words = ["<unk>"]
        self.open = True
        self._id = {"<unk>": 0}

    def encode(self, text: str) -> list[int]:
        """The ids of `text`."""
        ids: list[int] = []
        for word in PIECE.findall(text):
            if word not in self._id and self.open and len(self.words) < MOST_WORDS:
                self._id[word] = len(self.words)
                self.words.append(word)
            ids.append(self._id.get(word, 0))
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of these ids."""
        return "".join(self.words[token] for token in tokens)


@lru_cache(maxsize=1)
def own_model(steps: int) -> LanguageModel:
    """The model after so many steps on the mixture of all tasks; the same on every call."""
    random = np.random.default_rng(0)
    cfg = DecoderConfig(MOST_WORDS, 128, d_model=48, n_layer=4, n_head=4, n_kv_head=2, d_head=12, d_mlp=96, tied=True)
    model = Decoder(cfg, torch.Generator().manual_seed(0))
    tokenizer = WordTokenizer()
    language_model = LanguageModel(model, tokenizer, f"own ({steps} steps)")
    pools = [
        encode_prompts(language_model, task, make_task(task, language_model, POOL, random)) for task in task_names()
    ]
    tokenizer.open = False
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.01)
    for step in range(steps):
        _step(model, optimiser, pools[step % len(pools)], random, steps - step)
    model.requires_grad_(False).eval()
    return language_model


def _step(
    model: Decoder, optimiser: torch.optim.Optimizer, pool: TaskPrompts, random: np.random.Generator, left: int
) -> None:
    for group in optimiser.param_groups:
        group["lr"] = LR * min(1.0, left / 100)
    rows = torch.from_numpy(random.integers(0, pool.contrast.size, BATCH))
    end = pool.contrast.end[rows]
    logits = model.unembed(model.resid(pool.contrast.clean[rows])[torch.arange(BATCH), end])
    # Where several tokens are right, one of them is drawn.
    right = [pool.contrast.answers[int(row)] for row in rows]
    target = torch.tensor([tokens[int(random.integers(len(tokens)))] for tokens in right])
    optimiser.zero_grad()
    F.cross_entropy(logits, target).backward()
    optimiser.step()
