"""Operators without a network: what linear algebra alone makes of the same data, in closed form.

    linear    G(u)(y) = sum_ij W_ij a_i(u) p_j(y): principal components of the sensors times Legendre polynomials of the
              place, W by ridge regression; needs no two functions to be labelled at the same place
    pod       the outputs' own principal components (proper orthogonal decomposition), their coefficients a polynomial
              of the inputs' components; needs every function labelled at the same places

An operator that is linear, as an antiderivative, is solved by them, so it is no evidence for what a network can do.
Components, degree and ridge are chosen on a fifth of the training functions, then all of them are fitted again.

Source  Hoerl and Kennard, Technometrics 12, 1970; Berkooz, Holmes and Lumley, Annual Review of Fluid Mechanics 25, 1993
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

Array = np.ndarray[Any, np.dtype[np.float64]]
INPUTS = (4, 8, 12, 16)
"""Principal components of the inputs that are tried."""
PLACES = (4, 7, 10)
"""Polynomials of each coordinate that are tried."""
RIDGES = (1e-10, 1e-7, 1e-4, 1e-2)
"""Ridge over the mean squared feature."""
DEGREES = (1, 2, 3)
MAX_FEATURES = 1200
"""A larger basis would cost more than the network that it is compared with."""
SHARE = 0.2
"""Of the training functions, to choose by."""


class Components(NamedTuple):
    """Principal components of rows: (x - mean) @ axes / scale."""

    mean: Float[Array, " column"]
    axes: Float[Array, "column component"]
    scale: Float[Array, " component"]

    def of(self, x: Float[Array, "row column"], n: int) -> Float[Array, "row component"]:
        """The first n coefficients, of unit variance on the rows they were made from."""
        return (x - self.mean) @ self.axes[:, :n] / self.scale[:n]


def components(x: Float[Array, "row column"]) -> Components:
    """All principal components of rows, down to rounding."""
    mean = x.mean(0)
    _, spread, axes = np.linalg.svd(x - mean, full_matrices=False)
    kept = max(1, int((spread > 1e-10 * max(spread[0], 1e-300)).sum()))
    return Components(mean, axes[:kept].T, np.maximum(spread[:kept] / np.sqrt(len(x)), 1e-300))


class LinearOperator:
    """The `linear` method.

    Args:
        u: sensors of the training functions.
        y: places of their labels.
        s: labels.
        low, high: ends of each coordinate.
        rng: chooses the functions that settings are tried on.
    """

    def __init__(
        self,
        u: Float[Array, "function sensor"],
        y: Float[Array, "function point dim"],
        s: Float[Array, "function point"],
        low: tuple[float, ...],
        high: tuple[float, ...],
        rng: np.random.Generator,
    ) -> None:
        self.low, self.high = np.array(low), np.array(high)
        self.inputs = components(u)
        fitted, tried = _split(len(u), rng)
        best = np.inf
        self.setting = (INPUTS[0], PLACES[0], RIDGES[0])
        for n_input, n_place in itertools.product(INPUTS, PLACES):
            n_input = min(n_input, self.inputs.axes.shape[1])
            if (n_input + 1) * n_place ** len(low) > MAX_FEATURES:
                continue
            x = self._features(u, y, n_input, n_place)
            for ridge, weights in _ridges(_rows(x[fitted]), s[fitted].ravel()):
                error = float(((_rows(x[tried]) @ weights - s[tried].ravel()) ** 2).mean())
                if error < best:
                    best, self.setting = error, (n_input, n_place, ridge)
        n_input, n_place, ridge = self.setting
        rows = _rows(self._features(u, y, n_input, n_place))
        self.weights = dict(_ridges(rows, s.ravel()))[ridge]

    def everywhere(
        self, u: Float[Array, "function sensor"], y: Float[Array, "point dim"]
    ) -> Float[Array, "function point"]:
        """The output of every function at every place."""
        n_input, n_place, _ = self.setting
        a, p = self._coefficients(u, n_input), self._polynomials(y, n_place)
        return a @ self.weights.reshape(a.shape[1], p.shape[1]) @ p.T

    def at(self, u: Float[Array, "function sensor"], y: Float[Array, "function point dim"]) -> Array:
        """The output of each function at places of its own."""
        return self._features(u, y, *self.setting[:2]) @ self.weights

    def _features(self, u: Array, y: Array, n_input: int, n_place: int) -> Float[Array, "function point feature"]:
        a = self._coefficients(u, n_input)
        p = self._polynomials(y.reshape(-1, y.shape[-1]), n_place).reshape(*y.shape[:2], -1)
        return np.einsum("fi,fpj->fpij", a, p).reshape(*y.shape[:2], -1)

    def _coefficients(self, u: Array, n: int) -> Array:
        return np.concatenate([np.ones((len(u), 1)), self.inputs.of(u, n)], axis=1)

    def _polynomials(self, y: Array, n: int) -> Array:
        z = 2 * (y - self.low) / (self.high - self.low) - 1
        basis = np.ones((len(y), 1))
        for at in range(z.shape[1]):
            one = np.polynomial.legendre.legvander(z[:, at], n - 1)
            basis = (basis[:, :, None] * one[:, None, :]).reshape(len(y), -1)
        return basis


class Reduced(NamedTuple):
    """The outputs' principal components, and ridge regression to their coefficients."""

    mean: Float[Array, " point"]
    modes: Float[Array, "mode point"]
    """Scaled so that coefficients have unit variance over the training functions."""
    ridge: Float[Array, "sensor_and_one mode"]
    left: Float[Array, " mode"]
    """Spread of what the linear map leaves of each coefficient, on functions that it was not fitted to."""


