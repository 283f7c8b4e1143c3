"""The study's own parts: what is counted, kept apart, proved and learnt; its verbs on a user's files."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.registry import load
from wheatstone.bench.run import Run
from wheatstone.bench.work import Task, perform
from wheatstone.cli.main import main
from wheatstone.domains.data import data_folder
from wheatstone.domains.electronic.logic.abc import Abc
from wheatstone.domains.electronic.logic.circuits import circuit
from wheatstone.domains.electronic.logic.equivalence import check_netlist
from wheatstone.domains.electronic.logic.formats import read_design
from wheatstone.domains.electronic.logic.liberty import generic_liberty, generic_library
from wheatstone.domains.electronic.logic.synthesis import ACTIONS, LENGTH, Synthesis, parse_stime
from wheatstone.studies.electronic.abc_rl.config import Config
from wheatstone.studies.electronic.abc_rl.network import CircuitPolicy, PolicyNet, embed, graph_batch, recipe_tokens
from wheatstone.studies.electronic.abc_rl.policy_file import SHIPPED, Trained, read_policy, write_policy
from wheatstone.studies.electronic.abc_rl.pretraining import Course, Memory, shuffled, targets_of
from wheatstone.studies.electronic.abc_rl.retrieval import EXPONENTS, Trust, calibrate, nearest
from wheatstone.studies.electronic.abc_rl.search import (
    METHODS,
    Bench,
    BudgetSpent,
    Guide,
    evaluations_to,
    tree_method,
    uniform,
)
from wheatstone.studies.electronic.abc_rl.study import SMOKE
from wheatstone.studies.electronic.abc_rl.suite import BENCHMARKS, GENERATED, check_apart, chosen_suite, load_suite

DATA = Path(__file__).parents[2] / "data" / "abc-rl"


@pytest.fixture(scope="module")
def synthesis() -> Iterator[Synthesis]:
    with Abc() as abc:
        yield Synthesis(abc, generic_library())


def searched(synthesis: Synthesis, method: str, name: str = "pla1", budget: int = 30, seed: int = 0) -> Bench:
    bench = Bench(synthesis, synthesis.add(circuit(name)), budget)
    try:
        if method == "tree":
            tree_method(bench, None, np.random.default_rng(seed))
        else:
            METHODS[method](bench, np.random.default_rng(seed))
    except BudgetSpent:
        pass
    return bench


@pytest.mark.parametrize("method", [*METHODS, "tree"])
def test_every_method_has_the_same_number_of_evaluations(synthesis: Synthesis, method: str) -> None:
    bench = searched(synthesis, method)
    assert len(bench.trace) == 30 == len(bench.curve())
    assert all(len(found.recipe) <= LENGTH for found in bench.trace)
    assert method == "greedy" or all(len(found.recipe) == LENGTH for found in bench.trace)
    with pytest.raises(BudgetSpent):
        bench.evaluate((0,) * LENGTH)
    curve = bench.curve()
    assert curve == sorted(curve)
    assert curve[-1] == bench.baseline.adp / bench.best.qor.adp
    assert searched(synthesis, method).trace == bench.trace
    assert method == "greedy" or searched(synthesis, method, seed=1).trace != bench.trace


def test_a_remembered_recipe_is_counted(synthesis: Synthesis) -> None:
    bench = Bench(synthesis, synthesis.add(circuit("pla1")), 3)
    for _ in range(3):
        bench.evaluate((0, 1, 2))
    with pytest.raises(BudgetSpent):
        bench.evaluate((0, 1, 2))


def test_evaluations_to_a_value() -> None:
    assert evaluations_to([0.9, 1.0, 1.0, 1.2], 1.0) == 2
    assert evaluations_to([0.9, 1.0], 1.1) == 3


def test_a_guide_flattens_its_policy() -> None:
    sharp = np.array([0.7, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05])
    assert Guide(lambda _: sharp, 1.0).prior(()) == pytest.approx(sharp)
    assert Guide(lambda _: sharp, 0.0).prior(()) == pytest.approx(uniform(()))
    # The published code does not normalise: at alpha 0 every prior is 1, seven times the uniform one.
    assert Guide(lambda _: sharp, 0.0, normalise=False).prior(()).tolist() == [1.0] * 7
    rng = np.random.default_rng(0)
    firsts = [Guide(lambda _: sharp, 1.0).finish((), rng)[0] for _ in range(300)]
    assert 0.6 < firsts.count(0) / 300 < 0.8
    greedy = [Guide(lambda _: sharp, 1.0, rollout="greedy").finish((3,), rng) for _ in range(20)]
    assert {recipe[1] for recipe in greedy} == {0}
    assert len({recipe[2] for recipe in greedy}) > 2
    assert {len(recipe) for recipe in greedy} == {LENGTH}


def test_a_policy_that_is_not_trusted_is_plain_search(synthesis: Synthesis) -> None:
    """Number for number, so that a difference to plain search comes from circuits where the policy is trusted."""

    def trace(guide: Guide | None) -> list[Any]:
        bench = Bench(synthesis, synthesis.add(circuit("pla1")), 30)
        tree_method(bench, guide, np.random.default_rng(5))
        return bench.trace

    def sharp(recipe: tuple[int, ...]) -> np.ndarray:
        return np.roll([0.94, *[0.01] * 6], len(recipe))

    assert trace(Guide(sharp, 1e-4)) == trace(None) != trace(Guide(sharp, 1.0))


def test_no_test_circuit_was_trained_on() -> None:
    load_suite(GENERATED)
    if chosen_suite("auto", 10) == BENCHMARKS:
        load_suite(BENCHMARKS)
    # A copy under another name is found by its graph, a name by itself.
    copies = {name: name for name in GENERATED.train + GENERATED.validation + GENERATED.test}
    copies[GENERATED.far[0]] = copies[GENERATED.train[0]]
    with pytest.raises(UserError, match=f"'{GENERATED.far[0]}' is in the training set and in the test set"):
        check_apart(GENERATED, copies)
    with pytest.raises(UserError, match="'pla1' is in the training set and in the test set"):
        check_apart(GENERATED._replace(far=("pla1",)), {name: str(k) for k, name in enumerate([*copies, "pla1"])})


def test_benchmarks_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHEATSTONE_DATA", str(tmp_path))
    assert chosen_suite("auto", 10).kind == "generated"
    with pytest.raises(UserError, match=r"26 benchmark circuits are not in it, as alu2\.aig"):
        chosen_suite("benchmarks", 10)
    with pytest.raises(UserError, match="got 11; there are 10 training circuits"):
        chosen_suite("generated", 11)


def test_the_published_trust() -> None:
    """d_th = 0.007 and T = 100 on the published distances: `router` is strange, `bar` familiar."""
    trust = Trust(0.007, 100.0)
    assert trust.alpha(0.125) < 1e-5
    assert trust.alpha(0.002) == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert trust.alpha(0.007) == 0.5
    assert Trust(0.0, 1e9).alpha(1.0) == pytest.approx(0.0)


def test_trust_is_chosen_where_it_pays() -> None:
    distances = {"a": 0.01, "b": 0.02, "c": 0.05, "d": 0.08}
    rising, falling = [0.0, 0.1, 0.2], [0.2, 0.1, 0.0]
    trust = calibrate(distances, {"a": rising, "b": rising, "c": falling, "d": falling})
    assert 0.02 < trust.threshold < 0.05
    assert trust.alpha(0.01) > 0.9 > 0.1 > trust.alpha(0.08)
    always = calibrate(distances, dict.fromkeys(distances, rising))
    assert min(always.alpha(distance) for distance in distances.values()) > 0.9
    assert EXPONENTS == (0.0, 0.5, 1.0)


def test_the_nearest_circuit_is_the_most_alike() -> None:
    trained = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    near = nearest(torch.tensor([2.0, 1.9]), trained, ("x", "y", "xy"))
    assert near.name == "xy"
    assert near.distance == pytest.approx(1 - 3.9 / math.sqrt(2 * (4 + 1.9**2)))
    assert nearest(torch.tensor([0.0, 3.0]), trained, ("x", "y", "xy")) == ("y", 0.0)


def wanted_memory(names: tuple[str, ...]) -> Memory:
    """Every circuit has one best recipe, another one each."""
    rng = np.random.default_rng(0)
    memory = Memory(names)
    for number in range(len(names)):
        for _ in range(20):
            memory.returns[number][tuple(rng.integers(7, size=LENGTH).tolist())] = -0.5
        memory.returns[number][tuple((number + step) % 7 for step in range(LENGTH))] = 0.5
    return memory


def test_the_policy_learns_which_circuit_wants_what(synthesis: Synthesis) -> None:
    """Trivial data is learnt; what has nothing to do with the circuit is not: the shuffled memory's answers differ."""
    aigs = {name: circuit(name) for name in ("pla1", "mult4", "cla12", "parity24")}
    course = Course(Config(epochs=200), synthesis, aigs, lambda stream: len(stream))
    memory = wanted_memory(course.names)
    net = course.new_net()
    course.learn(net, memory, "0", "best")
    vectors = embed(net, course.graphs)
    for number in range(len(aigs)):
        policy = CircuitPolicy(net, vectors[number])
        recipe = memory.best(number, 1)[0][0]
        assert min(policy(recipe[:step])[recipe[step]] for step in range(LENGTH)) > 0.5
    assert shuffled(memory).best(0, 1) == memory.best(1, 1)
    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory


