"""Files that survive a kill at any moment: atomic writes, JSON without NaN, locks between processes.

A file is written beside its place under a hidden temporary name, synced, and renamed over the old one, so a reader sees
the old content or the new and never half of either. What a killed process leaves behind is a hidden '*.tmp' file, which
no reader looks at and the next writer sweeps away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, cast

from wheatstone.bench.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_PLACE = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.EFBIG}
_FAILING = {errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE}
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_CHUNK = 1 << 20


@contextlib.contextmanager
def disk_faults(place: Path) -> Generator[None]:
    """Turns a disk that is full, failing or read-only into a UserError that names `place` and the way out."""
    try:
        yield
    except OSError as error:
        where = error.filename or place
        if error.errno in _FULL:
            raise UserError(
                f"{where}: the disk is full. Free some space and run the same command again: "
                "it goes on from the last checkpoint."
            ) from error
        if error.errno in _FORBIDDEN:
            raise UserError(
                f"{where}: cannot be written ({error.strerror}). Choose another folder with --out."
            ) from error
        if error.errno in _NO_PLACE:
            raise UserError(f"{where}: cannot be a file here ({error.strerror}). Choose another folder.") from error
        if error.errno in _FAILING:
            raise UserError(
                f"{where}: the system could not read or write it ({error.strerror}). When that is mended, run the same "
                "command again: it goes on from the last checkpoint."
            ) from error
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the file by `data` in one step, durably; creates the folder. Raises UserError when the disk is full."""
    with disk_faults(path), _replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def copy_atomically(source: Path, path: Path) -> None:
    """A copy of `source` at `path`, in one step. Raises UserError when the disk is full."""
    with disk_faults(path), _replacing(path) as temporary, source.open("rb") as read, temporary.open("wb") as file:
        while chunk := read.read(_CHUNK):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _replacing(path: Path) -> Generator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some network file systems sync no folders
            raise
    finally:
        os.close(folder)


def is_stale(path: Path) -> bool:
    """Whether this is what `write_atomically` leaves when it is killed."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def sweep_stale(*folders: Path) -> None:
    """Removes what killed writers left in these folders (not below them); the caller holds their lock."""
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """The value as JSON can hold it: numbers that are not finite become None, arrays become lists, keys become text.

    Raises TypeError for anything that has no JSON form.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("list[Any]", value)]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    raise TypeError(f"a {type(value).__name__} has no JSON form: {value!r}")


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Writes `plain(value)` as UTF-8 JSON, atomically."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """The JSON in a file. Raises FileNotFoundError, and UserError when it is damaged."""
    data = path.read_bytes()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: damaged, not a JSON file ({error}). Restore it, or start again in a new folder."
        ) from None


@contextlib.contextmanager
def hold(path: Path, busy: Callable[[str], str], patience: float = 0.0) -> Generator[None]:
    """Holds an exclusive lock on the file `path` (created when missing); it vanishes with the process.

    Waits up to `patience` seconds for another holder, then raises UserError(busy('process 123')).
    """
    deadline = time.monotonic() + patience
    with disk_faults(path), path.open("a+b") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    raise UserError(
                        f"{path}: this file system has no locks ({error.strerror}), so a second process could spoil "
                        "the run. Choose a folder on a local disk with --out."
                    ) from None
                if not isinstance(error, BlockingIOError):
                    raise
                if time.monotonic() >= deadline:
                    file.seek(0)
                    pid = file.read(32).decode(errors="replace").strip()
                    raise UserError(busy(f"process {pid}" if pid else "another process")) from None
                time.sleep(0.02)
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
