"""AIGER files, ascii (`aag`) and binary (`aig`): reader and writer.

Source  Biere, "The AIGER And-Inverter Graph (AIG) Format", version 20071012, JKU Linz. Version 1.9's properties (bad
        states, constraints, justice, fairness) describe sequential model checking and are refused.

A latch is state, which a combinational graph has not: a file with latches is refused, or its latches are cut, so that
each becomes an input (its present value) and an output (its next one).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.bench.files import disk_faults, write_atomically
from wheatstone.domains.electronic.logic.aig import Aig

MOST_VARIABLES = 1 << 27
"""A graph beyond this has no place in memory; a damaged header often asks for it."""
SPARE_INPUTS = 1 << 16
"""Inputs that may be there without being used."""
HEADER = "aig or aag, then the numbers M I L O A: variables, inputs, latches, outputs, gates"


class Header(NamedTuple):
    """The first line of a file."""

    is_binary: bool
    variables: int
    inputs: int
    latches: int
    outputs: int
    gates: int


class _Text:
    """The file's bytes, read line by line; remembers where it is."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.at, self.line = path, data, 0, 0

    def next(self, what: str) -> bytes:
        """The next line without its end. Raises InputError at the end of the file."""
        self.line += 1
        if self.at >= len(self.data):
            raise self.fault(f"the file ends here; expected {what}")
        end = self.data.find(b"\n", self.at)
        end = len(self.data) if end < 0 else end
        found, self.at = self.data[self.at : end], end + 1
        return found.removesuffix(b"\r")

    def numbers(self, counts: tuple[int, ...], what: str) -> list[int]:
        """The next line as whole numbers, of which there must be one of `counts`."""
        words = self.next(what).split(b" ")
        if len(words) not in counts or not all(word.isdigit() and len(word) < 20 for word in words):
            raise self.fault(f"got '{_shown(b' '.join(words))}', expected {what}")
        return [int(word) for word in words]

    def fault(self, text: str) -> InputError:
        return InputError([Fault(self.path.name, self.line, None, text)])

    def fault_at_byte(self, at: int, text: str) -> InputError:
        return InputError([Fault(self.path.name, None, None, f"byte {at}: {text}")])


