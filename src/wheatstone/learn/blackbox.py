"""Black-box optimisers behind one ask/tell interface: points in the unit cube, one number each, higher is better.

    RandomSearch         uniform points
    CMAEvolution         CMA-ES (Hansen and Ostermeier, 2001), by pycma
    TreeParzen           tree-structured Parzen estimator (Bergstra et al., 2011), by Optuna
    BayesianOptimiser    Gaussian process with a Matérn-5/2 kernel and expected improvement (in logarithms: Ament et
                         al., 2023), by BoTorch

None is given a starting point: CMA-ES begins in the middle of the cube, the others with uniform points.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from wheatstone.bench.extras import need


class Optimiser(Protocol):
    """Proposes points and is told what they were worth."""

    def ask(self) -> np.ndarray:
        """The next point, [dim] in [0, 1]."""
        ...

    def tell(self, point: np.ndarray, value: float) -> None:
        """What the point was worth: points are told in the order in which they were asked for."""
        ...


class RandomSearch:
    """Uniform points."""

    def __init__(self, dim: int, rng: np.random.Generator) -> None:
        self._dim, self._rng = dim, rng

    def ask(self) -> np.ndarray:
        return self._rng.random(self._dim)

    def tell(self, point: np.ndarray, value: float) -> None: ...


class CMAEvolution:
    """CMA-ES with its usual population, from the middle of the cube with a third of its width."""

    def __init__(self, dim: int, rng: np.random.Generator, *, sigma: float = 0.3) -> None:
        need("cma", extra="electronic", to="search with CMA-ES")
        import cma

        def normal(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape)

        options = {
            "bounds": [0.0, 1.0],
            "randn": normal,
            "seed": np.nan,  # pycma would seed numpy's global generator
            "verbose": -9,
            "maxfevals": np.inf,
            "tolfun": 0,
            "tolfunhist": 0,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._strategy: Any = cma.CMAEvolutionStrategy([0.5] * dim, sigma, options)
        self._waiting: list[np.ndarray] = []
        self._told: list[tuple[np.ndarray, float]] = []

    def ask(self) -> np.ndarray:
        if not self._waiting:
            self._waiting = list(self._strategy.ask())
        return np.clip(self._waiting[len(self._told)], 0.0, 1.0)

    def tell(self, point: np.ndarray, value: float) -> None:  # noqa: ARG002, it knows the point
        self._told.append((self._waiting[len(self._told)], -value))
        if len(self._told) == len(self._waiting):
            points, values = zip(*self._told, strict=True)
            self._strategy.tell(list(points), list(values))
            self._waiting, self._told = [], []


class TreeParzen:
    """TPE with Optuna's defaults."""

    def __init__(self, dim: int, rng: np.random.Generator) -> None:
        need("optuna", extra="electronic", to="search with TPE")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=int(rng.integers(2**31)))
        self._study: Any = optuna.create_study(direction="maximize", sampler=sampler)
        self._space: Any = {f"x{i}": optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(dim)}
        self._trial: Any = None

    def ask(self) -> np.ndarray:
        self._trial = self._study.ask(self._space)
        return np.array([self._trial.params[name] for name in self._space])

    def tell(self, point: np.ndarray, value: float) -> None:  # noqa: ARG002, it knows the point
        self._study.tell(self._trial, value)


class BayesianOptimiser:
    """A Gaussian process and expected improvement over random candidates and neighbours of the best point.

    Args:
        dim: size of the cube.
        rng: draws the first points and the candidates.
        start: uniform points before the first model.
        refit: points between two fits of the kernel's parameters; in between the data grow, the kernel stays.
        most: points that the model holds, half of them the best and half the latest: its cost grows with the cube.
        candidates: points at which expected improvement is compared.
    """

    def __init__(
        self,
        dim: int,
        rng: np.random.Generator,
        *,
        start: int = 30,
        refit: int = 50,
        most: int = 300,
        candidates: int = 500,
    ) -> None:
        need("botorch", extra="electronic", to="search with Bayesian optimisation")
        self._dim, self._rng = dim, rng
        self._start, self._refit, self._most, self._candidates = start, refit, most, candidates
        self._points: list[np.ndarray] = []
        self._values: list[float] = []
        self._kernel: dict[str, Any] | None = None

    def ask(self) -> np.ndarray:
        if len(self._points) < self._start:
            return self._rng.random(self._dim)
        best = self._points[int(np.argmax(self._values))]
        near = np.repeat(best[None], self._candidates // 2, axis=0)
        moved = self._rng.random(near.shape) < max(0.2, 2.0 / self._dim)
        width = 10.0 ** self._rng.uniform(-2.5, -0.5, size=(len(near), 1))
        near = np.clip(near + moved * width * self._rng.standard_normal(near.shape), 0.0, 1.0)
        candidates = np.concatenate([self._rng.random((self._candidates - len(near), self._dim)), near])
        return candidates[int(np.argmax(self._improvement(candidates)))]

    def tell(self, point: np.ndarray, value: float) -> None:
        self._points.append(point)
        self._values.append(value)

    def _improvement(self, candidates: np.ndarray) -> np.ndarray:
        """Logarithm of expected improvement, [candidate]."""
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they use parts of torch that it has announced to end
            from botorch.acquisition import LogExpectedImprovement
            from botorch.fit import fit_gpytorch_mll
            from botorch.models import SingleTaskGP
            from botorch.models.transforms import Standardize
            from gpytorch.kernels import MaternKernel, ScaleKernel
            from gpytorch.mlls import ExactMarginalLogLikelihood

        chosen = self._chosen()
        x = torch.from_numpy(np.stack([self._points[i] for i in chosen]))
        y = torch.tensor([[self._values[i]] for i in chosen], dtype=torch.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints about scaling and jitter, which are taken care of
            kernel = ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=self._dim))
            model = SingleTaskGP(x, y, covar_module=kernel, outcome_transform=Standardize(1))
            if self._kernel is not None:
                model.load_state_dict(self._kernel, strict=False)
            if self._kernel is None or len(self._points) % self._refit == 0:
                fit_gpytorch_mll(
                    ExactMarginalLogLikelihood(model.likelihood, model),
                    optimizer_kwargs={"options": {"maxiter": 50}},
                )
                self._kernel = {
                    name: value for name, value in model.state_dict().items() if "outcome_transform" not in name
                }
            model.eval()
            with torch.no_grad():
                gain = LogExpectedImprovement(model, best_f=float(y.max()))(torch.from_numpy(candidates)[:, None])
        return gain.numpy()

    def _chosen(self) -> list[int]:
        """Which points the model holds."""
        if len(self._points) <= self._most:
            return list(range(len(self._points)))
        half = self._most // 2
        latest = range(len(self._points) - half, len(self._points))
        order = np.argsort(-np.array(self._values[: len(self._points) - half]), kind="stable")
        return sorted([*order[:half].tolist(), *latest])


OPTIMISERS: dict[str, Callable[[int, np.random.Generator], Optimiser]] = {
    "random": RandomSearch,
    "bo": BayesianOptimiser,
    "cma_es": CMAEvolution,
    "tpe": TreeParzen,
}
