"""A trained policy in one file: the network, the training circuits' vectors, and how far it is to be trusted.

`policy.safetensors` beside this module was written by

    wheatstone apply abc-rl train circuits.txt --lib sg13g2_stdcell_typ_1p20V_25C.lib.gz

with the ten training circuits of the `cpu` preset and its eight validation circuits (marked `validate`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.errors import UserError
from wheatstone.studies.electronic.abc_rl.network import PolicyNet
from wheatstone.studies.electronic.abc_rl.retrieval import Trust

SHIPPED = Path(__file__).with_name("policy.safetensors")
FORMAT = 1


class Trained(NamedTuple):
    """A policy with its training circuits."""

    net: PolicyNet
    vectors: torch.Tensor
    """(circuit, d_circuit): what the encoder says of the training circuits."""
    names: tuple[str, ...]
    trust: Trust
    library: str = ""
    """Name of the timing library that it was trained with."""


def write_policy(path: Path, trained: Trained) -> None:
    """Writes the file. Raises UserError when the disk is full."""
    tensors = {f"net.{name}": value for name, value in trained.net.state_dict().items()}
    record = {
        "format": FORMAT,
        "kind": "abc-rl policy",
        "names": list(trained.names),
        "trust": list(trained.trust),
        "library": trained.library,
    }
    write_tensors(path, tensors | {"vectors": trained.vectors}, record)


def read_policy(path: Path) -> Trained:
    """The policy in a file. Raises UserError when it is absent, damaged, or something else."""
    try:
        tensors, record = read_tensors(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Make one: wheatstone apply abc-rl train") from None
    except UserError:
        raise UserError(f"{path}: not a policy file. Make one: wheatstone apply abc-rl train") from None
    if record.get("kind") != "abc-rl policy" or record.get("format") != FORMAT:
        raise UserError(f"{path}: not a policy that this version reads. Make one: wheatstone apply abc-rl train")
    net = PolicyNet(torch.Generator().manual_seed(0)).eval()
    try:
        net.load_state_dict({name.removeprefix("net."): v for name, v in tensors.items() if name.startswith("net.")})
        trust = Trust(*record["trust"])
        names = tuple(record["names"])
        if len(names) != len(tensors["vectors"]):
            raise KeyError("names")
    except (RuntimeError, KeyError, TypeError) as fault:
        raise UserError(f"{path}: damaged ({str(fault).splitlines()[0]}).") from None
    return Trained(net, tensors["vectors"], names, trust, record.get("library", ""))
