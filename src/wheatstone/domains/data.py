"""Where data files lie that are neither in the package nor downloaded by it."""

from __future__ import annotations

import os
from pathlib import Path

from wheatstone.bench.errors import UserError


def data_folder() -> Path:
    """WHEATSTONE_DATA, or `shared/data` beside the checkout that this file is in; it need not exist."""
    chosen = os.environ.get("WHEATSTONE_DATA")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[4] / "shared" / "data"


def require_file(name: str, what: str) -> Path:
    """`name` below the data folder.

    Raises UserError that says how to get it when it is absent.
    """
    path = data_folder() / name
    if not path.is_file():
        raise UserError(
            f"{path}: no such file. It holds {what}; get it from its repository and name the folder with "
            f"WHEATSTONE_DATA (the file then is WHEATSTONE_DATA/{name})."
        )
    return path
