"""The Ray cluster behind the Ray engine: connecting to one or starting one, and asking every node whether it will do.

A cluster of our own listens on the loopback interface only, is closed to everyone without its one-time token, has
neither dashboard nor usage statistics, and is gone when this process is, in whatever way it ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wheatstone
from wheatstone.bench.environment import usable_cores, versions
from wheatstone.bench.errors import SHOWN_FAULTS, UserError
from wheatstone.bench.files import disk_faults, hold, sha256
from wheatstone.bench.registry import Origin

OBJECT_STORE_BYTES = 80_000_000
"""Ray's smallest is 75 MB; events of trials are all that passes through it."""
ANSWER_SECONDS = 90.0
"""Until a node must have answered: its first task starts a Python process there."""
KNOCK_SECONDS = 10.0
TOKEN_PATIENCE = 10.0
"""Seconds until a token must be seen on a node: network file systems remember for a while that a file was absent."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to."""

    ray: Any
    """The module."""

    @property
    def nodes(self) -> dict[str, str]:
        """Id -> name of every living node that can take a trial."""
        return {one["NodeID"]: one["NodeManagerHostname"] for one in self._alive() if one["Resources"].get("CPU", 0)}

    @property
    def cores(self) -> float:
        """Cores of all nodes."""
        return sum(one["Resources"].get("CPU", 0) for one in self._alive())

    @property
    def most_cores(self) -> float:
        """Cores of the largest node."""
        return max((one["Resources"].get("CPU", 0) for one in self._alive()), default=0)

    @property
    def gpus(self) -> float:
        """GPUs of all nodes."""
        return sum(one["Resources"].get("GPU", 0) for one in self._alive())

    def _alive(self) -> list[dict[str, Any]]:
        return [one for one in self.ray.nodes() if one["Alive"]]


@contextlib.contextmanager
def cluster(address: str, threads: int, log: Path) -> Generator[Cluster]:
    """A connection to the cluster at `address`; 'local' starts one with a core a thread at least, and ends it.

    What Ray itself prints goes to `log`. A connection that the caller has made already is used and left open.
    Raises UserError when no cluster answers at the address.
    """
    own = address == "local"
    # In /tmp, because Ray puts sockets below it, whose paths may have about 100 characters.
    above = "/tmp" if os.path.isdir("/tmp") else None
    folder = tempfile.mkdtemp(prefix="wheatstone-ray-", dir=above) if own else None
    closed = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on every system, this is what keeps Ray on the loopback interface
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    try:
        with _environment({"RAY_USAGE_STATS_ENABLED": "0", **(closed if own else {})}), _printing_to(log):
            ray = importlib.import_module("ray")
            if ray.is_initialized():
                yield Cluster(ray)
                return
            shared: dict[str, Any] = {"address": address, "logging_level": "ERROR", "log_to_driver": False}
            alone: dict[str, Any] = {
                "num_cpus": max(usable_cores(), threads),
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": folder,
            }
            try:
                if ":" in address:
                    _knock(address)
                ray.init(**shared, **(alone if own else {}))
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as fault:
                if own:
                    raise UserError(f"--engine ray: Ray cannot be started here. {_first_line(fault)}") from fault
                raise UserError(
                    f"--address {address}: no Ray cluster answers there ({_first_line(fault)}). "
                    "Start one with: ray start --head"
                ) from fault
            try:
                yield Cluster(ray)
            finally:
                ray.shutdown()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            if log.stat().st_size == 0:
                log.unlink()


