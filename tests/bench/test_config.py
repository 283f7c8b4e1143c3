from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.config import field_docs, from_json, to_json, validate, within_bounds
from wheatstone.bench.errors import UserError


@dataclass(frozen=True)
class Base:
    phi: Annotated[float, Gt(0)] = 8.0
    """Inferred facts per atomic fact, after augmentation (Algorithm 2: 6.25). A second sentence."""


@dataclass(frozen=True)
class Config(Base):
    layers: Annotated[int, Ge(1), Le(64)] = 2
    """GPT-2 blocks."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """Which optimiser
    trains the weights."""
    name: str = ""
    share: Annotated[float, Ge(0), Lt(1)] = 0.5
    """Share of facts kept out, e.g. for testing [0, 1)."""
    tied: bool = False
    limit: int | None = None
    """Most facts to read; none reads all."""
    budget: float = 1.0

    def __post_init__(self) -> None:
        if self.tied and self.layers == 1:
            raise ValueError("--tied needs at least 2 layers")


@dataclass(frozen=True)
class Needy:
    rate: float
    """Learning rate."""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phi": 0}, "--phi: got 0, must be above 0 (inferred facts per atomic fact, after augmentation; default 8)."),
        (
            {"phi": "many"},
            "--phi: got many, must be a number (inferred facts per atomic fact, after augmentation; default 8).",
        ),
        ({"layers": 65}, "--layers: got 65, must be at most 64 (GPT-2 blocks; default 2)."),
        ({"layers": 0}, "--layers: got 0, must be at least 1 (GPT-2 blocks; default 2)."),
        ({"layers": 1.5}, "--layers: got 1.5, must be a whole number (GPT-2 blocks; default 2)."),
        (
            {"share": 1.0},
            "--share: got 1, must be below 1 (share of facts kept out, e.g. for testing [0, 1); default 0.5).",
        ),
        (
            {"optimiser": "sgd"},
            "--optimiser: got sgd, must be one of 'adamw' or 'muon' "
            "(which optimiser trains the weights; default adamw).",
        ),
        ({"tied": "perhaps"}, "--tied: got perhaps, must be true or false (default false)."),
        ({"limit": "x"}, "--limit: got x, must be a whole number (most facts to read; default none)."),
        ({"name": 3}, "--name: got 3, must be text (default '')."),
        ({"phy": 3}, "--phy: there is no such setting. Did you mean 'phi'?"),
        ({"zzz": 3}, "--zzz: there is no such setting."),
    ],
)
def test_a_refused_value_names_field_value_rule_and_meaning(values, message):
    with pytest.raises(UserError) as caught:
        validate(Config, values, "toy")
    assert str(caught.value) == f"toy {message}"


def test_all_faults_come_at_once():
    with pytest.raises(UserError) as caught:
        validate(Config, {"phi": 0, "layers": 0, "zzz": 1}, "toy")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["toy --zzz", "toy --phi", "toy --layers"]


def test_more_than_five_faults_are_counted():
    with pytest.raises(UserError) as caught:
        validate(Config, {f"zzz{number}": 0 for number in range(8)}, "toy")
    assert str(caught.value).splitlines()[5:] == ["... and 3 more of this kind"]


def test_a_missing_field_is_named():
    with pytest.raises(UserError) as caught:
        validate(Needy, {}, "toy")
    assert str(caught.value) == "toy --rate: missing, must be given (learning rate)."


def test_a_rule_between_fields_is_a_plain_message():
    with pytest.raises(UserError) as caught:
        validate(Config, {"tied": True, "layers": 1}, "toy")
    assert str(caught.value) == "toy: --tied needs at least 2 layers"


def test_text_from_the_command_line_is_converted():
    assert validate(Config, {"phi": "6.25", "layers": "3", "tied": "true"}, "toy") == Config(
        phi=6.25, layers=3, tied=True
    )


def test_a_config_that_is_not_flat_is_the_authors_fault():
    with pytest.raises(TypeError, match=r"Needy\.rate holds a list"):
        to_json(Needy([1.0]))  # type: ignore[arg-type]


def test_field_docs_include_the_base_class():
    docs = field_docs(Config)
    assert list(docs) == ["phi", "layers", "optimiser", "name", "share", "tied", "limit", "budget"]
    assert docs["layers"] == "GPT-2 blocks."
    assert docs["phi"].startswith("Inferred facts")
    assert docs["name"] == ""


@given(
    st.builds(
        Config,
        phi=st.floats(min_value=0, exclude_min=True),
        layers=st.integers(2, 64),
        optimiser=st.sampled_from(["adamw", "muon"]),
        name=st.text(),
        share=st.floats(0, 1, exclude_max=True),
        tied=st.booleans(),
        limit=st.none() | st.integers(),
        budget=st.floats(allow_nan=False),
    )
)
def test_json_round_trip_is_exact(config: Config):
    stored = json.loads(json.dumps(to_json(config), allow_nan=False))
    assert from_json(Config, stored) == config


def drawn(
    path: str, *, pairs: Annotated[int, Ge(1)] = 5, top_share: Annotated[float, Gt(0), Le(1)] | None = None
) -> str:
    return f"{path} {pairs} {top_share}"


def test_arguments_within_their_bounds_pass():
    assert within_bounds(drawn, "draw")("a", pairs=1, top_share=1.0) == "a 1 1.0"
    assert within_bounds(drawn, "draw")("a") == "a 5 None"


def test_arguments_out_of_bounds_are_refused_together():
    with pytest.raises(UserError) as caught:
        within_bounds(drawn, "draw")("a", pairs=0, top_share=1.5)
    assert str(caught.value) == (
        "draw --pairs: got 0, must be at least 1.\ndraw --top-share: got 1.5, must be at most 1."
    )
