"""Trials that kill themselves in the middle: `python -m wheatstone.bench.contract.doomed RUN_DIR PLACE ATTRIBUTE`.

The first seed of every arm is started in a forked child that sends itself SIGKILL at the first metric after its first
checkpoint, or, if there is none of these, when it would store its measures. What is left in the run directory is what
the contract resumes. The trial itself chooses the moment, so the test is the same on a fast machine and a slow one.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from wheatstone.bench.registry import Origin
from wheatstone.bench.run import Run
from wheatstone.bench.trial import Trial
from wheatstone.bench.work import Task, perform, torch_threads

if TYPE_CHECKING:
    from wheatstone.bench.study import Study

C = TypeVar("C")


class DoomedTrial(Trial[C]):
    """A trial that never finishes."""

    _is_saved = False

    def save_checkpoint(self, tensors: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        super().save_checkpoint(tensors, state)
        self._is_saved = True

    def log(self, step: int, **values: float) -> None:
        super().log(step, **values)
        if self._is_saved:
            _die()

    def finish(self, measures: Mapping[str, float], device: str) -> NoReturn:  # noqa: ARG002
        _die()


def _unheard(done: int, total: int, note: str) -> None: ...


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process survived SIGKILL")


def _start(run: Run, study: Study[Any], task: Task) -> NoReturn:
    try:
        with torch_threads(run.threads):
            perform(run, study, task, _unheard, DoomedTrial)
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


def main() -> int:
    """0 when every child died as it should; 1 when one ended in another way, which stderr explains."""
    run_path, *place = sys.argv[1:]
    run, study = Run.open(Path(run_path)), Origin(*place).load()
    for arm in run.arms:
        task = Task(arm, run.seeds[0])
        child = os.fork()
        if child == 0:
            _start(run, study, task)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != -signal.SIGKILL:
            print(f"{task}: ended with {status}, not by SIGKILL", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
