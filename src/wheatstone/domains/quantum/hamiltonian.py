"""Hamiltonians of spin chains: named models and Pauli sums from a file.

Source  the models in Pauli operators. Heisenberg and XXZ as in Robertson et al., arXiv:2301.08609, spin-half operators,
        i.e. a coupling of -1/4 on XX + YY + delta ZZ
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.domains.quantum.circuit import Complex

Model = Literal["heisenberg", "xxz", "tfim", "ising"]
PAULIS: dict[str, Complex] = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}
MAX_SITES = 100_000
"""An index far beyond the others is a slip, and a chain of that length would fill memory."""
_INDEXED = re.compile(r"([XYZ])\s*(\d+)")


class Term(NamedTuple):
    """One Pauli string with its real coefficient."""

    coefficient: float
    paulis: tuple[tuple[int, str], ...]
    """(site, 'X', 'Y' or 'Z'), sites ascending."""

    def __str__(self) -> str:
        return " ".join(f"{letter}{site}" for site, letter in self.paulis) or "identity"


@dataclass(frozen=True)
class Hamiltonian:
    """A sum of Pauli strings on n sites."""

    n: int
    terms: tuple[Term, ...]

    def far_terms(self) -> tuple[Term, ...]:
        """The terms that no bond of an open chain holds."""
        return tuple(term for term in self.terms if not _is_near(term))

    def bonds(self) -> Complex:
        """(n - 1, 4, 4): the part of the Hamiltonian on each bond (q, q+1).

        A field is shared equally by the bonds at its site, multiples of the identity are dropped. Raises UserError that
        names the first term which is on no bond.
        """
        if far := self.far_terms():
            raise UserError(
                f"term {far[0]} does not act on neighbours of an open chain"
                + (f" ({len(far)} terms like it)" if len(far) > 1 else "")
                + ". Remove it, or join distant qubits with --allow-swaps."
            )
        matrices = np.zeros((self.n - 1, 4, 4), dtype=complex)
        for coefficient, paulis in self.terms:
            if len(paulis) == 2:
                (left, one), (_, two) = paulis
                matrices[left] += coefficient * np.kron(PAULIS[one], PAULIS[two])
            elif len(paulis) == 1:
                ((site, letter),) = paulis
                shares = [bond for bond in (site - 1, site) if 0 <= bond < self.n - 1]
                for bond in shares:
                    sides = (PAULIS[letter], PAULIS["I"]) if bond == site else (PAULIS["I"], PAULIS[letter])
                    matrices[bond] += coefficient / len(shares) * np.kron(*sides)
        return matrices

    def dense(self) -> Complex:
        """(2^n, 2^n) matrix, site 0 the most significant bit."""
        total = np.zeros((2**self.n, 2**self.n), dtype=complex)
        for coefficient, paulis in self.terms:
            letters, matrix = dict(paulis), np.ones((1, 1), dtype=complex)
            for site in range(self.n):
                matrix = np.kron(matrix, PAULIS[letters.get(site, "I")])
            total += coefficient * matrix
        return total


def chain(
    model: Model, n: int, couplings: Sequence[float] | None = None, *, delta: float = 1.0, field: float = 0.0
) -> Hamiltonian:
    """A model on an open chain of n sites; `couplings` scale its n - 1 bonds (1 each when not given).

    heisenberg  -J/4 (XX + YY + ZZ), spin-half operators, as in the paper
    xxz         -J/4 (XX + YY + delta ZZ)
    tfim        -J ZZ - field X: the transverse-field Ising model
    ising       J ZZ + field X + field Z: the tilted, non-integrable Ising model

    Raises UserError below two sites and for a wrong number of couplings.
    """
    if n < 2:
        raise UserError(f"a chain of {n} site{'' if n == 1 else 's'}: must have at least 2.")
    scales = [1.0] * (n - 1) if couplings is None else list(couplings)
    if len(scales) != n - 1:
        raise UserError(f"{len(scales)} couplings for {n - 1} bonds: an open chain of {n} sites has {n - 1}.")
    terms: list[Term] = []
    for bond, scale in enumerate(scales):
        if model in ("heisenberg", "xxz"):
            strengths = {"X": -scale / 4, "Y": -scale / 4, "Z": -scale / 4 * (delta if model == "xxz" else 1.0)}
        else:
            strengths = {"Z": -scale if model == "tfim" else scale}
        terms += [Term(value, ((bond, letter), (bond + 1, letter))) for letter, value in strengths.items() if value]
    if field:
        letters = {"tfim": "X", "ising": "XZ"}.get(model, "Z")
        sign = -1.0 if model == "tfim" else 1.0
        terms += [Term(sign * field, ((site, letter),)) for site in range(n) for letter in letters]
    return Hamiltonian(n, tuple(terms))


def read_hamiltonian(path: Path) -> Hamiltonian:
    """The Pauli sum in a text file (a line is a coefficient and a string: '0.5 XXI' or '0.5 X0 X1') or a JSON file.

    In a text file '#' opens a comment. JSON is a list of [coefficient, string] pairs. Every string names site 0 first;
    strings of letters all have one length, indexed terms give the number of sites by their largest index.

    Raises InputError with the first five faults.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError([Fault(path.name, None, None, "not UTF-8. A Pauli sum is plain text or JSON.")]) from None
    rows = _json_rows(text, path.name) if path.suffix == ".json" else _text_rows(text)
    faults: list[Fault] = []
    terms: list[Term] = []
    sites, letters_at = 0, None
    for line, coefficient, word in rows:
        try:
            value = float(coefficient)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            faults.append(Fault(path.name, line, "coefficient", f"'{coefficient}' is not a finite real number."))
            continue
        paulis, length, fault = _paulis(word)
        if fault:
            faults.append(Fault(path.name, line, "string", fault))
            continue
        if length is not None:
            if letters_at is not None and length != sites:
                text = f"'{word}' has {length} sites, the one on line {letters_at} has {sites}; all are of one length."
                faults.append(Fault(path.name, line, "string", text))
                continue
            sites, letters_at = length, letters_at or line
        elif letters_at is None:
            sites = max(sites, *(site + 1 for site, _ in paulis))
        terms.append(Term(value, paulis))
    if faults:
        raise InputError(faults)
    if not terms:
        raise InputError([Fault(path.name, None, None, "no terms. A line is a coefficient and a string: 0.5 XXI")])
    if sites > MAX_SITES:
        raise InputError([Fault(path.name, None, None, f"{sites:,} sites, at most {MAX_SITES:,} are read.")])
    if sites < 2:
        raise InputError([Fault(path.name, None, None, f"{sites} site; a chain has at least 2.")])
    return Hamiltonian(sites, tuple(terms))


