"""`wheatstone models install NAME`: real language models, fetched once with a checksum."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wheatstone.bench.errors import UserError

USAGE = """usage: wheatstone models install NAME    fetch a model, write it out for use and print where it lies
       wheatstone models list            every named model, and where it is installed"""


def models(arguments: Sequence[str]) -> int:
    """Install one model of the catalogue and print where it lies, or list the catalogue."""
    from wheatstone.cli.data import show
    from wheatstone.domains.lm.catalogue import install, installed, named_models, names

    match list(arguments):
        case ["-h" | "--help", *_]:
            print(f"{USAGE}\n\nNames: {', '.join(names())}")
        case ["list"]:
            for model in named_models():
                place = installed(model.name)
                print(f"{model.name:<12}  {model.about}\n{'':<12}  {model.origin}, {model.licence}")
                print(f"{'':<12}  {f'installed: {place}' if place else 'not installed'}")
        case ["install", name]:
            path = install(name, show if sys.stderr.isatty() else None)
            if sys.stderr.isatty():
                print(file=sys.stderr)
            print(path)
        case _:
            raise UserError(f"{USAGE}\n\nNames: {', '.join(names())}")
    return 0
