"""What the arms of one seed have in common, kept in the run's `shared` folder: made once, by whoever needs it first.

Self-play, its network, and plain tree search are functions of config and seed, and most arms need them. A piece is made
under a lock and written in one step; a trial on another machine, or a folder that was deleted, makes it again and finds
the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from wheatstone.bench.checkpoint import Checkpoint, read_tensors, write_tensors
from wheatstone.bench.files import disk_faults, hold

PATIENCE = 7200.0
"""Seconds that a trial waits for another one that is making the same piece."""


class Keep(Protocol):
    """Keeps a state of a piece that is being made."""

    def __call__(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, finished: bool) -> None: ...


class Store:
    """Pieces by name and by what they depend on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, kind: str, about: Mapping[str, Any], make: Callable[[Checkpoint | None, Keep], None]) -> Checkpoint:
        """The piece of this kind that depends on `about`.

        `make` gets what an interrupted maker left, None at first, and a function that keeps a state; the state that it
        keeps as finished is the piece.
        """
        name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        path = self.folder / f"{kind}-{name}.safetensors"
        with disk_faults(path):
            self.folder.mkdir(parents=True, exist_ok=True)

        def keep(tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, finished: bool) -> None:
            held = dict(tensors) or {"none": torch.zeros(1)}
            write_tensors(path, held, {"finished": finished, "state": dict(state)})

        with hold(path.with_suffix(".lock"), lambda holder: f"{path}: {holder} makes it for too long.", PATIENCE):
            found = _read(path)
            if found is None or not found.state["finished"]:
                make(None if found is None else Checkpoint(found.tensors, found.state["state"]), keep)
                found = _read(path)
                assert found is not None
        return Checkpoint(found.tensors, found.state["state"])


def _read(path: Path) -> Checkpoint | None:
    try:
        tensors, state = read_tensors(path)
    except FileNotFoundError:
        return None
    return Checkpoint(tensors, state)
