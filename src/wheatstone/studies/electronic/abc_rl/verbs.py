"""`wheatstone apply abc-rl optimize` and `train`: recipes for a user's design, and a policy of their own circuits."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from wheatstone.bench.errors import Fault, InputError, UserError

if TYPE_CHECKING:
    from wheatstone.domains.electronic.logic.abc import Abc
    from wheatstone.domains.electronic.logic.aig import Aig
    from wheatstone.domains.electronic.logic.equivalence import Proof
    from wheatstone.domains.electronic.logic.liberty import Library
    from wheatstone.domains.electronic.logic.synthesis import Qor, Synthesis
    from wheatstone.studies.electronic.abc_rl.search import Bench, Guide

Mode = Literal["abc-rl", "mcts+l", "mcts", "annealing", "greedy", "random"]


def optimize(
    design: Path,
    *,
    lib: tuple[Path, ...] = (),
    budget: Annotated[int, Ge(2)] = 100,
    mode: Mode = "abc-rl",
    out: Path | None = None,
    policy: Path | None = None,
    seed: Annotated[int, Ge(0)] = 0,
    top: str = "",
    cut_latches: bool = False,
    abc: Path | None = None,
) -> int:
    """Find the synthesis recipe with the least area times delay for a design; write recipe, netlist and proof.

    Args:
        design: .aig, .aag, .blif, .v or .sv, combinational.
        lib: Liberty files, plain or .gz; IHP SG13G2 from the data folder, or a generic library, when not given.
        budget: recipes that are evaluated.
        mode: abc-rl trusts the policy by similarity, mcts+l always, mcts has none; the others search without a tree.
        out: folder for recipe.abc, netlist.v, optimized.aig, proof.txt, report.json; <design>-optimized when not given.
        policy: a file written by train; the shipped one when not given.
        seed: of the search's random numbers.
        top: the Verilog module; found by Yosys when not given.
        cut_latches: take each latch as an output and an input instead of refusing the design.
        abc: ABC's binary; WHEATSTONE_ABC, pyosys's or the one on PATH when not given.
    """
    from wheatstone.domains.electronic.logic.abc import Abc
    from wheatstone.domains.electronic.logic.formats import read_design
    from wheatstone.domains.electronic.logic.synthesis import ACTIONS, SCRIPTS, Synthesis, replay
    from wheatstone.studies.electronic.abc_rl.search import Bench

    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out is a folder.")
    aig = read_design(design, top=top, cut_latches=cut_latches)
    with Abc(abc) as process:
        synthesis = Synthesis(process, _library(lib))
        root = synthesis.add(aig)
        print(
            f"{design.name}: {aig.n_inputs} inputs, {aig.n_outputs} outputs, {aig.n_gates} gates, depth {aig.depth}; "
            f"library {synthesis.library.name} ({synthesis.cells} cells)"
        )
        guide = _guide(aig, policy, mode, synthesis.library.name) if mode in ("abc-rl", "mcts+l") else None
        bench = Bench(synthesis, root, budget)
        _search(bench, mode, guide, seed, design.name)
        best = bench.best
        recipe = [ACTIONS[action] for action in best.recipe]
        scripts = {name: synthesis.script(root, commands) for name, commands in SCRIPTS.items()}
        fresh = replay(aig, recipe, synthesis.library, process.binary)
        if fresh != best.qor:
            raise UserError(
                f"{design.name}: the recipe gave {best.qor} and in a fresh process {fresh}. Nothing was written; the "
                "binary of ABC does not repeat itself."
            )
        folder = out or design.with_name(f"{design.name.split('.')[0]}-optimized")
        proof = _write(folder, aig, recipe, synthesis, root, design, best.qor, scripts, bench)
    _report(recipe, best.qor, scripts, proof, folder, len(bench.trace))
    return 0 if proof.verdict == "equivalent" else 1


def train(
    circuits: Path,
    *,
    lib: tuple[Path, ...] = (),
    out: Path = Path("policy.safetensors"),
    iterations: Annotated[int, Ge(1)] = 3,
    simulations: Annotated[int, Ge(10)] = 88,
    seed: Annotated[int, Ge(0)] = 0,
    abc: Path | None = None,
) -> int:
    """Train a policy on your own circuits by self-play; `optimize --policy` searches with it.

    Args:
        circuits: a text file with the path of one design a line, relative to the file; a line that begins with
            `validate` names a circuit that is held out to choose how far the policy is to be trusted.
        lib: Liberty files, as for optimize.
        out: where to write the policy.
        iterations: rounds of self-play.
        simulations: rollouts on each circuit in a round.
        seed: of all random numbers.
        abc: ABC's binary.
    """
    from wheatstone.domains.electronic.logic.abc import Abc
    from wheatstone.domains.electronic.logic.synthesis import Synthesis

    if iterations < 1 or simulations < 10:
        raise UserError(f"train: got --iterations {iterations}, --simulations {simulations}; at least 1 and 10.")
    train_on, held_out = _listed(circuits)
    with Abc(abc) as process:
        from wheatstone.studies.electronic.abc_rl.policy_file import write_policy
        from wheatstone.studies.electronic.abc_rl.training import train_policy

        synthesis = Synthesis(process, _library(lib))
        trained = train_policy(synthesis, train_on, held_out, iterations, simulations, seed)
    write_policy(out, trained)
    where = ", ".join(trained.names[:5]) + (", ..." if len(trained.names) > 5 else "")
    print(
        f"{out}: trained on {len(trained.names)} circuits ({where}); half trusted at distance "
        f"{trained.trust.threshold:.4g}, T = {trained.trust.sharpness:.4g}"
        + ("" if held_out else " (the published values; mark circuits with 'validate' to choose them)")
    )
    return 0


def _listed(circuits: Path) -> tuple[dict[str, Aig], dict[str, Aig]]:
    """The training and the held-out circuits that a list names. Raises UserError with the line of each fault."""
    from wheatstone.domains.electronic.logic.formats import read_design

    try:
        lines = circuits.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{circuits}: cannot be read as text ({error})") from None
    found: tuple[dict[str, Aig], dict[str, Aig]] = ({}, {})
    faults, seen = list[Fault](), dict[str, str]()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        is_held_out = words[0] == "validate"
        name = line.strip().removeprefix("validate").strip() if is_held_out else line.strip()
        try:
            aig = read_design(circuits.parent / name)
        except UserError as error:
            faults.append(Fault(circuits.name, number, None, str(error)))
            continue
        if (digest := aig.digest()) in seen:
            faults.append(Fault(circuits.name, number, None, f"{name} is the same graph as {seen[digest]}"))
            continue
        seen[digest] = name
        found[is_held_out][Path(name).stem if Path(name).stem not in found[is_held_out] else name] = aig
    if faults:
        raise InputError(faults)
    if not found[0]:
        raise UserError(f"{circuits.name}: names no circuit to train on. A line is the path of one design.")
    return found


def _library(lib: Sequence[Path]) -> Library:
    from wheatstone.domains.electronic.logic.liberty import default_library, read_library

    return read_library(lib) if lib else default_library()


def _guide(aig: Aig, policy: Path | None, mode: str, library: str) -> Guide:
    """The policy for this circuit; says what it was trained on, how near that is and how far it is trusted."""
    from wheatstone.studies.electronic.abc_rl.network import CircuitPolicy, embed, graph_batch
    from wheatstone.studies.electronic.abc_rl.policy_file import SHIPPED, read_policy
    from wheatstone.studies.electronic.abc_rl.retrieval import nearest
    from wheatstone.studies.electronic.abc_rl.search import Guide

    trained = read_policy(policy or SHIPPED)
    vector = embed(trained.net, [graph_batch(aig)])[0]
    near = nearest(vector, trained.vectors, trained.names)
    alpha = trained.trust.alpha(near.distance) if mode == "abc-rl" else 1.0
    print(f"nearest training circuit: {near.name}, distance {near.distance:.4f}, alpha {alpha:.3f}")
    if trained.library.replace(".gz", "") != library.replace(".gz", ""):
        print(f"note: the policy was trained with {trained.library}, this is {library}.", file=sys.stderr)
    return Guide(CircuitPolicy(trained.net, vector), alpha)


def _search(bench: Bench, mode: str, guide: Guide | None, seed: int, name: str) -> None:
    import numpy as np

    from wheatstone.bench.progress import follow_trials
    from wheatstone.bench.work import Task
    from wheatstone.studies.electronic.abc_rl.search import METHODS, BudgetSpent, tree_method

    task = Task(mode, seed)
    with follow_trials(f"optimizing {name}", 1, 0) as watch:
        watch.started(task)
        bench.on_evaluation = lambda done, best: watch.progress(task, done, bench.budget, f"best gain {best:.3f}")
        rng = np.random.default_rng(seed)
        try:
            if mode in METHODS:
                METHODS[mode](bench, rng)
            else:
                tree_method(bench, guide, rng)
        except BudgetSpent:
            pass
        watch.finished(task, {"gain": bench.curve()[-1]})


def _write(
    folder: Path,
    aig: Aig,
    recipe: Sequence[str],
    synthesis: Synthesis,
    root: str,
    design: Path,
    qor: Qor,
    scripts: Mapping[str, Qor],
    bench: Bench,
) -> Proof:
    """Writes everything; the proof is about the netlist file that was written, read back by a fresh process."""
    from wheatstone.bench.files import disk_faults, write_atomically, write_json
    from wheatstone.domains.electronic.logic.aiger import aiger_bytes, write_aiger
    from wheatstone.domains.electronic.logic.equivalence import check_netlist
    from wheatstone.domains.electronic.logic.formats import module_name
    from wheatstone.domains.electronic.logic.synthesis import MAPPING, script_text

    library = synthesis.library
    libraries = [f"library{number}.lib" for number in range(len(library.texts))]
    source = f"{module_name(design)}.aig"
    _netlist(synthesis.abc, aig, recipe, source, MAPPING)
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(libraries, library.texts, strict=True):
            write_atomically(folder / name, text)
        write_atomically(folder / source, aiger_bytes(aig))
        write_aiger(folder / "optimized.aig", synthesis.graph(synthesis.walk(root, recipe).keys[-1]))
        write_atomically(folder / "netlist.v", (synthesis.abc.folder / "netlist.v").read_bytes())
        write_atomically(folder / "recipe.abc", script_text(recipe, source, libraries, "netlist.v").encode())
        proof = check_netlist(folder / "netlist.v", aig, library, synthesis.abc.binary)
        commands = [
            *(f"read_lib {'-m ' if number else ''}{name}" for number, name in enumerate(libraries)),
            "read_verilog -m netlist.v",
            f"cec -n {source}",
        ]
        text = "\n".join([*commands, "", f"# {proof.said}", f"# verdict: {proof.verdict}", ""])
        write_atomically(folder / "proof.txt", text.encode())
        write_json(
            folder / "report.json",
            {
                "design": design.name,
                "library": library.name,
                "recipe": list(recipe),
                "area": qor.area,
                "delay_ps": qor.delay,
                "scripts": {name: {"area": one.area, "delay_ps": one.delay} for name, one in scripts.items()},
                "verdict": proof.verdict,
                "best_so_far": bench.curve(),
            },
        )
    return proof


def _netlist(abc: Abc, aig: Aig, recipe: Sequence[str], source: str, mapping: Sequence[str]) -> None:
    """The mapped netlist as netlist.v in ABC's folder, with the design's own names."""
    from wheatstone.domains.electronic.logic.aiger import aiger_bytes

    (abc.folder / source).write_bytes(aiger_bytes(aig))
    steps = [step for action in recipe for step in (action, "strash")]
    abc.run(f"read_aiger {source}", "strash", *steps, *mapping, "write_verilog netlist.v")


def _report(
    recipe: Sequence[str], qor: Qor, scripts: Mapping[str, Qor], proof: Proof, folder: Path, evaluated: int
) -> None:
    print(f"best of {evaluated} recipes: {'; '.join(recipe)}")
    print(f"{'':16}{'area':>12}{'delay [ps]':>12}{'area x delay':>16}")
    for name, one in {**scripts, "found": qor}.items():
        gain = "" if name == "found" else f"   found is {100 * (1 - qor.adp / one.adp):+.1f} % smaller"
        print(f"{name:16}{one.area:12.2f}{one.delay:12.2f}{one.adp:16.0f}{gain}")
    if qor.adp >= min(one.adp for one in scripts.values()):
        print("note: a fixed script is as good; raise --budget, or keep the script.", file=sys.stderr)
    print(f"netlist and source: {proof.verdict} ({proof.said})")
    print(f"{folder}: recipe.abc, netlist.v, optimized.aig, proof.txt, report.json")
    if proof.verdict != "equivalent":
        print(json.dumps({"verdict": proof.verdict}), file=sys.stderr)