def _is_near(term: Term) -> bool:
    sites = [site for site, _ in term.paulis]
    return len(sites) <= 2 and (len(sites) < 2 or sites[1] - sites[0] == 1)


def _text_rows(text: str) -> list[tuple[int, str, str]]:
    rows: list[tuple[int, str, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].replace(",", " ").split(maxsplit=1)
        if words:
            rows.append((number, words[0], words[1].strip() if len(words) > 1 else ""))
    return rows


def _json_rows(text: str, name: str) -> list[tuple[int, Any, str]]:
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError) as fault:
        line = getattr(fault, "lineno", None)
        raise InputError([Fault(name, line, None, f"not JSON ({getattr(fault, 'msg', fault)}).")]) from None
    if not isinstance(stored, list):
        raise InputError([Fault(name, None, None, 'must be a list of [coefficient, string] pairs: [[0.5, "XXI"]]')])
    rows: list[tuple[int, Any, str]] = []
    faults: list[Fault] = []
    for number, item in enumerate(cast("list[Any]", stored), start=1):
        match item:
            case [coefficient, str(word)]:
                rows.append((number, coefficient, word))
            case _:
                faults.append(Fault(name, None, f"item {number}", f"{item!r} is not a [coefficient, string] pair."))
    if faults:
        raise InputError(faults)
    return rows


def _paulis(word: str) -> tuple[tuple[tuple[int, str], ...], int | None, str]:
    """(paulis, number of sites or None, what is wrong)."""
    compact = word.replace(" ", "")
    if compact and set(compact) <= set("IXYZ"):
        return tuple((site, letter) for site, letter in enumerate(compact) if letter != "I"), len(compact), ""
    found = _INDEXED.findall(word)
    if not found or _INDEXED.sub("", word).strip():
        return (), None, f"'{word}' is no Pauli string. Write XXI, or X0 X1."
    sites = [int(site) for _, site in found]
    if len(set(sites)) < len(sites):
        return (), None, f"'{word}' names a site twice."
    return tuple(sorted((int(site), letter) for letter, site in found)), None, ""
