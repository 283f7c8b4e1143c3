"""Whether a verb refuses its broken input as a user expects: one message, exit code 2, nothing left behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wheatstone.bench import registry
from wheatstone.bench.study import Study, Verb

COMMAND = "import sys; from wheatstone.cli.main import main; sys.exit(main())"
"""The command line as the console script calls it; it lies above this layer and is only started, never imported."""
SECONDS = 120.0
MESSAGE_LINES = 12


def data_folder(study: Study[Any]) -> Path:
    """Where the study's broken inputs lie: the repository's tests/data/<study>, or the folder of its file.

    <study> may be written with '_' for '-'.
    """
    source = registry.source_file(study)
    for parent in source.parents:
        for name in (study.name, study.name.replace("-", "_")):
            if (parent / "tests" / "data" / name).is_dir():
                return parent / "tests" / "data" / name
    return source.parent


def faults_of_verb(study: Study[Any], verb: Verb, folder: Path) -> Iterator[str]:
    """What is wrong when the verb meets its broken input, in a copy of it below `folder`."""
    if not verb.broken_input:
        yield "has no broken_input, so nothing shows that it refuses one"
        return
    source = data_folder(study)
    inputs = [Path(word) for word in verb.broken_input if (source / word).is_file()]
    if not inputs:
        yield f"its broken_input {' '.join(verb.broken_input)} names no file in {source}"
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="broken-", dir=folder) as name:
        place = Path(name)
        for path in inputs:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, place / path)
        before = _content(place)
        origin = registry.origin(study)
        word = origin.place if origin.place.endswith(".py") else study.name
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", COMMAND, "apply", word, verb.name, *verb.broken_input],
                cwd=place,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            yield f"still runs after {SECONDS:.0f} s on a broken input"
            return
        message = done.stderr.strip()
        if done.returncode != 2:
            yield f"exit code {done.returncode}, must be 2: {_end(message or done.stdout)}"
        if "Traceback (most recent call last)" in message:
            yield f"a traceback: {_end(message)}"
        if not message:
            yield "no message on stderr"
        if len(message.splitlines()) > MESSAGE_LINES:
            yield f"{len(message.splitlines())} lines of message; {MESSAGE_LINES} at most"
        if done.stdout.strip():
            yield f"writes to stdout: {_end(done.stdout)}"
        after = _content(place)
        yield from (f"leaves {path} behind" for path in sorted(after.keys() - before.keys()))
        yield from (f"changes {path}" for path in sorted(before) if after.get(path) != before[path])


def _content(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below, with the files' content."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def _end(text: str) -> str:
    return text.strip()[-300:]
