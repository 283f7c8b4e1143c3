"""A netlist as an operator: a waveform at one of its sources in, the waveform at a probe out.

The source is replaced by a piecewise linear one (PWL) with the given points; ngspice chooses its own time steps, no
longer than the shortest distance of two points, and the answer is read back at the times that were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean
from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.jobs import Analysis, Failure
from wheatstone.domains.electronic.analog.netlist import Netlist, parse_device


def driven(
    netlist: Netlist, source: str, time: Float[np.ndarray, " point"], value: Float[np.ndarray, " point"]
) -> list[str]:
    """The deck with the source's own waveform replaced by the points, in seconds and volts or amperes.

    Raises InputError for a source that the netlist does not have, UserError for times that do not increase from 0.
    """
    known = [
        device.name for line in netlist.lines if (device := parse_device(line.text)) is not None and device.kind in "vi"
    ]
    if source.lower() not in known:
        text = f"no source '{source}'.{did_you_mean(source.lower(), known)} Sources: {', '.join(known) or 'none'}."
        raise InputError([Fault(netlist.name, None, None, text)])
    if len(time) != len(value) or len(time) < 2 or time[0] < 0 or not (np.diff(time) > 0).all():
        raise UserError(f"{source}: {len(value)} values at {len(time)} times; times must increase, from 0 on.")
    if not (np.isfinite(time).all() and np.isfinite(value).all()):
        raise UserError(f"{source}: a time or a value is not finite.")
    points = " ".join(f"{t!r} {v!r}" for t, v in zip(time.tolist(), value.tolist(), strict=True))
    lines: list[str] = []
    for text in netlist.render({}):
        device = parse_device(text)
        if device is not None and device.name == source.lower():
            text = f"{device.name} {device.words[0]} {device.words[1]} PWL({points})"
        lines.append(text)
    return lines


def respond(
    engine: Engine,
    netlist: Netlist,
    source: str,
    probe: str,
    time: Float[np.ndarray, " point"],
    values: Float[np.ndarray, "drive point"],
    at: Float[np.ndarray, " asked"],
) -> list[Float[np.ndarray, " asked"] | Failure]:
    """The probe's waveform at the times `at` for each drive, or why there is none.

    Args:
        engine: simulates as many drives at once as it has workers.
        netlist: a circuit without open values.
        source: name of a voltage or current source.
        probe: vector that is read, as 'v(out)'.
        time: times of the drives' points, in seconds, increasing.
        values: one drive a row.
        at: times that are asked for, in seconds, inside the drives' time.
    """
    step, stop = float(np.diff(time).min()), float(max(time[-1], at.max()))
    analysis = Analysis(f"tran {step!r} {stop!r} 0 {step!r}", ("time", probe))
    jobs: Sequence[tuple[list[str], tuple[Analysis, ...]]] = [
        (driven(netlist, source, time, row), (analysis,)) for row in values
    ]
    return [
        found if isinstance(found, Failure) else np.interp(at, found[0]["time"], found[0][probe])
        for found in engine.run_all(jobs)
    ]
