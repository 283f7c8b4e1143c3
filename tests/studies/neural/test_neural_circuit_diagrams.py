"""The study's parts: cases that differ where they should, mistakes with their places, verbs on files not made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.studies.neural.neural_circuit_diagrams import verbs
from wheatstone.studies.neural.neural_circuit_diagrams.measuring import counted, gaps, mutant_gaps, parameters
from wheatstone.studies.neural.neural_circuit_diagrams.mistakes import MISTAKES, draw_sizes, judge
from wheatstone.studies.neural.neural_circuit_diagrams.references import MAKERS

DATA = Path(__file__).parents[2] / "data" / "neural-circuit-diagrams"


@pytest.mark.parametrize("name", MAKERS)
def test_a_diagram_is_the_layer_and_a_mutant_is_not(name: str) -> None:
    case = MAKERS[name](np.random.default_rng(11))
    found = gaps(case, 1)
    assert max(found.forward, found.gradient, found.derived, found.numpy, found.source) <= 1e-12
    assert found.single <= 1e-5
    assert mutant_gaps(case, 1, np.random.default_rng(2)).forward > 1e-9
    count = parameters(case)
    assert count["diagram"] == count["module"]


@pytest.mark.parametrize("name", MAKERS)
def test_work_is_what_torch_counts(name: str) -> None:
    case = MAKERS[name](np.random.default_rng(12))
    case.module.double()
    assert counted(case).formula == counted(case).counter
    wrong = counted(case, off_by_one=True)
    assert wrong.formula != wrong.counter


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.name)
def test_a_mistake_is_refused_at_its_place_and_its_right_form_is_not(mistake: object) -> None:
    for seed in range(3):
        found = judge(mistake, draw_sizes(np.random.default_rng(seed)))  # type: ignore[arg-type]
        assert found.is_placed, found.says
        assert not found.is_false_alarm, found.says


def test_there_are_twenty_mistakes_of_three_kinds() -> None:
    assert len({one.name for one in MISTAKES}) == 20
    assert {one.kind for one in MISTAKES} == {"wrong axis", "swapped", "missing broadcast"}


MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    def forward(self, x):
        return self.body(x)

class Wide(nn.Module):
    def __init__(self, width):
        super().__init__()

number = 3
"""


def test_a_users_module_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(MODEL)
    out = tmp_path / "net.svg"
    assert verbs.draw_file(f"{tmp_path}/own.py:Net", out=out, input="5,6") == 0
    text = out.read_text()
    assert text.startswith("<svg")
    assert "relu" in text
    assert "pixels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("own.py:Nett", {}, "has no 'Nett'. Did you mean 'Net'"),
        ("own.py:Wide", {}, "cannot be made without arguments"),
        ("own.py:number", {}, "cannot be made without arguments"),
        ("own.py:Net", {"input": "5,7"}, "cannot be run on inputs of shape"),
        ("own.py:Net", {"input": "5,x"}, "a shape is whole numbers"),
        ("own.py:Net", {"out": Path("a.png")}, "ends in .svg"),
        ("own.py", {}, "name a module of it"),
        ("none.py:Net", {}, "there is no such file"),
        ("wrong.py:Net", {}, "cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_drawn_is_told(tmp_path: Path, source: str, options: dict[str, object], message: str) -> None:
    (tmp_path / "own.py").write_text(MODEL)
    (tmp_path / "wrong.py").write_text("1 / 0")
    with pytest.raises(UserError, match=message):
        verbs.draw_file(f"{tmp_path}/{source}", **{"input": "5,6", **options})  # type: ignore[arg-type]


def test_verbs_on_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = DATA / "attention.ncd"
    assert verbs.check_file(path) == 0
    assert "attention : (y m:128, x m:128) -> (y m:128)" in capsys.readouterr().out
    assert verbs.cost_file(path) == 0
    assert "512*x*y + 65536*x + 65536*y" in capsys.readouterr().out
    assert verbs.cost_file(path, sizes="x=10,y=5") == 0
    assert verbs.draw_file(str(path), out=tmp_path / "a.svg") == 0
    assert verbs.backward_file(path, out=tmp_path / "b.svg") == 0
    assert "39 with the way back" in capsys.readouterr().out
    assert verbs.rewrite_file(path, sizes="x=10,y=5") == 0
    assert "nothing to gain" in capsys.readouterr().out
    assert verbs.compile_file(path, out=tmp_path / "a.py", sizes="x=10,y=5") == 0
    compile((tmp_path / "a.py").read_text(), "a.py", "exec")
    with pytest.raises(UserError, match="needs the sizes"):
        verbs.rewrite_file(path)
    with pytest.raises(UserError, match=r"no diagram is called 'attn'. Did you mean 'attention'"):
        verbs.cost_file(path, name="attn")
    with pytest.raises(UserError, match="write name=size"):
        verbs.cost_file(path, sizes="x:3")
    with pytest.raises(UserError, match=r"broken.ncd:4:3: contract: array 2 is 'x w:64'"):
        verbs.check_file(DATA / "broken.ncd")
