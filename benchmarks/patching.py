"""The whole map of causal tracing, layers x positions x examples, beside TransformerLens' patching loop.

TransformerLens is no dependency of the project. It lives in an environment of its own, which is made once:

    python3.11 -m venv ~/.cache/wheatstone/transformer-lens
    ~/.cache/wheatstone/transformer-lens/bin/pip install torch==2.13.0 transformer-lens==3.9.0 safetensors

and is named by --transformer-lens, or by WHEATSTONE_TRANSFORMER_LENS. Weights and tokens go there as safetensors. Both
processes stay alive and take turns. The second peer is a loop of hooks on whole forward passes in our own process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.side_by_side import Benchmark, Options, Part, alternate, profile_of, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.interp.patching import answers, effect_map, patched, patched_resid_by_hooks, states, trace
from wheatstone.learn.models.transformer import Transformer, TransformerConfig

GOAL = 5.0
TOLERANCE = 1e-4
PLACE = Path.home() / ".cache" / "wheatstone" / "transformer-lens"
LOOP = Path(__file__).parent / "peers" / "transformer_lens_loop.py"
LENS, HOOKS = "TransformerLens", "hooks on whole passes"


@dataclass(frozen=True)
class PatchingOptions(Options):
    """Where TransformerLens is."""

    transformer_lens: Path = Path(os.environ.get("WHEATSTONE_TRANSFORMER_LENS") or PLACE)
    """The virtual environment that holds TransformerLens; without one, only the loop of hooks is compared."""


class Size(NamedTuple):
    """One model and its questions."""

    layers: int
    width: int
    heads: int
    positions: int
    examples: int
    rounds: int = 7

    def __str__(self) -> str:
        return f"{self.layers} layers x {self.positions} positions x {self.examples} examples, d {self.width}"


VOCAB = 70
SIZES = (Size(2, 128, 4, 3, 400), Size(8, 256, 8, 3, 300, 3), Size(4, 128, 4, 16, 128, 3))
FULL = (Size(8, 768, 12, 3, 300, 3), Size(12, 256, 8, 32, 64, 3))
QUICK = (Size(2, 16, 4, 3, 10, 1),)


class Questions(NamedTuple):
    """[example, pos] token ids: what is asked, and what the states are taken from."""

    clean: Tensor
    source: Tensor


class Lens:
    """A process that runs TransformerLens' loop when asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._answer()

    def ask(self, word: str) -> Any:
        """{'seconds', 'values'} of one map."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        sys.exit(f"the TransformerLens process ended with {self.process.wait()}")


@contextmanager
def transformer_lens(place: Path, model: Transformer, questions: Questions, threads: int) -> Generator[Lens]:
    """TransformerLens with the weights of `model`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        weights = {f"weights.{name}": value.contiguous() for name, value in model.state_dict().items()}
        save_file(weights | questions._asdict(), path)
        words = [str(place / "bin" / "python"), str(LOOP), str(path), str(model.cfg.n_head), str(threads)]
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"TQDM_DISABLE": "1"}
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=env) as process:
            try:
                yield Lens(process)
            finally:
                process.terminate()


def random_model(size: Size) -> Transformer:
    """Weights large enough for patches to change answers."""
    cfg = TransformerConfig(VOCAB, size.positions, d_model=size.width, n_layer=size.layers, n_head=size.heads)
    generator = torch.Generator().manual_seed(0)
    model = Transformer(cfg, generator).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def random_questions(size: Size) -> Questions:
    """Uniform tokens."""
    generator = torch.Generator().manual_seed(1)
    clean, source = (torch.randint(VOCAB, (size.examples, size.positions), generator=generator) for _ in range(2))
    return Questions(clean, source)


@torch.no_grad()
def by_hooks(model: Transformer, questions: Questions) -> Tensor:
    """The same map through a hook on a whole forward pass for every layer and position: [layer, pos]."""
    there = states(model, questions.source)
    before = model(questions.clean)[:, -1].argmax(-1)
    changed = torch.empty(model.cfg.depth, questions.clean.shape[1])
    for layer in range(model.cfg.depth):
        for pos in range(questions.clean.shape[1]):
            resid = patched_resid_by_hooks(model, questions.clean, there, layer, pos)
            changed[layer, pos] = (model.unembed(resid)[:, -1].argmax(-1) != before).float().mean()
    return changed


@torch.no_grad()
def answer_logits(model: Transformer, questions: Questions) -> Tensor:
    """[layer, pos]: mean logit of the unpatched answer after each patch, the way `effect_map` makes its patches."""
    here, there = trace(model, questions.clean), trace(model, questions.source)
    before = answers(model, here.answer_state)
    found = torch.empty(model.cfg.depth, questions.clean.shape[1])
    for layer in range(model.cfg.depth):
        for pos in range(questions.clean.shape[1]):
            last = patched(model, here, there, layer, pos)
            found[layer, pos] = model.unembed(last).gather(1, before[:, None]).mean()
    return found


def measure(options: PatchingOptions, threads: int, part: Part) -> None:
    """All sizes."""
    if not options.transformer_lens.is_dir():
        part.notes.append("TransformerLens is not installed on this machine: only the loop of hooks was compared.")
        print(f"  {options.transformer_lens}: no such environment. How to make it stands in {__file__}")
    sizes = QUICK if options.quick else SIZES + (FULL if options.full else ())
    for size in sizes:
        compare(part, options, size, threads)


def compare(part: Part, options: PatchingOptions, size: Size, threads: int) -> None:
    """One size: equal maps first."""
    model, questions = random_model(size), random_questions(size)

    def ours() -> Tensor:
        return effect_map(model, questions.clean, questions.source)

    mine, hooked = ours()[: model.cfg.depth], by_hooks(model, questions)
    part.equal(f"map, {HOOKS}, {size}", (mine - hooked).abs().max().item(), TOLERANCE)
    goal = None if options.quick else GOAL
    sides = {"wheatstone": timed(ours, per=1e3), HOOKS: timed(lambda: by_hooks(model, questions), per=1e3)}
    peers = [HOOKS]
    if options.transformer_lens.is_dir():
        with transformer_lens(options.transformer_lens, model, questions, threads) as lens:
            theirs = torch.tensor(lens.ask("map")["values"])
            part.equal(f"map, {LENS}, {size}", (mine - theirs).abs().max().item(), TOLERANCE)
            logits = torch.tensor(lens.ask("logits")["values"])
            difference = (answer_logits(model, questions) - logits).abs().max().item()
            part.equal(f"mean answer logits, {LENS}, {size}", difference, TOLERANCE)
            sides[LENS] = lambda: lens.ask("map")["seconds"] * 1e3
            found = alternate(sides, size.rounds)
        peers.insert(0, LENS)
    else:
        found = alternate(sides, size.rounds)
    results = [
        part.compared(
            Comparison(
                str(size),
                "ms a map",
                found["wheatstone"],
                name,
                found[name],
                threads,
                goal=goal if name == LENS else None,
            )
        )
        for name in peers
    ]
    if any(one.met is False for one in results):
        part.profiles[f"{size}, wheatstone, one map"] = profile_of(ours)


BENCHMARK = Benchmark(
    "patching",
    "Causal tracing",
    "The share of answers that change when the state at one layer and position is exchanged, for every layer and "
    "position (`interp.patching.effect_map`), beside TransformerLens 3.9.0's `get_act_patch_resid_pre` on the same "
    "weights and tokens in a process of its own. Our map has one layer more (the last state).",
    PatchingOptions,
    measure,
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
