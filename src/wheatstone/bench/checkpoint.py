"""Checkpoints: one safetensors file with named arrays, and a JSON record in its metadata. Never pickle.

torch tensors come back as torch tensors and numpy arrays as numpy arrays, so a study without torch never imports it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_atomically

if TYPE_CHECKING:
    import torch

KEY = "wheatstone"


@dataclass(frozen=True)
class Checkpoint:
    """Where a trial goes on: its tensors, and the state that is not a tensor (step, random generators, history)."""

    tensors: dict[str, Any]
    state: dict[str, Any]


def write_tensors(path: Path, tensors: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Writes all-torch or all-numpy `tensors` and the JSON-able `record`, atomically.

    Tensors are detached, moved to the CPU and stored each on its own, so tied weights come back as separate copies.
    Raises TypeError for a mixture of torch and numpy, UserError when the disk is full.
    """
    import numpy as np

    is_numpy = all(isinstance(value, np.ndarray) for value in tensors.values())
    metadata = {KEY: json.dumps({"kind": "numpy" if is_numpy else "torch", "record": dict(record)})}
    if is_numpy:
        from safetensors.numpy import save

        data = save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata)
    else:
        from safetensors.torch import save

        data = save(_on_their_own(tensors), metadata)
    write_atomically(path, data)


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(tensors, record) as `write_tensors` stored them.

    Raises FileNotFoundError, and UserError when the file is damaged or not one of ours.
    """
    data = path.read_bytes()
    try:
        size = int.from_bytes(data[:8], "little")
        stored = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][KEY])
        if stored["kind"] == "numpy":
            from safetensors.numpy import load
        else:
            from safetensors.torch import load
        return load(data), stored["record"]
    except Exception as error:  # whatever the parser trips over, the user's way out is the same
        raise UserError(
            f"{path}: damaged ({type(error).__name__}: {error}). Delete it to train the trial again from its start."
        ) from None


def _on_their_own(tensors: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Contiguous CPU tensors that share their memory with no other, as the format demands."""
    import torch

    alone: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"tensor '{name}' is a {type(value).__name__}; store torch tensors or numpy arrays, not both"
            )
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        alone[name] = tensor
    return alone
