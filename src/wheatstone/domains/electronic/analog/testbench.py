"""A netlist with its specification: simulate a sizing, read its measures, write it as a deck that runs by hand.

What is simulated is one text: the netlist with numbers in its holes and the model bins that these numbers need. The
same text, with a `.control` block that prints the measures, is what `self_contained` gives to the user.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wheatstone.bench.errors import Fault, InputError, did_you_mean
from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.flatten import READ, flattened, operating_point, supply_voltages
from wheatstone.domains.electronic.analog.jobs import OPTIONAL, Analysis, Failure, Waves
from wheatstone.domains.electronic.analog.library import (
    Models,
    OutOfBinError,
    bins_for,
    check_models,
    library,
    size_of,
    split_models,
)
from wheatstone.domains.electronic.analog.measures import (
    MissingMeasureError,
    Noise,
    Response,
    Simulated,
    Transient,
    Transistor,
    measure,
)
from wheatstone.domains.electronic.analog.netlist import HOLE, Device, Netlist, parse_device, read_netlist
from wheatstone.domains.electronic.analog.specification import Param, Specification, read_specification

SAFE = re.compile(r"[\w\s.()+\-@\[\],#:*/]*")
"""Characters of an analysis: what follows a ';' would be another command."""


@dataclass(frozen=True)
class Outcome:
    """One simulated sizing."""

    values: Mapping[str, float]
    """Parameter -> value, on its grid."""
    measures: Mapping[str, float]
    """Measure -> value; NaN where it is missing."""
    missing: Mapping[str, str]
    """Measure -> why it is missing."""
    failure: Failure | None = None
    """Why there are no measures at all."""
    transistors: tuple[Transistor, ...] = ()
    voltages: Mapping[str, float] = field(default_factory=dict[str, float])
    response: Response | None = None

    @property
    def reason(self) -> str:
        """'' for a simulation that gave every measure, else what went wrong."""
        if self.failure is not None:
            return str(self.failure)
        return "; ".join(f"{name}: {why}" for name, why in self.missing.items())


class Testbench:
    """A netlist that can be sized.

    Raises InputError when netlist and specification do not belong together: a hole without a range, a parameter without
    a hole, a model that nobody defines, sizes that no model bin holds.
    """

    __test__ = False  # pytest would take it for a test class

    def __init__(self, spec: Specification, netlist: Netlist) -> None:
        self.spec = spec
        self.netlist, inline = split_models(netlist)
        self._inline = inline
        self._check_names()
        corner = spec.corner or (next(iter(library(spec.library).files)) if spec.library else "")
        self.corner = corner
        models = self.models(corner)
        self.fields = {pair: one.name for one in spec.params for pair in one.sets}
        check_models(self.netlist, models)
        self._check_bins(models)
        low = self.render({one.name: one.low for one in spec.params})
        self.transistors = flattened([*low, *models.rest])
        self.supplies = supply_voltages(low, [one.source for one in spec.measures if one.kind == "power"], spec.file)

    @staticmethod
    def read(specification: Path, netlist: Path | None = None) -> Testbench:
        """The testbench of a specification file and a netlist, by default the one that the specification names."""
        spec = read_specification(specification)
        if netlist is None:
            if not spec.netlist:
                raise InputError([Fault(spec.file, None, "netlist", "missing: the file of the netlist.")])
            netlist = specification.parent / spec.netlist
            if not netlist.is_file():
                raise InputError([Fault(spec.file, None, "netlist", f"{netlist}: no such file.")])
        return Testbench(spec, read_netlist(netlist))

    def models(self, corner: str) -> Models:
        """The binned models of the netlist itself and those of the named library at one corner."""
        if not self.spec.library:
            return self._inline
        named = library(self.spec.library).models(corner)
        return Models({**named.bins, **self._inline.bins}, named.rest)

    @property
    def params(self) -> tuple[Param, ...]:
        return self.spec.params

    def values(self, shares: Sequence[float] | np.ndarray) -> dict[str, float]:
        """Parameter -> value from its place in [0, 1] of its range."""
        return {one.name: one.value(float(share)) for one, share in zip(self.params, shares, strict=True)}

    def shares(self, values: Mapping[str, float]) -> np.ndarray:
        """Where the values lie in their ranges, [param]."""
        return np.array([one.share(values[one.name]) for one in self.params])

    def hand(self) -> dict[str, float] | None:
        """A designer's own sizing, None where the specification has none."""
        chosen = {one.name: one.hand for one in self.params if one.hand is not None}
        return chosen if len(chosen) == len(self.params) else None

    def render(self, values: Mapping[str, float]) -> list[str]:
        """The netlist with these values, without models."""
        return self.netlist.render(values, {pair: values[name] for pair, name in self.fields.items()})

    def deck(self, values: Mapping[str, float], corner: str = "", temperature: float | None = None) -> list[str]:
        """The whole deck at one corner and temperature in degrees Celsius.

        Raises OutOfBinError.
        """
        lines = self.render(values)
        if temperature is not None:
            lines = [line for line in lines if not line.lower().startswith(".temp")] + [f".temp {temperature!r}"]
        return lines + self.models(corner or self.corner).needed(lines)

    def analyses(self) -> list[Analysis]:
        """What is simulated: the operating point, and AC, noise and transient where the specification asks for them."""
        spec = self.spec
        points = [f"{OPTIONAL}@{one.path}[{key}]" for one in self.transistors for key in READ[one.kind]]
        vectors = [f"i({name})" for name in self.supplies]
        vectors += [one.source for one in spec.measures if one.kind == "vector"]
        vectors += [f"v({node})" for node in self.nodes()]
        found = [Analysis("op", tuple(dict.fromkeys([*points, *vectors])))]
        if spec.ac:
            found.append(Analysis(f"ac {spec.ac}", ("frequency", spec.output)))
        if spec.noise:
            source = spec.noise_source or self._input()
            found.append(Analysis(f"noise {spec.output} {source} {spec.noise}", ("frequency", "inoise_spectrum")))
        if spec.tran:
            found.append(Analysis(f"tran {spec.tran}", ("time", spec.tran_output)))
        return found

    def nodes(self) -> list[str]:
        """Nodes of transistors outside subcircuits, ground left out."""
        found: dict[str, None] = {}
        for line in self.netlist.lines:
            device = parse_device(line.text)
            if device is not None and device.kind in "mqx":
                words = device.words[:4] if device.kind == "m" else device.words[:-1]
                found |= {word.lower(): None for word in words if word not in ("0", "gnd") and "{" not in word}
        subcircuit = {
            word
            for line in self.netlist.lines
            if line.text.lower().startswith(".subckt")
            for word in line.text.lower().split()[2:]
        }
        return [name for name in found if name not in subcircuit]

    def simulate(
        self, engine: Engine, values: Mapping[str, float], corner: str = "", temperature: float | None = None
    ) -> Outcome:
        """Simulates one sizing; what goes wrong is part of the outcome."""
        return self.simulate_all(engine, [values], corner, temperature)[0]

    def simulate_all(
        self,
        engine: Engine,
        many: Sequence[Mapping[str, float]],
        corner: str = "",
        temperature: float | None = None,
    ) -> list[Outcome]:
        """Simulates sizings, as many at once as the engine has workers."""
        decks: list[list[str] | Failure] = []
        for values in many:
            try:
                decks.append(self.deck(values, corner, temperature))
            except OutOfBinError as fault:
                decks.append(Failure("model", str(fault)))
        analyses = self.analyses()
        answers = iter(engine.run_all([(deck, analyses) for deck in decks if not isinstance(deck, Failure)]))
        return [
            self._outcome(values, deck if isinstance(deck, Failure) else next(answers))
            for values, deck in zip(many, decks, strict=True)
        ]

    def _outcome(self, values: Mapping[str, float], found: Waves | Failure) -> Outcome:
        none = {one.name: math.nan for one in self.spec.measures}
        if isinstance(found, Failure):
            return Outcome(values, none, {}, found)
        waves = iter(found)
        point = next(waves)
        ac = Response(*_pair(next(waves), "frequency")) if self.spec.ac else None
        noise = Noise(*_pair(next(waves), "frequency")) if self.spec.noise else None
        tran = Transient(*_pair(next(waves), "time")) if self.spec.tran else None
        transistors = tuple(operating_point(one, point) for one in self.transistors)
        voltages = {name: float(values[0]) for name, values in point.items() if name[0] != "@" and len(values)}
        simulated = Simulated(voltages, transistors, ac, noise, tran, self.supplies)
        measures, missing = dict(none), dict[str, str]()
        for one in self.spec.measures:
            try:
                measures[one.name] = measure(one, simulated)
            except MissingMeasureError as why:
                missing[one.name] = str(why)
        return Outcome(values, measures, missing, None, transistors, voltages, ac)

    def self_contained(self, values: Mapping[str, float], about: str = "") -> str:
        """A deck with its models that `ngspice -b` runs, and that prints the measures by ngspice's own commands."""
        spec = self.spec
        lines = [f"* {spec.name}: {about}".rstrip(": "), *self.deck(values), ".control", "set numdgt=9", "op"]
        for one in spec.measures:
            if one.kind == "power":
                terms = [
                    f"-i({name.strip()})*({self.supplies[name.strip().lower()]!r})" for name in one.source.split(",")
                ]
                lines += [f"let {one.name} = {' + '.join(terms)}", f"print {one.name}"]
            elif one.kind == "gate_area":
                terms = [f"@{t.path}[w]*@{t.path}[l]*@{t.path}[m]" for t in self.transistors if t.kind == "m"]
                lines += [f"let {one.name} = {' + '.join(terms)}", f"print {one.name}"]
        if spec.ac:
            lines += [f"ac {spec.ac}", f"let mag = abs({spec.output})"]
            for one in spec.measures:
                at = f"at={one.at!r}" if one.at else ""
                if one.kind in ("gain", "gain_db", "bandwidth", "peaking"):
                    reference = f"meas ac plateau find mag {at}" if at else "let plateau = mag[0]"
                    lines.append(reference)
                if one.kind == "gain":
                    lines += [f"let {one.name} = plateau", f"print {one.name}"]
                elif one.kind == "gain_db":
                    lines += [f"let {one.name} = 20*log10(plateau)", f"print {one.name}"]
                elif one.kind == "bandwidth":
                    lines += ["let level = plateau/sqrt(2)", f"meas ac {one.name} when mag=level fall=last"]
                elif one.kind == "peaking":
                    lines += [f"let {one.name} = 20*log10(vecmax(mag)/plateau)", f"print {one.name}"]
        if spec.noise:
            analysis = self.analyses()[2 if spec.ac else 1]
            lines += [analysis.command, "setplot noise1"]
            for one in spec.measures:
                if one.kind == "noise_density":
                    at = f"at={one.at!r}" if one.at else ""
                    lines.append(
                        f"meas noise {one.name} find inoise_spectrum {at}" if at else "print inoise_spectrum[0]"
                    )
        return "\n".join([*lines, ".endc", ".end", ""])

    def components(self) -> list[tuple[Device, tuple[str, ...]]]:
        """Devices with parameters, in the netlist's order, and the parameters that first appear in each."""
        seen: set[str] = set()
        found: list[tuple[Device, tuple[str, ...]]] = []
        names = {one.name for one in self.params}
        for line in self.netlist.lines:
            device = parse_device(line.text)
            if device is None:
                continue
            used = [name for text in HOLE.findall(line.text) for name in re.findall(r"[a-z_]\w*", text.lower())]
            used += [name for (owner, _), name in self.fields.items() if owner == device.name]
            fresh = tuple(name for name in dict.fromkeys(used) if name in names and name not in seen)
            if fresh:
                seen |= set(fresh)
                found.append((device, fresh))
        return found

    def _input(self) -> str:
        """The first source with an AC value."""
        for line in self.netlist.lines:
            device = parse_device(line.text)
            if device is not None and device.kind in "iv" and re.search(r"\bac\b", line.text, re.IGNORECASE):
                return device.name
        raise InputError(
            [Fault(self.spec.file, None, "analyses.noise_source", "missing, and no source has an AC value.")]
        )

    def _check_names(self) -> None:
        spec, holes = self.spec, self.netlist.holes()
        names = {one.name for one in spec.params}
        faults = [
            Fault(line.file, line.number, None, f"'{{{name}}}' has no range.{did_you_mean(name, names)} Write "
                  f"[params.{name}] in {spec.file}, or .param {name}=... in the netlist.")
            for name, line in holes.items()
            if name not in names and name not in self.netlist.own
        ]  # fmt: skip
        for one in spec.params:
            if one.sets:
                faults += [
                    Fault(spec.file, None, f"params.{one.name}.sets", f"no {device.upper()} in {self.netlist.name}.")
                    for device, _ in one.sets
                    if self.netlist.device_line(device) is None
                ]  # fmt: skip
            elif one.name not in holes and one.name not in self.netlist.own:
                faults.append(
                    Fault(spec.file, None, f"params.{one.name}", f"{self.netlist.name} has no hole '{{{one.name}}}'."
                          f'{did_you_mean(one.name, holes)} Or set a field of a device: sets = "M1.w".')
                )  # fmt: skip
        for name in ("output", "ac", "noise", "noise_source", "tran", "tran_output"):
            if not SAFE.fullmatch(getattr(spec, name)):
                faults.append(
                    Fault(
                        spec.file,
                        None,
                        f"analyses.{name}",
                        f"has a sign that no analysis has: {getattr(spec, name)!r}.",
                    )
                )
        if spec.corner and not spec.library:
            faults.append(
                Fault(spec.file, None, "models.corner", "without a library; name a section in the netlist's .lib line.")
            )
        if faults:
            raise InputError(faults)

    def _check_bins(self, models: Models) -> None:
        """Every transistor's length and width at both ends of all ranges."""
        faults: list[Fault] = []
        for end in ("low", "high"):
            for text in self.render({one.name: getattr(one, end) for one in self.params}):
                device = parse_device(text)
                if device is None or device.kind != "m" or device.model not in models.bins:
                    continue
                size = size_of(device)
                try:
                    if size is not None:
                        bins_for(device, models.bins[device.model], *size)
                except OutOfBinError as fault:
                    used = [one.name for one in self.params if self._uses(device.name, one.name)]
                    place = f"params.{used[0]}.{end}" if used else None
                    faults.append(Fault(self.spec.file, None, place, f"{fault}."))
        if faults:
            raise InputError(faults)

    def _uses(self, device: str, param: str) -> bool:
        line = self.netlist.device_line(device)
        in_hole = line is not None and any(
            param in re.findall(r"[a-z_]\w*", text.lower()) for text in HOLE.findall(line.text)
        )
        return in_hole or any(owner == device and name == param for (owner, _), name in self.fields.items())


def _pair(waves: Mapping[str, np.ndarray], x: str) -> tuple[np.ndarray, np.ndarray]:
    y = next(values for name, values in waves.items() if name != x)
    return np.real(waves[x]), y
