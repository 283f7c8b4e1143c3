"""SPICE netlists with open values: every `{name}` or `{2*name}` is a hole, filled before ngspice sees the deck.

A netlist runs in ngspice by itself when its names are defined by `.param`; whoever sizes it gives other values to the
same names, or to fields of devices that have no hole (`M1.w`). Analyses, prints and `.control` blocks of the netlist
are left out: the testbench says what is simulated. Included files are taken into the deck, one section of a `.lib`
where one is named, so that what is simulated is one self-contained text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wheatstone.bench.errors import Fault, InputError
from wheatstone.domains.electronic.analog.expression import UnknownNameError, evaluate, names_in
from wheatstone.domains.electronic.analog.units import number

HOLE = re.compile(r"\{([^{}]*)\}")
COMMENT = re.compile(r";|\s\$\s|\s//")
FIELD = re.compile(r"([a-z_]\w*)\s*=\s*(\{[^{}]*\}|'[^']*'|[^\s=]+)", re.IGNORECASE)
LEFT_OUT = (".op", ".ac", ".dc", ".tran", ".noise", ".tf", ".pz", ".sens", ".disto", ".four", ".print", ".plot",
            ".probe", ".save", ".meas", ".measure", ".end", ".title", ".width")  # fmt: skip
NODES = {"r": 2, "c": 2, "l": 2, "v": 2, "i": 2, "d": 2, "m": 4, "q": 3, "j": 3, "e": 4, "g": 4, "x": 1}
"""Smallest number of nodes of the devices that are checked here; ngspice checks the others."""
VALUED = "rcl"
MAX_BYTES = 64 * 2**20
MAX_INCLUDES = 64
"""Files that may be included below one netlist: more is a circle."""


class Line(NamedTuple):
    """One logical line: its continuation lines are joined to it."""

    text: str
    file: str
    number: int
    """1-based line where it begins."""


@dataclass(frozen=True)
class Device:
    """A device line of a rendered deck."""

    name: str
    """Lower case, as ngspice names it."""
    kind: str
    """Its first letter: r, c, m, q, x ..."""
    words: tuple[str, ...]
    """Nodes, model and values, without the fields."""
    fields: Mapping[str, str]

    def value(self, field: str, default: float | None = None) -> float | None:
        """The field as a number; `default` when absent or not a number."""
        try:
            return number(self.fields[field].strip("{}'"))
        except (KeyError, ValueError):
            return default

    @property
    def model(self) -> str:
        """Model or subcircuit, lower case; '' where the device has none."""
        match self.kind:
            case "m":
                return self.words[4].lower() if len(self.words) > 4 else ""
            case "x":
                return self.words[-1].lower() if self.words else ""
            case "d":
                return self.words[2].lower() if len(self.words) > 2 else ""
            case _:
                return ""


@dataclass(frozen=True)
class Netlist:
    """A parsed netlist, ready to be rendered with values."""

    name: str
    lines: tuple[Line, ...]
    own: Mapping[str, float]
    """Names that the netlist's own `.param` lines define -> value, as far as they are plain arithmetic."""

    def holes(self) -> dict[str, Line]:
        """Lower-case names that appear in holes of the circuit, outside subcircuits -> where first."""
        found: dict[str, Line] = {}
        for line in _outside(self.lines):
            for expression in HOLE.findall(line.text):
                for name in sorted(names_in(expression)):
                    found.setdefault(name, line)
        return found

    def devices(self) -> list[Device]:
        """Devices outside subcircuits, holes as they are."""
        return [device for line in _outside(self.lines) if (device := parse_device(line.text)) is not None]

    def device_line(self, name: str) -> Line | None:
        """The line of the device of that name, outside subcircuits."""
        wanted = name.lower()
        return next((one for one in _outside(self.lines) if one.text.split(None, 1)[0].lower() == wanted), None)

    def render(self, values: Mapping[str, float], fields: Mapping[tuple[str, str], float] | None = None) -> list[str]:
        """The deck's lines with these values (lower-case names, SI units) in holes and `.param` lines.

        `fields` gives (device, field) -> value where the netlist has no hole; the field 'value' is the third word of a
        resistor, capacitor, inductor or source. What cannot be evaluated here is left to ngspice.
        """
        known = {**self.own, **values}
        fields = fields or {}
        wanted = {device for device, _ in fields}
        lines, depth = [f".param {name}={value!r}" for name, value in values.items()], 0
        for line in self.lines:
            text, first = line.text, line.text.split(None, 1)[0].lower()
            depth += (first == ".subckt") - (first == ".ends")
            if first == ".param" and not depth:
                text = _other_params(text, values)
                if not text:
                    continue
            elif not depth:
                if first in wanted:
                    text = _with_fields(text, {key: value for (name, key), value in fields.items() if name == first})
                if "{" in text:
                    text = HOLE.sub(lambda hole: _filled(hole, known), text)
            lines.append(text)
        return lines


