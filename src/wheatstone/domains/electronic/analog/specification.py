"""The TOML file that says what may be varied in a netlist, what is measured, what must hold and what is wanted.

    netlist = "tia.sp"                       # beside this file; left out where the netlist is named on the command line
    [models]                                 # left out where the netlist includes its own
    library = "sky130"
    corner = "tt"
    [analyses]
    output = "v(out)"
    ac = "dec 20 10k 100g"
    [params.w1]                              # a hole {w1} or a `.param w1` of the netlist; else sets = "M1.w"
    low = "0.42u"
    high = "50u"
    scale = "log"
    grid = "0.01u"
    [measures.gain]
    kind = "gain"
    unit = "ohm"
    [constraints.gain]
    at_least = "20k"
    [targets.area]
    goal = "smaller"
    reference = "211e-12"

Every fault names the file and the field, five of them at once.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from wheatstone.bench.errors import Fault, InputError, did_you_mean
from wheatstone.domains.electronic.analog.measures import NEEDS, Kind, Measure
from wheatstone.domains.electronic.analog.units import number

SECTIONS = ("name", "about", "netlist", "models", "analyses", "params", "measures", "constraints", "targets")
MODEL_FIELDS = ("library", "corner", "corners", "temperatures")
ANALYSIS_FIELDS = ("output", "ac", "noise", "noise_source", "tran", "tran_output", "timeout")
PARAM_FIELDS = ("low", "high", "scale", "grid", "unit", "hand", "sets")
MEASURE_FIELDS = ("kind", "unit", "at", "source")
UNITS = {
    "gain": "", "gain_db": "dB", "bandwidth": "Hz", "unity_gain": "Hz", "peaking": "dB", "phase_margin": "deg",
    "noise_density": "V/sqrtHz", "noise_average": "V/sqrtHz", "power": "W", "gate_area": "m^2",
    "saturation_margin": "V", "vector": "V", "final": "V", "swing": "V", "settling": "s",
}  # fmt: skip
MOST_PARAMS = 200


@dataclass(frozen=True)
class Param:
    """One number that may be chosen."""

    name: str
    """Lower case, as the hole of the netlist."""
    low: float
    high: float
    scale: Literal["log", "linear"]
    grid: float
    """Values are whole multiples of it; 0 for any value."""
    unit: str
    hand: float | None
    """A designer's own choice, shown beside the found one and never given to an optimiser."""
    sets: tuple[tuple[str, str], ...]
    """(device, field) pairs that it sets where the netlist has no hole for it."""

    def value(self, share: float) -> float:
        """The value at `share` in [0, 1] of the range, on the grid and inside the range."""
        share = min(1.0, max(0.0, share))
        if self.scale == "log":
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + (self.high - self.low) * share
        if self.grid:
            value = round(value / self.grid) * self.grid
            if value > self.high * (1 + 1e-12):
                value = math.floor(self.high / self.grid * (1 + 1e-12)) * self.grid
            if value < self.low * (1 - 1e-12):
                value = math.ceil(self.low / self.grid * (1 - 1e-12)) * self.grid
        return float(f"{value:.12g}")

    def share(self, value: float) -> float:
        """Where the value lies in the range, 0 to 1."""
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Constraint:
    """What a measure must be."""

    measure: Measure
    bound: float
    is_floor: bool
    """At least the bound; at most otherwise."""

    def decades(self, value: float) -> float:
        """How far the value is on the right side, in decades (20 dB are one); NaN counts as the worst."""
        if self.measure.in_decibel:
            over = (value - self.bound) / 20.0
        elif value <= 0:
            over = -math.inf if self.is_floor else math.inf
        else:
            over = math.log10(value / self.bound)
        return over if self.is_floor else -over

    def share(self, value: float) -> float:
        """How far it is on the right side relative to the bound: -1 for nothing at all of what is asked."""
        over = (value - self.bound) / (abs(self.bound) or 1.0)
        return over if self.is_floor else -over

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.is_floor else value <= self.bound


@dataclass(frozen=True)
class Target:
    """What a measure should be once all constraints hold."""

    measure: Measure
    is_larger: bool
    reference: float
    weight: float

    def decades(self, value: float) -> float:
        """How much better than the reference, in decades (20 dB are one)."""
        if self.measure.in_decibel:
            gained = (value - self.reference) / 20.0
        else:
            gained = math.log10(value / self.reference) if value > 0 else -2.0
        return gained if self.is_larger else -gained


@dataclass(frozen=True)
class Specification:
    """A parsed specification."""

    name: str
    file: str
    about: str
    netlist: str
    """File name beside the specification, '' where it is given apart."""
    library: str
    """Named device models, '' where the netlist includes its own."""
    corner: str
    corners: tuple[str, ...]
    temperatures: tuple[float, ...]
    output: str
    ac: str
    noise: str
    noise_source: str
    tran: str
    tran_output: str
    timeout: float
    params: tuple[Param, ...]
    measures: tuple[Measure, ...]
    constraints: tuple[Constraint, ...]
    targets: tuple[Target, ...]


