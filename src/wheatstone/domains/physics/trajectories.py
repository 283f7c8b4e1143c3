"""Files of trajectories: times, positions and momenta of one system, as CSV or NPZ, and their time derivatives.

CSV   a header with `t`, positions (q, q1, q2, ...) and as many momenta (p, p1, ...) or none, or any names that are
      given; one row a time. A column `trajectory` separates several. Columns dq..., dp... are derivatives, where they
      are known.
NPZ   arrays `t` [time], `q` and `p` [time], [time, column] or [trajectory, time, column]; `dq` and `dp` where known.

Where the file has no derivatives, a cubic smoothing spline is fitted to each column, its smoothness chosen by
generalised cross-validation. Their error is estimated by fitting the even and the odd rows apart: each half has twice
the variance of the whole, so the error of the whole is half of the difference.

Where it has no momenta either, as from an encoder or a camera, they are mass times the slope of that spline, and their
own slope that of a second one: for Cartesian coordinates, or any others whose kinetic energy is m (dq/dt)^2 / 2. Noise
of a thousandth of the positions is then noise of about a tenth of the forces (the second derivative of one spline is
as noisy, and wrong near its ends, where it is zero).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.bench.extras import need
from wheatstone.domains.archives import read_archive
from wheatstone.domains.physics.hamiltonian import Array

FEWEST = 12
"""Rows of a trajectory, for a spline through its even rows alone."""
UNEVEN = 0.01
"""Relative deviation of a time step from the first one at which a grid counts as not uniform."""
MOST_BYTES = 1 << 28
OR_MASS = "or give --mass, if the file has positions alone: momenta are then mass x dq/dt."
NO_MASS = "momenta are in the file, so --mass, which is for positions alone, must not be given."


@dataclass(frozen=True)
class Recorded:
    """One trajectory."""

    name: str
    t: Array
    """[time], increasing."""
    q: Array
    """[time, column]"""
    p: Array | None
    """None where the file has positions alone."""
    dq: Array | None = None
    dp: Array | None = None


class Motion(NamedTuple):
    """Momenta and derivatives of a trajectory [time, column], and how well they are known."""

    p: Array
    dq: Array
    dp: Array
    error: float
    """Estimated root mean square error of dq or dp, the larger, relative to their size; 0 where the file had them."""
    loose: int
    """Rows at either end where they are estimated from one side, and worse."""


def read_trajectories(
    path: Path,
    q_columns: Sequence[str] = (),
    p_columns: Sequence[str] = (),
    *,
    allow_uneven: bool = False,
    positions_only: bool = False,
) -> list[Recorded]:
    """All trajectories of a file, in its order.

    Args:
        path: a .npz file, else CSV.
        q_columns, p_columns: names of the columns or arrays; by default those that begin with q and p.
        allow_uneven: take times that are not evenly spaced.
        positions_only: the file has no momenta; `motion` estimates them.

    Raises InputError with line or row and field for: no or different numbers of q and p columns, momenta where there
    should be none, cells that are no finite number, times that do not increase or are not uniform, fewer than 12 rows;
    UserError for another file.
    """
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path.name}: larger than {MOST_BYTES >> 20} MB. Give a part of it.")
    reader = _read_npz if path.suffix.lower() == ".npz" else _read_csv
    found = reader(path, q_columns, p_columns, positions_only)
    faults = [fault for one in found for fault in _time_faults(path.name, one, allow_uneven)]
    if faults:
        raise InputError(faults)
    return [one.trajectory for one in found]


def motion(trajectory: Recorded, mass: Array | float = 1.0) -> Motion:
    """Momenta and derivatives that the trajectory has, else those of smoothing splines with an estimate of their error.

    `mass` [column] turns slopes of positions into momenta where the trajectory has none.
    """
    if trajectory.p is not None and trajectory.dq is not None and trajectory.dp is not None:
        return Motion(trajectory.p, trajectory.dq, trajectory.dp, 0.0, 0)
    t, inner = trajectory.t, trajectory.t[2:-2]  # a spline through every other row says nothing beyond its last row
    found = _estimated(trajectory, slice(None), mass, t)
    even, odd = (_estimated(trajectory, slice(half, None, 2), mass, inner) for half in (0, 1))
    error = 0.0
    for whole, one, other in ((found.dq, even.dq, odd.dq), (found.dp, even.dp, odd.dp)):
        size = math.sqrt(float((whole**2).mean()))
        apart = math.sqrt(float(((one - other) ** 2).mean())) / 2
        error = max(error, apart / size if size > 0 else math.inf)
    return found._replace(error=error, loose=2 if trajectory.p is not None else max(2, len(t) // 20))


def _estimated(trajectory: Recorded, rows: slice, mass: Array | float, at: Array) -> Motion:
    """What splines through some of the rows say at other times; `error` and `loose` are not known yet."""
    t, q = trajectory.t[rows], trajectory.q[rows]
    if trajectory.p is not None:
        p = trajectory.p[rows]
        return Motion(p, _slopes(t, q, at), _slopes(t, p, at), 0.0, 0)
    p = _slopes(t, q, t) * mass
    dq = _slopes(t, q, at)
    return Motion(dq * mass, dq, _slopes(t, p, at), 0.0, 0)


def _slopes(t: Array, states: Array, at: Array) -> Array:
    """Derivatives at `at` of a smoothing spline through each column, in a time and scale that suit the solver."""
    need("scipy", extra="physical", to="estimate derivatives of trajectories")
    from scipy.interpolate import make_smoothing_spline

    unit = float(t[-1] - t[0]) / (len(t) - 1)
    found: list[Array] = []
    for column in states.T:
        size = float(np.abs(column).max()) or 1.0
        spline: Any = make_smoothing_spline((t - t[0]) / unit, column / size)
        found.append(spline.derivative()((at - t[0]) / unit) * size / unit)
    return np.stack(found, 1)


class _Read(NamedTuple):
    """A trajectory with the place of each row, for errors."""

    trajectory: Recorded
    lines: Sequence[int] | None
    """Line of each row; None where the file has no lines."""


def _read_csv(path: Path, q_columns: Sequence[str], p_columns: Sequence[str], positions_only: bool) -> list[_Read]:
    name = path.name
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{name}: not UTF-8 text. Trajectories are CSV with a header, or .npz.") from None
    try:
        reader = csv.reader(io.StringIO(text), strict=True)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as fault:
        raise UserError(f"{name}: not CSV ({fault}).") from None
    if len(rows) < 2:
        raise UserError(f"{name}: no rows. It needs a header such as 't,q1,p1' and a row for each time.")
    header = [cell.strip() for cell in rows[0][1]]
    if repeated := sorted({cell for cell in header if header.count(cell) > 1}):
        raise InputError([Fault(name, rows[0][0], repeated[0], "two columns of this name.")])
    if "t" not in header:
        raise InputError([Fault(name, rows[0][0], None, f"no column 't' (times); columns: {', '.join(header)}.")])
    groups = _groups(name, rows[0][0], header, q_columns, p_columns, positions_only)
    wanted = ["t", *(column for columns in groups.values() for column in columns)]
    at = {column: header.index(column) for column in wanted}
    owner = header.index("trajectory") if "trajectory" in header else None
    faults, owners, lines = list[Fault](), list[str](), list[int]()
    values: list[list[float]] = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            faults.append(Fault(name, line, None, f"{len(row)} cells, the header has {len(header)}."))
            continue
        values.append([_number(row[at[column]], Fault(name, line, column, ""), faults) for column in wanted])
        owners.append("" if owner is None else row[owner].strip())
        lines.append(line)
    if faults:
        raise InputError(faults)
    table, found = np.array(values), list[_Read]()
    for one in dict.fromkeys(owners):
        mine = np.array([each == one for each in owners])
        part = table[mine]
        parts = {kind: part[:, [wanted.index(column) for column in columns]] for kind, columns in groups.items()}
        recorded = Recorded(one, part[:, 0], parts["q"], parts.get("p"), parts.get("dq"), parts.get("dp"))
        found.append(_Read(recorded, [line for line, is_mine in zip(lines, mine, strict=True) if is_mine]))
    return found


def _groups(
    file: str,
    line: int | None,
    names: Sequence[str],
    q_columns: Sequence[str],
    p_columns: Sequence[str],
    positions_only: bool,
) -> dict[str, list[str]]:
    """q, p and (where both are complete) dq, dp -> their columns; q alone for positions only. Raises InputError."""
    groups: dict[str, list[str]] = {}
    for kind, given in (("q", q_columns), ("p", p_columns)):
        if missing := [column for column in given if column not in names]:
            raise InputError([Fault(file, line, missing[0], f"no such column; there are {', '.join(names)}.")])
        groups[kind] = list(given) or [column for column in names if re.fullmatch(rf"{kind}[_\d]?\w*", column)]
    q, p = groups["q"], groups["p"]
    if not q:
        raise InputError([Fault(file, line, "q", "no column begins with 'q'. Name them with --q.")])
    if positions_only:
        if p:
            raise InputError([Fault(file, line, p[0], NO_MASS)])
        del groups["p"]
        return groups
    if not p:
        raise InputError([Fault(file, line, "p", f"no column begins with 'p'. Name them with --p, {OR_MASS}")])
    if len(q) != len(p):
        fault = f"{len(q)} positions ({', '.join(q)}) and {len(p)} momenta ({', '.join(p)}); there must be one each."
        raise InputError([Fault(file, line, None, fault)])
    derived = {f"d{kind}": [f"d{column}" for column in groups[kind]] for kind in "qp"}
    if all(column in names for columns in derived.values() for column in columns):
        groups |= derived
    return groups


def _number(cell: str, place: Fault, faults: list[Fault]) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        faults.append(Fault(place.file, place.line, place.field, f"'{cell[:30]}' is not a finite number."))
    return value


def _read_npz(path: Path, q_columns: Sequence[str], p_columns: Sequence[str], positions_only: bool) -> list[_Read]:
    name = path.name
    stored = read_archive(path.read_bytes(), name, MOST_BYTES)
    chosen = {"q": q_columns or ("q",), "p": p_columns or ("p",), "t": ("t",)}
    if positions_only and (momenta := [key for key in chosen.pop("p") if key in stored]):
        raise InputError([Fault(name, None, momenta[0], NO_MASS)])
    arrays: dict[str, Array] = {}
    for kind, keys in chosen.items():
        for key in keys:
            if key not in stored:
                text = f"no such array; there are {', '.join(sorted(stored)) or 'none'}."
                text += f" Name it with --p, {OR_MASS}" if (kind, p_columns) == ("p", ()) else ""
                raise InputError([Fault(name, None, key, text)])
        arrays[kind] = _stacked([_numeric(name, key, stored[key]) for key in keys])
    for kind in ("dq", "dp"):
        if kind in stored and not (q_columns or p_columns or positions_only):
            arrays[kind] = _numeric(name, kind, stored[kind])
    t, shape = arrays["t"].ravel(), arrays["q"].shape
    for kind, array in arrays.items():
        if kind not in ("t", "q") and array.shape != shape:
            text = f"shape {array.shape}, q has {shape}: there must be one momentum (and derivative) for each position."
            raise InputError([Fault(name, None, kind, text)])
    if len(shape) not in (1, 2, 3) or len(t) != shape[-2 if len(shape) > 1 else 0]:
        text = f"shape {shape}; with {len(t)} times it must be [time], [time, column] or [trajectory, time, column]."
        raise InputError([Fault(name, None, "q", text)])
    whole = {
        kind: array[None, :, None] if array.ndim == 1 else array[None] if array.ndim == 2 else array
        for kind, array in arrays.items()
        if kind != "t"
    }
    faults = [
        Fault(name, None, kind, f"not a finite number in trajectory {where[0]}, row {where[1]}.")
        for kind, array in {**whole, "t": t[None, :, None]}.items()
        for where in np.argwhere(~np.isfinite(array))
    ]
    if faults:
        raise InputError(faults)
    found = list[_Read]()
    for k in range(len(whole["q"])):
        p, dq, dp = (whole[kind][k] if kind in whole else None for kind in ("p", "dq", "dp"))
        found.append(_Read(Recorded(str(k), t, whole["q"][k], p, dq, dp), None))
    return found


def _stacked(arrays: Sequence[Array]) -> Array:
    """Several arrays [time] or [trajectory, time] as the columns of one."""
    return arrays[0] if len(arrays) == 1 else np.stack(arrays, -1)


def _numeric(file: str, key: str, array: Any) -> Array:
    if array.dtype.kind not in "fiu":
        raise InputError([Fault(file, None, key, f"holds {array.dtype}, not real numbers.")])
    return np.asarray(array, np.float64)


def _time_faults(file: str, read: _Read, allow_uneven: bool) -> Iterator[Fault]:
    t = read.trajectory.t

    def place(row: int, text: str) -> Fault:
        if read.lines is not None:
            return Fault(file, read.lines[row], "t", text)
        return Fault(file, None, "t", f"row {row}: {text}")

    if len(t) < FEWEST:
        whose = f"trajectory '{read.trajectory.name}' has" if read.trajectory.name else "there are"
        yield Fault(file, None, None, f"{whose} {len(t)} rows; at least {FEWEST} are needed to know the derivatives.")
        return
    steps = np.diff(t)
    for row in np.flatnonzero(steps <= 0):
        yield place(int(row) + 1, f"{t[row + 1]:g} after {t[row]:g}; times must increase.")
    if (steps > 0).all() and not allow_uneven:
        usual = float(np.median(steps))
        for row in np.flatnonzero(np.abs(steps - usual) > UNEVEN * usual)[:1]:
            yield place(
                int(row) + 1,
                f"a step of {steps[row]:g} where the others have {usual:g}. Resample, or give --allow-uneven.",
            )


def split_columns(text: str) -> tuple[str, ...]:
    """'x, y' -> ('x', 'y')."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def as_particles(values: Array, n_particles: int) -> Array:
    """Columns [time, particle * axis] as [time, particle, axis], particle by particle.

    Raises UserError when they cannot be so, or have more than two axes.
    """
    columns = values.shape[1]
    if columns % n_particles or columns // n_particles > 2:
        raise UserError(
            f"{columns} positions are no {n_particles} particles in one or two dimensions. Give --particles; a third "
            "dimension is not known here."
        )
    return values.reshape(len(values), n_particles, columns // n_particles)
