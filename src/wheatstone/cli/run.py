"""`wheatstone run`: measure a study's claims, arm against arm.

The options of a study are the fields of its config, so they are known only once the study is: its name comes first, and
`wheatstone run STUDY --help` shows them with the preset's values as defaults. Without `--out` the directory is named
after the content of the run, so the same command goes on with what was interrupted, and prints the findings of what has
finished.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.bench.place import run_path

if TYPE_CHECKING:
    from wheatstone.bench.engine import Engine
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study

OptionsT = TypeVar("OptionsT")

MOST_SEEDS = 10_000
USAGE = """usage: wheatstone run STUDY [--preset cpu] [--seeds 3] [--arms a,b] [--engine local|replicas|auto|ray|inline]
                      [--jobs N] [--threads N] [--address HOST:PORT] [--gpus SHARE] [--out DIR] [--fresh]
                      [--config.FIELD VALUE ...]

Measure a study's claims, arm against arm. STUDY is a name of `wheatstone list` or a file my_study.py.
All options with the study's own settings: wheatstone run STUDY --help"""


@dataclass(frozen=True)
class Options:
    """How to run, whatever the study."""

    preset: str = "cpu"
    """Size of the study: smoke (seconds), cpu (minutes on 2 cores), paper."""
    seeds: str | None = None
    """How many seeds, as 3, or which: 0,4,7, or one alone: 7, (with its comma). None: as many as the preset says."""
    arms: str | None = None
    """The arms to run, separated by commas. None: those of the preset."""
    engine: Literal["local", "ray", "replicas", "auto", "inline"] = "local"
    """local: worker processes that share the cores; replicas: trials at once as one batched computation, for a GPU or
    tiny models; auto: whichever of the two is measured to be faster; ray: local workers on every node of a Ray cluster;
    inline: in this process, for debugging."""
    jobs: int | None = None
    """Trials at once, at most. None: one a core (ray: as many as the cluster has room for)."""
    threads: int | None = None
    """Threads of each trial. None: an equal share of the cores (ray: 1). A directory keeps what it began with."""
    address: str | None = None
    """With ray: host:port of a cluster, or auto. None: RAY_ADDRESS, else a cluster on this machine for this command."""
    gpus: float = 1.0
    """With ray: share of a GPU that a trial takes whose settings ask for an accelerator."""
    out: Path | None = None
    """The run directory. None: runs/<study>-<preset>-<digest of the settings>."""
    fresh: bool = False
    """Throw away what the directory holds of this run, and start anew."""


def run_study(arguments: Sequence[str]) -> int:
    """Run (or go on with) a study and print its verdicts."""
    from wheatstone.bench.parallel import ParallelEngine, dismiss_followers, follow_leader, place
    from wheatstone.bench.registry import load

    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        raise UserError(f"wheatstone run: the study comes first, before {arguments[0]}.\n{USAGE}")
    study = load(arguments[0])
    options, config = parse(study, arguments[1:], Options)
    engine = engine_of(options)
    if not isinstance(engine, ParallelEngine):
        return execute(open_run(study, options, config), study, engine)
    if not place().leads:
        follow_leader(study)
        return 0
    code = execute(open_run(study, options, config), study, engine)
    dismiss_followers()
    return code


def parse(
    study: Study[Any], arguments: Sequence[str], options_type: type[OptionsT], command: str = "run"
) -> tuple[OptionsT, Any]:
    """The general options and the study's checked config. Exits with 2 for a word that is no option."""
    import tyro

    from wheatstone.bench.config import to_json, validate

    preset = _preset_in(arguments)
    if preset not in study.presets:
        raise UserError(_no_such(study, "preset", preset, study.presets))
    both = dataclasses.make_dataclass(
        "Both",
        [
            (
                "options",
                Annotated[options_type, tyro.conf.arg(name="")],
                dataclasses.field(default_factory=options_type),
            ),
            ("config", study.config, dataclasses.field(default=study.presets[preset].config)),
        ],
        frozen=True,
    )
    about = f"{study.card.title}. {study.card.source}"
    given: Any = tyro.cli(both, prog=f"wheatstone {command} {study.name}", description=about, args=list(arguments))
    return given.options, validate(study.config, to_json(given.config), study.name)


def open_run(study: Study[Any], options: Options, config: Any) -> Run:
    """The run directory of these options, new or as it was left."""
    from wheatstone.bench.run import Run

    preset = study.presets[options.preset]
    seeds = parse_seeds(options.seeds, preset.seeds)
    arms = chosen_arms(study, options)
    threads = threads_of(options, len(arms) * len(seeds))
    path = options.out or run_path(study, options.preset, config, seeds, arms)
    if options.fresh and path.exists():
        discard(path, study)
    return Run.create(path, study, options.preset, config, seeds, arms, threads)


