"""`wheatstone data get NAME`: checksummed downloads into a cache."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wheatstone.bench.errors import UserError

USAGE = """usage: wheatstone data get NAME    fetch a graph and print where it lies
       wheatstone data list        print the names"""


def data(arguments: Sequence[str]) -> int:
    """Fetch one graph of the catalogue and print where it lies, or list the catalogue."""
    from wheatstone.domains.kg.catalogue import get, names

    match list(arguments):
        case ["-h" | "--help", *_]:
            print(f"{USAGE}\n\nNames: {', '.join(names())}")
        case ["list"]:
            print("\n".join(names()))
        case ["get", name]:
            path = get(name, show if sys.stderr.isatty() else None)
            if sys.stderr.isatty():
                print(file=sys.stderr)
            print(path)
        case _:
            raise UserError(f"{USAGE}\n\nNames: {', '.join(names())}")
    return 0


def show(done: int, total: int) -> None:
    """Bytes so far on one line of the terminal."""
    share = f" of {total / 1e6:.1f}" if total else ""
    print(f"\r{done / 1e6:.1f}{share} MB", end="", file=sys.stderr, flush=True)
