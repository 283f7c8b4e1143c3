"""Random knowledge graphs of the composition task (Wang et al., NeurIPS 2024, arXiv:2405.15071, section 3.1)."""

from __future__ import annotations

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.graph import Int32


def random_table(n_entity: int, n_relation: int, out_degree: int, rng: np.random.Generator) -> Int32:
    """[n_entity, n_relation]: every entity has `out_degree` distinct relations, each with a uniform tail (or itself).

    The paper's sizes are 2000 entities, 200 relations, out-degree 20. Raises UserError for sizes that cannot be.
    """
    if n_entity < 1 or not 1 <= out_degree <= n_relation:
        raise UserError(
            f"random graph: got {n_entity} entities, {n_relation} relations, out-degree {out_degree}; "
            "the out-degree must lie between 1 and the number of relations."
        )
    table = np.full((n_entity, n_relation), -1, np.int32)
    # The first columns of a random permutation of each row are a uniform choice without replacement.
    chosen = np.argsort(rng.random((n_entity, n_relation)), axis=1)[:, :out_degree]
    tails = rng.integers(0, n_entity, (n_entity, out_degree), dtype=np.int32)
    np.put_along_axis(table, chosen, tails, axis=1)
    return table
