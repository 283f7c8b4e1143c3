"""Named arrays of plain numbers in an `.npz` archive, from a stranger: nothing is unpickled, nothing fills memory."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np

from wheatstone.bench.errors import UserError

Array = np.ndarray[Any, np.dtype[Any]]


def read_archive(content: bytes, file: str, most_bytes: int) -> dict[str, Array]:
    """The arrays of an archive that `numpy.savez` wrote.

    Args:
        content: the archive.
        file: its name, for errors.
        most_bytes: what all arrays together may take.

    Raises UserError for anything else: a single array, a damaged archive, objects, more than it says.
    """
    if content[:6] == b"\x93NUMPY":
        raise UserError(f"{file}: no archive of named arrays. Write it with numpy.savez.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > most_bytes:
                raise UserError(f"{file}: unpacks to more than {_size(most_bytes)}, which is the limit.")
            return {member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members}
    except (ValueError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: damaged, or no archive of plain arrays ({why}).") from None


def _size(count: int) -> str:
    return f"{count // 2**30} GB" if count >= 2**30 else f"{count // 2**20} MB"


def _array(content: bytes) -> Array:
    """The array of a `.npy` file. Raises ValueError where it holds objects, or less than it says."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("objects, which only pickle can hold")
    if math.prod(shape) * dtype.itemsize > len(content):
        raise ValueError(f"says that it holds {list(shape)} values, and is {len(content)} bytes long")
    stream.seek(0)
    return np.lib.format.read_array(stream)