def read_aiger(path: Path, *, cut_latches: bool = False) -> Aig:
    """The graph in an AIGER file, gates in the file's order where that is a topological one.

    Raises UserError that names file and line, or byte in the binary part, and for latches unless they are cut.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_aiger(data, path, cut_latches=cut_latches)


def parse_aiger(data: bytes, path: Path, *, cut_latches: bool = False) -> Aig:
    """As `read_aiger`, of bytes that are called `path` in messages."""
    text = _Text(path, data)
    header = _header(text)
    if header.latches and not cut_latches:
        raise text.fault(
            f"{header.latches} latches; only combinational circuits are taken. Cut them (--cut-latches): each becomes "
            "an input and an output."
        )
    return (_binary if header.is_binary else _ascii)(text, header)


def _header(text: _Text) -> Header:
    words = text.next(HEADER).split(b" ")
    if words[0] not in (b"aig", b"aag"):
        raise text.fault(f"starts with '{_shown(words[0])}': not an AIGER file. Its first line is {HEADER}.")
    if len(words) < 6 or not all(word.isdigit() and len(word) < 12 for word in words[1:]):
        raise text.fault(f"got '{_shown(b' '.join(words))}', expected {HEADER}")
    values = [int(word) for word in words[1:]]
    if any(values[5:]):
        raise text.fault("bad states, constraints, justice and fairness (AIGER 1.9) belong to sequential circuits")
    header = Header(words[0] == b"aig", *values[:5])
    used = header.inputs + header.latches + header.gates
    if header.variables > MOST_VARIABLES or used > header.variables or (header.is_binary and used != header.variables):
        rule = "equal" if header.is_binary else "not exceed"
        raise text.fault(f"I + L + A is {used} and M is {header.variables}; the sum must {rule} M (at most 2^27)")
    # Every output and every binary gate needs bytes: a header that asks for more than there is must not get memory.
    if header.outputs + header.gates + (0 if header.is_binary else header.inputs) > len(text.data):
        raise text.fault("the header promises more than the file holds")
    if header.inputs + header.latches > SPARE_INPUTS + 8 * len(text.data):
        raise text.fault(f"{header.inputs} inputs, far more than a file of {len(text.data)} bytes can use")
    return header


def _binary(text: _Text, header: Header) -> Aig:
    names = "a literal of at most 2 M + 1"
    latches = [_bounded(text, header, text.numbers((1, 2), names)[0]) for _ in range(header.latches)]
    outputs = [_bounded(text, header, text.numbers((1,), names)[0]) for _ in range(header.outputs)]
    fanins = np.empty((header.gates, 2), dtype=np.int64)
    data, at, first = text.data, text.at, header.inputs + header.latches + 1
    for gate in range(header.gates):
        literal = 2 * (first + gate)
        for side in range(2):
            delta, shift, start = 0, 0, at
            while True:
                if at >= len(data) or shift > 63:
                    raise text.fault_at_byte(at, f"the file ends within gate {gate + 1} of {header.gates}")
                byte = data[at]
                delta, shift, at = delta | (byte & 0x7F) << shift, shift + 7, at + 1
                if byte < 0x80:
                    break
            if delta > literal or (side == 0 and delta == 0):
                raise text.fault_at_byte(
                    start, f"gate {gate + 1}: delta {delta} from literal {literal}; a fan-in is below its gate"
                )
            literal -= delta
            fanins[gate, side] = literal
    text.at = at
    return _finished(text, header, fanins, latches + outputs)


def _ascii(text: _Text, header: Header) -> Aig:
    literal = "an even literal from 2 to 2 M"
    number: dict[int, int] = {0: 0}
    """Variable in the file -> variable in the graph."""

    def defined(value: int) -> None:
        if value % 2 or not 2 <= value <= 2 * header.variables + 1:
            raise text.fault(f"{value} cannot be defined; expected {literal}")
        if value >> 1 in number:
            raise text.fault(f"literal {value} is defined twice")
        number[value >> 1] = len(number)

    for _ in range(header.inputs):
        defined(text.numbers((1,), literal)[0])
    latches: list[int] = []
    for _ in range(header.latches):
        own, following, *_reset = text.numbers((2, 3), "a latch: its literal and the next state's")
        defined(own)
        latches.append(_bounded(text, header, following))
    outputs = [_bounded(text, header, text.numbers((1,), "an output literal")[0]) for _ in range(header.outputs)]
    gates: dict[int, tuple[int, int]] = {}
    lines: dict[int, int] = {}
    for _ in range(header.gates):
        own, left, right = text.numbers((3,), "a gate: its literal and those of its two fan-ins")
        if own % 2 or not 2 <= own <= 2 * header.variables + 1:
            raise text.fault(f"{own} cannot be a gate; expected {literal}")
        if own >> 1 in gates or own >> 1 in number:
            raise text.fault(f"literal {own} is defined twice")
        gates[own >> 1] = (_bounded(text, header, left), _bounded(text, header, right))
        lines[own >> 1] = text.line
    order = list(_topological(text, gates, number, lines))
    for variable in order:
        number[variable] = len(number)

    def moved(value: int) -> int:
        if value >> 1 not in number:
            raise InputError([Fault(text.path.name, None, None, f"literal {value} is used and never defined")])
        return 2 * number[value >> 1] + (value & 1)

    fanins = np.array([[moved(one) for one in gates[variable]] for variable in order], dtype=np.int64).reshape(-1, 2)
    return _finished(text, header, fanins, [moved(value) for value in latches + outputs])


def _topological(
    text: _Text, gates: dict[int, tuple[int, int]], number: dict[int, int], lines: dict[int, int]
) -> Iterator[int]:
    """The gates' variables, fan-ins first, otherwise as in the file. Raises InputError for a cycle."""
    done, open_ = set(number), set[int]()
    for root in gates:
        stack = [root]
        while stack:
            variable = stack[-1]
            if variable in done or variable not in gates:
                stack.pop()
                continue
            waiting = [one >> 1 for one in gates[variable] if one >> 1 in gates and one >> 1 not in done]
            if not waiting:
                done.add(variable)
                open_.discard(variable)
                stack.pop()
                yield variable
                continue
            if variable in open_:
                raise InputError(
                    [Fault(text.path.name, lines[variable], None, f"gate {2 * variable} depends on itself")]
                )
            open_.add(variable)
            stack.extend(waiting)


