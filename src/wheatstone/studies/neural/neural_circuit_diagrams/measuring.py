"""What is compared with what: diagrams with torch layers, programs with programs, formulas with counters."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import types
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wheatstone.domains.diagrams.backward import backward
from wheatstone.domains.diagrams.cost import cost, evaluate
from wheatstone.domains.diagrams.network import TORCH, Network, as_drawn, execute, run_numpy
from wheatstone.domains.diagrams.program import Program, check
from wheatstone.domains.diagrams.rewrite import rewrite
from wheatstone.domains.diagrams.source import source
from wheatstone.domains.diagrams.terming import to_term
from wheatstone.domains.diagrams.terms import (
    Block,
    Elementwise,
    Leaf,
    Lift,
    Par,
    Reduce,
    Repeat,
    Residual,
    Seq,
    Term,
    coarity,
    contract,
    identity,
    leaves,
)
from wheatstone.domains.diagrams.types import obj
from wheatstone.studies.neural.neural_circuit_diagrams.references import Case


class Gaps(NamedTuple):
    """Largest differences between a diagram and torch's layer, relative to the largest value where that is above 1."""

    forward: float
    """Outputs, float64."""
    gradient: float
    """Gradients of inputs and weights by autograd, float64."""
    single: float
    """Outputs, float32."""
    derived: float
    """Gradients of inputs and weights by the derived diagram, float64."""
    numpy: float
    """Outputs by numpy."""
    source: float
    """Outputs of the generated code, which is a file of its own."""


def gaps(case: Case, seed: int) -> Gaps:
    """A case's diagram against its module, on the same weights and random inputs, by every way of computing it."""
    module = case.module.double()
    program = check(case.term, case.domain, dict(case.sizes))
    network = Network(program, dtype=torch.float64).load(case.state(module))
    inputs = _inputs(program, seed)
    found, forward, gradient = _compared(case, network, inputs)
    weights = {name: network.value_of(name).detach() for name in program.weights}
    derived = backward(program)
    made = execute(derived.program, TORCH, [*inputs, found.weighting], weights)
    mine = network.gradients()
    theirs = [*(found.inputs[at] for at in derived.inputs), *(mine[name] for name in derived.weights)]
    arrays = run_numpy(program, [one.numpy() for one in inputs], {name: one.numpy() for name, one in weights.items()})
    text = source(case.term, case.domain, dict(case.sizes))
    return Gaps(
        forward,
        gradient,
        _single(case, program, inputs),
        max(_gap(a, b) for a, b in zip(made, theirs, strict=True)),
        _gap(torch.from_numpy(np.ascontiguousarray(arrays[0])), found.output),
        _gap(_run_source(text, network, inputs), found.output),
    )


class Pair(NamedTuple):
    """Largest differences of outputs and of gradients."""

    forward: float
    gradient: float


def mutant_gaps(case: Case, seed: int, rng: np.random.Generator) -> Pair:
    """The same comparison for a diagram with one mistake that its type does not show."""
    module = case.module.double()
    program = check(mutate(case.term, rng), case.domain, dict(case.sizes))
    network = Network(program, dtype=torch.float64).load(case.state(module))
    _, forward, gradient = _compared(case, network, _inputs(program, seed))
    return Pair(forward, gradient)


def _inputs(program: Program, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(one.shape(), generator=generator, dtype=torch.float64) for one in program.domain]


def _compared(case: Case, network: Network, inputs: list[Tensor]) -> tuple[_Passed, float, float]:
    """The network's pass, and how far its outputs and gradients are from the module's."""
    case.module.zero_grad()
    found, expected = _with_gradients(network, inputs), _with_gradients(case.run, inputs)
    gradient = [_gap(a, b) for a, b in zip(found.inputs, expected.inputs, strict=True)]
    of_module = {name: one.grad for name, one in case.module.named_parameters() if one.grad is not None}
    mine = network.gradients()
    for name, one in network.program.learned.items():
        gradient.append(_gap(mine[name], as_drawn(one, of_module[one.weight.name])))
    return found, _gap(found.output, expected.output), max(gradient)


class _Passed(NamedTuple):
    output: Tensor
    inputs: list[Tensor]
    weighting: Tensor


def _with_gradients(run: Any, inputs: list[Tensor]) -> _Passed:
    """Output and input gradients of the sum of outputs, each with a weight of its own."""
    leaves_ = [one.clone().requires_grad_() for one in inputs]
    output = run(*leaves_)
    weighting = torch.linspace(0.5, 1.5, output.numel(), dtype=output.dtype).reshape(output.shape)
    if isinstance(run, nn.Module):
        run.zero_grad()
    (output * weighting).sum().backward()
    grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in leaves_]
    return _Passed(output.detach(), grads, weighting)


def _single(case: Case, program: Program, inputs: list[Tensor]) -> float:
    module = case.module.float()
    network = Network(program, dtype=torch.float32).load(case.state(module))
    with torch.no_grad():
        small = [one.float() for one in inputs]
        gap = _gap(cast(Tensor, network(*small)), case.run(*small))
    case.module.double()
    return gap


