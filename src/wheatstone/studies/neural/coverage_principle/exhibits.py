"""Figures and tables of a run."""

from __future__ import annotations

from collections.abc import Sequence

from wheatstone.bench.exhibit import Exhibit, Lines, curve_line
from wheatstone.bench.run import Run


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    return [
        Lines(
            "id-accuracy",
            "ID accuracy",
            "optimiser steps",
            "accuracy",
            [curve_line(run, "id_accuracy", arm, arm) for arm in run.arms if run.trial(arm, run.seeds[0]).is_finished],
        )
    ]
