"""One trial: circuits are made in one way, then everything about them is measured, and kept for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.quantum import corpus as known
from wheatstone.domains.quantum.circuit_text import HEADER, Room, Words, snapped
from wheatstone.domains.quantum.corpus import Corpus, Limits, Split
from wheatstone.domains.quantum.judging import (
    FIRST_LINES,
    Read,
    Verdicts,
    copied_share,
    fixed_judge,
    header_of,
    nearest,
    steps_of,
    two_sample,
    words_of,
)
from wheatstone.domains.quantum.program import Op, Program, faults, program_of, text_of
from wheatstone.domains.quantum.qasm import parse_circuit
from wheatstone.domains.quantum.routing import MAPS, optimises_away, overheads
from wheatstone.domains.quantum.structure import distances, identity, table
from wheatstone.learn.generation import Draw
from wheatstone.studies.quantum.ketgpt.config import Config
from wheatstone.studies.quantum.ketgpt.generator import MODEL, Generator, loss, text_for, trained
from wheatstone.studies.quantum.ketgpt.measures import empty
from wheatstone.studies.quantum.ketgpt.rivals import (
    Ngram,
    Shape,
    Statements,
    copied,
    drawn_shapes,
    library_random,
    shuffled,
    spliced,
)

if TYPE_CHECKING:
    from wheatstone.bench.run import Trial

OWN = "circuits.jsonl"
"""The run's copy of a user's circuits."""
FIXED_FAMILIES = ("ghz", "wstate")
"""Families that have one circuit of each size, so that the right answer is a copy."""
LONG = FIRST_LINES + 8
"""Gates of a circuit that is spliced: what follows the first 46 must be worth judging."""
SHOWN_GATES, SHOWN_QUBITS = 22, 6
OPTIMISED = 16
"""Made circuits that the optimiser is given, to see whether anything is left of them."""
NO_REPEAT = 15
"""Tokens in a row that the published sampling does not repeat."""
VARIANTS: dict[str, dict[str, Any]] = {
    "all tokens": {},
    "nucleus 0.9": {"top_p": 0.9},
    "temperature 0.7": {"temperature": 0.7},
}
"""Other ways of drawing from the same network."""


class Made(NamedTuple):
    """Circuits, and what is known of what made them."""

    programs: list[Program]
    real: list[Program]
    """What they are compared with."""
    measures: dict[str, float]
    generator: Generator | None = None


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Makes and measures the circuits of one arm with one seed."""
    config = trial.config
    split = known.split(
        circuits(trial), trial.rng("split"), files=config.held_out_files, families=config.held_out_families
    )
    made = make(trial, split)
    found = empty() | made.measures | assess(trial, split, made)
    if made.generator is not None:
        made.generator.save(trial.file(MODEL))
        trial.write("variants", variants(trial, split, made))
    return found


def circuits(trial: Trial[Config]) -> Corpus:
    """The known circuits: MQT Bench, or the user's."""
    config = trial.config
    chosen = tuple(filter(None, config.families.split("+")))
    limits = Limits(config.max_qubits, config.max_words, chosen)
    if config.source == "own":
        return known.collected(known.loaded(trial.input(OWN)), limits)
    trial.progress(0, 1, "building MQT Bench")
    return known.mqt_bench(limits, lambda done, total: trial.progress(done, total, "building MQT Bench"))


def make(trial: Trial[Config], split: Split) -> Made:
    """The circuits of this arm."""
    config, train = trial.config, split.train
    real = [*split.train, *split.files]
    shapes = drawn_shapes(train, config.samples, trial.rng("shapes"))
    statements = Statements(train)
    rng = trial.rng(f"draw {config.maker}")
    if config.maker == "transformer":
        return _by_transformer(trial, split, shapes, real)
    if config.maker == "ngram":
        return _by_ngram(trial, split, [one.n for one in shapes], real)
    if config.maker in ("uniform", "matched"):
        return Made(statements.drawn(shapes, rng, matched=config.maker == "matched"), real, {})
    if config.maker == "shuffled":
        return Made(shuffled(train, config.samples, rng), real, {})
    if config.maker == "copied":
        return Made(copied(train, config.samples, rng), real, {})
    if config.maker == "library_random":
        return Made(library_random(shapes, rng), real, {})
    real = [one for one in real if len(one.ops) >= LONG]
    if not real:
        raise UserError(f"no circuit has {LONG} gates, so none can be spliced; raise --config.max-words.")
    return Made(spliced(real, statements, rng), real, {})


