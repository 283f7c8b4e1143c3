"""A netlist as an operator: a waveform at one of its sources in, the waveforms at probes out.

A probe is a vector of ngspice (`v(out)`, `i(v1)`), the difference of two nodes (`v(a,b)`), or a value inside a device
(`@q1[ic]`, `@r1[i]`), which ngspice keeps over time only if it is told to before the simulation. The source is replaced
by a piecewise linear one (PWL) with the given points; ngspice chooses its own time steps, no longer than the shortest
distance of two points, and the answer is read back at the times that were asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean
from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.jobs import Analysis, Failure
from wheatstone.domains.electronic.analog.netlist import NODES, Netlist, parse_device

BETWEEN = re.compile(r",(?![^(\[]*[)\]])")
DIFFERENCE = re.compile(r"v\(\s*([^,\s]+)\s*,\s*([^,\s]+)\s*\)", re.IGNORECASE)


def driven(
    netlist: Netlist, source: str, time: Float[np.ndarray, " point"], value: Float[np.ndarray, " point"]
) -> list[str]:
    """The deck with the source's own waveform replaced by the points, in seconds and volts or amperes.

    Raises InputError for a source that the netlist does not have, UserError for times that do not increase from 0.
    """
    known = [device.name for device in netlist.devices() if device.kind in "vi"]
    if source.lower() not in known:
        text = f"no source '{source}'.{did_you_mean(source.lower(), known)} Sources: {', '.join(known) or 'none'}."
        raise InputError([Fault(netlist.name, None, None, text)])
    if len(time) != len(value) or len(time) < 2 or time[0] < 0 or not (np.diff(time) > 0).all():
        raise UserError(f"{source}: {len(value)} values at {len(time)} times; times must increase, from 0 on.")
    if not (np.isfinite(time).all() and np.isfinite(value).all()):
        raise UserError(f"{source}: a time or a value is not finite.")
    points = " ".join(f"{t!r} {v!r}" for t, v in zip(time.tolist(), value.tolist(), strict=True))
    lines: list[str] = []
    depth = 0  # a subcircuit may have a source of the same name
    for text in netlist.render({}):
        first = text.split(None, 1)[0].lower()
        depth += (first == ".subckt") - (first == ".ends")
        device = None if depth else parse_device(text)
        if device is not None and device.name == source.lower():
            text = f"{device.name} {device.words[0]} {device.words[1]} PWL({points})"
        lines.append(text)
    return lines


def split_probes(text: str) -> tuple[str, ...]:
    """The probes of 'v(out), v(a,b), i(v1)': commas within brackets belong to a probe. Raises UserError for none."""
    found = tuple(word.strip() for word in BETWEEN.split(text))
    if not all(found):
        raise UserError(f"probes: got '{text}', must be vectors separated by commas, as 'v(out),i(v1)'.")
    return found


def nodes(netlist: Netlist) -> list[str]:
    """Nodes that devices outside subcircuits are connected to, lower case."""
    found: dict[str, None] = {}
    for device in netlist.devices():
        if device.kind in NODES:
            words = device.words[:-1] if device.kind == "x" else device.words[: NODES[device.kind]]
            found.update(dict.fromkeys(word.lower() for word in words))
    return list(found)


def respond(
    engine: Engine,
    netlist: Netlist,
    source: str,
    probes: Sequence[str],
    time: Float[np.ndarray, " point"],
    values: Float[np.ndarray, "drive point"],
    at: Float[np.ndarray, " asked"],
) -> list[Float[np.ndarray, "probe asked"] | Failure]:
    """The probes' waveforms at the times `at` for each drive, or why there are none.

    Args:
        engine: simulates as many drives at once as it has workers.
        netlist: a circuit without open values.
        source: name of a voltage or current source.
        probes: what is read, see the module.
        time: times of the drives' points, in seconds, increasing.
        values: one drive a row.
        at: times that are asked for, in seconds, inside the drives' time.
    """
    step, stop = float(np.diff(time).min()), float(max(time[-1], at.max()))
    pairs = [DIFFERENCE.fullmatch(probe.strip()) for probe in probes]
    parts = [
        (probe,) if pair is None else (f"v({pair[1]})", f"v({pair[2]})")
        for probe, pair in zip(probes, pairs, strict=True)
    ]
    vectors = tuple(dict.fromkeys(name for part in parts for name in part))
    inside = [name for name in vectors if name.startswith("@")]
    kept = [f".save all {' '.join(inside)}"] if inside else []
    analysis = Analysis(f"tran {step!r} {stop!r} 0 {step!r}", ("time", *vectors))
    jobs: Sequence[tuple[list[str], tuple[Analysis, ...]]] = [
        (driven(netlist, source, time, row) + kept, (analysis,)) for row in values
    ]

    def read(wave: Mapping[str, np.ndarray]) -> np.ndarray | Failure:
        for name in vectors:
            if len(wave[name]) != len(wave["time"]):
                return Failure("missing", f"'{name}' is one number of the whole simulation, not a waveform")
        each = {name: np.interp(at, wave["time"], wave[name]) for name in vectors}
        return np.stack([each[part[0]] - each[part[1]] if len(part) > 1 else each[part[0]] for part in parts])

    return [found if isinstance(found, Failure) else read(found[0]) for found in engine.run_all(jobs)]