def reduced(u: Float[Array, "function sensor"], s: Float[Array, "function point"], most: int,
            rng: np.random.Generator) -> Reduced:  # fmt: skip
    """A basis of at most `most` components of aligned outputs, which carry all but 1e-8 of their variance."""
    outputs = components(s)
    share = np.cumsum(outputs.scale**2) / (outputs.scale**2).sum()
    n = min(most, int(np.searchsorted(share, 1 - 1e-8)) + 1, len(outputs.scale))
    target = outputs.of(s, n)
    x = np.concatenate([u, np.ones((len(u), 1))], axis=1)
    fitted, tried = _split(len(u), rng)
    errors = {ridge: x[tried] @ weights - target[tried] for ridge, weights in _ridges(x[fitted], target[fitted])}
    ridge = min(errors, key=lambda one: float((errors[one] ** 2).sum()))
    left = np.sqrt((errors[ridge] ** 2).mean(0))
    modes = (outputs.axes[:, :n] * outputs.scale[:n]).T
    return Reduced(outputs.mean, modes, dict(_ridges(x, target))[ridge], left)


class PodOperator:
    """The `pod` method.

    Args:
        u: sensors of the training functions.
        s: their labels, at the same places for all.
        rng: chooses the functions that settings are tried on.
    """

    def __init__(
        self, u: Float[Array, "function sensor"], s: Float[Array, "function point"], rng: np.random.Generator
    ) -> None:
        self.inputs, self.outputs = components(u), components(s)
        target = self.outputs.of(s, self.outputs.axes.shape[1])
        fitted, tried = _split(len(u), rng)
        best = np.inf
        self.setting = (1, INPUTS[0], RIDGES[0])
        for degree, n in itertools.product(DEGREES, INPUTS):
            n = min(n, self.inputs.axes.shape[1])
            x = self._features(u, degree, n)
            if x.shape[1] > MAX_FEATURES:
                continue
            for ridge, weights in _ridges(x[fitted], target[fitted]):
                error = float(((self._back(x[tried] @ weights) - s[tried]) ** 2).mean())
                if error < best:
                    best, self.setting = error, (degree, n, ridge)
        degree, n, ridge = self.setting
        self.weights = dict(_ridges(self._features(u, degree, n), target))[ridge]

    def everywhere(self, u: Float[Array, "function sensor"]) -> Float[Array, "function point"]:
        """The output of every function at the places of the training data."""
        return self._back(self._features(u, *self.setting[:2]) @ self.weights)

    def _features(self, u: Array, degree: int, n: int) -> Float[Array, "function feature"]:
        a = self.inputs.of(u, n)
        columns = [np.ones(len(a))]
        for order in range(1, degree + 1):
            chosen = itertools.combinations_with_replacement(range(n), order)
            columns.extend(a[:, list(one)].prod(1) for one in chosen)
        return np.stack(columns, axis=1)

    def _back(self, coefficients: Array) -> Array:
        return self.outputs.mean + (coefficients * self.outputs.scale) @ self.outputs.axes.T


def _rows(x: Float[Array, "function point feature"]) -> Float[Array, "row feature"]:
    return x.reshape(-1, x.shape[-1])


class _Halves(NamedTuple):
    fitted: Int[np.ndarray, " row"]
    tried: Int[np.ndarray, " row"]


def _split(n: int, rng: np.random.Generator) -> _Halves:
    order = rng.permutation(n)
    cut = max(1, round(SHARE * n))
    return _Halves(order[cut:], order[:cut]) if n > 1 else _Halves(order, order)


def _ridges(x: Float[Array, "row feature"], s: Array) -> list[tuple[float, Array]]:
    """Weights for every ridge; one eigendecomposition serves all."""
    values, vectors = np.linalg.eigh(x.T @ x)
    projected = vectors.T @ (x.T @ s)
    unit = float(np.trace(x.T @ x)) / x.shape[1]
    scaled = np.maximum(values, 0).reshape(-1, *[1] * (s.ndim - 1))
    return [(ridge, vectors @ (projected / (scaled + ridge * unit))) for ridge in RIDGES]