def _by_transformer(trial: Trial[Config], split: Split, shapes: Sequence[Shape], real: list[Program]) -> Made:
    config = trial.config
    text = text_for(config, split.train)
    generator = trained(trial, text, split)
    seen, other = (loss(generator.model, text, part) for part in (split.files, split.other_families))
    base = Ngram(Words(config.max_qubits), split.train, 1)
    draw = Draw(torch.Generator().manual_seed(trial.seed_for("draw")), config.temperature, config.top_k or None)
    sizes, families = [one.n for one in shapes], [one.family for one in shapes]
    free = generator.drawn(sizes, draw, families, constrained=False)
    drawn = generator.drawn(sizes, draw, families, note=lambda done, total: trial.progress(done, total, "drawing"))
    if wrong := next((fault for one in drawn for fault in faults(*one)), None):
        raise AssertionError(f"the grammar let through: {wrong}")
    measures = {
        "loads_free": float(np.mean([_loads(*one) for one in free])),
        "nats_files": seen.nats_per_word,
        "nats_families": other.nats_per_word,
        "nats_ratio": seen.nats_per_word / base.nats(split.files) if split.files else float("nan"),
        "nats_ratio_families": other.nats_per_word / base.nats(split.other_families)
        if split.other_families
        else float("nan"),
        "unknown": seen.unknown,
    }
    return Made([Program(*one) for one in drawn], real, measures, generator)


def _by_ngram(trial: Trial[Config], split: Split, sizes: Sequence[int], real: list[Program]) -> Made:
    config = trial.config
    text = Words(config.max_qubits)
    model, base = Ngram(text, split.train, config.order), Ngram(text, split.train, 1)
    room = Room(config.max_words + 4)
    drawn = model.drawn(sizes, trial.rng("draw ngram"), room, lambda done, total: trial.progress(done, total))
    files, families = model.nats(split.files), model.nats(split.other_families)
    measures = {
        "nats_files": files,
        "nats_families": families,
        "nats_ratio": files / base.nats(split.files),
        "nats_ratio_families": families / base.nats(split.other_families),
        "unknown": 0.0,
    }
    return Made(drawn, real, measures)


def assess(trial: Trial[Config], split: Split, made: Made) -> dict[str, float]:
    """Everything that is measured of circuits, whoever made them; details become artifacts."""
    config, programs, real = trial.config, made.programs, made.real
    trial.progress(0, 4, "judging")
    statements = Statements(split.train)
    near = nearest(programs, split.train)
    verdicts = {name: value for name, value in _verdicts(trial, split, made, near).items() if value is not None}
    random = statements.drawn([Shape(one.n, len(one.ops), "") for one in real], trial.rng("random"), matched=False)
    judge = fixed_judge(real, random, trial.rng("fixed judge"))
    trial.progress(1, 4, "structure")
    of_real, of_made = table(real), table(programs)
    apart = distances(of_real, of_made)
    matched = statements.drawn(
        drawn_shapes(split.train, config.samples, trial.rng("shapes")), trial.rng("draw matched"), matched=True
    )
    baseline = float(np.mean(list(distances(of_real, table(matched)).values())))
    trial.progress(2, 4, "compiling")
    routing = _routing(real, programs, trial.rng("compiled"), config.compiled)
    trial.progress(3, 4, "copies")
    originals = {identity(snapped(one)): one.family for one in split.train}
    copies = [originals.get(identity(snapped(one))) for one in programs]
    structure = float(np.mean(list(apart.values())))
    _keep(trial, made, verdicts["auc"], near, [family is not None for family in copies])
    trial.write("structure", {"apart": apart, "real": of_real, "made": of_made})
    trial.write("routing", routing)
    return {
        "loads": float(np.mean([_loads(one.n, one.ops) for one in programs])),
        **{name: verdict.auc() for name, verdict in verdicts.items()},
        "judged_real": float(judge.says_real(programs).mean()),
        "judge_accuracy": judge.accuracy,
        "structure": structure,
        "structure_ratio": structure / baseline,
        "swap_distance": float(np.mean([routing["apart"][kind] for kind in MAPS])),
        "identities": float(np.mean(routing["identities"])),
        "copied_words": copied_share(programs, split.train),
        "copied": float(np.mean([family is not None and family not in FIXED_FAMILIES for family in copies])),
        "copied_fixed": float(np.mean([family in FIXED_FAMILIES for family in copies])),
        "nearest": float(np.mean([one.distance for one in near])),
        "gates": float(np.mean([len(one.ops) for one in programs])),
    }


def _verdicts(trial: Trial[Config], split: Split, made: Made, near: Sequence[Any]) -> dict[str, Verdicts | None]:
    """Name of the measure -> verdicts of a judge that was trained for it."""
    programs, real, train = made.programs, made.real, split.train
    spliced_ones = trial.config.maker == "spliced"
    families = [one.family for one in programs] if spliced_ones else [train[one.place].family for one in near]
    files = [one.name for one in real] if spliced_ones else [train[one.place].name for one in near]
    kinds = ([one.family for one in real], families), ([one.name for one in real], files)
    alone = [one.name for one in real], files if spliced_ones else [f"made {place}" for place in range(len(programs))]
    by_family, by_file = kinds if len(set(kinds[0][0])) > 1 else (kinds[1], kinds[1])

    def judged(groups: tuple[list[str], list[str]], *reads: Read) -> Verdicts:
        return two_sample(real, groups[0], programs, groups[1], trial.rng("judge"), *reads)

    return {
        "auc": judged(by_family),
        "auc_files": judged(by_file),
        "auc_header": judged(alone, header_of),
        "auc_start": judged(by_family, _first_words, _first_steps) if spliced_ones else None,
    }