def _run_source(text: str, network: Network, inputs: list[Tensor]) -> Tensor:
    """The generated module on the network's weights. The text is our own: nothing of a user's is executed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generated.py"
        path.write_text(text, encoding="utf-8")
        loader = SourceFileLoader("generated", str(path))
        space = types.ModuleType("generated")
        loader.exec_module(space)
    module = space.Diagram().double()
    module.load_state_dict(network.state_dict())
    with torch.no_grad():
        return module(*inputs)


def _gap(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return float("inf")
    size = max(1.0, float(other.detach().abs().max())) if other.numel() else 1.0
    gap = float((one - other).detach().abs().max()) / size if other.numel() else 0.0
    return gap if math.isfinite(gap) else math.inf


def mutate(term: Term, rng: np.random.Generator) -> Term:
    """The term with a mistake in one operation that leaves its type as it is."""
    options = [leaf for leaf in leaves(term) if _mutants(leaf)]
    if not options:
        halved = Elementwise("scale", 1, 0.5)
        others = coarity(term) - 1
        return Seq((term, Par((halved, identity(others))) if others else halved))
    chosen = options[int(rng.integers(len(options)))]
    others = _mutants(chosen)
    return _replaced(term, chosen, others[int(rng.integers(len(others)))])


def _mutants(leaf: Leaf) -> list[Leaf]:
    match leaf:
        case Reduce(function="softmax"):
            return [Elementwise("sigmoid")]
        case Reduce(function="normalise"):
            return [dataclasses.replace(leaf, function="softmax")]
        case Reduce(function="mean"):
            return [dataclasses.replace(leaf, function="sum"), dataclasses.replace(leaf, function="max")]
        case Reduce(function="max"):
            return [dataclasses.replace(leaf, function="mean")]
        case Elementwise(function="relu" | "gelu" | "silu"):
            return [dataclasses.replace(leaf, function="tanh")]
        case Elementwise(function="tanh" | "sigmoid" | "gelu_tanh"):
            return [dataclasses.replace(leaf, function="square")]
        case Elementwise(function="scale"):
            return [Elementwise("scale", 1, 0.7)]
        case _:
            return []


def _replaced(term: Term, old: Leaf, new: Leaf) -> Term:
    """The term with every occurrence of one leaf object replaced."""
    if term is old:
        return new
    match term:
        case Seq() | Par():
            return dataclasses.replace(term, parts=tuple(_replaced(part, old, new) for part in term.parts))
        case Lift() | Repeat() | Block() | Residual():
            return dataclasses.replace(term, body=_replaced(term.body, old, new))
        case _:
            return term


class Counted(NamedTuple):
    """Work by formula and by torch's counter."""

    formula: int
    counter: int


def counted(case: Case, *, off_by_one: bool = False) -> Counted:
    """The work of a case from the polynomial of its sizes, and as counted while torch's own layer runs.

    `off_by_one` evaluates the polynomial with one size too many: the control.
    """
    free = check(case.term, case.domain)
    sizes = dict(case.sizes)
    if off_by_one:
        used = sorted(str(one) for one in getattr(cost(free).flops, "free_symbols", ()))
        sizes[used[0]] += 1
    formula = evaluate(cost(free).flops, **sizes)
    program = check(case.term, case.domain, dict(case.sizes))
    inputs = [torch.zeros(array.shape(), dtype=torch.float64) for array in program.domain]
    # The fused attention of a CPU is not on the counter's list; its plain form is.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        case.run(*inputs)
    return Counted(formula, counter.get_total_flops())


class Memory(NamedTuple):
    """Numbers kept for the backward pass."""

    formula: int
    measured: int


def memory(case: Case) -> Memory:
    """What the formula says a backward pass keeps, and what torch keeps while the compiled diagram runs.

    Counted by storage, once each; inputs and weights are left out on both sides.
    """
    program = check(case.term, case.domain, dict(case.sizes))
    network = Network(program, dtype=torch.float64)
    inputs = [torch.randn(array.shape(), dtype=torch.float64, requires_grad=True) for array in program.domain]
    own = {one.untyped_storage().data_ptr() for one in (*inputs, *network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if value.dtype == torch.float64 and storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes() // 8
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        output = network(*inputs)
    del output
    return Memory(int(cast(int, cost(program).saved)), sum(kept.values()))


class Order(NamedTuple):
    """What rewriting does to attention."""

    gain: float
    """Times less work without softmax."""
    gap: float
    """Largest relative difference of the values."""
    with_softmax: float
    """The same with softmax, which no rule may cross."""


def order(length: int, features: int, *, rewriting: bool, seed: int) -> Order:
    """Attention without softmax, as the pairwise order writes it, and what the rules make of it."""
    domain = obj("y k, x k, x j", y=length, x=length, k=features, j=features)
    scale = Elementwise("scale", 1, features**-0.5)
    parts = (contract("y k, x k -> y x"), scale, contract("y x, x j -> y j"))
    program = check(Seq(parts, rest=True), domain)
    soft = check(Seq((*parts[:2], Reduce("softmax", ("x",)), parts[2]), rest=True), domain)
    if not rewriting:
        return Order(1.0, 0.0, 1.0)
    made, kept = rewrite(program), rewrite(soft)
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(array.shape(), generator=generator, dtype=torch.float64) for array in domain]
    before, after = execute(made.before, TORCH, inputs, {}), execute(made.after, TORCH, inputs, {})
    again = execute(check(to_term(made.after), domain), TORCH, inputs, {})
    return Order(made.gain, max(_gap(after[0], before[0]), _gap(again[0], before[0])), kept.gain)


def parameters(case: Case) -> Mapping[str, int]:
    """Learned numbers of the diagram and of the module."""
    drawn = cost(check(case.term, case.domain, dict(case.sizes))).weights
    return {"diagram": int(cast(int, drawn)), "module": sum(one.numel() for one in case.module.parameters())}
