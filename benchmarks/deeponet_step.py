"""A training step and a prediction of a DeepONet, beside deepxde with its PyTorch back end.

Same network (copied weights), same data, same optimiser settings. Two forms of data: triples, where each function has a
place of its own, and aligned data, where all functions share their places and branch and trunk are computed once each.
Outputs and the loss before the first step are compared before anything is timed.

deepxde tests at step 0 and at the end; a step is therefore the slope of wall time between two numbers of steps of
`Model.train`, whose start and end cost nothing that way.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.side_by_side import Benchmark, Options, Part, alternate
from wheatstone.cli.benchmarks import Comparison
from wheatstone.domains.physics.function_spaces import FunctionSpace
from wheatstone.learn.models.operator_network import OperatorNetwork, OperatorNetworkConfig
from wheatstone.learn.regression import RegressionConfig, fit_regression

M, WIDTH, LR = 100, 40, 1e-3
FORMS = ("triples", "aligned")
PEER = "deepxde 1.15 (PyTorch)"


@dataclass(frozen=True)
class DeepOptions(Options):
    """Nothing of its own."""


class Problem:
    """Antiderivatives of random functions, in one of the two forms, with one network on both sides."""

    def __init__(self, form: str, functions: int, points: int) -> None:
        self.form = form
        space = FunctionSpace(points=200).sample(functions, np.random.default_rng(0))
        self.u = space.at(np.linspace(0, 1, M)).astype(np.float32)
        draw = np.random.default_rng(1)
        if form == "triples":
            places = draw.uniform(0, 1, functions)
            whole = space.spline.antiderivative()
            self.y = places[:, None].astype(np.float32)
            self.s = np.array([whole(t)[i] for i, t in enumerate(places)], np.float32)[:, None]
        else:
            places = np.linspace(0, 1, points)
            self.y = places[:, None].astype(np.float32)
            self.s = space.spline.antiderivative()(places).T.astype(np.float32)
        self.network = OperatorNetwork(OperatorNetworkConfig(M, 1, width=WIDTH), torch.Generator().manual_seed(0))
        self.start = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.peer = self._peer()
        self.tensors = [torch.from_numpy(part) for part in (self.u, self.y, self.s)]

    def _peer(self) -> Any:
        os.environ["DDE_BACKEND"] = "pytorch"
        with warnings.catch_warnings(), quiet():
            warnings.simplefilter("ignore")
            import deepxde

            threads = torch.get_num_threads()
            kind = "DeepONet" if self.form == "triples" else "DeepONetCartesianProd"
            net = getattr(deepxde.nn, kind)([M, WIDTH, WIDTH], [1, WIDTH, WIDTH], "relu", "Glorot normal")
            data_kind = "Triple" if self.form == "triples" else "TripleCartesianProd"
            sides = (self.u, self.y), self.s, (self.u[:2], self.y[: 2 if self.form == "triples" else None]), self.s[:2]
            model = deepxde.Model(getattr(deepxde.data, data_kind)(*sides), net)
            model.compile("adam", lr=LR)
            torch.set_num_threads(threads)
        self.deepxde_net = net
        return model

    def reset(self) -> None:
        """The same weights on both sides."""
        self.network.load_state_dict(self.start)
        ours = self.network.branch, self.network.trunk
        with torch.no_grad():
            for layers, theirs in zip(ours, (self.deepxde_net.branch, self.deepxde_net.trunk), strict=True):
                for weight, bias, linear in zip(layers.weights, layers.biases, theirs.linears, strict=True):
                    linear.weight.copy_(weight)
                    linear.bias.copy_(bias)
            for bias in self.deepxde_net.b:
                bias.zero_()

    def our_loss(self, network: OperatorNetwork, rows: Tensor) -> Tensor:
        """Of a batch."""
        u, y, s = self.tensors
        if self.form == "triples":
            return (network(u[rows], y[rows]) - s[rows, 0]).square().mean()
        return (network.everywhere(u[rows], y) - s[rows]).square().mean()

    def ours(self, steps: int, batch: int) -> float:
        """Seconds of training from the start."""
        self.network.load_state_dict(self.start)
        cfg = RegressionConfig(steps=steps, batch=batch, lr=LR, evaluations=1)
        started = time.perf_counter()
        fit_regression(self.network, self.our_loss, len(self.u), cfg, order_seed=0, evaluate=lambda _: {})
        return time.perf_counter() - started

    def theirs(self, steps: int, batch: int) -> float:
        """The same, by `Model.train`."""
        self.reset()
        with quiet():
            started = time.perf_counter()
            self.peer.train(iterations=steps, batch_size=batch, display_every=10**9, verbose=0)
            return time.perf_counter() - started

    def our_prediction(self) -> np.ndarray[Any, Any]:
        """Every function at its places, as arrays in and out."""
        u, y, _ = (torch.from_numpy(part) for part in (self.u, self.y, self.s))
        with torch.no_grad():
            found = self.network(u, y)[:, None] if self.form == "triples" else self.network.everywhere(u, y)
        return found.numpy()

    def their_prediction(self) -> np.ndarray[Any, Any]:
        """The same, by `Model.predict`."""
        with quiet():
            return self.peer.predict((self.u, self.y))


@contextlib.contextmanager
def quiet() -> Any:
    """Without what the library prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def measure(options: DeepOptions, threads: int, part: Part) -> None:
    """Equal outputs and losses, then steps and predictions."""
    functions, points, steps, rounds = (60, 10, 20, 1) if options.quick else (2000, 100, 300, 9)
    for form in FORMS:
        problem = Problem(form, functions, points)
        batch = min(functions // 2, 500 if form == "triples" else 50)
        problem.reset()
        gap = float(np.abs(problem.our_prediction() - problem.their_prediction()).max())
        part.equal(f"outputs, {form}", gap, 1e-5)
        loss = float(problem.our_loss(problem.network, torch.arange(functions)).detach())
        part.equal(f"loss, {form}", abs(loss - float(np.mean((problem.their_prediction() - problem.s) ** 2))), 1e-6)

        def slope(train: Any, batch: int = batch) -> float:
            return 1e3 * (train(3 * steps, batch) - train(steps, batch)) / (2 * steps)

        sides = {"ours": lambda p=problem: slope(p.ours), "peer": lambda p=problem: slope(p.theirs)}
        taken = alternate(sides, rounds)
        size = f"{batch} {'rows' if form == 'triples' else f'functions x {points} points'}"
        part.compared(Comparison(f"step, {form}, {size}", "ms", taken["ours"], PEER, taken["peer"], threads))

        def once(predict: Any) -> float:
            started = time.perf_counter()
            for _ in range(10):
                predict()
            return 1e2 * (time.perf_counter() - started)

        sides = {"ours": lambda p=problem: once(p.our_prediction), "peer": lambda p=problem: once(p.their_prediction)}
        taken = alternate(sides, rounds)
        what = f"prediction, {form}, {functions} functions" + (f" x {points} points" if form == "aligned" else "")
        part.compared(Comparison(what, "ms", taken["ours"], PEER, taken["peer"], threads))


BENCHMARK = Benchmark(
    "deeponet_step",
    "DeepONet",
    "One training step (loss, gradients, Adam) and one prediction of a DeepONet with 100 sensors and width 40, on "
    "triples and on aligned data, beside deepxde with its PyTorch back end on the same weights and data.",
    DeepOptions,
    measure,
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