def _first_words(one: Program) -> list[str]:
    return words_of(Program(one.n, one.ops[:FIRST_LINES]))


def _first_steps(one: Program) -> list[str]:
    return steps_of(Program(one.n, one.ops[:FIRST_LINES]))


def _loads(n: int, ops: Sequence[Op]) -> bool:
    """qiskit reads the OpenQASM text, and finds the same gates on the same qubits."""
    if not ops or faults(n, ops):
        return False
    one = Program(n, tuple(ops))
    try:
        back = program_of(parse_circuit(text_of(one)))
    except InputError:
        return False
    return back.n == n and back.ops == one.ops


def _routing(
    real: Sequence[Program], programs: Sequence[Program], rng: np.random.Generator, count: int
) -> dict[str, Any]:
    """Routing overheads of as many real and made circuits, and their distance on each map."""
    from scipy.stats import wasserstein_distance

    found: dict[str, list[dict[str, float]]] = {}
    shown: dict[str, list[Program]] = {}
    for name, pool in (("real", real), ("made", programs)):
        order = rng.permutation(len(pool))[:count]
        shown[name] = [pool[place] for place in order]
        found[name] = [overheads(one) for one in shown[name]]
    apart: dict[str, float] = {}
    for kind in MAPS:
        a, b = ([row[kind] for row in found[name]] for name in ("real", "made"))
        apart[kind] = float(wasserstein_distance(a, b)) / (float(np.std(a)) or 1.0)
    return {
        "apart": apart,
        "identities": [optimises_away(one) for one in shown["made"][:OPTIMISED]],
        **{
            name: [{"qubits": one.n, **row} for one, row in zip(shown[name], found[name], strict=True)]
            for name in found
        },
    }


def _keep(trial: Trial[Config], made: Made, verdicts: Verdicts, near: Sequence[Any], is_copy: Sequence[bool]) -> None:
    """The circuits themselves, what the judge said of each, and how near each is to a training circuit."""
    trial.file("circuits.jsonl").write_bytes(known.dumped(made.programs))
    tested = verdicts.folds >= 0
    trial.write("scores", {"score": verdicts.scores[tested], "candidate": verdicts.is_candidate[tested]})
    trial.write(
        "circuits",
        [
            {"qubits": one.n, "gates": len(one.ops), "nearest": closest.distance, "copied": copy}
            for one, closest, copy in zip(made.programs, near, is_copy, strict=True)
        ],
    )
    trial.write("shown", {"made": _typical(made.programs), "real": _typical(made.real)})


def _typical(programs: Sequence[Program]) -> dict[str, Any]:
    """The circuit with the most usual size, to be drawn."""
    one = min(programs, key=lambda one: (abs(len(one.ops) - SHOWN_GATES), abs(one.n - SHOWN_QUBITS)))
    return {"n": one.n, "ops": [[*op] for op in one.ops]}


def variants(trial: Trial[Config], split: Split, made: Made) -> dict[str, Any]:
    """The same network with other ways of drawing: what each does to realism and to copying."""
    assert made.generator is not None
    shapes = drawn_shapes(split.train, max(2, trial.config.samples // 4), trial.rng("shapes of variants"))
    sizes, families = [one.n for one in shapes], [one.family for one in shapes]
    of_real = table(made.real)
    rows: list[dict[str, Any]] = []
    for name, options in VARIANTS.items():
        draw = Draw(torch.Generator().manual_seed(trial.seed_for(name)), **options)
        rows.append(
            _row(
                name,
                [Program(*one) for one in made.generator.drawn(sizes, draw, families)],
                trial,
                split,
                made,
                of_real,
            )
        )
    return {"rows": rows, "repeating": repeated(made.real, NO_REPEAT)}


def _row(
    name: str, programs: list[Program], trial: Trial[Config], split: Split, made: Made, of_real: Mapping[str, Any]
) -> dict[str, Any]:
    near = nearest(programs, split.train)
    groups = [split.train[one.place].family for one in near]
    verdicts = two_sample(made.real, [one.family for one in made.real], programs, groups, trial.rng("judge"))
    apart = distances(of_real, table(programs))
    return {
        "name": name,
        "auc": verdicts.auc(),
        "structure": float(np.mean(list(apart.values()))),
        "copied_words": copied_share(programs, split.train),
    }


def repeated(programs: Sequence[Program], length: int) -> float:
    """Share of circuits that repeat a run of `length` words: what a rule against repetition would forbid."""
    words = Words(max(one.n for one in programs))
    found: list[bool] = []
    for one in programs:
        tokens = words.encode(one)[HEADER:-1]
        runs = [tuple(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]
        found.append(len(set(runs)) < len(runs))
    return float(np.mean(found))