def test_targets_are_the_passes_of_the_best_recipes() -> None:
    memory = wanted_memory(("a", "b"))
    targets = targets_of(memory, "best", np.random.default_rng(0))
    first = [
        row for row in range(len(targets.circuit)) if (targets.tokens[row, 1] == 8) and targets.returns[row].isnan()
    ]
    assert [int(targets.passes[row].argmax()) for row in first] == [0, 1]
    sums = targets.passes[targets.returns.isnan()].sum(dim=1)
    assert sums.max() == pytest.approx(1.0)
    assert (sums < 1e-6).sum() > 50  # positions of recipes that are worse by a whole return weigh nothing
    assert recipe_tokens([(), (3, 1)])[:, :4].tolist() == [[7, 8, 8, 8], [7, 3, 1, 8]]


def test_without_the_recipe_only_its_length_counts() -> None:
    net = PolicyNet(torch.Generator().manual_seed(0), recipe_encoder=False).eval()
    vectors = torch.randn(3, net.encoder.d_out)[:1].expand(3, -1)
    logits = net(vectors, recipe_tokens([(0, 1), (2, 3), (0,)])).logits
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def measured(folder: Path, arm: str, **changes: Any) -> tuple[dict[str, float], Run]:
    study = load("abc-rl")
    run = Run.create(folder / arm, study, "smoke", dataclasses.replace(SMOKE, **changes), (0,), (arm,), 1)
    return perform(run, study, Task(arm, 0), lambda *_: None), run


