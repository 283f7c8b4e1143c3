"""Timing libraries: which one is used, and a small generic one for where there is none.

A library is one or more Liberty files (gzip is unpacked). ABC's mapper needs at least an inverter and a two-input
cell; what it cannot use (flip-flops, tri-states, cells marked `dont_use`) it leaves out.

`generic_liberty` writes a library of twelve cells whose delays follow logical effort (Sutherland, Sproull, Harris,
"Logical Effort", 1999, tables 1.1 and 1.2): every cell drives as the inverter does, so delay = TAU (p + load /
C_INVERTER) + a tenth of the input's slew, an input loads g inverters, and area is the sum of transistor widths. It
belongs to no process: good for tests and for comparing methods, not for a chip.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wheatstone.bench.errors import UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.electronic.logic.abc import Abc, AbcError

SUMMARY = re.compile(r'Library "([^"]*)" .* has (\d+) cells')
REAL = "liberty/sg13g2_stdcell_typ_1p20V_25C.lib.gz"
"""IHP SG13G2's typical corner below the data folder (Apache-2.0; The-OpenROAD-Project/OpenSTA, test/ihp-sg13g2)."""
TAU = 5.0
"""Delay unit in ps, of an inverter per unit of effort."""
CAPACITANCE = 2.0
"""Input capacitance of the inverter, in fF."""
PROBE = b".model probe\n.inputs a b\n.outputs y\n.names a b y\n10 1\n01 1\n.end\n"
"""An exclusive or: what cannot map this can map next to nothing."""


@dataclass(frozen=True)
class Library:
    """Liberty files that are used together, unpacked."""

    name: str
    texts: tuple[bytes, ...]

    def digest(self) -> str:
        """16 hex digits of the content."""
        return hashlib.sha256(b"\0".join(self.texts)).hexdigest()[:16]

    def load(self, abc: Abc) -> int:
        """Reads the library in this process of ABC and in all that follow it; returns the number of usable cells.

        Raises UserError for a file that ABC cannot read, and for a library without inverter or two-input cell.
        """
        commands: list[str] = []
        for number, text in enumerate(self.texts):
            (abc.folder / f"library{number}.lib").write_bytes(text)
            more = "-w" if number < len(self.texts) - 1 else ""
            merge = "-m" if number else ""
            commands.append(" ".join(f"read_lib {merge} {more} library{number}.lib".split()))
        (abc.folder / "probe.blif").write_bytes(PROBE)
        try:
            said = abc.run(*commands)
            cells = sum(int(found[1]) for found in SUMMARY.findall(said))
            if not cells:
                raise UserError(f"{self.name}: ABC found no cell in it. It must be a Liberty file with cells.")
            abc.run("read_blif probe.blif", "strash", "map")
        except AbcError as failure:
            raise UserError(
                f"{self.name}: ABC cannot map with this library ({failure}). It must hold at least an inverter and a "
                "two-input cell (NAND2 or NOR2) with area, function and timing."
            ) from None
        abc.on_start[:] = commands
        return cells


def read_library(paths: Sequence[Path]) -> Library:
    """The library in Liberty files, plain or .gz. Raises UserError."""
    texts: list[bytes] = []
    for path in paths:
        try:
            data = path.read_bytes()
            text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        if not re.search(rb"\blibrary\s*\(", text):
            raise UserError(f"{path.name}: not a Liberty file: it has no 'library (...)'.")
        texts.append(text)
    return Library(" + ".join(path.name for path in paths), tuple(texts))


def default_library() -> Library:
    """IHP SG13G2 where the data folder has it, else the generic library of this module."""
    place = data_folder() / REAL
    return read_library([place]) if place.is_file() else generic_library()


def generic_library() -> Library:
    """The library that this module writes."""
    return Library("generic (logical effort)", (generic_liberty().encode(),))


class _Cell(NamedTuple):
    name: str
    pins: str
    function: str
    effort: float
    """Logical effort g of each input."""
    parasitic: float
    """Parasitic delay p."""
    area: float
    sense: str = "negative_unate"


