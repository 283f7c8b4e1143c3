"""Write a graph as TSV, CSV or JSON lines, by the file's ending (also with `.gz`); `load` reads it back unchanged."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_atomically
from wheatstone.domains.kg.formats import COLUMNS, file_format
from wheatstone.domains.kg.graph import Graph


def save(graph: Graph, path: Path | str, note: str = "") -> None:
    """Write every fact, atomically. A graph with classes gets a fourth column with the type of each head.

    Args:
        note: comment lines at the top of a TSV or CSV file: where the facts come from.

    Raises UserError for a format that is only read (N-Triples), and when the file cannot be written.
    """
    path = Path(path)
    kind = file_format(path)
    if kind == "nt":
        raise UserError(f"{path}: graphs are written as .tsv, .csv or .jsonl, each also with .gz.")
    columns = COLUMNS if graph.classes else COLUMNS[:3]
    facts = [
        (*fact, *([graph.classes[head]] if graph.classes else []))
        for fact, head in zip(graph.facts(), graph.triples[:, 0].tolist(), strict=True)
    ]
    text = io.StringIO()
    if kind == "jsonl":
        for fact in facts:
            cells = {column: cell for column, cell in zip(columns, fact, strict=True) if cell or column != "type"}
            text.write(json.dumps(cells, ensure_ascii=False) + "\n")
    else:
        text.writelines(f"# {line}\n" for line in note.splitlines())
        lines = [columns, *facts]
        if kind == "tsv":
            text.writelines("\t".join(line) + "\n" for line in lines)
        else:
            csv.writer(text, lineterminator="\n").writerows(lines)
    data = text.getvalue().encode()
    # Time zero: the same graph gives the same bytes.
    write_atomically(path, gzip.compress(data, mtime=0) if path.suffix.lower() == ".gz" else data)
