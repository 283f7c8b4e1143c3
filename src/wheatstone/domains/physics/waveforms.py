"""Waveforms of a user in a table: the first column is the time (or place), each other column is one function.

A file with one column alone holds the values at the sensors, in their order. A first line that is no number is a
heading; lines that begin with '#' are comments; columns are separated by commas, semicolons, tabs or spaces.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.domains.physics.function_spaces import Array

MAX_BYTES = 256 * 2**20
SEPARATOR = re.compile(r"\s*[,;\t]\s*|\s+")


@dataclass(frozen=True, eq=False)
class Waveforms:
    """Functions over common times.

    Attributes:
        name: of the file.
        time: increasing; None in a file of one column.
        values: one function a row.
        names: of the functions.
        lines: 1-based line of each time in the file.
    """

    name: str
    time: Float[Array, " time"] | None
    values: Float[Array, "function time"]
    names: tuple[str, ...]
    lines: tuple[int, ...]


def read_waveforms(path: Path) -> Waveforms:
    """Reads a table. Raises UserError, InputError naming line and field."""
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path.name}: more than {MAX_BYTES:,} bytes.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name}: not UTF-8 text (byte {error.start + 1}).") from None
    names: list[str] = []
    rows: list[list[float]] = []
    lines: list[int] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = SEPARATOR.split(line.strip())
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not rows and not names and not faults and all(_number(word) is None for word in words):
            names = words
            continue
        values = [_number(word) for word in words]
        width = len(rows[0]) if rows else len(names) or len(words)
        if len(words) != width:
            faults.append(Fault(path.name, number, None, f"{len(words)} columns; the lines before have {width}."))
        elif None in values:
            column = values.index(None)
            field = names[column] if names else f"column {column + 1}"
            faults.append(Fault(path.name, number, field, f"'{words[column][:20]}' is no finite number."))
        else:
            rows.append([value for value in values if value is not None])
            lines.append(number)
    if faults:
        raise InputError(faults)
    if not rows:
        raise UserError(f"{path.name}: no numbers. A line is 'time,value' or one value a line.")
    table = np.array(rows)
    if table.shape[1] == 1:
        return Waveforms(path.name, None, table.T, (names[0] if names else "u",), tuple(lines))
    steps = np.diff(table[:, 0])
    if not (steps > 0).all():
        at = int(np.argmax(steps <= 0)) + 1
        text = f"{table[at, 0]:g} comes after {table[at - 1, 0]:g}; times must increase."
        raise InputError([Fault(path.name, lines[at], names[0] if names else "column 1", text)])
    titles = names[1:] or ([f"u{at}" for at in range(1, table.shape[1])] if table.shape[1] > 2 else ["u"])
    return Waveforms(path.name, table[:, 0], np.ascontiguousarray(table[:, 1:].T), tuple(titles), tuple(lines))


def at_sensors(waves: Waveforms, sensors: Float[Array, " sensor"]) -> Float[Array, "function sensor"]:
    """The values at the sensors: as they are, or linearly between the file's times.

    Raises UserError where the file has another number of values, or does not reach from the first sensor to the last.
    """
    if waves.time is None:
        if waves.values.shape[1] != len(sensors):
            raise UserError(
                f"{waves.name}: expected {len(sensors)} sensor values, it has {waves.values.shape[1]}. Give as many, "
                f"or add a column of times from {sensors[0]:g} to {sensors[-1]:g}: then they may be anywhere."
            )
        return waves.values
    slack = 1e-9 * (sensors[-1] - sensors[0])
    if waves.time[0] > sensors[0] + slack or waves.time[-1] < sensors[-1] - slack:
        raise UserError(
            f"{waves.name}: its times run from {waves.time[0]:g} (line {waves.lines[0]}) to {waves.time[-1]:g} (line "
            f"{waves.lines[-1]}); the sensors need {sensors[0]:g} to {sensors[-1]:g}."
        )
    return np.stack([np.interp(sensors, waves.time, row) for row in waves.values])


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