# Two-stage cells (AND2, OR2, BUF) take the effort of their first stage and the parasitics of both.
CELLS = (
    _Cell("INV", "A", "!A", 1.0, 1.0, 3.0),
    _Cell("BUF", "A", "A", 1.0, 3.0, 6.0, "positive_unate"),
    _Cell("NAND2", "AB", "!(A B)", 4 / 3, 2.0, 8.0),
    _Cell("NAND3", "ABC", "!(A B C)", 5 / 3, 3.0, 15.0),
    _Cell("NOR2", "AB", "!(A+B)", 5 / 3, 2.0, 10.0),
    _Cell("NOR3", "ABC", "!(A+B+C)", 7 / 3, 3.0, 21.0),
    _Cell("AND2", "AB", "(A B)", 4 / 3, 4.0, 11.0, "positive_unate"),
    _Cell("OR2", "AB", "(A+B)", 5 / 3, 4.0, 13.0, "positive_unate"),
    _Cell("AOI21", "ABC", "!((A B)+C)", 2.0, 7 / 3, 17.0),
    _Cell("OAI21", "ABC", "!((A+B) C)", 2.0, 7 / 3, 17.0),
    _Cell("XOR2", "AB", "((A !B)+(!A B))", 4.0, 4.0, 24.0, "non_unate"),
    _Cell("XNOR2", "AB", "((A B)+(!A !B))", 4.0, 4.0, 24.0, "non_unate"),
)
SLEWS = (5.0, 20.0, 80.0, 320.0)
LOADS = (1.0, 4.0, 16.0, 64.0, 256.0)


def generic_liberty() -> str:
    """The text of the generic library: time in ps, capacitance in fF, area in transistor widths."""
    axes = f'index_1 ("{", ".join(f"{slew:g}" for slew in SLEWS)}"); index_2 ("{", ".join(f"{c:g}" for c in LOADS)}");'
    lines = [
        "library (generic) {",
        '  time_unit : "1ps"; capacitive_load_unit (1, ff); voltage_unit : "1V"; current_unit : "1uA";',
        "  delay_model : table_lookup; nom_voltage : 1.0; nom_temperature : 25.0; nom_process : 1.0;",
        "  lu_table_template (grid) {",
        f"    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance; {axes}",
        "  }",
    ]
    for cell in CELLS:
        lines.append(f"  cell ({cell.name}) {{ area : {cell.area:g};")
        lines += [
            f"    pin ({pin}) {{ direction : input; capacitance : {cell.effort * CAPACITANCE:.4f}; }}"
            for pin in cell.pins
        ]
        lines.append(f'    pin (Y) {{ direction : output; function : "{cell.function}"; max_capacitance : 256;')
        delay, slew = _tables(cell)
        for pin in cell.pins:
            lines.append(f'      timing () {{ related_pin : "{pin}"; timing_sense : {cell.sense};')
            lines += [f"        {kind} (grid) {{ values ({delay}); }}" for kind in ("cell_rise", "cell_fall")]
            lines += [
                f"        {kind} (grid) {{ values ({slew}); }}" for kind in ("rise_transition", "fall_transition")
            ]
            lines.append("      }")
        lines.append("    }\n  }")
    return "\n".join([*lines, "}", ""])


def _tables(cell: _Cell) -> tuple[str, str]:
    """Delay and output slew, in ps, over input slew (rows) and load (columns)."""
    delays, slews = list[str](), list[str]()
    for slew in SLEWS:
        steps = [TAU * (cell.parasitic + load / CAPACITANCE) for load in LOADS]
        delays.append('"' + ", ".join(f"{step + 0.1 * slew:.4f}" for step in steps) + '"')
        slews.append('"' + ", ".join(f"{1.4 * step + 0.05 * slew:.4f}" for step in steps) + '"')
    return ", ".join(delays), ", ".join(slews)