def test_a_trial_proves_and_replays_what_it_reports(tmp_path: Path) -> None:
    measures, run = measured(tmp_path, "abc_rl")
    assert measures["proved"] == measures["replayed"] == 1.0
    assert measures["evaluations"] == 12
    assert measures["gain"] == pytest.approx(math.sqrt(measures["near_gain"] * measures["far_gain"]))
    assert 0 <= measures["far_alpha"] <= 1
    rows = run.trial("abc_rl", 0).artifact("circuits")
    for row in rows:  # every reported cost, from the recipe alone and in a process of its own
        with Abc() as abc:
            fresh = Synthesis(abc, generic_library())
            recipe = [ACTIONS[action] for action in row["recipe"]]
            qor = fresh.evaluate(fresh.add(circuit(row["circuit"])), recipe).qor
        assert (qor.area, qor.delay) == (row["area"], row["delay"])
    assert len(list((run.path / "shared").glob("*.safetensors"))) == 3  # memory, policy, plain search


def test_a_fault_is_never_proved(tmp_path: Path) -> None:
    measures, _ = measured(tmp_path, "wiring_fault")
    assert measures["proved"] == 0.0
    assert measures["replayed"] == 1.0


def test_plain_search_is_its_own_reference(tmp_path: Path) -> None:
    measures, _ = measured(tmp_path, "mcts")
    assert measures["worst_far"] == measures["near_evaluations"] == measures["far_evaluations"] == 1.0
    assert math.isnan(measures["near_alpha"])


def test_optimize_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    design, lib, out = tmp_path / "alu.v", tmp_path / "g.lib", tmp_path / "made"
    shutil.copy(DATA / "alu.v", design)
    lib.write_text(generic_liberty())
    words = [str(design), "--lib", str(lib), "--budget", "12", "--out", str(out)]
    assert main(["apply", "abc-rl", "optimize", *words]) == 0
    said = capsys.readouterr()
    assert "nearest training circuit: " in said.out
    assert "netlist and source: equivalent" in said.out
    for script in ("no optimisation", "resyn2", "compress2rs", "dc2"):
        assert script in said.out
    report = json.loads((out / "report.json").read_text())
    aig = read_design(design)
    assert check_netlist(out / "netlist.v", aig, generic_library()).verdict == "equivalent"
    # The script alone repeats it, and the netlist has the design's own ports.
    (out / "netlist.v").unlink()
    with Abc() as abc:
        words = [str(abc.binary), "-f", "recipe.abc"]
    done = subprocess.run(words, cwd=out, capture_output=True, text=True, check=True)
    assert tuple(parse_stime(done.stdout.replace("\x1b[0m", ""))) == (report["area"], report["delay_ps"])
    netlist = (out / "netlist.v").read_text()
    assert "\\a[0] " in netlist
    assert check_netlist(out / "netlist.v", aig, generic_library()).verdict == "equivalent"
    first = next(line for line in netlist.splitlines() if "NAND2" in line or "NOR2" in line)
    swapped = first.replace("NAND2", "N??").replace("NOR2", "NAND2").replace("N??", "NOR2")
    (out / "netlist.v").write_text(netlist.replace(first, swapped))
    assert check_netlist(out / "netlist.v", aig, generic_library()).verdict == "different"