def _knock(address: str) -> None:
    """Raises OSError when nothing listens at host:port: Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()


def check_nodes(connected: Cluster, folder: Path, origin: Origin, threads: int) -> None:
    """Asks every node whether a trial in `folder` can be performed there.

    Raises UserError that names each node which cannot, and why, or when no node has `threads` cores.
    """
    if connected.most_cores < threads:
        raise UserError(
            f"--engine ray: a trial of this run takes {threads} threads, and no node has more than "
            f"{connected.most_cores:g} cores. Start it anew in another directory with --threads."
        )
    token = secrets.token_hex(8)
    place = folder / f".wheatstone-{token}.tmp"
    lock = folder / f".wheatstone-{token}-lock.tmp"
    nodes = connected.nodes
    with disk_faults(place), hold(lock, str):
        try:
            place.write_text(token, encoding="ascii")
            answers = _ask(connected, nodes, place, lock, token, origin)
            for number, identity in enumerate(nodes):
                answer = place.with_name(f"{place.stem}-{number}.tmp")
                if answers[identity] == "" and not answer.exists():
                    answers[identity] = f"what it writes to {folder} cannot be seen from here"
        finally:
            for left in folder.glob(f".wheatstone-{token}*"):
                left.unlink(missing_ok=True)
    faults = [f"node {nodes[identity]} ({identity[:8]}): {answer}." for identity, answer in answers.items() if answer]
    if faults:
        hidden = len(faults) - SHOWN_FAULTS
        more = [f"... and {hidden} more nodes"] if hidden > 0 else []
        raise UserError("\n".join(faults[:SHOWN_FAULTS] + more))


def _ask(
    connected: Cluster, nodes: Mapping[str, str], place: Path, lock: Path, token: str, origin: Origin
) -> dict[str, str]:
    """Node id -> what is wrong there, '' for nothing."""
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = connected.ray.remote(max_retries=0, num_cpus=0)(_question())
    digest = sha256(Path(origin.place)) if origin.place.endswith(".py") else ""
    asked = origin.place, digest, versions(), source_digest()
    replies = {
        identity: ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(identity, soft=False)).remote(
            str(place), str(place.with_name(f"{place.stem}-{number}.tmp")), str(lock), token, *asked
        )
        for number, identity in enumerate(nodes)
    }
    answers: dict[str, str] = {}
    for identity, reply in replies.items():
        try:
            answers[identity] = connected.ray.get(reply, timeout=ANSWER_SECONDS)
        except RayError as fault:
            answers[identity] = f"does not answer ({type(fault).__name__}: {_first_line(fault)})"
    return answers


def _question() -> Callable[..., str]:
    """What is asked of a node, as a function that travels whole: a node without this package can still answer."""

    def ask(place: str, answer: str, lock: str, token: str, *study: Any) -> str:
        try:
            from wheatstone.bench.ray_cluster import fault_here
        except ImportError as fault:
            import sys

            return f"{fault}: install the same wheatstone there, for {sys.executable}"
        return fault_here(Path(place), Path(answer), Path(lock), token, *study)

    return ask


def fault_here(
    place: Path, answer: Path, lock: Path, token: str, study: str, digest: str, wanted: dict[str, str], source: str
) -> str:
    """Why this node cannot perform trials; '' when it can. Leaves `answer` as a sign to the one who asks."""
    if not wait_for(place, TOKEN_PATIENCE) or place.read_text(encoding="ascii") != token:
        return f"{place.parent} cannot be seen there. The run directory must be on a file system that all nodes share"
    try:
        answer.touch()
    except OSError as fault:
        return f"{place.parent} cannot be written there ({fault.strerror})"
    if problem := _lock_fault(lock):
        return problem
    here = versions()
    other = [
        f"{name} {here.get(name)} (here {version})" for name, version in wanted.items() if here.get(name) != version
    ]
    if other:
        return f"has {', '.join(other)}. Findings must not depend on the node: install the same versions"
    if source_digest() != source:
        return "has another source of the same wheatstone. Findings must not depend on the node: install the same one"
    return _study_fault(study, digest)


def source_digest() -> str:
    """A digest of this package's source: two checkouts of one version can differ."""
    package = Path(wheatstone.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _study_fault(place: str, digest: str) -> str:
    """Why the study is not the same there; '' when it is. Nothing is imported: that is for the workers."""
    if not digest:
        top = place.partition(".")[0]
        return "" if importlib.util.find_spec(top) else f"{top}, which holds the study, is not installed there"
    try:
        return "" if sha256(Path(place)) == digest else f"{place} is another file there"
    except OSError as fault:
        return (
            f"{place} cannot be read there ({fault.strerror}). The study must be on a file system that all nodes share"
        )


def wait_for(path: Path, patience: float) -> bool:
    """Whether the file can be seen within so many seconds."""
    deadline = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(OSError):
            os.listdir(path.parent)  # makes a network file system ask its server again
        time.sleep(0.05)
    return True


def _lock_fault(lock: Path) -> str:
    """Why the lock that the asking process holds does not keep this node out; '' when it does."""
    try:
        with hold(lock, str):
            return (
                f"file locks on {lock.parent} do not reach it, so two workers could write to one trial. "
                "Mount the file system with locks (NFS: local_lock=none, Lustre: flock)"
            )
    except UserError:
        return ""
    except OSError as fault:
        return f"files on {lock.parent} cannot be locked there ({fault.strerror})"


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
    """Sets environment variables for as long as it lasts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _printing_to(log: Path) -> Generator[None]:
    """Sends what is printed to a file: Ray prints to stdout, which belongs to the answer of a command."""
    with disk_faults(log), log.open("a", encoding="utf-8", buffering=1) as file, contextlib.redirect_stdout(file):
        yield


def _first_line(fault: BaseException) -> str:
    return next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
