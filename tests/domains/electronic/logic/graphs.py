"""Random graphs, and arithmetic to compare them with."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from wheatstone.domains.electronic.logic.aig import Aig

NAMES = st.text("abcxyz_019[]", min_size=1, max_size=6)


@st.composite
def aigs(draw: st.DrawFn, most_gates: int = 30, named: bool | None = None) -> Aig:
    """Any graph: constants and repeated fan-ins included."""
    n_inputs, n_gates = draw(st.integers(1, 5)), draw(st.integers(0, most_gates))
    fanins = [[draw(st.integers(0, 2 * (n_inputs + gate) + 1)) for _ in range(2)] for gate in range(n_gates)]
    outputs = draw(st.lists(st.integers(0, 2 * (n_inputs + n_gates) + 1), min_size=1, max_size=4))
    has_names = draw(st.booleans()) if named is None else named
    names = draw(st.lists(NAMES, min_size=n_inputs + len(outputs), max_size=n_inputs + len(outputs), unique=True))
    return Aig(
        n_inputs,
        np.array(fanins, dtype=np.int64).reshape(-1, 2),
        np.array(outputs, dtype=np.int64),
        tuple(names[:n_inputs]) if has_names else (),
        tuple(names[n_inputs:]) if has_names else (),
    )


def numbers(bits: np.ndarray) -> np.ndarray:
    """Rows of bits, low ones first, as whole numbers."""
    return bits @ (1 << np.arange(bits.shape[1], dtype=np.int64))
