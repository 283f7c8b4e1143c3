"""What a trial has evaluated so far, so that a killed one plays it back instead of computing it again."""

from __future__ import annotations

import numpy as np

from wheatstone.bench.run import Trial
from wheatstone.domains.quantum.objective import Evaluation
from wheatstone.studies.quantum.aqctensor.config import Config

EVERY = 8
"""Evaluations between two checkpoints: seconds of work at 100 qubits, and a few megabytes."""


class Memory:
    """Evaluations of each stage of a trial, in order."""

    def __init__(self, trial: Trial[Config]) -> None:
        self._trial = trial
        self._stages: dict[str, list[Evaluation]] = {}
        self._unsaved = 0
        checkpoint = trial.load_checkpoint()
        if checkpoint is None:
            return
        for stage in checkpoint.state["stages"]:
            gradients = np.asarray(checkpoint.tensors[f"{stage}.gradients"])
            numbers = np.asarray(checkpoint.tensors[f"{stage}.numbers"])
            self._stages[stage] = [
                Evaluation(float(value), gradient, float(fidelity), int(bond))
                for gradient, (value, fidelity, bond) in zip(gradients, numbers, strict=True)
            ]

    def recall(self, stage: str) -> list[Evaluation]:
        """The evaluations of a stage before the trial was stopped."""
        return list(self._stages.get(stage, []))

    def keep(self, stage: str, found: Evaluation) -> None:
        """Adds an evaluation; every few make a checkpoint."""
        self._stages.setdefault(stage, []).append(found)
        self._unsaved += 1
        if self._unsaved < EVERY:
            return
        self._unsaved = 0
        tensors: dict[str, np.ndarray] = {}
        for name, made in self._stages.items():
            tensors[f"{name}.gradients"] = np.stack([one.gradient for one in made])
            tensors[f"{name}.numbers"] = np.array([[one.value, one.fidelity, one.max_bond] for one in made])
        self._trial.save_checkpoint(tensors, {"stages": list(self._stages)})
