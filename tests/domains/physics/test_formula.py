"""Formulas: values against Python's own arithmetic, derivatives against closed forms, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.formula import DEEPEST, LONGEST, Formula

KNOWN = [
    ("-s**2 + u", lambda s, u: -(s**2) + u),
    ("2*-s/(u + 3)", lambda s, u: 2 * -s / (u + 3)),
    ("sin(pi*s)**2 + cos(u)", lambda s, u: math.sin(math.pi * s) ** 2 + math.cos(u)),
    ("exp(-abs(s)) - tanh(u) + sqrt(2)*1e-1", lambda s, u: math.exp(-abs(s)) - math.tanh(u) + math.sqrt(2) * 0.1),
    ("2**u**2 * s", lambda s, u: 2 ** (u**2) * s),
]  # fmt: skip
NUMBERS = st.floats(-2, 2)


@pytest.mark.parametrize(("text", "truth"), KNOWN, ids=[text for text, _ in KNOWN])
@given(s=NUMBERS, u=NUMBERS)
def test_numbers_arrays_and_tensors_agree_with_python(text, truth, s, u) -> None:
    formula = Formula(text, ("s", "u"))
    expected = truth(s, u)
    assert formula(s=s, u=u) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert formula(s=np.array([s, s]), u=u) == pytest.approx([expected] * 2, rel=1e-12, abs=1e-12)
    tensors = formula(s=torch.tensor([s], dtype=torch.float64), u=torch.tensor([u], dtype=torch.float64))
    assert torch.as_tensor(tensors).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_autograd_gives_the_derivative() -> None:
    q = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(Formula("0.5*q**2 + 0.1*q**4 - cos(q)", ["q"])(q=q).sum(), q)
    assert torch.allclose(slope, q + 0.4 * q**3 + torch.sin(q))


def test_a_formula_without_value_is_nan_in_silence() -> None:
    assert math.isnan(Formula("sqrt(s)", ["s"])(s=-1.0))
    assert Formula("1/s", ["s"])(s=0) == math.inf
    assert np.isnan(Formula("s**0.5", ["s"])(s=np.array([-1, 4]))).tolist() == [True, False]


def test_it_says_what_it_uses() -> None:
    formula = Formula("s + 1", ("s", "u", "t"))
    assert formula.used == {"s"}
    with pytest.raises(TypeError, match="needs a value of s"):
        formula(u=1.0)
    assert Formula("2*pi", ["s"])(s=1.0) == 2 * math.pi


BROKEN = {
    "": "an empty formula",
    "s +": "not a formula",
    "s + v": r"character 5 \('v'\): unknown name 'v'",
    "s ^ 2": r"character 3 .*write \*\*",
    "sine(s)": "'sine' is no function. Did you mean 'sin'?",
    "sin(s, u)": "'sin' takes one argument",
    "sin + 1": r"'sin' is a function",
    "1/0 + s": "no finite value",
    "s + sqrt(-1)": r"character 5 .*no finite value",
    "s + 1e999": "no finite value",
    "(-1)**0.5": "no finite value",
    "s + 1j": "not arithmetic",
    "True": "not arithmetic",
    "s if u else 1": "not arithmetic",
    "s.real": "not arithmetic",
    "[s for s in u]": "not arithmetic",
    "__import__('os').system('x')": "not arithmetic|no function",
    "(lambda: s)()": "not arithmetic",
    "s == u": "not arithmetic",
    "s // 2": "not arithmetic",
    "s" * (LONGEST + 1): f"{LONGEST} at most",
    "-" * (DEEPEST + 2) + "s": "inside one another",
    "(" * 300 + "s" + ")" * 300: "600|not a formula|at most",
    "9" * 400: "no finite value",
    "s\x00": "not a formula",
    "é + q": r"unknown name 'é'",
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: repr(text[:16]))
def test_what_is_not_a_formula_is_refused_with_its_place(text) -> None:
    with pytest.raises(UserError, match=BROKEN[text]) as error:
        Formula(text, ("s", "u"), place="--ode")
    assert str(error.value).startswith("--ode: ")
    assert "\n" not in str(error.value)


@given(st.text(max_size=40))
def test_no_text_ends_in_anything_but_a_value_or_a_message(text) -> None:
    try:
        value = Formula(text, ("s", "u"))(s=0.5, u=-0.5)
    except UserError:
        return
    assert isinstance(value, float)


@pytest.mark.parametrize("name", ["sin", "pi", "2x", "a b", ""])
def test_a_variable_needs_a_name_of_its_own(name) -> None:
    with pytest.raises(UserError, match="cannot name a variable"):
        Formula("1", [name])