def read_netlist(path: Path) -> Netlist:
    """The netlist of a file, with everything that it includes.

    Raises InputError naming file and line.
    """
    return parse_netlist(_text(path), path.name, path.parent)


def parse_netlist(text: str, name: str, folder: Path | None = None) -> Netlist:
    """The netlist of a text, whose first line is a title as everywhere in SPICE; includes are relative to `folder`.

    Raises InputError naming file and line.
    """
    first, _, rest = text.partition("\n")
    titled = f"*{first.replace(chr(12), ' ')}\n{rest}"
    lines = list(_expanded(logical_lines(titled, name), folder or Path(), [0]))
    circuit: list[Line] = []
    faults: list[Fault] = []
    is_control = False
    for line in lines:
        first = line.text.split(None, 1)[0].lower()
        if first in (".control", ".endc"):
            is_control = first == ".control"
        elif not is_control and first not in LEFT_OUT:
            circuit.append(line)
            if fault := _fault(line):
                faults.append(Fault(line.file, line.number, None, fault))
    if faults:
        raise InputError(faults)
    if not any(line.text[0].isalpha() for line in circuit):
        raise InputError([Fault(name, None, None, "no device. A netlist has a line 'R1 in out 1k' for each device.")])
    return Netlist(name, tuple(circuit), _own_params(circuit))


def logical_lines(text: str, name: str) -> list[Line]:
    """Lines without comments, continuations joined.

    Raises InputError for a continuation of nothing.
    """
    found: list[tuple[list[str], int]] = []
    for at, raw in enumerate(text.splitlines(), start=1):
        line = COMMENT.split(raw, maxsplit=1)[0].strip()
        if not line or line[0] == "*":
            continue
        if line[0] != "+":
            found.append(([line], at))
        elif found:
            found[-1][0].append(line[1:].strip())
        else:
            raise InputError([Fault(name, at, None, "a continuation ('+') of nothing.")])
    return [Line(" ".join(parts), name, at) for parts, at in found]


def parse_device(text: str) -> Device | None:
    """The device of a rendered line, None for a directive."""
    if not text or not text[0].isalpha():
        return None
    fields = {key.lower(): value for key, value in FIELD.findall(text)}
    words = FIELD.sub(" ", text).split()
    if not words:
        return None
    return Device(words[0].lower(), words[0][0].lower(), tuple(words[1:]), fields)


def _fault(line: Line) -> str:
    """What ngspice would take without a word, or with a message that names no line; '' for nothing."""
    text = line.text
    if text.count("{") != text.count("}"):
        return f"'{text[:60]}' has a brace without its partner."
    words = text.split()
    if words[0].lower() in (".model", ".subckt") and len(words) < 2:
        return f"'{text}' has no name."
    device = parse_device(text)
    if device is None or device.kind not in NODES:
        return ""
    nodes = NODES[device.kind]
    if len(device.words) < nodes:
        return f"{device.name.upper()} has {len(device.words)} nodes, must have {nodes}: '{text[:60]}'."
    if device.kind in VALUED and len(device.words) == nodes and not device.fields:
        return f"{device.name.upper()} has no value; write '{text[:40]} 1k' (ngspice would take almost zero)."
    if device.kind == "m" and not device.model:
        return f"{device.name.upper()} has no model: '{text[:60]}'."
    return ""


