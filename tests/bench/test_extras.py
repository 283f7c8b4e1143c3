"""An extra that is missing is named with the command that installs it."""

from __future__ import annotations

import pytest

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need


def test_an_installed_module_is_silent() -> None:
    need("json", extra="quantum", to="read a file")


def test_a_missing_module_names_purpose_and_command() -> None:
    with pytest.raises(UserError) as fault:
        need("no_such_module", extra="quantum", to="read bell.qasm")
    assert (
        str(fault.value) == "no_such_module is needed to read bell.qasm. Install it: pip install 'wheatstone[quantum]'"
    )
