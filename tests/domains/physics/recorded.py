"""Trajectories as a user's own tools write them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wheatstone.domains.physics.trajectories import Recorded


def write_csv(path: Path, trajectories: Sequence[Recorded]) -> None:
    """A row a time, a column `trajectory`."""
    n = trajectories[0].q.shape[1]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trajectory", "t", *(f"{kind}{column}" for kind in "qp" for column in range(1, n + 1))])
        for one in trajectories:
            for t, q, p in zip(one.t, one.q, one.p, strict=True):
                writer.writerow([one.name, *(repr(float(value)) for value in (t, *q, *p))])


def write_npz(path: Path, trajectories: Sequence[Recorded]) -> None:
    """Arrays [trajectory, time, column]; trajectories of the same times."""
    q, p = (np.stack([getattr(one, kind) for one in trajectories]) for kind in "qp")
    np.savez(path, t=trajectories[0].t, q=q, p=p)
