"""Runs the notebooks of the documentation without Jupyter: their code cells in order, in one namespace.

    python -m tests.notebooks          runs them and writes what they show into them

What a cell shows is what Jupyter would: printed text, and the value of its last expression as HTML where it has that.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parent.parent / "docs" / "notebooks"


def execute(path: Path, folder: Path) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell, in the notebook format; runs lie in `folder`. Faults come through as they are."""
    namespace: dict[str, Any] = {"__name__": "__notebook__"}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    with contextlib.chdir(folder):
        return [run_cell("".join(cell["source"]), namespace) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs one cell and returns what it shows."""
    shown: list[dict[str, Any]] = []
    namespace["display"] = lambda *values: shown.extend(map(displayed, values))
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(tree, "<cell>", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace) if last else None
    if printed.getvalue():
        shown.insert(
            0, {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
        )
    return shown if value is None else [*shown, displayed(value)]


def displayed(value: Any) -> dict[str, Any]:
    """A value as Jupyter shows it."""
    data = {"text/plain": [repr(value)[:200]]}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = value._repr_html_().splitlines(keepends=True)
    return {"output_type": "display_data", "metadata": {}, "data": data}


def main() -> None:
    """Runs every notebook and writes its outputs into it."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if sys.argv[1:] and path.stem not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            outputs = iter(execute(path, Path(folder)))
        book = json.loads(path.read_text(encoding="utf-8"))
        for cell in book["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"] = next(outputs)
        path.write_text(json.dumps(book, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(path.name, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
