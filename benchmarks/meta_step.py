"""One second-order meta-step of a Hamiltonian network, beside `higher` and beside a plain loop of autograd.

Same network, same tasks, same five inner steps of gradient descent on 50 points, same query points. `higher` makes the
module functional and unrolls its optimiser, one task after the other; the plain loop calls torch.autograd.grad with
create_graph and the network by functional_call; wheatstone maps torch.func.grad over all tasks at once.

The three gradients are compared in double precision before anything is timed. `learn2learn` is no peer here: its wheel
has to be compiled, and its MAML is the plain loop.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.learn.meta import InnerLoop, Parameters, called, meta_gradient, parameters_of
from wheatstone.learn.models.hamiltonian import GraphConfig, GraphHamiltonian

SHOTS = 50
INNER = InnerLoop(5, 0.05)
TOLERANCE = 1e-10
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MetaOptions(Options):
    """Nothing of its own."""


class Problem:
    """A network and a batch of tasks: states and time derivatives of single particles."""

    def __init__(self, tasks: int, width: int, dtype: torch.dtype) -> None:
        draw = torch.Generator().manual_seed(0)
        self.network = GraphHamiltonian(GraphConfig(width, 2), draw).to(dtype)
        shape = (tasks, SHOTS, 1, 4)
        self.support, self.query = (
            (torch.randn(shape, generator=draw, dtype=dtype), torch.randn(shape, generator=draw, dtype=dtype))
            for _ in range(2)
        )
        self.present = torch.ones(1, dtype=dtype)
        self.names = [name for name, _ in self.network.named_parameters() if name in self.network.used(1)]
        self.inner = InnerLoop(INNER.steps, INNER.lr, frozenset(self.names))

    def loss(self, parameters: Parameters, data: Batch) -> Tensor:
        """Mean squared error of the field."""
        return (called(self.network, parameters, data[0], self.present) - data[1]).square().mean()

    def ours(self) -> list[Tensor]:
        """All tasks at once."""
        parameters = dict(self.network.named_parameters())
        found = meta_gradient("maml", self.loss, parameters, self.support, self.query, self.inner)
        return [found.gradients[name] for name in self.names]

    def plain(self) -> list[Tensor]:
        """One task after the other, by autograd."""
        start = parameters_of(self.network)
        total: Any = 0.0
        for task in range(len(self.support[0])):
            support, query = ((data[0][task], data[1][task]) for data in (self.support, self.query))
            now = dict(start)
            for _ in range(INNER.steps):
                moving = [now[name] for name in self.names]
                slopes = torch.autograd.grad(self.loss(now, support), moving, create_graph=True)
                now |= {
                    name: value - INNER.lr * slope
                    for name, value, slope in zip(self.names, moving, slopes, strict=True)
                }
            total = total + self.loss(now, query)
        return list(torch.autograd.grad(total / len(self.support[0]), [start[name] for name in self.names]))

    def higher(self) -> list[Tensor]:
        """One task after the other, by the library's differentiable optimiser."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a library of 2019
            import higher

        used: list[nn.Parameter] = [dict(self.network.named_parameters())[name] for name in self.names]
        self.network.zero_grad()
        for task in range(len(self.support[0])):
            support, query = ((data[0][task], data[1][task]) for data in (self.support, self.query))
            optimiser = torch.optim.SGD(self.network.parameters(), INNER.lr)
            with higher.innerloop_ctx(self.network, optimiser, copy_initial_weights=False) as (net, inner):
                for _ in range(INNER.steps):
                    inner.step((net(support[0], self.present) - support[1]).square().mean())
                ((net(query[0], self.present) - query[1]).square().mean() / len(self.support[0])).backward()
        return [value.grad for value in used if value.grad is not None]


def measure(options: MetaOptions, threads: int, part: Part) -> None:
    """Equal gradients, then time for a batch of tasks of each size."""
    sizes = {2: 1} if options.quick else {4: 7, 16: 5} | ({64: 3} if options.full else {})
    width = 8 if options.quick else 64
    exact = Problem(3, 8, torch.float64)
    found = exact.ours()
    for peer, theirs in (("plain autograd", exact.plain()), ("higher", exact.higher())):
        gap = max(float((one - other).abs().max()) for one, other in zip(found, theirs, strict=True))
        part.equal(f"meta-gradient beside {peer}", gap, TOLERANCE)
    for tasks, rounds in sizes.items():
        problem = Problem(tasks, width, torch.float32)
        sides = {"ours": timed(problem.ours), "plain": timed(problem.plain), "higher": timed(problem.higher)}
        taken = alternate(sides, rounds)
        for peer, name in (("higher", "higher"), ("plain", "plain autograd loop")):
            part.compared(
                Comparison(
                    f"meta-step, {tasks} tasks, width {width}, beside {name}",
                    "s",
                    taken["ours"],
                    name,
                    taken[peer],
                    threads,
                )
            )


BENCHMARK = Benchmark(
    "meta_step",
    "Second-order meta-learning",
    "The gradient of the query loss through five inner steps of a Hamiltonian network (a field that is itself a "
    "derivative), for a batch of tasks: all tasks in one torch.func.vmap, beside `higher` and a loop of autograd.",
    MetaOptions,
    measure,
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
