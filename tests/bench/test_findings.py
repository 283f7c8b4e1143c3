from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.errors import UserError
from wheatstone.bench.findings import Findings, collect
from wheatstone.bench.run import Run
from wheatstone.bench.study import Claim, Require
from wheatstone.bench.verdict import judge_all


def test_a_run_gives_its_findings(new_run: Callable[..., Run], toy):
    run = new_run(seeds=(0, 1, 2))
    assert run.findings() is None
    findings = execute_run(run, toy, InlineEngine(), report=False)
    assert [verdict.outcome for verdict in findings.verdicts] == ["holds"]
    # the walks share their steps, so 40 steps of drift 0.5 are the whole difference
    assert findings.verdicts[0].difference is not None
    assert findings.verdicts[0].difference.mid == pytest.approx(20)
    stored = run.findings()
    assert stored == findings
    assert stored is not None
    assert set(stored.cost["still"][2]) == {"seconds", "cpu_seconds", "device"}
    assert not {"cost", "environment"} & set(findings.decided())


def test_an_unfinished_run_has_inconclusive_findings(new_run: Callable[..., Run], toy):
    findings = collect(new_run(), toy)
    assert findings.measures == {}
    assert [verdict.outcome for verdict in findings.verdicts] == ["inconclusive"]


values = st.floats(allow_infinity=False) | st.integers(-5, 5).map(float)
names = st.text("abc_", min_size=1, max_size=4)


@given(
    st.dictionaries(names, st.dictionaries(names, st.dictionaries(st.integers(0, 9), values, max_size=4)), max_size=3),
    st.booleans(),
)
def test_json_round_trip(measures, required):
    claim = Claim(
        *("wins", "a wins", "a", "b", "a"),
        "higher",
        0.1,
        "Table 1",
        bound=0.5,
        requires=(Require("a", "b", 0.9),) * required,
    )
    findings = Findings(
        study="toy",
        preset="smoke",
        seeds=(0, 1),
        config={"phi": 0.1},
        overrides={},
        arms={"a": {}, "b": {"phi": 0.2}},
        measures=measures,
        verdicts=judge_all([claim], measures),
        cost={"a": {0: {"seconds": 1.5}}},
        environment={"threads": 1},
    )
    stored = json.loads(json.dumps(findings.to_json(), allow_nan=False))
    back = Findings.from_json(stored)
    assert back.to_json() == findings.to_json()
    assert back.verdicts[0].claim == claim
    if not any(math.isnan(value) for row in measures.values() for seeds in row.values() for value in seeds.values()):
        assert back == findings


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ([], "damaged"),
        ({}, r"damaged \(ShapeError: 'format' is missing\)"),
        ({"format": 1}, "damaged"),
        ({"format": 99}, "format 99, written by a newer wheatstone; this one reads up to 1"),
    ],
)
def test_damaged_and_newer_findings_are_named(new_run: Callable[..., Run], stored, message):
    run = new_run()
    (run.path / "findings.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"findings\.json: " + message):
        run.findings()