def _filled(hole: re.Match[str], known: Mapping[str, float]) -> str:
    try:
        return repr(evaluate(hole[1], known))
    except UnknownNameError:
        return hole[0]
    except ValueError:
        return hole[0]


def _own_params(lines: Sequence[Line]) -> dict[str, float]:
    values: dict[str, float] = {}
    for line in _outside(lines):
        if line.text.lower().startswith(".param"):
            for key, text in FIELD.findall(line.text):
                try:
                    values[key.lower()] = evaluate(text.strip("{}'"), values)
                except ValueError:
                    continue
    return values


def _other_params(text: str, values: Mapping[str, float]) -> str:
    """A `.param` line without the names that have a value of their own; '' when nothing is left."""
    kept = [f"{key}={value}" for key, value in FIELD.findall(text) if key.lower() not in values]
    return f".param {' '.join(kept)}" if kept else ""


def _with_fields(text: str, values: Mapping[str, float]) -> str:
    for key, value in values.items():
        if key == "value":
            words = text.split()
            text = " ".join([*words[:3], repr(value), *words[4:]])
            continue
        pattern = re.compile(rf"(?<![\w.]){re.escape(key)}\s*=\s*(\{{[^{{}}]*\}}|'[^']*'|[^\s=]+)", re.IGNORECASE)
        text, found = pattern.subn(f"{key}={value!r}", text, count=1)
        if not found:
            text = f"{text} {key}={value!r}"
    return text


def _outside(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines outside subcircuits."""
    depth = 0
    for line in lines:
        first = line.text.split(None, 1)[0].lower()
        depth += first == ".subckt"
        if not depth:
            yield line
        depth -= first == ".ends"


def _expanded(lines: Sequence[Line], folder: Path, count: list[int]) -> Iterator[Line]:
    """The lines with what they include in its place; `count[0]` files have been included so far."""
    for line in lines:
        words = line.text.split()
        first = words[0].lower()
        if first in (".include", ".inc") or (first == ".lib" and len(words) > 2):
            path = folder / " ".join(words[1 : 2 if first == ".lib" else None]).strip("\"'")
            count[0] += 1
            if count[0] > MAX_INCLUDES:
                raise InputError([Fault(line.file, line.number, None, f"more than {MAX_INCLUDES} files: a circle?")])
            if not path.is_file():
                raise InputError([Fault(line.file, line.number, None, f"{path}: no such model file.")])
            included = logical_lines(_text(path), path.name)
            if first == ".lib":
                included = section(included, words[2], line, path)
            yield from _expanded(included, path.parent, count)
        else:
            yield line


def section(lines: Sequence[Line], name: str, asked: Line | None, path: Path) -> list[Line]:
    """The lines of one section of a library.

    Raises InputError for a section that the file does not have.
    """
    found: list[Line] = []
    sections: list[str] = []
    inside = False
    for line in lines:
        words = line.text.lower().split()
        if words[0] == ".lib" and len(words) == 2:
            sections.append(words[1])
            inside = words[1] == name.lower()
        elif words[0] == ".endl":
            inside = False
        elif inside:
            found.append(line)
    if name.lower() not in sections:
        known = f"it has {', '.join(sections)}" if sections else "it has no sections"
        place = (asked.file, asked.number) if asked else (path.name, None)
        raise InputError([Fault(*place, None, f"{path.name} has no section '{name}'; {known}.")])
    return found


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise InputError([Fault(path.name, None, None, f"more than {MAX_BYTES:,} bytes.")])
    # Foundries write comments in whatever encoding; only comments have such letters.
    return path.read_text(encoding="utf-8", errors="replace")