@dataclass
class _Reader:
    file: str
    faults: list[Fault] = field(default_factory=list[Fault])

    def fault(self, place: str, text: str) -> None:
        self.faults.append(Fault(self.file, None, place, text))

    def table(self, value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fault(place, f"is {value!r}, must be a table: [{place}].")
            return {}
        return cast("dict[str, Any]", value)

    def known(self, table: Mapping[str, Any], place: str, fields: Sequence[str]) -> None:
        for name in table.keys() - set(fields):
            where = f"{place}.{name}" if place else name
            self.fault(where, f"no such field.{did_you_mean(name, fields)} Fields: {', '.join(fields)}.")

    def number(self, table: Mapping[str, Any], place: str, name: str, default: float | None = None) -> float:
        value = table.get(name)
        if value is None:
            if default is None:
                self.fault(f"{place}.{name}", "missing.")
                return math.nan
            return default
        try:
            if isinstance(value, bool | list | dict):
                raise ValueError(f"{value!r} is not a number")
            return number(value)
        except (ValueError, TypeError) as fault:
            self.fault(f"{place}.{name}", f"{fault}.")
            return math.nan

    def text(self, table: Mapping[str, Any], place: str, name: str, default: str = "") -> str:
        value = table.get(name, default)
        if not isinstance(value, str):
            self.fault(f"{place}.{name}" if place else name, f"is {value!r}, must be a text.")
            return default
        return value

    def list_of(self, table: Mapping[str, Any], place: str, name: str) -> list[Any]:
        value = table.get(name, [])
        if not isinstance(value, list):
            self.fault(f"{place}.{name}", f"is {value!r}, must be a list.")
            return []
        return cast("list[Any]", value)


def read_specification(path: Path) -> Specification:
    """The specification in a TOML file. Raises InputError naming file and field."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError([Fault(path.name, None, None, "not a text file.")]) from None
    return parse_specification(text, path.name, path.stem)


def parse_specification(text: str, file: str, name: str) -> Specification:
    """The specification in a text. Raises InputError naming file and field."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise InputError([Fault(file, None, None, f"not TOML: {fault}.")]) from None
    reader = _Reader(file)
    reader.known(content, "", SECTIONS)
    models = reader.table(content.get("models", {}), "models")
    reader.known(models, "models", MODEL_FIELDS)
    analyses = reader.table(content.get("analyses", {}), "analyses")
    reader.known(analyses, "analyses", ANALYSIS_FIELDS)
    params = _params(reader, content)
    measures = _measures(reader, content, analyses)
    constraints = _constraints(reader, content, measures)
    targets = _targets(reader, content, measures)
    temperatures = [
        reader.number({"temperatures": one}, "models", "temperatures")
        for one in reader.list_of(models, "models", "temperatures")
    ]
    output = reader.text(analyses, "analyses", "output")
    found = Specification(
        name=reader.text(content, "", "name", name),
        file=file,
        about=reader.text(content, "", "about"),
        netlist=reader.text(content, "", "netlist"),
        library=reader.text(models, "models", "library"),
        corner=reader.text(models, "models", "corner"),
        corners=tuple(map(str, reader.list_of(models, "models", "corners"))),
        temperatures=tuple(temperatures),
        output=output,
        ac=reader.text(analyses, "analyses", "ac"),
        noise=reader.text(analyses, "analyses", "noise"),
        noise_source=reader.text(analyses, "analyses", "noise_source"),
        tran=reader.text(analyses, "analyses", "tran"),
        tran_output=reader.text(analyses, "analyses", "tran_output", output),
        timeout=reader.number(analyses, "analyses", "timeout", 5.0),
        params=tuple(params),
        measures=tuple(measures.values()),
        constraints=tuple(constraints),
        targets=tuple(targets),
    )
    if reader.faults:
        raise InputError(reader.faults)
    return found


def _params(reader: _Reader, content: Mapping[str, Any]) -> list[Param]:
    table = reader.table(content.get("params", {}), "params")
    if not table:
        reader.fault("params", "nothing may be varied. Write [params.w1] with low and high for each parameter.")
    if len(table) > MOST_PARAMS:
        reader.fault("params", f"{len(table)} parameters; {MOST_PARAMS} at most.")
    found: list[Param] = []
    for name, entry in table.items():
        place = f"params.{name}"
        one = reader.table(entry, place)
        reader.known(one, place, PARAM_FIELDS)
        low, high = reader.number(one, place, "low"), reader.number(one, place, "high")
        grid, scale = reader.number(one, place, "grid", 0.0), reader.text(one, place, "scale", "log")
        if low >= high:
            reader.fault(f"{place}.low", f"low {one.get('low')} must be below high {one.get('high')}.")
        if scale not in ("log", "linear"):
            reader.fault(f"{place}.scale", f"is '{scale}', must be log or linear.")
        elif scale == "log" and low <= 0:
            reader.fault(
                f"{place}.low", f'is {one.get("low")}; a logarithmic range lies above 0 (or scale = "linear").'
            )
        if grid < 0 or grid > high - low:
            reader.fault(f"{place}.grid", f"is {one.get('grid')}, must be above 0 and below the range.")
        hand = reader.number(one, place, "hand", math.inf)
        pairs: list[tuple[str, str]] = []
        for text in filter(None, (part.strip() for part in reader.text(one, place, "sets").split(","))):
            device, dot, key = text.lower().partition(".")
            if not dot or not device or not key:
                reader.fault(f"{place}.sets", f'is \'{text}\'; write a device and its field, as "M1.w" or "R1.value".')
            pairs.append((device, key))
        kind: Literal["log", "linear"] = "linear" if scale == "linear" else "log"
        unit = reader.text(one, place, "unit")
        found.append(
            Param(name.lower(), low, high, kind, grid, unit, hand if math.isfinite(hand) else None, tuple(pairs))
        )
    return found


def _measures(reader: _Reader, content: Mapping[str, Any], analyses: Mapping[str, Any]) -> dict[str, Measure]:
    table = reader.table(content.get("measures", {}), "measures")
    if not table:
        reader.fault("measures", 'nothing is measured. Write [measures.gain] with kind = "gain" for each measure.')
    found: dict[str, Measure] = {}
    for name, entry in table.items():
        place = f"measures.{name}"
        one = reader.table(entry, place)
        reader.known(one, place, MEASURE_FIELDS)
        kind, at = reader.text(one, place, "kind", name), reader.number(one, place, "at", math.inf)
        if kind not in get_args(Kind):
            kinds = get_args(Kind)
            reader.fault(f"{place}.kind", f"no measure '{kind}'.{did_you_mean(kind, kinds)} Kinds: {', '.join(kinds)}.")
            continue
        need = NEEDS.get(kind)
        for asked in ("ac", "noise") if kind == "noise_average" else (need,):
            if asked and asked not in analyses:
                reader.fault(place, f'{kind} is not produced without [analyses] {asked} = "...".')
        if need == "ac" and "output" not in analyses:
            reader.fault("analyses.output", 'missing: the vector that is measured, as "v(out)".')
        source = reader.text(one, place, "source")
        if kind in ("power", "vector") and not source:
            reader.fault(f"{place}.source", 'missing: the supply, as "vdd".' if kind == "power" else "missing.")
        unit = reader.text(one, place, "unit", UNITS[kind])
        found[name] = Measure(name, cast("Kind", kind), unit, at if math.isfinite(at) else None, source)
    return found


def _asked(reader: _Reader, place: str, name: str, measures: Mapping[str, Measure]) -> Measure | None:
    if name not in measures:
        reader.fault(place, f"no measure '{name}' is produced.{did_you_mean(name, measures)} Write [measures.{name}].")
        return None
    return measures[name]


def _constraints(reader: _Reader, content: Mapping[str, Any], measures: Mapping[str, Measure]) -> list[Constraint]:
    found: list[Constraint] = []
    for name, entry in reader.table(content.get("constraints", {}), "constraints").items():
        place = f"constraints.{name}"
        one, measure = reader.table(entry, place), _asked(reader, place, name, measures)
        reader.known(one, place, ("at_least", "at_most"))
        if not one.keys() & {"at_least", "at_most"}:
            reader.fault(place, "has neither at_least nor at_most.")
        for key in ("at_least", "at_most"):
            if key in one and measure is not None:
                bound = reader.number(one, place, key)
                if bound <= 0 and not measure.in_decibel:
                    reader.fault(f"{place}.{key}", f"is {one[key]}; bounds are compared by their ratio, so above 0.")
                found.append(Constraint(measure, bound, key == "at_least"))
    return found


def _targets(reader: _Reader, content: Mapping[str, Any], measures: Mapping[str, Measure]) -> list[Target]:
    found: list[Target] = []
    for name, entry in reader.table(content.get("targets", {}), "targets").items():
        place = f"targets.{name}"
        one, measure = reader.table(entry, place), _asked(reader, place, name, measures)
        reader.known(one, place, ("goal", "reference", "weight"))
        goal = reader.text(one, place, "goal")
        if goal not in ("smaller", "larger"):
            reader.fault(f"{place}.goal", f"is '{goal}', must be smaller or larger.")
        reference = reader.number(one, place, "reference")
        if measure is not None:
            if reference <= 0 and not measure.in_decibel:
                reader.fault(f"{place}.reference", f"is {one.get('reference')}, must be above 0.")
            found.append(Target(measure, goal == "larger", reference, reader.number(one, place, "weight", 1.0)))
    if not found and not content.get("constraints"):
        reader.fault("targets", "neither a constraint nor a target: nothing says which design is better.")
    return found
