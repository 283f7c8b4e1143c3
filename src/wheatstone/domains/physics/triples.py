"""Data of an operator: input functions at sensors, places, outputs there; read, checked and split by function.

A file is an .npz without pickled objects:

    U  [n, m]       input functions at m sensors
    Y  [n, P, d]    places of their labels ([P, d] where they are the same for all; d may be left out when it is 1)
    S  [n, P]       labels
    X  [m]          places of the sensors (optional; even from 0 to 1 when absent)

Two rows of U that are equal are one function, and a function is in training or in the test with all of its labels: a
test on new places of known functions would make any network look good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean
from wheatstone.domains.archives import read_archive
from wheatstone.domains.physics.function_spaces import Array

MAX_BYTES = 2 * 2**30
FEWEST = 10
"""Functions of a file, so that some can be held out."""


@dataclass(frozen=True, eq=False)
class Triples:
    """Labelled input functions.

    Attributes:
        u: values at the sensors.
        y: places of the labels.
        s: labels.
    """

    u: Float[Array, "function sensor"]
    y: Float[Array, "function point dim"]
    s: Float[Array, "function point"]

    def __len__(self) -> int:
        return len(self.u)

    def digests(self) -> list[str]:
        """A hash of each function's sensors."""
        return [hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest() for row in self.u]

    def __getitem__(self, rows: slice | Int[np.ndarray, " row"]) -> Triples:
        return Triples(self.u[rows], self.y[rows], self.s[rows])

    @property
    def is_aligned(self) -> bool:
        """Whether every function is labelled at the same places."""
        return bool((self.y == self.y[:1]).all())


class TriplesFile(NamedTuple):
    """What a file holds."""

    triples: Triples
    sensors: Float[Array, " sensor"]


class Halves(NamedTuple):
    """Two parts without a common function."""

    train: Triples
    test: Triples


def read_triples(path: Path) -> TriplesFile:
    """Reads a file of the form above. Raises UserError, InputError naming array and row."""
    arrays = _arrays(path)
    name = path.name
    for key in ("U", "Y", "S"):
        if key not in arrays:
            hint = did_you_mean(key, arrays)
            raise UserError(f"{name}: no array '{key}'.{hint} It has {', '.join(arrays) or 'none'}; needed: U, Y, S.")
    u, y, s = arrays["U"], arrays["Y"], arrays["S"]
    if u.ndim != 2 or not u.size:
        raise UserError(f"{name} array 'U': shape {u.shape}, must be [functions, sensors].")
    n = len(u)
    if s.ndim == 1 and len(s) == n:
        s = s[:, None]
    if s.ndim != 2 or len(s) != n or not s.size:
        raise UserError(f"{name} array 'S': shape {s.shape}, must be [{n}, labels of a function], as U has {n} rows.")
    y = _places(name, y, n, s.shape[1])
    sensors = arrays.get("X", np.linspace(0.0, 1.0, u.shape[1]))
    if sensors.shape != (u.shape[1],):
        raise UserError(f"{name} array 'X': shape {sensors.shape}, must be [{u.shape[1]}], one place a sensor.")
    if not np.isfinite(sensors).all() or not (np.diff(sensors) > 0).all():
        at = int(np.argmax(~(np.diff(sensors) > 0))) + 1
        raise UserError(f"{name} array 'X': must increase; entry {at} (from 0) is {sensors[at]:g}.")
    faults = [fault for key, array in (("U", u), ("Y", y), ("S", s)) for fault in _not_finite(name, key, array)]
    if faults:
        raise InputError(faults)
    found = Triples(u, np.ascontiguousarray(np.broadcast_to(y, (n, *y.shape[1:]))), s)
    flat = found.y.reshape(-1, found.y.shape[-1])
    if constant := np.flatnonzero(flat.min(0) == flat.max(0)).tolist():
        raise UserError(
            f"{name} array 'Y': coordinate {constant[0]} is {flat[0, constant[0]]:g} in all rows; leave it out."
        )
    different = len(set(found.digests()))
    if different < FEWEST:
        raise UserError(f"{name}: {different} different functions in U; {FEWEST} at least, some of which are held out.")
    return TriplesFile(found, sensors)


def split_by_function(triples: Triples, share: float, rng: np.random.Generator) -> Halves:
    """Holds out about `share` of the different functions, at least one, with all of their labels."""
    digests = np.array(triples.digests())
    different = np.unique(digests)
    held = rng.permutation(different)[: max(1, round(share * len(different)))]
    is_test = np.isin(digests, held)
    return Halves(triples[np.flatnonzero(~is_test)], triples[np.flatnonzero(is_test)])


def shared_functions(one: Triples, other: Triples) -> int:
    """Functions that are in both: none, after an honest split."""
    return len(set(one.digests()) & set(other.digests()))


def _arrays(path: Path) -> Mapping[str, Array]:
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    form = "An .npz with the arrays U, Y, S is needed: numpy.savez('triples.npz', U=U, Y=Y, S=S)."
    try:
        raw = read_archive(path.read_bytes(), path.name, MAX_BYTES)
    except UserError as error:
        raise UserError(f"{error} {form}") from None
    for key, array in raw.items():
        if array.dtype.kind not in "fiu":
            raise UserError(f"{path.name} array '{key}': holds {array.dtype}, must hold real numbers.")
    return {key: array.astype(np.float64) for key, array in raw.items()}


def _places(name: str, y: Array, n: int, points: int) -> Array:
    """Y as [n or 1, points, dim]."""
    match y.shape:
        case (a, b, _) if a == n and b == points:
            return y
        case (a, b) if a == n and b == points:
            return y[:, :, None]
        case (b, _) if b == points:
            return y[None]
        case (b,) if b == points:
            return y[None, :, None]
        case (a,) if a == n and points == 1:
            return y[:, None, None]
        case _:
            raise UserError(
                f"{name} array 'Y': shape {y.shape}, must be [{n}, {points}, coordinates], or [{points}, coordinates] "
                f"for places that all functions share, as S has shape ({n}, {points})."
            )


def _not_finite(name: str, key: str, array: Array) -> list[Fault]:
    bad = ~np.isfinite(array)
    rows = np.flatnonzero(bad.reshape(len(array), -1).any(1))
    text = "value(s) that are no numbers; leave the row out or mend it."
    return [Fault(name, None, f"{key}[{row}]", f"{int(bad[row].sum())} {text}") for row in rows.tolist()]
