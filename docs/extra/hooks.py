"""What the site has that Markdown files do not say: studies by family in the menu, notebooks as pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

FAMILIES = {
    "neural": "Neural",
    "electronic": "Electronic",
    "quantum": "Quantum",
    "logical": "Logical",
    "physical": "Physical",
}
API = {
    "study": "Declaring a study",
    "trial": "Inside a trial",
    "exhibit": "Exhibits",
    "verdict": "Verdicts",
    "findings": "Findings",
    "run": "Run directories",
    "measure": "Running from Python",
    "engine": "Engines",
    "contract": "The contract",
    "registry": "The registry",
}
"""Modules of `wheatstone.bench` that have a page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages, and names them all in the menu."""
    assert config.nav is not None
    docs = Path(config.docs_dir)
    notebooks = [_notebook(path, config) for path in sorted((docs / "notebooks").glob("*.ipynb"))]
    api = [_api(name, title, config) for name, title in API.items()]
    for page in (*notebooks, *api):
        files.append(page)
    named = {place for entry in config.nav for place in entry.values()}
    config.nav = [
        *config.nav,
        *(page.name for page in sorted(docs.glob("*.md")) if page.name not in named),
        {"Notebooks": [page.src_uri for page in notebooks]},
        {"Studies": _studies(docs / "studies")},
        {"API": [page.src_uri for page in api]},
    ]
    return files


def _studies(folder: Path) -> list[dict[str, list[str]]]:
    """The pages by family; a page says its family in its fourth line."""
    by_family: dict[str, list[str]] = {}
    for page in sorted(folder.glob("*.md")):
        family = next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("`")).split(
            " · "
        )[1]
        by_family.setdefault(family, []).append(f"studies/{page.name}")
    return [{title: by_family[family]} for family, title in FAMILIES.items() if family in by_family]


def _api(name: str, title: str, config: MkDocsConfig) -> File:
    module = f"wheatstone.bench.{name}"
    text = f"# {title}\n\n`{module}`\n\n::: {module}\n    options:\n      show_root_heading: false\n"
    return File.generated(config, f"api/{name}.md", content=text)


def _notebook(path: Path, config: MkDocsConfig) -> File:
    """The notebook as Markdown, with what its cells showed when it was last run."""
    parts: list[str] = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts += [f"```python\n{source}\n```", *map(_shown, cell["outputs"])]
    parts.append(f"[The notebook itself]({path.name})")
    return File.generated(config, f"notebooks/{path.stem}.md", content="\n\n".join(parts) + "\n")


def _shown(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return "```text\n" + "".join(output["text"]) + "```"
    data = output["data"]
    if "text/html" in data:
        # Markdown ends a block of HTML at a blank line.
        return "".join(line for line in "".join(data["text/html"]).splitlines(keepends=True) if line.strip())
    return "```text\n" + "".join(data["text/plain"]) + "\n```"
