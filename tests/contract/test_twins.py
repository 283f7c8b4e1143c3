"""Every check bites: the toy study with one thing broken breaks exactly the check that watches over it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from wheatstone.bench import contract, registry
from wheatstone.bench.contract import CHECKS, Check, ContractFault

HERE = Path(__file__).parent
SOURCE = (HERE / "toy.py").read_text(encoding="utf-8")
BROKEN = HERE.parent / "data" / "toy" / "broken.txt"


class Twin(NamedTuple):
    """The toy with `old` replaced by `new`, the check that must find it, and a part of what it must say."""

    check: str
    old: str
    new: str
    text: str


ONLY = [
    Twin(
        "card_equals_its_literal",
        "    card=CARD,",
        "    card=Card('toy', 'physical', 'Another', CARD.source, CARD.claim, CARD.presets),",
        "the object Card(name='toy', family='physical', title='Another'",
    ),
    Twin("listed_without_import", 'claim="A drifting', 'claim=str() + "A drifting', "CARD must be a literal"),
    Twin("docstring_states_the_case", "Falsified by  ", "Otherwise  ", "no line that starts with 'Falsified by'"),
    Twin("config_round_trips", '    """Steps of the walk."""\n', "", "field 'steps' has no text under it"),
    Twin("arms_change_what_exists", '{"drift": 0.0}', '{"drfit": 0.0}', "--drfit: there is no such setting. Did you"),
    Twin("claims_name_what_exists", 'control="still"', 'control="stil"', "there is no arm 'stil'"),
    Twin(
        "swapped_arms_flip_the_verdict",
        'Require("still", "speed", at_most=1.0)',
        'Require("drifting", "position", at_most=1.0)',
        "can never hold: its bounds and requirements contradict its margin",
    ),
    Twin("smoke_writes_a_valid_run", "    exhibits=exhibits,\n", "", "no figures"),
    Twin(
        "measures_are_declared", '"speed": float', '"pace": 1.5, "speed": float', "drifting returns 'pace', undeclared"
    ),
    Twin("same_seed_same_findings", 'trial.rng("steps")', "np.random.default_rng()", "Draw everything from trial.rng"),
    Twin("another_seed_differs", 'trial.rng("steps")', "np.random.default_rng(0)", "seeds 0 and 2 give the same"),
    Twin(
        "killed_and_resumed_is_unbroken",
        '        rng.bit_generator.state = checkpoint.state["rng"]\n',
        "",
        "A checkpoint must hold the state of every random generator",
    ),
    Twin(
        "report_numbers_come_from_the_run",
        'curve_line(run, "position", arm, arm)',
        'vars(Config).get(arm) or setattr(Config, arm, curve_line(run, "position", arm, arm)) or vars(Config)[arm]',
        "figures/walks.json shows",
    ),
    Twin("broken_input_is_refused", "raise InputError(faults)", "raise ValueError(faults)", "exit code 1, must be 2"),
]
"""One for each check: it bites, and no other does."""

WAIT = '    """Seconds that a step waits, so that it can be interrupted."""\n'
LINES = "    return [\n        Lines("
MORE = [
    Twin("card_equals_its_literal", 'presets=("smoke", "cpu")', 'presets=("smoke",)', "the card's presets are"),
    Twin("listed_without_import", "CARD = Card(", "if True: CARD = Card(", "no CARD = Card"),
    Twin("docstring_states_the_case", "doc=__doc__ or", "doc=''or", "the study has no text"),
    Twin("config_round_trips", "@dataclass(frozen=True)", "@dataclass", "Config is not frozen"),
    Twin("config_round_trips", "drift: float = 0.5", "drift: tuple[float, ...] = (0.5,)", "drift holds a tuple"),
    Twin("config_round_trips", '"smoke": Preset(Config()', '"smoke": Preset(Config(steps=0)', "--steps: got 0"),
    Twin("config_round_trips", '"smoke": Preset(', '"tiny": Preset(', "no preset 'smoke'"),
    Twin(
        "config_round_trips",
        WAIT,
        WAIT + "\n    def __post_init__(self): object.__setattr__(self, 'steps', self.steps + 1)\n",
        "preset 'smoke' comes back from JSON as another config",
    ),
    Twin("arms_change_what_exists", '{"drift": 0.0}', '{"spread": 0.0}', "--spread: got 0, must be above 0"),
    Twin("arms_change_what_exists", '{"drift": 0.0}', '{"every": "5"}', "to a value of another type: {'every': '5'}"),
    Twin("arms_change_what_exists", "seeds=3, about", "seeds=3, arms=('stil',), about", "there is no arm 'stil'"),
    Twin("arms_change_what_exists", 'Arm("still", ', 'Arm("drifting", "twice"), Arm("still", ', "two arms are called"),
    Twin("claims_name_what_exists", 'measure="position"', 'measure="distance"', "there is no measure 'distance'"),
    Twin("claims_name_what_exists", '("still", "speed"', '("still", "pace"', "there is no measure 'pace'"),
    Twin("claims_name_what_exists", 'control="still"', 'control="drifting"', "the same arm and measure"),
    Twin("claims_name_what_exists", "margin=1.0", "margin=-1.0", "must not be negative"),
    Twin("claims_name_what_exists", 'source="page 294"', 'source=" "', "no source"),
    Twin("claims_name_what_exists", "    claims=(", "    claims=() if True else (", "no claims"),
    Twin(
        "claims_name_what_exists",
        "STUDY = Study(",
        "def Study(*, claims, **rest):\n"
        "    from wheatstone.bench.study import Study\n    return Study(claims=claims * 2, **rest)\n\n"
        "STUDY = Study(",
        "two claims are called 'drift-leaves'",
    ),
    Twin("swapped_arms_flip_the_verdict", '"speed", at_most=1.0', '"position", at_least=16.0', "can never hold"),
    Twin(
        "swapped_arms_flip_the_verdict",
        "STUDY = Study(",
        "class Claim(Claim):\n    def swapped(self): return self\n\nSTUDY = Study(",
        "on the measures of the smoke run: holds, and holds with its arms swapped",
    ),
    Twin("smoke_writes_a_valid_run", LINES, LINES.replace("[", "[1 / 0] + ["), "cannot be written: ZeroDivisionError"),
    Twin("smoke_writes_a_valid_run", "seeds=2", "seeds=3", "3 seeds; smoke has 2 at most"),
    Twin("smoke_writes_a_valid_run", "config = trial.config", "raise RuntimeError('no')", "RuntimeError: no"),
    Twin("measures_are_declared", '"speed": "position', '"pace": "x", "speed": "position', "does not return 'pace'"),
    Twin("measures_are_declared", '"where the walk ends (length)"', '""', "measure 'position' has no text"),
    Twin("same_seed_same_findings", '"speed": float', '"speed": time.time() + float', "speed of drifting, seed 0 is"),
    Twin(
        "killed_and_resumed_is_unbroken",
        "range(start + 1, ",
        "range(start + 1 + (start > 0), ",
        "logs 39 lines when killed and resumed, 40 when not",
    ),
    Twin("killed_and_resumed_is_unbroken", 'state["step"]', 'state["setp"]', "KeyError: 'setp'"),
    Twin(
        "report_numbers_come_from_the_run",
        'y_title="position (length)"',
        'y_title=f"position (length) in {run.path}"',
        "the exhibits of a run and of its copy in another folder differ",
    ),
    Twin("broken_input_is_refused", "raise InputError(faults)", "return", "exit code 0, must be 2"),
    Twin("broken_input_is_refused", "if faults:", "Path('half').touch()\n    if faults:", "leaves half behind"),
    Twin("broken_input_is_refused", "if faults:", "print('reading')\n    if faults:", "writes to stdout: reading"),
    Twin(
        "broken_input_is_refused",
        "if faults:",
        "__import__('sys').stderr.write('Traceback (most recent call last)\\n')\n    if faults:",
        "a traceback",
    ),
    Twin("broken_input_is_refused", "if faults:", "steps.write_text('')\n    if faults:", "changes broken.txt"),
    Twin("broken_input_is_refused", 'broken_input=("broken.txt",)', "", "has no broken_input"),
    Twin("broken_input_is_refused", '("broken.txt",)', '("nowhere.txt",)', "nowhere.txt names no file in"),
]
"""Other ways to break a check."""


def label(twin: Twin) -> str:
    return f"{twin.check}-{twin.text[:24]}"


def faults_of(twin: Twin, folder: Path, checks: Sequence[Check]) -> dict[str, str]:
    """Check -> what it says about the twin, of those that bite."""
    assert twin.old in SOURCE
    file = folder / "toy.py"
    file.write_text(SOURCE.replace(twin.old, twin.new, 1), encoding="utf-8")
    shutil.copy(BROKEN, folder)
    study = registry.load_file(file)
    faults: dict[str, str] = {}
    for check in checks:
        try:
            check(study, folder / "stage")
        except ContractFault as fault:
            faults[fault.check] = fault.text
    return faults


def test_every_check_has_a_twin() -> None:
    assert [twin.check for twin in ONLY] == [check.__name__ for check in CHECKS]


@pytest.mark.parametrize("twin", ONLY, ids=label)
def test_exactly_that_check_bites(twin: Twin, tmp_path: Path) -> None:
    faults = faults_of(twin, tmp_path, CHECKS)
    assert list(faults) == [twin.check], faults
    assert twin.text in faults[twin.check]


@pytest.mark.parametrize("twin", MORE, ids=label)
def test_that_check_bites(twin: Twin, tmp_path: Path) -> None:
    faults = faults_of(twin, tmp_path, [check for check in CHECKS if check.__name__ == twin.check])
    assert twin.text in faults[twin.check]


def test_a_slow_smoke_preset_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "SMOKE_SECONDS", 0.0)
    with pytest.raises(ContractFault, match="smoke ends within 0 s"):
        contract.smoke_writes_a_valid_run(registry.load_file(HERE / "toy.py"), tmp_path)