def _finished(text: _Text, header: Header, fanins: np.ndarray, outputs: list[int]) -> Aig:
    """With the symbol table; cut latches stand behind the inputs and before the outputs in both lists."""
    n_inputs, n_outputs = header.inputs + header.latches, header.latches + header.outputs
    symbols = _symbols(text, header)
    kinds = {kind for kind, _ in symbols} | ({"i", "l", "o"} if header.latches else set())
    inputs = tuple(symbols.get(("i", k), f"i{k}") for k in range(header.inputs) if "i" in kinds)
    latches = tuple(symbols.get(("l", k), f"l{k}") for k in range(header.latches))
    named = tuple(symbols.get(("o", k), f"o{k}") for k in range(header.outputs) if "o" in kinds)
    # Latches' next states come last among the outputs, so that output k of the file stays output k.
    order = [*range(header.latches, n_outputs), *range(header.latches)]
    return Aig(
        n_inputs,
        fanins,
        np.array([outputs[k] for k in order], dtype=np.int64),
        inputs + latches,
        named + tuple(f"{name}_next" for name in latches),
    )


def _symbols(text: _Text, header: Header) -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    limits = {"i": header.inputs, "l": header.latches, "o": header.outputs}
    while text.at < len(text.data):
        line = text.next("a symbol")
        if line == b"c" or not line:
            break
        kind, (index, blank, name) = line[:1].decode("latin-1"), line[1:].partition(b" ")
        if kind not in limits or not index.isdigit() or len(index) > 10 or not blank or not name:
            if header.is_binary:
                raise text.fault_at_byte(
                    text.at, f"got '{_shown(line)}' after the gates, expected a symbol or a comment"
                )
            raise text.fault(f"got '{_shown(line)}', expected a symbol as 'i0 name', or a comment that starts with c")
        if int(index) >= limits[kind]:
            raise text.fault(f"symbol {_shown(line)}: there are {limits[kind]} of its kind, counted from 0")
        found[kind, int(index)] = name.decode("utf-8", errors="replace")
    return found


def _bounded(text: _Text, header: Header, value: int) -> int:
    if value > 2 * header.variables + 1:
        raise text.fault(f"literal {value} is above 2 M + 1 = {2 * header.variables + 1}")
    return value


def _shown(data: bytes) -> str:
    text = data[:40].decode("utf-8", errors="replace")
    return "".join(char if char.isprintable() else "�" for char in text)


def aiger_bytes(aig: Aig, *, ascii_form: bool = False) -> bytes:
    """The graph as an AIGER file; binary unless asked for in ascii."""
    first = aig.n_inputs + 1
    sizes = f"{aig.n_inputs + aig.n_gates} {aig.n_inputs} 0 {aig.n_outputs} {aig.n_gates}\n"
    outputs = "".join(f"{literal}\n" for literal in aig.outputs.tolist())
    names = [f"i{k} {name}\n" for k, name in enumerate(aig.input_names)]
    names += [f"o{k} {name}\n" for k, name in enumerate(aig.output_names)]
    symbols = "".join(names).encode()
    if ascii_form:
        inputs = "".join(f"{2 * k}\n" for k in range(1, first))
        gates = "".join(f"{2 * (first + k)} {a} {b}\n" for k, (a, b) in enumerate(aig.fanins.tolist()))
        return f"aag {sizes}{inputs}{outputs}{gates}".encode() + symbols
    body = bytearray()
    for gate, (left, right) in enumerate(aig.fanins.tolist()):
        own, high, low = 2 * (first + gate), max(left, right), min(left, right)
        for delta in (own - high, high - low):
            while delta >= 0x80:
                body.append(delta & 0x7F | 0x80)
                delta >>= 7
            body.append(delta)
    return f"aig {sizes}{outputs}".encode() + bytes(body) + symbols


def write_aiger(path: Path, aig: Aig) -> None:
    """Writes the graph: ascii for a name that ends in .aag, else binary. Raises UserError when the disk is full."""
    with disk_faults(path):
        write_atomically(path, aiger_bytes(aig, ascii_form=path.suffix == ".aag"))


def structure_end(data: bytes) -> int:
    """Where symbols and comments begin in a binary file that a tool has just written: what lies before is the graph.

    Each gate is two numbers, and a number ends at the first byte below 128.
    """
    start = data.index(b"\n") + 1
    words = data[:start].split()
    latches, outputs, gates = int(words[3]), int(words[4]), int(words[5])
    for _ in range(latches + outputs):
        start = data.index(b"\n", start) + 1
    if gates == 0:
        return start
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8, offset=start) < 0x80)
    return start + int(ends[2 * gates - 1]) + 1
