"""Every reader of something that a user, a download or a killed process may have written, as a function of bytes.

A target gets bytes and a folder of its own, writes the bytes where the reader expects them, and reads. It may return
or raise a UserError; any other exception, a hang, or memory out of proportion to the input is a fault of the reader.
`test_parsers.py` feeds the targets from hypothesis, `campaign.py` from libFuzzer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.bench.exhibit_cases import EVERY_KIND
from tests.fuzz.family_parsers import family_readers

from wheatstone.bench import config, exhibit, registry
from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.errors import UserError
from wheatstone.bench.findings import collect
from wheatstone.bench.record import TrialRecord
from wheatstone.bench.report import report_page
from wheatstone.bench.run import Run, Trial
from wheatstone.bench.serve import live_curves, summaries
from wheatstone.bench.sweep.directory import Sweep
from wheatstone.cli import run as cli_run
from wheatstone.cli.results import last_findings
from wheatstone.domains.kg import catalogue
from wheatstone.domains.kg.encode import Vocabulary
from wheatstone.domains.kg.graph import Graph
from wheatstone.domains.kg.load import load
from wheatstone.domains.kg.questions import follow, load_questions, parse_question
from wheatstone.interp.circuit import Circuit
from wheatstone.learn.models.transformer import Transformer
from wheatstone.studies.neural.grokking_in_the_wild.knowledge import load_knowledge

TESTS = Path(__file__).parents[1]
TOY = registry.load_file(TESTS / "contract" / "toy.py")
KNOWN = Graph.from_facts([("Paris", "country", "France"), ("France", "currency", "Euro"), ("Paris", "river", "Seine")])
TRIAL = "arms/drifting/seed-0"
Read = Callable[[bytes, Path], object]


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    read: Read
    seeds: Sequence[bytes]
    """Inputs to start from: good ones, and broken ones of every known kind. Those of JSON readers are JSON texts."""


def written(folder: Path, name: str, data: bytes) -> Path:
    """The file `name` with these bytes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def parsed(data: bytes) -> Any:
    """The JSON value in `data`, for readers of values; a text that is no JSON never reaches them."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise UserError("not JSON") from None


FACTS = {
    "tsv": b"Paris\tcountry\tFrance\tcity\nFrance\tcurrency\tEuro\tcountry\n",
    "csv": b'head,relation,tail\n"Paris, the city",country,France\nFrance,currency,"Eu""ro"\n',
    "jsonl": b'{"head": "Paris", "relation": "country", "tail": "France"}\n["France", "currency", "Euro"]\n',
    "nt": b'<http://a/Paris> <http://a/country> _:f .\n_:f <http://a/currency> "E\\u0075ro"@en .\n',
}


def _broken(pattern: str) -> list[bytes]:
    found = [path.read_bytes() for path in sorted((TESTS / "data" / "kg" / "broken").glob(pattern))]
    return [data for data in found if len(data) < 4000]


def _graph(suffix: str) -> Target:
    def read(data: bytes, folder: Path) -> None:
        path = written(folder, f"facts.{suffix}", data)
        for multi in ("first", "strict", "error"):
            with contextlib.suppress(UserError):
                load(path, multi=multi, inverse=multi == "strict")

    kind, _, packed = suffix.partition(".")
    seeds = [FACTS[kind], *_broken(f"*.{kind}")]
    return Target(f"graph-{suffix}", read, [gzip.compress(seed, mtime=0) for seed in seeds] if packed else seeds)


def _questions(data: bytes, folder: Path) -> None:
    for name in ("questions.tsv", "questions.csv"):
        with contextlib.suppress(UserError):
            load_questions(written(folder, name, data), KNOWN)


def _question(data: bytes, _folder: Path) -> None:
    follow(KNOWN, parse_question(data.decode("utf-8", errors="surrogateescape"), KNOWN))


def _archive(name: str) -> Read:
    source = catalogue.Source(name, "https://example.org/", "")
    return lambda data, _folder: catalogue.parts_of(data, source, "kg")


MEMBERS = {"kg/train.txt": FACTS["tsv"], "./kg/valid.txt": b"", "../../etc/passwd": b"x", "/kg/test.txt": b"y"}


def tar_of(members: dict[str, bytes]) -> bytes:
    """A tar.gz of these members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    return packed.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    """A zip of these members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return packed.getvalue()


def _command_line(data: bytes, _folder: Path) -> None:
    words = [word.decode("utf-8", errors="surrogateescape") for word in data.split(b"\n")]
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            options, chosen = cli_run.parse(TOY, words, cli_run.Options)
        except SystemExit as end:
            if end.code not in (0, 2):
                raise ValueError(f"ends with {end.code}: {words}") from end
            return
    cli_run.parse_seeds(options.seeds, 3)
    assert config.to_json(config.from_json(TOY.config, config.to_json(chosen))) == config.to_json(chosen)


def _settings(data: bytes, _folder: Path) -> None:
    values = parsed(data)
    if isinstance(values, dict):
        config.from_json(TOY.config, values)


@functools.cache
def sample_run() -> Path:
    """A finished run of the toy study, made once a process."""
    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "run"
    run = Run.create(path, TOY, "smoke", TOY.presets["smoke"].config, (0,), ("drifting", "still"), 1)
    execute_run(run, TOY, InlineEngine(), report=False)
    return path


def _run_file(name: str, look: Callable[[Path], object]) -> Target:
    """The file `name` of a finished run, damaged; `look` reads it as the commands do."""
    good = (sample_run() / name).read_bytes()

    def read(data: bytes, folder: Path) -> None:
        run = folder / "runs" / "run"
        if not run.exists():
            shutil.copytree(sample_run(), run)
        written(run, name, data)
        try:
            look(run)
        finally:
            written(run, name, good)

    return Target(name.rpartition("/")[2], read, [good])


def _every_reader(path: Path) -> None:
    """What `ask`, `report`, `list` and a resumed run read."""
    summaries(path.parent)
    last_findings(path.parent, records=path.parent / "none")
    run = Run.open(path)
    for look in (
        run.findings,
        run.environment,
        lambda: [record.measures() for record in run.records()],
        lambda: [record.config(TOY) for record in run.records()],
        lambda: [run.curves("position", arm) for arm in run.arms],
        lambda: live_curves(run),
        lambda: run.input("facts"),
        lambda: report_page(collect(run, TOY), TOY, ()).encode(),
    ):
        with contextlib.suppress(UserError):
            look()


def _checkpoint(data: bytes, folder: Path) -> None:
    read_tensors(written(folder, "checkpoint.safetensors", data))


def _checkpoints() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.safetensors"
        write_tensors(place, {"w": np.arange(3.0)}, {"step": 1})
        seeds = [place.read_bytes()]
        write_tensors(place, {"w": torch.ones(2, 2), "b": torch.zeros(0)}, {"step": 1})
        seeds.append(place.read_bytes())
    record = json.dumps({"kind": "numpy", "record": {}})
    shape = {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}
    huge = json.dumps({"__metadata__": {"wheatstone": record}, "w": shape}).encode()
    return [*seeds, (2**62).to_bytes(8, "little") + b"{}", len(huge).to_bytes(8, "little") + huge, b"\xff" * 64]


def _resumed(data: bytes, folder: Path) -> None:
    """The checkpoint of a trial that goes on."""
    run = Run.create(folder / "resumed", TOY, "smoke", TOY.presets["smoke"].config, (0,), ("drifting",), 1)
    record = run.trial("drifting", 0)
    trial = Trial(run, record, record.config(TOY), lambda _done, _total, _note: None)
    written(record.path, "metrics.jsonl", b'{"step": 1}\n')
    written(record.path, "checkpoint.safetensors", data)
    try:
        trial.load_checkpoint()
    finally:
        trial.close()


def _resumable() -> list[bytes]:
    state = {"trial": "toy, drifting, seed 0", "metrics_bytes": 12, "spent": [1.0, 2.0], "state": {"step": 1}}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.safetensors"
        seeds: list[bytes] = []
        for record in (state, state | {"state": 3}, state | {"spent": []}, state | {"metrics_bytes": -1}):
            write_tensors(place, {"position": np.zeros(1)}, record)
            seeds.append(place.read_bytes())
    return seeds


GROKKING = registry.load("grokking-in-the-wild")
SMALL = dataclasses.replace(GROKKING.presets["smoke"].config, d_model=8, n_head=2, n_layer=2)


def _asked(data: bytes, folder: Path) -> None:
    """What `ask` reads beside the weights."""
    record = TrialRecord("augmented", 0, folder, config.to_json(SMALL), GROKKING.name)
    if not record.is_finished:
        words = Vocabulary.of(KNOWN)
        model = Transformer(SMALL.transformer(len(words), 3), torch.Generator().manual_seed(0))
        write_tensors(record.file("model"), model.state_dict(), {})
        written(folder, "measures.json", b"{}")
    written(folder, "artifacts/knowledge.json", data)
    known = load_knowledge(record, SMALL)
    known.ask(parse_question("Paris | country | currency", known.graph))


KNOWLEDGE = {
    "vocabulary": Vocabulary.of(KNOWN).to_json(),
    "triples": KNOWN.triples.tolist(),
    "n_real_entity": len(KNOWN.entities),
    "n_real_relation": len(KNOWN.relations),
    "real_train": [[0, 0, 1]],
    "bridge_layer": 1,
}


def _swept(data: bytes, folder: Path) -> None:
    written(folder, "sweep.json", data)
    Sweep.open(folder).grid.points()


SWEEP = {
    "format": 1,
    "study_name": "toy",
    "preset": "smoke",
    "seeds": [0],
    "base_config": {"steps": 3},
    "overrides": {},
    "arm_changes": {"drifting": {}},
    "fields": {"steps": [3, 4]},
    "threads": 1,
}


def _exhibit(data: bytes, _folder: Path) -> None:
    found = exhibit.from_json(parsed(data))
    assert exhibit.from_json(exhibit.to_json(found)) == found


def _value(reader: Callable[[Any], object]) -> Read:
    return lambda data, _folder: reader(parsed(data))


CIRCUIT = {
    "labels": ["h", "r1", "r2"],
    "depth": 2,
    "n": 4,
    "effects": {"h": [[1.0, 0.0, 0.0]] * 3},
    "interchange": {"bridge": [[0.0, 1.0, 0.0]] * 3},
    "lens": {"bridge": [[0.0, 1.0, 0.0]] * 3},
    "edges": [{"layer": 1, "source": 1, "reader": 2, "effect": 0.5}],
    "sites": {"bridge": 1},
    "structure": "staged",
}
WORDS = [b"--preset\nsmoke\n--config.steps\n3", b"--seeds\n0,4,7", b"--config.drift\nnan", b"--seeds\n99999999999"]
CARDS = [(TESTS / "contract" / "toy.py").read_bytes(), b"CARD = Card(name='a')\n", b"CARD: Card = Card(**{'a': 1})\n"]


@functools.cache
def targets() -> dict[str, Target]:
    """Every reader by name."""
    found = (
        *(_graph(suffix) for suffix in ("tsv", "csv", "jsonl", "nt", "tsv.gz", "jsonl.gz")),
        Target("questions", _questions, [b"Paris\tcountry\tcurrency\tEuro\n", *_broken("questions*")]),
        Target("question", _question, [b"Paris | country | currency", b"Pariss | cuntry", b"|", "é | ü".encode()]),
        Target("archive-tar", _archive("a.tar.gz"), [tar_of(MEMBERS)]),
        Target("archive-wheel", _archive("a.whl"), [zip_of(MEMBERS)]),
        Target("command-line", _command_line, WORDS),
        Target("settings", _settings, [b'{"steps": 3, "drift": "inf", "spread": 0.5}']),
        *(_run_file(name, _every_reader) for name in ("run.json", "findings.json", "environment.json")),
        *(_run_file(f"{TRIAL}/{name}", _every_reader) for name in ("measures.json", "cost.json", "metrics.jsonl")),
        Target("checkpoint", _checkpoint, _checkpoints()),
        Target("resumed", _resumed, _resumable()),
        Target("knowledge", _asked, [json.dumps(KNOWLEDGE).encode()]),
        Target("sweep.json", _swept, [json.dumps(SWEEP).encode()]),
        Target("exhibit", _exhibit, [json.dumps(exhibit.to_json(one)).encode() for one in EVERY_KIND]),
        Target("vocabulary", _value(Vocabulary.from_json), [json.dumps(Vocabulary.of(KNOWN).to_json()).encode()]),
        Target("circuit", _value(Circuit.from_json), [json.dumps(CIRCUIT).encode()]),
        *(Target(name, read, seeds) for name, (read, seeds) in family_readers().items()),
        Target("card", lambda data, folder: registry.read_card(written(folder, "study.py", data)), CARDS),
    )
    return {target.name: target for target in found}
