"""Packages of an extra: asked for where they are used, with the purpose and the command that installs them."""

from __future__ import annotations

import importlib.util

from wheatstone.bench.errors import UserError


def need(module: str, *, extra: str, to: str) -> None:
    """Nothing when the top-level `module` is installed.

    Raises UserError that says what it is needed for and how to install the extra that holds it.
    """
    if importlib.util.find_spec(module) is None:
        raise UserError(f"{module} is needed to {to}. Install it: pip install 'wheatstone[{extra}]'")
