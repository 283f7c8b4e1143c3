"""Which transistors a deck has once its subcircuits are unfolded, and what is read of them at the operating point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wheatstone.bench.errors import Fault, InputError
from wheatstone.domains.electronic.analog.measures import Transistor
from wheatstone.domains.electronic.analog.netlist import Device, parse_device
from wheatstone.domains.electronic.analog.units import number

READ = {
    "m": ("id", "gm", "gds", "vgs", "vds", "vdsat", "vth", "w", "l", "m"),
    "q": ("ic", "ib", "gm", "vbe", "vbc", "m"),
}
"""What is read of each transistor; what its model does not have stays out."""
DEEPEST = 8
"""Levels of subcircuits that are looked into for transistors."""


@dataclass(frozen=True)
class Place:
    """A transistor of the flattened circuit, as ngspice names it."""

    path: str
    kind: Literal["m", "q"]


def flattened(deck: Sequence[str]) -> list[Place]:
    """All MOS and bipolar transistors, those in subcircuits included."""
    inside: dict[str, list[Device]] = {}
    top: list[Device] = []
    current: list[Device] = top
    for text in deck:
        words = text.lower().split()
        if words and words[0] == ".subckt":
            current = inside.setdefault(words[1], [])
        elif words and words[0] == ".ends":
            current = top
        elif (device := parse_device(text)) is not None:
            current.append(device)
    found: list[Place] = []

    def walk(devices: Sequence[Device], place: str, depth: int) -> None:
        for device in devices:
            match device.kind:
                case "m":
                    found.append(Place(f"m.{place}{device.name}" if place else device.name, "m"))
                case "q":
                    found.append(Place(f"q.{place}{device.name}" if place else device.name, "q"))
                case "x" if depth < DEEPEST:
                    walk(inside.get(device.model, []), f"{place}{device.name}.", depth + 1)
                case _:
                    pass

    walk(top, "", 0)
    return found


def operating_point(one: Place, point: Mapping[str, np.ndarray]) -> Transistor:
    """What was read of one transistor: `point` maps vectors such as '@m1[gm]' to their one value."""
    values = {
        key: float(found[0])
        for key in READ[one.kind]
        if len(found := point.get(f"@{one.path}[{key}]", np.empty(0))) == 1
    }
    name = one.path.partition(".")[2] or one.path
    return Transistor(name, one.kind, values)


def supply_voltages(deck: Sequence[str], asked: Sequence[str], file: str) -> dict[str, float]:
    """Voltage of each source that power is measured at.

    Raises InputError for a source that the deck does not have, or whose value is not a number.
    """
    wanted = {name.strip().lower() for text in asked for name in text.split(",")}
    found: dict[str, float] = {}
    for text in deck:
        device = parse_device(text)
        if device is not None and device.name in wanted:
            words = [word for word in device.words[2:] if word.lower() != "dc"]
            try:
                found[device.name] = number(words[0])
            except (ValueError, IndexError):
                raise InputError(
                    [Fault(file, None, "measures", f"{device.name.upper()} has no constant voltage.")]
                ) from None
    if absent := sorted(wanted - found.keys()):
        raise InputError(
            [Fault(file, None, "measures", f"power is measured at '{absent[0]}', and there is no such source.")]
        )
    return found
