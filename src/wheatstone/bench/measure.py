"""`wheatstone run` from Python: measure a study in a script or a notebook, and look at what came out.

```python
from wheatstone.bench.measure import measure

found = measure("grokking-in-the-wild", "smoke", seeds=3)
found                        # in a notebook: the verdicts, drawn
found.exhibits[0]            # a figure
found.findings.measures["augmented"]["real_accuracy"]
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheatstone.bench.errors import UserError
from wheatstone.bench.findings import Findings
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study

if TYPE_CHECKING:
    from wheatstone.bench.engine import Engine
    from wheatstone.bench.exhibit import Exhibit


@dataclass(frozen=True)
class Measured:
    """A finished run with its study and what it found."""

    study: Study[Any]
    run: Run
    findings: Findings

    @cached_property
    def exhibits(self) -> tuple[Exhibit, ...]:
        """The figures and tables of the report, in its order."""
        return tuple(self.study.exhibits(self.run)) if self.study.exhibits is not None else ()

    def exhibit(self, name: str) -> Exhibit:
        """The exhibit of that name. Raises UserError for one that the report does not have."""
        from wheatstone.bench.errors import did_you_mean

        known = {one.name: one for one in self.exhibits}
        if name not in known:
            raise UserError(
                f"{self.study.name}: no exhibit '{name}'.{did_you_mean(name, known)} It has {', '.join(known)}."
            )
        return known[name]

    def _repr_html_(self) -> str:
        return self.findings._repr_html_()  # pyright: ignore[reportPrivateUsage], Jupyter's protocol


def measure(
    study: str | Study[Any],
    preset: str = "cpu",
    *,
    seeds: int | Sequence[int] | None = None,
    arms: Sequence[str] | None = None,
    out: Path | None = None,
    engine: Engine | None = None,
    **settings: Any,
) -> Measured:
    """Runs (or goes on with) a study and returns what it found; `settings` are fields of its config.

    Everything else is as on the command line: `study` may be the path of a file, without `out` the directory is named
    after the content of the run, and `engine` is local worker processes unless another one is given.

    Raises UserError for a study, preset, arm or setting that there is not, and for a trial that fails.
    """
    from wheatstone.bench.config import to_json, validate
    from wheatstone.bench.engine import LocalEngine, execute_run, share_cores
    from wheatstone.bench.errors import did_you_mean
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.registry import load

    chosen = load(study) if isinstance(study, str) else study
    if preset not in chosen.presets:
        raise UserError(f"{chosen.name}: no preset '{preset}'.{did_you_mean(preset, chosen.presets)}")
    size = chosen.presets[preset]
    config = validate(chosen.config, {**to_json(size.config), **settings}, chosen.name)
    numbers = tuple(range(size.seeds if seeds is None else seeds)) if isinstance(seeds, int | None) else tuple(seeds)
    names = tuple(arms) if arms is not None else size.arms or tuple(arm.name for arm in chosen.arms)
    for name in names:
        if name not in [arm.name for arm in chosen.arms]:
            raise UserError(f"{chosen.name}: no arm '{name}'.{did_you_mean(name, [arm.name for arm in chosen.arms])}")
    threads = share_cores(len(names) * len(numbers), None).threads
    path = out or run_path(chosen, preset, config, numbers, names)
    run = Run.create(path, chosen, preset, config, numbers, names, threads)
    with follow(run) as watch:
        findings = execute_run(run, chosen, engine or LocalEngine(), watch)
    return Measured(chosen, run, findings)
