"""`wheatstone list` and `wheatstone show`: what there is to run, and what has been found so far."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheatstone.bench.place import RUNS

if TYPE_CHECKING:
    from wheatstone.bench.findings import Findings
    from wheatstone.bench.study import Study


@dataclass(frozen=True)
class ListOptions:
    """What `wheatstone list` shows."""

    runs: Path = RUNS
    """Folder of run directories, searched for the last verdict of each study."""
    json: bool = False
    """Print JSON instead of a table."""


def list_studies(arguments: Sequence[str]) -> int:
    """Every study: family, claim, last verdict. Imports neither torch nor any study."""
    from wheatstone.bench.registry import cards
    from wheatstone.cli.options import parse
    from wheatstone.cli.results import last_findings

    options = parse(ListOptions, arguments, "list", "Every study: family, claim, last verdict.")
    found, last = cards(), last_findings(options.runs)
    if options.json:
        rows = [
            {
                "name": card.name,
                "family": card.family,
                "title": card.title,
                "source": card.source,
                "claim": card.claim,
                "presets": list(card.presets),
                "last": None if card.name not in last else _summary(last[card.name]),
            }
            for card in found
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    _print_list(found, last)
    return 0


def _print_list(found: Sequence[Any], last: dict[str, Findings]) -> None:
    from rich.text import Text

    from wheatstone.cli.show import console, grid

    table = grid("study", "family", "claim", "last verdict")
    for card in found:
        verdict = "not run yet" if card.name not in last else outcome_text(last[card.name])
        table.add_row(
            Text(card.name, style="bold", no_wrap=True), card.family, Text(card.claim), Text(verdict, no_wrap=True)
        )
    console().print(table if found else "No studies are installed.")


def outcome_text(findings: Findings) -> str:
    """'2 hold, 1 fails (cpu, 3 seeds)'."""
    outcomes = [verdict.outcome for verdict in findings.verdicts]
    words = {"holds": "hold", "fails": "fail", "inconclusive": "inconclusive"}
    counts = [f"{outcomes.count(one)} {word}" for one, word in words.items() if one in outcomes]
    return f"{', '.join(counts) or 'no claims'} ({findings.preset}, {len(findings.seeds)} seeds)"


def _summary(findings: Findings) -> dict[str, Any]:
    return {
        "preset": findings.preset,
        "seeds": list(findings.seeds),
        "verdicts": {verdict.claim.name: verdict.outcome for verdict in findings.verdicts},
    }


@dataclass(frozen=True)
class ShowOptions:
    """What `wheatstone show` shows."""

    study: str
    """A name of `wheatstone list`, or a file my_study.py."""
    runs: Path = RUNS
    """Folder of run directories, searched for what was found last."""
    json: bool = False
    """Print JSON instead of text."""


def show_study(arguments: Sequence[str]) -> int:
    """The paper, the method, arms, claims, presets, cost of one study."""
    from wheatstone.bench.registry import load
    from wheatstone.cli.options import parse
    from wheatstone.cli.results import last_findings
    from wheatstone.cli.show import print_study

    options = parse(ShowOptions, arguments, "show", "The paper, the method, arms, claims, presets, cost of one study.")
    study = load(options.study)
    if options.json:
        print(json.dumps(study_json(study), indent=2, ensure_ascii=False))
    else:
        print_study(study, last_findings(options.runs).get(study.name))
    return 0


def study_json(study: Study[Any]) -> dict[str, Any]:
    """Everything about a study that is data."""
    import dataclasses

    from wheatstone.bench.config import field_docs, to_json

    return {
        "card": dataclasses.asdict(study.card),
        "doc": study.doc.strip(),
        "measures": dict(study.measures),
        "arms": [dataclasses.asdict(arm) for arm in study.arms],
        "claims": [dataclasses.asdict(claim) for claim in study.claims],
        "presets": {
            name: {
                "config": to_json(preset.config),
                "seeds": preset.seeds,
                "arms": list(preset.arms or (arm.name for arm in study.arms)),
                "about": preset.about,
            }
            for name, preset in study.presets.items()
        },
        "settings": field_docs(study.config),
        "verbs": {verb.name: verb.about for verb in study.verbs},
    }
