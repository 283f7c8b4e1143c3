"""BLIF files: reader and writer of flat, combinational models.

Source  Berkeley Logic Interchange Format, University of California, Berkeley, 1992: `.model .inputs .outputs .names
        .latch .end`, comments from `#`, lines that go on after a backslash. Hierarchy (`.subckt`) and mapped gates
        (`.gate`) are refused by name, because their meaning is in another file.

ABC's own reader takes an undriven net for the constant 0 and a cube with a wrong letter for another cube; a circuit
that is silently another one is what this reader is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.domains.electronic.logic.aig import Aig, AigBuilder


class _Line(NamedTuple):
    number: int
    words: list[str]


@dataclass
class _Table:
    """One `.names`: a sum of products."""

    line: int
    inputs: list[str]
    cubes: list[str]
    value: str = "1"
    """What the output is where a cube matches."""


@dataclass
class _Model:
    inputs: list[str]
    outputs: list[str]
    tables: dict[str, _Table]
    latches: list[tuple[int, str, str]]
    """Line, next state, present state."""


def read_blif(path: Path, *, cut_latches: bool = False) -> Aig:
    """The graph of the first model of a file. Raises UserError that names file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name}: byte {error.start}: not text, so not BLIF.") from None
    model = _parse(text, path.name)
    if model.latches and not cut_latches:
        line = model.latches[0][0]
        raise _fault(
            path.name,
            line,
            f"{len(model.latches)} latches; only combinational circuits are taken. Cut them (--cut-latches): each "
            "becomes an input and an output.",
        )
    return _build(model, path.name)


def _parse(text: str, name: str) -> _Model:
    model = _Model([], [], {}, [])
    table: _Table | None = None
    started = False
    for line, words in _lines(text):
        word, rest = words[0], words[1:]
        if word.startswith("."):
            table = None
        if word == ".model":
            if started:
                break
            started = True
        elif word == ".end":
            break
        elif word == ".inputs":
            model.inputs += rest
        elif word == ".outputs":
            model.outputs += rest
        elif word == ".names":
            if not rest:
                raise _fault(name, line, ".names without a net; its last one is the output")
            if rest[-1] in model.tables:
                raise _fault(name, line, f"net '{rest[-1]}' is driven a second time")
            table = model.tables[rest[-1]] = _Table(line, rest[:-1], [])
        elif word == ".latch":
            if len(rest) < 2:
                raise _fault(name, line, ".latch needs the net of its next state and that of its present one")
            model.latches.append((line, rest[0], rest[1]))
        elif word in (".subckt", ".gate", ".mlatch", ".exdc", ".search"):
            raise _fault(name, line, f"{word} is not read: the model must be flat and made of .names")
        elif word.startswith("."):
            continue  # delays, wire loads and the like say nothing about the function
        elif table is None:
            raise _fault(name, line, f"'{word[:40]}' stands outside of any .names")
        else:
            _add_cube(table, words, name, line)
    if not started and not model.tables:
        raise _fault(name, 1, "no .model: not a BLIF file")
    return model


def _add_cube(table: _Table, words: list[str], name: str, line: int) -> None:
    cube, value = ("", words[0]) if not table.inputs else (words[0], words[1] if len(words) > 1 else "")
    if len(cube) != len(table.inputs) or len(words) != (2 if table.inputs else 1):
        raise _fault(name, line, f"got '{' '.join(words)[:40]}', expected {len(table.inputs)} of 0, 1, - and an output")
    if set(cube) - set("01-") or value not in ("0", "1"):
        raise _fault(name, line, f"got '{' '.join(words)[:40]}'; a cube is made of 0, 1 and -, its output is 0 or 1")
    if table.cubes and value != table.value:
        raise _fault(name, line, "cubes with output 0 and 1 in one .names")
    table.value = value
    table.cubes.append(cube)


def _build(model: _Model, name: str) -> Aig:
    inputs = model.inputs + [present for _, _, present in model.latches]
    outputs = model.outputs + [following for _, following, _ in model.latches]
    if len(set(inputs)) < len(inputs):
        double = next(net for net in inputs if inputs.count(net) > 1)
        raise _fault(name, None, f"input '{double}' is declared twice")
    builder = AigBuilder(len(inputs))
    literals = {net: builder.input(number) for number, net in enumerate(inputs)}
    for net, table in model.tables.items():
        if net in literals:
            raise _fault(name, table.line, f"net '{net}' is an input (or a latch) and driven by .names")
    for wanted in outputs:
        _resolve(wanted, model, builder, literals, name)
    names = model.outputs + [f"{present}_next" for _, _, present in model.latches]
    return builder.build([literals[net] for net in outputs], inputs, names)


