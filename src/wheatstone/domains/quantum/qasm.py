"""OpenQASM 2 and 3 in and out, every fault with its line.

qiskit's parsers do the reading. Where they give a position it is kept; where they give none (a register index out of
range in OpenQASM 3, say) the shortest prefix of the program that fails names the statement. The parsed instructions
keep their line too, so that a fault of meaning (a gate that a method cannot take) is as precise as one of grammar.

Source  Cross et al., "Open Quantum Assembly Language", 2017, arXiv:1707.03429; OpenQASM 3, 2021, arXiv:2104.14722
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qiskit import QuantumCircuit, qasm2, qasm3

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.bench.files import write_atomically

Version = Literal[2, 3]
MAX_REGISTER = 100_000
"""Places of one register: the parsers fill memory with a larger one, and end the process when it is full."""
QASM3_SUFFIX = ".qasm3"
MAX_DIGITS = 9
"""Digits of an index: qiskit's OpenQASM 2 lexer panics at those that 64 bits cannot hold."""
_INDEX = re.compile(rf"\[\s*(\d{{{MAX_DIGITS + 1},}})\s*\]")
_VERSION = re.compile(r"\bOPENQASM\s+(\d+(?:\.\d+)?)\s*;")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_REGISTER = re.compile(r"(?:q|c)reg\s+(\w+)\s*\[\s*(\d+)\s*\]|(?:qubit|bit)(?:\s*\[\s*(\d+)\s*\])?\s+(\w+)")
_SILENT = re.compile(r"(?:OPENQASM|include|[qc]reg|qubit|bit|const|int|float|angle|uint|input|pragma)\b|$")
_DEFINITION = re.compile(r"(?:gate|opaque|def|defcal)\b")
_FLOW = re.compile(r"(?:if|for|while|switch|box|cal)\b")
_CONDITION = re.compile(r"if\s*\([^)]*\)\s*(?!\s*\{)")
_QASM2_PLACE = re.compile(r"^[^\n]*?:(\d+),(\d+): (.*)$", re.DOTALL)
_QASM3_PLACE = re.compile(r"^(\d+),(\d+): (.*)$", re.DOTALL)
_ANTLR_PLACE = re.compile(r"^L(\d+):C(\d+): (.*)$", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """A circuit that was read from text, and where each of its instructions stands there."""

    circuit: QuantumCircuit
    lines: tuple[int | None, ...]
    """1-based line of each instruction of `circuit.data`; None where a loop or a condition hides it."""
    name: str
    """The file's name, for messages."""

    def fault(self, instruction: int, text: str) -> Fault:
        """A fault of the instruction with that index in `circuit.data`."""
        return Fault(self.name, self.lines[instruction], None, text)


def read_circuit(path: Path) -> Source:
    """The circuit in an OpenQASM 2 or 3 file (the version line says which; without one it is 2).

    Raises InputError for text that is not UTF-8 or does not parse, OSError for a file that cannot be opened.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise InputError([Fault(path.name, line, None, "not UTF-8. OpenQASM is plain text.")]) from None
    return parse_circuit(text, path.name, (path.parent,))


def parse_circuit(text: str, name: str = "circuit.qasm", include_path: tuple[Path, ...] = ()) -> Source:
    """The circuit in a text; `name` opens every message, `include_path` is where OpenQASM 2 looks for includes.

    Raises InputError with the line of the fault.
    """
    plain = _without_comments(text)
    for register in _REGISTER.finditer(plain):
        size = register[2] or register[3] or "1"
        if len(size) > 9 or int(size) > MAX_REGISTER:
            line = plain.count("\n", 0, register.start()) + 1
            what = f"a register of {size[:12]} places, at most {MAX_REGISTER:,} are read."
            raise InputError([Fault(name, line, None, what)])
    if found := _INDEX.search(plain):
        line = plain.count("\n", 0, found.start()) + 1
        raise InputError([Fault(name, line, None, f"no register has a place {found[1][:12]}....")])
    found = _VERSION.search(plain)
    stated = found[1] if found else "2"
    version = int(stated.partition(".")[0]) if len(stated) <= MAX_DIGITS else None
    if version == 2:
        circuit = _parse2(text, name, include_path)
    elif version == 3:
        circuit = _parse3(text, name)
    else:
        line = text.count("\n", 0, found.start()) + 1 if found else None
        raise InputError([Fault(name, line, None, f"OPENQASM {stated[:12]} is unknown. Versions 2 and 3 are read.")])
    if circuit.num_qubits == 0:
        raise InputError([Fault(name, None, None, "no qubits. Declare a register: qreg q[2];")])
    return Source(circuit, _lines(text, circuit), name)


def qasm_text(circuit: QuantumCircuit, version: Version = 2) -> str:
    """The circuit as OpenQASM text; angles keep all their digits.

    Raises UserError for what OpenQASM 2 cannot say (control flow, say).
    """
    if version == 3:
        return qasm3.dumps(circuit)
    try:
        return qasm2.dumps(circuit)
    except qasm2.QASM2ExportError as fault:
        raise UserError(
            f"{circuit.name}: OpenQASM 2 cannot hold this circuit ({fault.message}). Write version 3."
        ) from None


def write_circuit(path: Path, circuit: QuantumCircuit, version: Version | None = None) -> None:
    """Writes the circuit atomically; version 3 for a path that ends in '.qasm3', 2 for others, when none is given."""
    chosen: Version = version or (3 if Path(path).suffix == QASM3_SUFFIX else 2)
    text = qasm_text(circuit, chosen)
    write_atomically(Path(path), (text if text.endswith("\n") else text + "\n").encode())


def _parse2(text: str, name: str, include_path: tuple[Path, ...]) -> QuantumCircuit:
    try:
        return qasm2.loads(
            text, include_path=include_path or (".",), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS
        )
    except qasm2.QASM2ParseError as fault:
        raise InputError([_placed(name, fault.message, _QASM2_PLACE)]) from None
    except (ArithmeticError, ValueError, LookupError) as fault:
        raise InputError([Fault(name, None, None, _sentence(fault))]) from None
    except BaseException as fault:
        if type(fault).__name__ != "PanicException":  # a Rust panic is no Exception
            raise
        raise InputError([Fault(name, None, None, "qiskit's reader of OpenQASM 2 broke off over it.")]) from None


def _parse3(text: str, name: str) -> QuantumCircuit:
    import openqasm3
    from openqasm3.parser import QASM3ParsingError
    from qiskit_qasm3_import import ConversionError, convert

    try:
        program = openqasm3.parse(text)
    except QASM3ParsingError as fault:
        raise InputError([_grammar_fault(name, fault)]) from None
    except (RecursionError, ValueError) as fault:
        raise InputError(
            [Fault(name, None, None, f"nested too deep or too long a number: {_sentence(fault)}")]
        ) from None
    try:
        return convert(program)
    except ConversionError as fault:
        raise InputError([_placed(name, fault.message, _QASM3_PLACE)]) from None
    except Exception as fault:  # the converter lets Python's own errors through, of whatever type, and without a place
        raise InputError([Fault(name, _failing_line(program), None, _sentence(fault))]) from None


def _failing_line(program: Any) -> int | None:
    """Line of the first statement that no conversion survives, found by halving: a prefix fails if it contains it."""
    from openqasm3 import ast
    from qiskit_qasm3_import import convert

    statements = program.statements
    works, fails = 0, len(statements)
    while fails - works > 1:
        middle = (works + fails) // 2
        try:
            convert(ast.Program(statements=statements[:middle], version=program.version))
            works = middle
        except Exception:
            fails = middle
    span = statements[fails - 1].span if statements else None
    return None if span is None else span.start_line


def _grammar_fault(name: str, fault: Exception) -> Fault:
    """ANTLR hides the offending token two causes deep and says nothing else."""
    if _ANTLR_PLACE.match(str(fault)):
        return _placed(name, str(fault), _ANTLR_PLACE)
    cause: Any = fault.__cause__
    recognition = cause.args[0] if cause is not None and cause.args else cause
    token = getattr(recognition, "offendingToken", None)
    if token is None:
        return Fault(name, None, None, "not OpenQASM 3.")
    seen = "the end of the file" if token.text == "<EOF>" else f"'{token.text}'"
    return Fault(name, token.line, None, f"unexpected {seen}; is a ';' missing before it?")


def _placed(name: str, message: str, place: re.Pattern[str]) -> Fault:
    found = place.match(message)
    if not found:
        return Fault(name, None, None, message.rstrip(".") + ".")
    text = found[3].rstrip(".")
    return Fault(name, int(found[1]), None, f"{text} (column {int(found[2]) + 1}).")


def _sentence(fault: Exception) -> str:
    text = str(fault).rstrip(".") or type(fault).__name__
    return text[:1].lower() + text[1:] + "."


def _without_comments(text: str) -> str:
    """The text with comments blanked out, line breaks kept."""
    return _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _lines(text: str, circuit: QuantumCircuit) -> tuple[int | None, ...]:
    """Line of each instruction, from a plain scan of the statements; all None when the scan and the parser disagree.

    A statement on whole registers stands for one instruction for each element.
    """
    unknown = (None,) * len(circuit.data)
    sizes: dict[str, int] = {}
    lines: list[int] = []
    for line, statement in _statements(_without_comments(text)):
        for found in _REGISTER.finditer(statement):
            sizes[found[1] or found[4]] = int(found[2] or found[3] or 1)
        if _SILENT.match(statement) or _DEFINITION.match(statement):
            continue
        operation = statement if "{" in statement else _CONDITION.sub("", statement, count=1)
        if _FLOW.match(operation):
            return unknown
        whole = [sizes.get(word, 1) for word in re.findall(r"\b([A-Za-z_]\w*)\b(?!\s*[\[(\w])", operation)]
        lines += [line] * (1 if statement.startswith("barrier") else max(whole, default=1))
    return tuple(lines) if len(lines) == len(circuit.data) else unknown


def _statements(text: str) -> list[tuple[int, str]]:
    """(line, text) of each top-level statement; a body in braces belongs to the statement before it."""
    found: list[tuple[int, str]] = []
    start = depth = 0
    line = 1
    for position, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth or character not in ";}":
            continue
        statement = text[start:position]
        body = statement.lstrip()
        if body:
            found.append((line + statement.count("\n", 0, len(statement) - len(body)), body))
        line += statement.count("\n")
        start = position + 1
    return found
