"""The command line as a user meets it: exit code, stdout and stderr, in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from wheatstone.cli.main import main

TOY = Path(__file__).parent.parent / "contract" / "toy.py"


class Exit(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Exit]


@pytest.fixture
def wheatstone(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Calls the command line in `tmp_path`, which holds my_study.py, as a user's own study would lie there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHEATSTONE_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    shutil.copy(TOY, tmp_path / "my_study.py")

    def call(*words: str) -> Exit:
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as left:  # the option parser leaves by itself
            code = left.code if isinstance(left.code, int) else 1
        return Exit(code, *capsys.readouterr())

    return call
