"""`wheatstone docs`: the pages that are generated, and the check that they are what would be generated now.

`docs/studies/<name>.md` comes from the study itself and its recorded results, `docs/RESULTS.md` from `results/*.json`,
`docs/BENCHMARKS.md` from `benchmarks/results/*.json`. Nobody types a number into any of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import wheatstone
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_atomically


@dataclass(frozen=True)
class DocsOptions:
    """What to do with the generated pages."""

    check: bool = False
    """Write nothing; exit with 1 and name the pages that differ from what would be written."""
    record: Path | None = None
    """First copy the findings of this finished run to results/."""
    root: Path | None = None
    """The checkout that holds docs/ and results/. None: the one that this package runs from."""


def docs(arguments: Sequence[str]) -> int:
    """Write (or check) the generated pages."""
    from wheatstone.cli.options import parse
    from wheatstone.cli.results import record

    options = parse(DocsOptions, arguments, "docs", "Write the study pages and docs/RESULTS.md, or check them.")
    root = options.root or Path(wheatstone.__file__).parent.parent.parent
    if not (root / "docs").is_dir():
        raise UserError(f"{root}: has no docs/. Generated pages live in a checkout; name it with --root.")
    if options.record is not None:
        print(record(options.record, root / "results"))
    pages = generate(root)
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    orphans = sorted(set((root / "docs" / "studies").glob("*.md")) - set(pages))
    if options.check:
        for path in [*stale, *orphans]:
            what = "belongs to no study" if path in orphans else "differs from what is generated"
            print(f"{path.relative_to(root)}: {what}. Run: wheatstone docs", file=sys.stderr)
        return 1 if stale or orphans else 0
    for path in stale:
        write_atomically(path, pages[path].encode())
        print(path.relative_to(root))
    for path in orphans:
        path.unlink()
        print(f"{path.relative_to(root)} (removed)")
    return 0


def generate(root: Path) -> dict[Path, str]:
    """Path -> text of every generated page."""
    from wheatstone.bench.registry import entries
    from wheatstone.cli.benchmarks import benchmarks_page, recorded_benchmarks
    from wheatstone.cli.markdown import results_page, study_page
    from wheatstone.cli.results import recorded

    results = recorded(root / "results")
    own = [entry for entry in entries() if entry.plugin is None]
    pages = {
        root / "docs" / "studies" / f"{entry.card.name}.md": study_page(
            entry.origin.load(), [findings for findings in results if findings.study == entry.card.name]
        )
        for entry in own
    }
    pages[root / "docs" / "RESULTS.md"] = results_page([entry.card for entry in own], results)
    if (benchmarks := root / "benchmarks" / "results").is_dir():
        pages[root / "docs" / "BENCHMARKS.md"] = benchmarks_page(recorded_benchmarks(benchmarks))
    return pages
