"""`make fuzz`: libFuzzer (atheris) on every reader, so many seconds each, guided by the coverage of our own code.

    python -m tests.fuzz.campaign [--seconds 30] [TARGET ...]

A crash, a run of more than ten seconds or more than 2 GiB of memory ends the target; its input is kept and printed.
Needs the extra `fuzz`. What is found becomes a line of `test_regressions.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

INSTRUMENTED = ["wheatstone.bench", "wheatstone.domains.kg", "wheatstone.cli", "wheatstone.studies"]


def main() -> int:
    """Runs each target in a process of its own; 1 when any of them fell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        return fuzz(asked.targets[0], Path(asked.inside), asked.seconds)
    from tests.fuzz.parsers import targets

    fallen: list[str] = []
    for name in asked.targets or targets():
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        command = [sys.executable, "-m", "tests.fuzz.campaign", name, "--inside", str(folder)]
        done = subprocess.run([*command, "--seconds", str(asked.seconds)], capture_output=True, text=True)
        lines = (done.stdout + done.stderr).splitlines()
        counts = [line for line in lines if line.startswith(("Done", "stat::number_of_executed_units"))]
        print(f"{name:16} {'fell' if done.returncode else 'held'}  {' '.join(counts)}", flush=True)
        if done.returncode:
            fallen.append(name)
            print("\n".join(lines[-25:]), flush=True)
            for path in folder.glob("fallen-*"):
                print(f"  {path}: {path.read_bytes()[:300]!r}")
    return 1 if fallen else 0


def fuzz(name: str, folder: Path, seconds: int) -> int:
    """Never returns: libFuzzer ends the process."""
    try:
        import atheris
    except ImportError:
        print("fuzzing needs atheris. Install it: pip install 'wheatstone[fuzz]'", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from tests.fuzz.parsers import targets

    from wheatstone.bench.errors import UserError

    target = targets()[name]
    for place in ("corpus", "work"):
        (folder / place).mkdir()
    for number, seed in enumerate(target.seeds):
        (folder / "corpus" / str(number)).write_bytes(seed)

    def once(data: bytes) -> None:
        with contextlib.suppress(UserError):
            target.read(data, folder / "work")

    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=20000"]
    quiet = ["-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={folder}/fallen-"]
    atheris.Setup([sys.argv[0], *limits, *quiet, str(folder / "corpus")], once)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