def threads_of(options: Options, trials: int) -> int:
    """Threads of each trial. Raises UserError for numbers that cannot be."""
    from wheatstone.bench.work import share_cores

    for name, value in (("jobs", options.jobs), ("threads", options.threads)):
        if value is not None and value < 1:
            meaning = "worker processes" if name == "jobs" else "threads of each trial"
            raise UserError(f"--{name}: got {value}, must be at least 1 ({meaning}).")
    if options.threads is not None:
        return options.threads
    if options.engine == "ray":  # this machine's cores say nothing about those of the nodes
        return 1
    return share_cores(trials, 1 if options.engine == "inline" else options.jobs).threads


def discard(path: Path, study: Study[Any]) -> None:
    """Removes a run directory of this study, and nothing else. Raises UserError while another process is at it."""
    from wheatstone.bench.run import Run

    run = Run.open(path)
    if run.study_name != study.name:
        raise UserError(f"{path}: holds a run of '{run.study_name}' and stays as it is. Choose another --out.")
    with run.lock():
        shutil.rmtree(path)


def execute(run: Run, study: Study[Any], engine: Engine) -> int:
    """Performs what is left of the run under a progress view, then prints the verdicts and where the report is."""
    from wheatstone.bench.engine import execute_run
    from wheatstone.bench.progress import follow
    from wheatstone.cli.show import print_findings

    with follow(run) as watch:
        findings = execute_run(run, study, engine, watch)
    sys.stderr.flush()
    print_findings(findings)
    print(f"\nReport: {run.path / 'report.html'}")
    return 0


def engine_of(options: Options) -> Engine:
    """The engine that was asked for. Raises UserError where its extra is missing, or its options mean nothing."""
    from wheatstone.bench.engine import InlineEngine, LocalEngine
    from wheatstone.bench.parallel import ParallelEngine, is_parallel
    from wheatstone.bench.replicas import AutoEngine, ReplicaEngine

    if is_parallel():
        if options.engine not in ("local", "inline"):
            raise UserError(f"--engine {options.engine}: torchrun decides where trials run. Leave out --engine.")
        return ParallelEngine()
    if options.address is not None and options.engine != "ray":
        raise UserError(f"--address: {options.address} is for --engine ray, not for --engine {options.engine}.")
    match options.engine:
        case "ray":
            from wheatstone.bench.ray_engine import RayEngine

            return RayEngine(options.address, options.jobs, options.gpus)
        case "inline":
            return InlineEngine()
        case "replicas":
            return ReplicaEngine()
        case "auto":
            return AutoEngine(options.jobs)
        case "local":
            return LocalEngine(options.jobs)


def parse_seeds(text: str | None, usual: int) -> tuple[int, ...]:
    """'3' -> (0, 1, 2); '0,4,7' -> (0, 4, 7); None -> as many as usual. Raises UserError for anything else."""
    if text is None:
        return tuple(range(usual))
    try:
        numbers = tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        numbers = ()
    if "," not in text and numbers and 0 < numbers[0] <= MOST_SEEDS:
        return tuple(range(numbers[0]))
    if "," not in text or not 0 < len(numbers) <= MOST_SEEDS or len(set(numbers)) < len(numbers) or min(numbers) < 0:
        raise UserError(
            f"--seeds: got {text}, must be a number of seeds, as 3, or different seeds, as 0,4,7; "
            f"at most {MOST_SEEDS:,} of them."
        )
    return numbers


def chosen_arms(study: Study[Any], options: Options) -> tuple[str, ...]:
    """The arms that were asked for, else the preset's. Raises UserError for one that the study does not have."""
    known = [arm.name for arm in study.arms]
    if options.arms is None:
        return study.presets[options.preset].arms or tuple(known)
    wanted = tuple(name.strip() for name in options.arms.split(",") if name.strip())
    if not wanted:
        raise UserError(f"--arms: got '{options.arms}', must name at least one arm of {study.name}.")
    for name in wanted:
        if name not in known:
            raise UserError(_no_such(study, "arm", name, known))
    # In the order of the study, once each: the same arms in another order are the same run.
    return tuple(name for name in known if name in wanted)


def _preset_in(arguments: Sequence[str]) -> str:
    """The value of --preset, which decides the defaults of all settings and so is read before them."""
    for at, word in enumerate(arguments):
        if word == "--preset" and at + 1 < len(arguments):
            return arguments[at + 1]
        if word.startswith("--preset="):
            return word.partition("=")[2]
    return Options.preset


def _no_such(study: Study[Any], kind: str, name: str, known: Any) -> str:
    return f"{study.name}: no {kind} '{name}'.{did_you_mean(name, known)} It has {', '.join(known)}."