@pytest.mark.parametrize("mode", ["random", "mcts", "annealing", "greedy", "mcts+l"])
def test_every_mode_optimizes(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(DATA / "alu.v", tmp_path)
    words = [str(tmp_path / "alu.v"), "--mode", mode, "--budget", "8"]
    assert main(["apply", "abc-rl", "optimize", *words]) == 0
    assert "best of 8 recipes" in capsys.readouterr().out
    assert (tmp_path / "alu-optimized" / "proof.txt").is_file()


def test_a_policy_is_trained_on_ones_own_circuits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from wheatstone.domains.electronic.logic.aiger import write_aiger

    for name in ("pla1", "mult4", "cla12"):
        write_aiger(tmp_path / f"{name}.aig", circuit(name))
    (tmp_path / "circuits.txt").write_text("# mine\npla1.aig\nmult4.aig\nvalidate cla12.aig\n")
    (tmp_path / "g.lib").write_text(generic_liberty())
    policy, lib = tmp_path / "mine.safetensors", str(tmp_path / "g.lib")
    words = [str(tmp_path / "circuits.txt"), "--lib", lib, "--out", str(policy), "--iterations", "1"]
    assert main(["apply", "abc-rl", "train", *words, "--simulations", "10"]) == 0
    assert "trained on 2 circuits (pla1, mult4)" in capsys.readouterr().out
    assert read_policy(policy).names == ("pla1", "mult4")
    words = [str(tmp_path / "pla1.aig"), "--lib", lib, "--policy", str(policy), "--budget", "4"]
    assert main(["apply", "abc-rl", "optimize", *words]) == 0
    assert "nearest training circuit: pla1, distance 0.0000" in capsys.readouterr().out


def test_the_shipped_policy_is_of_the_benchmarks() -> None:
    trained = read_policy(SHIPPED)
    assert set(trained.names) == set(BENCHMARKS.train)
    if not (data_folder() / "aig" / "abc-rl").is_dir():
        pytest.skip("the benchmark circuits are not in the data folder")
    for number, name in enumerate(trained.names):
        vector = embed(trained.net, [graph_batch(circuit(name))])[0]
        assert torch.allclose(vector, trained.vectors[number], atol=1e-4)


def test_policy_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    with pytest.raises(UserError, match="not a policy file"):
        read_policy(tmp_path / "a")
    with pytest.raises(UserError, match="cannot be read"):
        read_policy(tmp_path / "b")
    net = PolicyNet(torch.Generator().manual_seed(0))
    write_policy(tmp_path / "c", Trained(net, torch.zeros(2, 64), ("x",), Trust(0.1, 1.0)))
    with pytest.raises(UserError, match="damaged"):
        read_policy(tmp_path / "c")


def test_broken_inputs_name_their_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: str) -> str:
        assert main(["apply", "abc-rl", *words]) == 2
        return capsys.readouterr().err

    assert "broken.aag:1: 1 latches; only combinational circuits are taken" in refused(
        "optimize", str(DATA / "broken.aag")
    )
    said = refused("train", str(DATA / "broken.txt"))
    assert "broken.txt:2: broken.aag:1: 1 latches" in said
    assert "broken.txt:3: " in said
    (tmp_path / "empty.txt").write_text("\n")
    assert "names no circuit to train on" in refused("train", str(tmp_path / "empty.txt"))
    shutil.copy(DATA / "alu.v", tmp_path / "alu.v")
    assert "Name ABC's binary with --abc" in refused("optimize", str(tmp_path / "alu.v"), "--abc", "no-such-abc")
    (tmp_path / "x.lib").write_text("nothing")
    assert "not a Liberty file" in refused("optimize", str(tmp_path / "alu.v"), "--lib", str(tmp_path / "x.lib"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alu.v", "empty.txt", "x.lib"]


def test_latches_can_be_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(DATA / "broken.aag", tmp_path / "latch.aag")
    words = [str(tmp_path / "latch.aag"), "--cut-latches", "--budget", "4", "--mode", "random"]
    assert main(["apply", "abc-rl", "optimize", *words]) == 0
    assert "3 inputs, 2 outputs" in capsys.readouterr().out
