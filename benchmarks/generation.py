"""Generating circuits: tokens per second with kept keys and values, beside Hugging Face's GPT-2 with the same weights.

Both sides generate the same number of tokens from the same prompts, greedily for the check and by drawing for the time,
with a cache of keys and values. `one by one` is what the notebook of the published generator does: a call of
`generate` for each circuit. What the grammar costs, and how many whole circuits a second come out, is measured beside
it with random weights, so that circuits have the lengths that the grammar's room gives them.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.hugging_face import with_weights_of
from benchmarks.side_by_side import Benchmark, Options, Part, alternate
from wheatstone.cli.benchmarks import Comparison
from wheatstone.domains.quantum.circuit_text import PAD, Room, Words
from wheatstone.learn.generation import Draw, generate
from wheatstone.learn.models.transformer import Transformer, TransformerConfig

PEER = "Hugging Face GPT-2"
QUBITS = 24
SIZES = {"d 128, 3 layers": 128, "d 768, 3 layers (the paper's)": 768}
GOAL_BATCHED, GOAL_ONE_BY_ONE = 1.2, 5.0


@dataclass(frozen=True)
class GenerationOptions(Options):
    """Nothing of its own: --full adds the paper's size."""


def measure(options: GenerationOptions, threads: int, part: Part) -> None:
    """Both sides in turns, at the size of the `cpu` preset, and with --full at the paper's."""
    rows, tokens, rounds = (4, 16, 1) if options.quick else (64, 128, 5)
    text = Words(QUBITS)
    for name, width in SIZES.items():
        if width > 128 and not options.full:
            continue
        shape = TransformerConfig(vocab=text.size, context=tokens + 8, d_model=width, n_layer=3, n_head=4)
        ours = Transformer(shape, torch.Generator().manual_seed(0)).eval()
        theirs = with_weights_of(ours).eval()
        prompts = torch.tensor([text.prompt(2 + row % (QUBITS - 1)) for row in range(rows)])
        same = generate(ours, prompts, tokens) == _theirs(theirs, prompts, tokens, draws=False)
        part.equal(f"greedy tokens that differ, {name}", 1 - same.float().mean().item(), 0.02)

        def draw_ours(model: Transformer = ours, prompts: Tensor = prompts) -> float:
            started = time.perf_counter()
            generate(model, prompts, tokens, draw=Draw(torch.Generator().manual_seed(1)))
            return rows * tokens / (time.perf_counter() - started)

        def draw_theirs(model: Any = theirs, prompts: Tensor = prompts) -> float:
            started = time.perf_counter()
            _theirs(model, prompts, tokens, draws=True)
            return rows * tokens / (time.perf_counter() - started)

        def one_by_one(model: Any = theirs, prompts: Tensor = prompts) -> float:
            few = prompts[: max(2, rows // 8)]
            started = time.perf_counter()
            for prompt in few:
                _theirs(model, prompt[None], tokens, draws=True)
            return len(few) * tokens / (time.perf_counter() - started)

        found = alternate({"ours": draw_ours, "theirs": draw_theirs, "single": one_by_one}, rounds)
        for case, side, goal in (
            (f"{rows} circuits at once, {name}", "theirs", GOAL_BATCHED),
            (f"{rows} circuits at once, {name}, the peer one by one", "single", GOAL_ONE_BY_ONE),
        ):
            part.compared(
                Comparison(case, "tokens/s", found["ours"], PEER, found[side], threads, better="higher", goal=goal)
            )
        _with_grammar(part, ours, text, prompts, tokens, name)


def _theirs(model: Any, prompts: Tensor, tokens: int, *, draws: bool) -> Tensor:
    chosen = {"do_sample": True, "top_k": 0} if draws else {"do_sample": False}
    with torch.no_grad():
        whole = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            pad_token_id=PAD,
            eos_token_id=None,
            use_cache=True,
            **chosen,
        )
    return whole[:, prompts.shape[1] :]


def _with_grammar(part: Part, model: Transformer, text: Words, prompts: Tensor, tokens: int, name: str) -> None:
    """Circuits a second within the grammar, and how much of the time without it that takes."""
    room = Room(prompts.shape[1] + tokens, least=tokens)
    seconds: list[float] = []
    for allowed in (None, lambda sequences: text.allowed(sequences, room)):
        started = time.perf_counter()
        generate(model, prompts, tokens, draw=Draw(torch.Generator().manual_seed(1)), allowed=allowed)
        seconds.append(time.perf_counter() - started)
    part.figure(
        f"within the grammar, {name}",
        f"{len(prompts) / seconds[1]:.3g} circuits of {tokens} tokens a second, {seconds[1] / seconds[0]:.2f} times "
        "as long as without it",
    )


BENCHMARK = Benchmark(
    "generation",
    "Generating circuits",
    "Tokens a second while drawing quantum circuits, the same number of tokens from the same prompts on both sides, "
    "with kept keys and values and the same weights: all circuits at once on both sides, and the peer called once a "
    "circuit, as the published generator does.",
    GenerationOptions,
    measure,
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
