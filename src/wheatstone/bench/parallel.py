"""One trial over several devices: `torchrun --nproc-per-node 4 -m wheatstone run STUDY --preset paper`.

torchrun starts one process a device. The first leads: it alone opens the run, holds its locks and writes into it. The
others are told which trial comes next and run the same code on it with a trial that writes nothing; the training loop
gives each process its share of every batch and adds the gradients up (`learn.training`).
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wheatstone.bench.checkpoint import Checkpoint, read_tensors
from wheatstone.bench.environment import usable_cores
from wheatstone.bench.run import Run
from wheatstone.bench.trial import CHECKPOINT, Trial
from wheatstone.bench.work import Assignment, perform, torch_threads, unheard

if TYPE_CHECKING:
    from torch import Tensor

    from wheatstone.bench.study import Study


class Place(NamedTuple):
    """Which of the processes this one is."""

    rank: int
    world: int

    @property
    def leads(self) -> bool:
        return self.rank == 0


def is_parallel() -> bool:
    """Whether torchrun has started this process beside others."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


@functools.cache
def place() -> Place:
    """This process among those of torchrun, which are connected at the first call; alone without torchrun."""
    if not is_parallel():
        return Place(0, 1)
    import torch

    # Its functions take the group of the moment of their import as a default: imported later, it would never end.
    import torch.distributed.nn  # pyright: ignore[reportUnusedImport]
    from torch import distributed

    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if gpu else "gloo")
    return Place(distributed.get_rank(), distributed.get_world_size())


class ParallelEngine:
    """The leader's engine: one trial after the other, each on all devices."""

    def execute(self, study: Study[Any], assignments: Sequence[Assignment]) -> None:
        """Stops at the first fault; torchrun then ends the other processes."""
        for run, tasks, watch, _ in assignments:
            with torch_threads(_threads()):
                for task in tasks:
                    watch.started(task)
                    _tell({"run": str(run.path.absolute()), **task._asdict()})
                    watch.finished(task, perform(run, study, task, functools.partial(watch.progress, task)))


def dismiss_followers() -> None:
    """Tells the other processes that there are no more trials."""
    _tell({})
    _part()


def follow_leader(study: Study[Any]) -> None:
    """What all processes but the leader do: run the trials that it names, until there are no more."""
    with torch_threads(_threads()):
        while message := _tell(None):
            run = Run.open(Path(message["run"]))
            record = run.trial(message["arm"], message["seed"])
            study.run(_Shadow(run, record, record.config(study), unheard))
    _part()


class _Shadow(Trial[Any]):
    """A trial that another process leads: it goes on from the same checkpoint and leaves no trace."""

    def log(self, step: int, **values: float) -> None: ...

    def save_checkpoint(self, tensors: Mapping[str, Any], state: Mapping[str, Any]) -> None: ...

    def load_checkpoint(self) -> Checkpoint | None:
        try:
            tensors, record = read_tensors(self.path / CHECKPOINT)
        except FileNotFoundError:
            return None
        return Checkpoint(tensors, record["state"])

    def write(self, name: str, value: Any) -> None: ...

    def save_tensors(self, name: str, tensors: Mapping[str, Any]) -> Path:  # noqa: ARG002
        return self._record.file(name)


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its sum over all processes: one message, whatever their number."""
    import torch
    from torch import distributed

    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def _tell(message: Mapping[str, Any] | None) -> dict[str, Any]:
    """The leader's message, in every process; the others pass None."""
    import torch
    from torch import distributed

    place()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = json.dumps(message or {}).encode()
    size = torch.tensor([len(data)], device=device)
    distributed.broadcast(size, 0)
    text = torch.zeros(int(size), dtype=torch.uint8, device=device)
    if message is not None:
        text.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    distributed.broadcast(text, 0)
    return json.loads(bytes(text.tolist()))


def _part() -> None:
    """Ends the connection: left to the interpreter's exit, its threads now and then abort the process."""
    from torch import distributed

    distributed.destroy_process_group()


def _threads() -> int:
    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
