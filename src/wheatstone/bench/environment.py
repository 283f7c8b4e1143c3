"""Where and with what a run was made: versions, source revision, machine, threads, command line.

Nothing here imports what it describes: versions come from the installed metadata, the machine from the kernel.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import wheatstone
from wheatstone.bench.shown import printable

PACKAGES = ("torch", "numpy", "safetensors", "pydantic")
LASTING = ("versions", "source")
"""The parts that should not change between the start of a run and its end."""


def environment(threads: int) -> dict[str, Any]:
    """The record that `environment.json` holds: nested dicts of text and numbers."""
    return {
        "versions": versions(),
        "source": source_revision(Path(wheatstone.__file__).parent),
        "machine": {
            "platform": platform.platform(),
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "usable_cores": usable_cores(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        },
        "threads": threads,
        "command": printable(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]), keep="\n\t"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the installed ones that findings can depend on."""
    return {"python": platform.python_version(), "wheatstone": wheatstone_version()} | {
        name: version for name in PACKAGES if (version := _version(name))
    }


def usable_cores() -> int:
    """Cores that this process may run on: what a container or `taskset` leaves of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wheatstone_version() -> str:
    """The version of this package; 'unknown' for a source tree that says none."""
    return getattr(wheatstone, "__version__", None) or _version("wheatstone") or "unknown"


def source_revision(folder: Path) -> dict[str, Any] | None:
    """{'revision', 'dirty'} of the git tree that tracks `folder`, None for an installed copy or without git."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", "__init__.py") is None:  # a copy inside somebody else's repository
        return None
    revision = git("rev-parse", "HEAD")
    return {"revision": revision, "dirty": bool(git("status", "--porcelain"))} if revision else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
