"""`wheatstone data get NAME`: checksummed downloads into a cache."""

from __future__ import annotations

from collections.abc import Sequence

from wheatstone.bench.errors import UserError, did_you_mean

USAGE = "usage: wheatstone data get NAME\n       wheatstone data list"


def data(arguments: Sequence[str]) -> int:
    """Fetch one graph of the catalogue and print where it lies, or list the catalogue."""
    from wheatstone.domains.kg.catalogue import get, names

    match list(arguments):
        case ["-h" | "--help", *_]:
            print(f"{USAGE}\n\nNames: {', '.join(names())}")
        case ["list"]:
            print("\n".join(names()))
        case ["get", name]:
            if name not in names():
                raise UserError(f"unknown data set '{name}'.{did_you_mean(name, names())} All: {', '.join(names())}")
            print(get(name))
        case _:
            raise UserError(f"{USAGE}\n\nNames: {', '.join(names())}")
    return 0
