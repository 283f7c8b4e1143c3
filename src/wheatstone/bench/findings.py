"""Findings: the measures of every arm and seed, the verdict on every claim, and what it cost.

Everything that differs between two executions of the same run (time, machine) is under `cost` and `environment`; the
rest, `decided()`, is equal bit for bit however often the run was killed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import plain
from wheatstone.bench.record import COST, numeric
from wheatstone.bench.shape import ANYTHING, NUMBER, SCALAR, TEXT, WHOLE, Each, check
from wheatstone.bench.study import Claim, Direction, Require
from wheatstone.bench.verdict import Interval, Outcome, Verdict, judge_all

if TYPE_CHECKING:
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import JsonScalar, Study

FORMAT = 1
_CLAIM = dict.fromkeys(("name", "text", "measure", "treatment", "control", "source", "direction"), TEXT)
SHAPE = {
    "format": WHOLE,
    "study": TEXT,
    "preset": TEXT,
    "seeds": [WHOLE],
    "config": Each(SCALAR),
    "overrides": Each(SCALAR),
    "arms": Each(Each(SCALAR)),
    "measures": Each(Each(Each(NUMBER))),
    "verdicts": [
        {
            "claim": {
                **_CLAIM,
                **dict.fromkeys(("margin", "bound", "control_bound", "paper"), NUMBER),
                "control_measure": (*TEXT, type(None)),
                "requires": [{"arm": TEXT, "measure": TEXT, "at_least": NUMBER, "at_most": NUMBER}],
            },
            "outcome": TEXT,
            "difference": (dict, type(None)),
            "treatment": Each(NUMBER),
            "control": Each(NUMBER),
            "reason": TEXT,
        }
    ],
    "cost": Each(Each(COST)),
    "environment": Each(ANYTHING),
}
"""The shape of findings.json."""


@dataclass(frozen=True)
class Findings:
    """What a run has found."""

    study: str
    preset: str
    seeds: tuple[int, ...]
    config: Mapping[str, JsonScalar]
    """The base config of all arms."""
    overrides: Mapping[str, JsonScalar]
    """What the user changed against the preset."""
    arms: Mapping[str, Mapping[str, JsonScalar]]
    """Arm -> its changes to the base config."""
    measures: Mapping[str, Mapping[str, Mapping[int, float]]]
    """Arm -> measure -> seed -> value; NaN where the measure does not apply. Finished trials only."""
    verdicts: tuple[Verdict, ...]
    cost: Mapping[str, Mapping[int, Mapping[str, Any]]]
    """Arm -> seed -> {'seconds', 'cpu_seconds', 'device'}."""
    environment: Mapping[str, Any]
    format: int = FORMAT

    def decided(self) -> dict[str, Any]:
        """The JSON form without cost and environment: equal for two executions of the same run."""
        values = self.to_json()
        del values["cost"], values["environment"]
        return values

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict; NaN is None, seeds are text where they are keys."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["verdicts"] = [_verdict_to_json(verdict) for verdict in self.verdicts]
        return {"format": values.pop("format"), **plain(values)}

    def _repr_html_(self) -> str:
        """What a Jupyter notebook shows: the verdicts, and each claim drawn."""
        from wheatstone.bench.report.notebook import findings_html

        return findings_html(self)

    @classmethod
    def from_json(cls, stored: Any, place: Path | str = "findings.json") -> Findings:
        """The findings that `to_json` wrote. Raises UserError, naming `place`, for damage and newer formats."""
        try:
            check(stored, {"format": WHOLE})
            if stored["format"] > FORMAT:
                raise UserError(
                    f"{place}: format {stored['format']}, written by a newer wheatstone; "
                    f"this one reads up to {FORMAT}. Install the newer version."
                )
            check(stored, SHAPE)
            values: dict[str, Any] = dict(stored)
            values["seeds"] = tuple(stored["seeds"])
            values["measures"] = {
                arm: {name: _by_seed(by_seed) for name, by_seed in measures.items()}
                for arm, measures in stored["measures"].items()
            }
            values["verdicts"] = tuple(_verdict_from_json(verdict) for verdict in stored["verdicts"])
            values["cost"] = {
                arm: {int(seed): item for seed, item in by_seed.items()} for arm, by_seed in stored["cost"].items()
            }
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{place}: damaged ({type(error).__name__}: {error}). Delete it and run the same command again: "
                "the trials that have finished are kept."
            ) from None


def collect(run: Run, study: Study[Any]) -> Findings:
    """The findings of what a run has finished so far; claims about the rest are `inconclusive`."""
    measures: dict[str, dict[str, dict[int, float]]] = {}
    cost: dict[str, dict[int, dict[str, Any]]] = {}
    for record in run.records():
        finished = record.measures()
        if finished is not None:
            cost.setdefault(record.arm, {})[record.seed] = record.cost()
            for name, value in finished.items():
                measures.setdefault(record.arm, {}).setdefault(name, {})[record.seed] = value
    return Findings(
        study=run.study_name,
        preset=run.preset,
        seeds=run.seeds,
        config=run.base_config,
        overrides=run.overrides,
        arms=run.arm_changes,
        measures=measures,
        verdicts=judge_all(study.claims, measures),
        cost=cost,
        environment=run.environment(),
    )


def _verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    values = dataclasses.asdict(verdict)
    values["difference"] = None if verdict.difference is None else verdict.difference._asdict()
    return plain(values)


def _verdict_from_json(stored: dict[str, Any]) -> Verdict:
    values, claim = dict(stored), dict(stored["claim"])
    claim["requires"] = tuple(Require(**need) for need in claim["requires"])
    values["claim"] = Claim(**claim)
    if stored["outcome"] not in get_args(Outcome) or claim["direction"] not in get_args(Direction):
        raise ValueError(f"a verdict says '{stored['outcome']}' of a claim '{claim['direction']}'")
    values["difference"] = None
    if stored["difference"] is not None:
        check(stored["difference"], dict.fromkeys(Interval._fields, NUMBER), "difference")
        values["difference"] = Interval(**{end: numeric(value) for end, value in stored["difference"].items()})
    values["treatment"], values["control"] = _by_seed(stored["treatment"]), _by_seed(stored["control"])
    return Verdict(**values)


def _by_seed(stored: Mapping[str, Any]) -> dict[int, float]:
    return {int(seed): numeric(value) for seed, value in stored.items()}
