"""Questions as rows of statements for a `StatementTransformer`: fresh names, the wanted order, the question first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from wheatstone.domains.causal.closure import Ints
from wheatstone.domains.causal.instances import Instances, Rng
from wheatstone.learn.models.statements import EDGE, GIVEN, QUESTION, pack, padding

Order = Literal["shuffled", "written"]


def rows_of(instances: Instances, n_name: int, rng: Rng, order: Order = "shuffled") -> Ints:
    """[question, 1 + edges + given] statements; each question gets names of its own, all different.

    Raises ValueError for more nodes than names.
    """
    n, n_node = len(instances), instances.n_node
    if n_node > n_name:
        raise ValueError(f"{n_node} nodes need as many names, there are {n_name}")
    names = np.argsort(rng.random((n, n_name)), axis=1)[:, :n_node]
    rows = np.arange(n)[:, None]
    edges = names[rows, instances.edges[..., 0]], names[rows, instances.edges[..., 1]]
    statements = np.where(instances.edges[..., 0] >= 0, pack(EDGE, *edges, n_name), padding(n_name))
    n_given = int(instances.given.sum(1).max(initial=0))
    if n_given:
        first = np.argsort(~instances.given, axis=1, kind="stable")[:, :n_given]
        name = names[rows, first]
        is_given = np.take_along_axis(instances.given, first, axis=1)
        given = np.where(is_given, pack(GIVEN, name, name, n_name), padding(n_name))
        statements = np.concatenate([statements, given], axis=1)
    if order == "shuffled":
        statements = np.take_along_axis(statements, np.argsort(rng.random(statements.shape), axis=1), axis=1)
    asked = np.take_along_axis(names, instances.question, axis=1)
    question = pack(QUESTION, asked[:, 0], asked[:, 1], n_name)
    return np.concatenate([question[:, None], statements], axis=1)


def stacked(groups: Sequence[Ints], pad: int) -> Ints:
    """Rows of different lengths as one array, padded on the right."""
    width = max(group.shape[1] for group in groups)
    return np.concatenate([np.pad(one, ((0, 0), (0, width - one.shape[1])), constant_values=pad) for one in groups])