def _resolve(wanted: str, model: _Model, builder: AigBuilder, literals: dict[str, int], name: str) -> None:
    """Gives a literal to the net and to all that it depends on; a stack instead of recursion, chains may be long."""
    stack, opened = [wanted], set[str]()
    while stack:
        net = stack[-1]
        if net in literals:
            stack.pop()
            continue
        table = model.tables.get(net)
        if table is None:
            raise _fault(name, None, f"net '{net}' is used and never driven")
        waiting = [one for one in table.inputs if one not in literals]
        if waiting:
            if net in opened:
                raise _fault(name, table.line, f"net '{net}' depends on itself")
            opened.add(net)
            stack.extend(waiting)
            continue
        literals[net] = _table_literal(table, builder, literals)
        stack.pop()


def _table_literal(table: _Table, builder: AigBuilder, literals: dict[str, int]) -> int:
    cubes = list[int]()
    for cube in table.cubes:
        pairs = zip(table.inputs, cube, strict=True)
        cubes.append(_balanced([literals[net] ^ (bit == "0") for net, bit in pairs if bit != "-"], builder))
    matched = _balanced([cube ^ 1 for cube in cubes], builder) ^ 1
    return matched if table.value == "1" else matched ^ 1


def _balanced(literals: list[int], builder: AigBuilder) -> int:
    """The conjunction of literals as a tree of least depth; true of none."""
    while len(literals) > 1:
        pairs = [builder.conjunction(a, b) for a, b in zip(literals[::2], literals[1::2], strict=False)]
        literals = pairs + (literals[-1:] if len(literals) % 2 else [])
    return literals[0] if literals else 1


def _lines(text: str) -> Iterator[_Line]:
    """Lines with words, comments left out and continued ones joined; numbered by where they begin."""
    held, start = list[str](), 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split("#", 1)[0].rstrip()
        start = start or number
        held += line.removesuffix("\\").split()
        if line.endswith("\\"):
            continue
        if held:
            yield _Line(start, held)
        held, start = [], 0
    if held:
        yield _Line(start, held)


def _fault(file: str, line: int | None, text: str) -> InputError:
    return InputError([Fault(file, line, None, text)])


def blif_text(aig: Aig, model: str = "top") -> str:
    """The graph as a BLIF model: one `.names` a gate, and one an output."""
    inputs = aig.input_names or tuple(f"i{number}" for number in range(aig.n_inputs))
    outputs = aig.output_names or tuple(f"o{number}" for number in range(aig.n_outputs))
    taken = {*inputs, *outputs}
    if unfit := next((name for name in (*inputs, *outputs) if not re.fullmatch(r"[^\s#\\]+", name)), None):
        raise UserError(f"'{unfit}' cannot be a name in BLIF: blanks, # and backslashes have a meaning there.")
    inner = next(prefix for prefix in ("n", "n_", "w_", "__") if not any(name.startswith(prefix) for name in taken))
    nets = ["", *inputs, *(f"{inner}{number}" for number in range(aig.n_gates))]
    lines = [f".model {model}", ".inputs " + " ".join(inputs), ".outputs " + " ".join(outputs)]
    for gate, (left, right) in enumerate(aig.fanins.tolist()):
        own = nets[1 + aig.n_inputs + gate]
        lines += _and_lines(left, right, nets, own)
    for name, literal in zip(outputs, aig.outputs.tolist(), strict=True):
        if literal < 2:
            lines += [f".names {name}", *(["1"] if literal else [])]
        elif nets[literal >> 1] != name:
            lines += [f".names {nets[literal >> 1]} {name}", "0 1" if literal & 1 else "1 1"]
        elif literal & 1:
            raise UserError(f"output '{name}' is the inverse of the input of the same name; rename one of them.")
    return "\n".join([*lines, ".end", ""])


def _and_lines(left: int, right: int, nets: list[str], own: str) -> list[str]:
    """One gate; a constant fan-in, which a graph from elsewhere may have, is folded."""
    if 0 in (left, right):
        return [f".names {own}"]
    real = [literal for literal in dict.fromkeys((left, right)) if literal != 1]
    if not real:
        return [f".names {own}", "1"]
    if len(real) == 2 and real[0] ^ 1 == real[1]:
        return [f".names {own}"]
    cube = "".join("0" if literal & 1 else "1" for literal in real)
    return [f".names {' '.join(nets[literal >> 1] for literal in real)} {own}", f"{cube} 1"]
