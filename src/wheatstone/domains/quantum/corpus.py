"""Sets of known circuits in normal form: MQT Bench, or a folder of someone's own files; and how they are split.

MQT Bench makes its circuits with qiskit on the spot, nothing is downloaded; the set is built once and kept in the
cache, named after the versions that made it. A family is asked for growing sizes until two of its circuits in a row are
too long. XX with one qubit more is hardly an unseen circuit.

Source  Quetschlich, Burgholzer and Wille, "MQT Bench", Quantum 7, 2023, arXiv:2204.13719 (PyPI mqt-bench, MIT)
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.bench.files import write_atomically
from wheatstone.domains.kg.catalogue import cache_folder
from wheatstone.domains.quantum.program import NotUnitaryError, Op, Program, faults, program, program_of
from wheatstone.domains.quantum.structure import identity

FORMAT = 1
SUFFIXES = (".qasm", ".qasm2", ".qasm3")
NEEDS_CONTROL_FLOW = ("dynamic_qft", "ghz_dynamic", "iqpe")
"""Families that OpenQASM 2 cannot hold."""
AFTER_TOO_LONG = 2


class Limits(NamedTuple):
    """Which circuits are taken."""

    qubits: int = 24
    tokens: int = 320
    """Words of one circuit: a gate, each of its qubits and each of its angles is one."""
    families: tuple[str, ...] = ()
    """Empty for all."""


ALL = Limits()


class Dropped(NamedTuple):
    """What was not taken, and why."""

    too_long: int
    duplicates: int


@dataclass(frozen=True)
class Corpus:
    """Circuits in normal form, no two alike."""

    programs: tuple[Program, ...]
    dropped: Dropped

    def families(self) -> tuple[str, ...]:
        return tuple(sorted({one.family for one in self.programs}))


class Split(NamedTuple):
    """Three sets without a common file; `other_families` has no family in common with the others."""

    train: tuple[Program, ...]
    files: tuple[Program, ...]
    """Unseen files of the families that are trained on."""
    other_families: tuple[Program, ...]


def words(one: Program) -> int:
    """Length of a circuit: gates, operands and angles."""
    return sum(1 + len(op.qubits) + len(op.angles) for op in one.ops)


def collected(programs: Sequence[Program], limits: Limits) -> Corpus:
    """The circuits within the limits, the first of each set of equals."""
    kept: dict[str, Program] = {}
    too_long = duplicates = 0
    for one in programs:
        if not one.ops or one.n > limits.qubits or words(one) > limits.tokens:
            too_long += 1
            continue
        mark = identity(one)
        duplicates += mark in kept
        kept.setdefault(mark, one)
    return Corpus(tuple(kept.values()), Dropped(too_long, duplicates))


def mqt_bench(limits: Limits = ALL, note: Callable[[int, int], None] | None = None) -> Corpus:
    """The circuits of MQT Bench within the limits, from the cache when they were built before.

    `note` is told (families done, families). Needs the packages mqt-bench and qiskit.
    """
    made_by = f"{version('mqt-bench')}-{version('qiskit')}-{limits.qubits}-{limits.tokens}"
    chosen = "-".join(limits.families) or "all"
    path = cache_folder() / "circuits" / f"mqt-bench-{made_by}-{chosen}-{FORMAT}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, dumped(list(_made(limits, note))))
    return collected(loaded(path), limits)


def _made(limits: Limits, note: Callable[[int, int], None] | None) -> Iterator[Program]:
    from mqt.bench import BenchmarkLevel, get_benchmark
    from mqt.bench.benchmarks import get_available_benchmark_names

    names = [name for name in sorted(get_available_benchmark_names()) if name not in NEEDS_CONTROL_FLOW]
    if limits.families:
        names = [name for name in names if name in limits.families]
    for done, name in enumerate(names):
        if note is not None:
            note(done, len(names))
        too_long = 0
        for size in range(2, limits.qubits + 1):
            with warnings.catch_warnings(), _drawing_from(size):
                warnings.simplefilter("ignore")
                try:
                    circuit: Any = get_benchmark(benchmark=name, level=BenchmarkLevel.INDEP, circuit_size=size)
                    one = program(circuit, name, f"{name}_{size}", most=limits.tokens)
                except NotUnitaryError:
                    too_long += 1
                except Exception:  # a size that the family refuses; `ae` fails with numpy 2 at every size
                    continue
                else:
                    too_long = too_long + 1 if words(one) > limits.tokens else 0
                    if not too_long and one.n <= limits.qubits:
                        yield one
            if too_long == AFTER_TOO_LONG:
                break


@contextmanager
def _drawing_from(seed: int) -> Generator[None]:
    """Graph states are drawn from the global generators, which are left as they were."""
    plain, arrays = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)


def read_folder(folder: Path, limits: Limits, *, skip_bad: bool = False) -> tuple[Corpus, tuple[Fault, ...]]:
    """The circuits of all OpenQASM files below a folder (or of one file), and the faults of the files left out.

    The family of a file is the folder that it lies in; of files in the folder itself, the name up to its first digit.

    Raises UserError for a folder without such files; InputError, with file and line of each fault, where one cannot be
    read, unless `skip_bad` leaves those files out.
    """
    from wheatstone.domains.quantum.qasm import read_circuit

    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"{folder}: no such folder. Give a folder of OpenQASM files (.qasm).")
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    if folder.is_file():
        paths, folder = [folder], folder.parent
    if not paths:
        raise UserError(f"{folder}: no OpenQASM file in it. Files must end in {', '.join(SUFFIXES)}.")
    programs, wrong = list[Program](), list[Fault]()
    for path in paths:
        inside = path.relative_to(folder)
        family = inside.parts[0] if len(inside.parts) > 1 else _stem(path.stem)
        try:
            programs.append(program_of(read_circuit(path), family))
        except InputError as fault:
            wrong += [Fault(str(inside), one.line, one.field, one.text) for one in fault.faults]
    if wrong and not skip_bad:
        raise InputError(wrong)
    corpus = collected(programs, limits)
    if not corpus.programs:
        raise UserError(
            f"{folder}: none of {len(paths)} files can be learnt from: {len(wrong)} unreadable, "
            f"{corpus.dropped.too_long} empty, beyond {limits.qubits} qubits or beyond {limits.tokens} words."
        )
    return corpus, tuple(wrong)


def _stem(name: str) -> str:
    kept = name
    for position, character in enumerate(name):
        if character.isdigit():
            kept = name[:position]
            break
    return kept.strip("_-. n") or name


def split(corpus: Corpus, rng: np.random.Generator, *, files: float, families: int) -> Split:
    """`families` families and the share `files` of the other families' files are kept from training.

    Raises UserError when nothing would be left to train on.
    """
    names = corpus.families()
    if families >= len(names):
        raise UserError(f"{families} families cannot be held out of {len(names)}; give fewer, or more families.")
    order = rng.permutation(len(names))
    out = {names[place] for place in order[:families]}
    rest = [one for one in corpus.programs if one.family not in out]
    shuffled = [rest[place] for place in rng.permutation(len(rest))]
    n_file = round(files * len(rest))
    if n_file >= len(rest):
        raise UserError(f"{len(rest)} circuits are too few to hold out {files:g} of them.")
    return Split(
        tuple(shuffled[n_file:]),
        tuple(shuffled[:n_file]),
        tuple(one for one in corpus.programs if one.family in out),
    )


def dumped(programs: Sequence[Program]) -> bytes:
    """One JSON object a line, floats exactly."""
    lines = (
        json.dumps({"family": one.family, "name": one.name, "n": one.n, "ops": [[*op] for op in one.ops]})
        for one in programs
    )
    return "".join(line + "\n" for line in lines).encode()


def loaded(path: Path) -> list[Program]:
    """What `dumped` wrote.

    Raises InputError for a line that is no circuit.
    """
    found: list[Program] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            ops = tuple(Op(str(g), tuple(map(int, q)), tuple(map(float, a))) for g, q, a in row["ops"])
            one = Program(int(row["n"]), ops, str(row["family"]), str(row["name"]))
            wrong = faults(one.n, ops)
        except (ValueError, TypeError, KeyError) as fault:
            raise InputError([Fault(path.name, number, None, f"no circuit ({fault}); delete the file.")]) from None
        if wrong:
            raise InputError([Fault(path.name, number, None, f"{wrong[0]}; delete the file.")])
        found.append(one)
    return found
