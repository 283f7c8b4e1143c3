"""Circuits in files: AIGER and BLIF by our own readers, Verilog by Yosys; and back.

Whatever the format, a design becomes an and-inverter graph with the names of its ports, bit by bit. Flip-flops and
latches are refused, or cut into an input and an output each.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need
from wheatstone.bench.files import disk_faults, write_atomically
from wheatstone.domains.electronic.logic.abc import Abc
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.aiger import aiger_bytes, parse_aiger, read_aiger, write_aiger
from wheatstone.domains.electronic.logic.blif import blif_text, read_blif

SUFFIXES = (".aig", ".aag", ".blif", ".v", ".sv")
YOSYS_SECONDS = 300
YOSYS = """
import json, sys
from pyosys import libyosys as ys
design = ys.Design()
for command in json.loads(sys.stdin.read()):
    ys.run_pass(command, design)
"""
"""Yosys leaves the process at the first error, so it gets one of its own."""


def read_design(path: Path, *, top: str = "", cut_latches: bool = False) -> Aig:
    """The combinational graph of a design.

    Args:
        path: .aig, .aag, .blif, .v or .sv.
        top: the Verilog module; found by Yosys when empty.
        cut_latches: make an input and an output of each latch instead of refusing the design.

    Raises UserError that names the file, and line and cause as far as the tool says them.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path.name}: not a circuit that can be read; its name ends in one of {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix in (".aig", ".aag"):
        return read_aiger(path, cut_latches=cut_latches)
    if path.suffix == ".blif":
        return read_blif(path, cut_latches=cut_latches)
    return parse_aiger(_from_verilog(path, top), Path(path.name), cut_latches=cut_latches)


def _from_verilog(path: Path, top: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if top and not re.fullmatch(r"\w+", top):
        raise UserError(f"--top: got '{top}', must be the name of a module.")
    with tempfile.TemporaryDirectory(prefix="wheatstone-yosys-") as name:
        folder = Path(name)
        (folder / f"design{path.suffix}").write_bytes(data)
        chosen = f"-top {top}" if top else "-auto-top"
        commands = [
            f"read_verilog {'-sv ' if path.suffix == '.sv' else ''}design{path.suffix}",
            f"hierarchy -check {chosen}",
            "proc",
            "flatten",
            "opt",
            "memory",
            "opt",
            "techmap",
            "opt",
            "async2sync",
            "dffunmap",
            "aigmap",
            "opt_clean",
            "write_aiger -symbols design.aig",
        ]
        said = run_yosys(commands, folder, to=f"read {path.name}")
        if not (folder / "design.aig").is_file():
            faults = [line for line in said.splitlines() if "ERROR" in line]
            text = faults[0] if faults else said.strip()[-200:]
            raise UserError(f"{path.name}: Yosys cannot read it. {text.replace(f'design{path.suffix}', path.name)}")
        return (folder / "design.aig").read_bytes()


def run_yosys(commands: list[str], folder: Path, *, to: str) -> str:
    """What Yosys prints for these commands, run in `folder`; it stops at the first that fails.

    Raises UserError when pyosys is not installed, or after five minutes.
    """
    need("pyosys", extra="electronic", to=to)
    try:
        done = subprocess.run(
            [sys.executable, "-c", YOSYS],
            input=json.dumps(commands).encode(),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=YOSYS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"Yosys needed more than {YOSYS_SECONDS} s to {to}; it was stopped.") from None
    return done.stdout.decode("utf-8", errors="replace")


def write_design(path: Path, aig: Aig, abc: Abc) -> None:
    """Writes the graph in the format that the name ends in: .aig, .aag, .blif or .v.

    Raises UserError for another format, and when the disk is full.
    """
    if path.suffix in (".aig", ".aag"):
        write_aiger(path, aig)
        return
    if path.suffix == ".blif":
        data = blif_text(aig, module_name(path)).encode()
    elif path.suffix == ".v":
        stem = module_name(path)
        (abc.folder / f"{stem}.aig").write_bytes(aiger_bytes(aig))
        abc.run(f"read_aiger {stem}.aig", f"write_verilog {stem}.v")
        data = (abc.folder / f"{stem}.v").read_bytes()
    else:
        raise UserError(f"{path.name}: not a format that is written; the name ends in .aig, .aag, .blif or .v.")
    with disk_faults(path):
        write_atomically(path, data)


def module_name(path: Path) -> str:
    """The file's name as an identifier."""
    name = re.sub(r"\W", "_", path.name.split(".")[0], flags=re.ASCII)
    return name if re.match(r"[A-Za-z_]", name) else f"m_{name}"
