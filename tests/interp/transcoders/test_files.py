"""Files of SAELens give its outputs here, and ours gave ours there (tests/oracles/saelens.py); damage is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.oracles.saelens import OURS, THEIRS, made_here

from wheatstone.bench.errors import UserError
from wheatstone.interp.transcoders.dictionary import DictionaryConfig, random_dictionary
from wheatstone.interp.transcoders.files import CONFIG, WEIGHTS, architecture_of, load_dictionary, save_dictionary

KEPT = Path(__file__).parents[2] / "data" / "oracles" / "saelens"
ANSWERS = load_file(KEPT / "answers.safetensors")


@pytest.mark.parametrize("name", [*THEIRS, *OURS])
def test_a_file_gives_the_outputs_that_saelens_gives(name: str) -> None:
    found = load_dictionary(KEPT / name)
    assert torch.allclose(found.dictionary(ANSWERS["x"]), ANSWERS[name], atol=1e-5)
    assert found.dictionary.unit_norm_fault() < 1e-5
    assert found.layer == (3 if name in THEIRS else 2)


@pytest.mark.parametrize("name", OURS)
def test_what_is_written_is_what_saelens_was_given(name: str, tmp_path: Path) -> None:
    save_dictionary(tmp_path / name, made_here(name), layer=2, model="toy")
    assert json.loads((tmp_path / name / CONFIG).read_text()) == json.loads((KEPT / name / CONFIG).read_text())
    written, kept = load_file(tmp_path / name / WEIGHTS), load_file(KEPT / name / WEIGHTS)
    assert written.keys() == kept.keys()
    assert all(torch.allclose(written[key], kept[key], atol=1e-7) for key in kept)


@pytest.mark.parametrize("skip", [False, True])
def test_a_topk_transcoder_comes_back_though_saelens_has_none(skip: bool, tmp_path: Path) -> None:
    made = random_dictionary(DictionaryConfig(6, 8, 20, k=4, skip=skip), torch.Generator().manual_seed(0))
    save_dictionary(tmp_path / "tc", made, layer=1, model="toy", tokens=100)
    found = load_dictionary(tmp_path / "tc")
    assert found.dictionary.cfg == made.cfg
    assert torch.allclose(found.dictionary(ANSWERS["x"]), made(ANSWERS["x"]), atol=1e-6)
    assert found.metadata["tokens"] == 100


def test_an_autoencoder_with_a_skip_path_has_no_name() -> None:
    with pytest.raises(ValueError, match="copy its input"):
        architecture_of(DictionaryConfig(4, 4, 8, kind="sae", k=2, skip=True))


def damaged(tmp_path: Path, **fields: object) -> Path:
    """A good file with some fields of its config changed."""
    place = tmp_path / "tc"
    shutil.copytree(KEPT / "ours_jumprelu", place)
    config = json.loads((place / CONFIG).read_text())
    (place / CONFIG).write_text(json.dumps(config | fields))
    return place


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "mixture"}, r"field 'architecture': got 'mixture', must be one of standard"),
        ({"d_in": 7}, r"tensor 'W_enc' is \(6, 20\), cfg.json says \(7, 20\)"),
        ({"d_sae": "many"}, r"cfg.json: field"),
        ({"normalize_activations": "layer_norm"}, r"field 'normalize_activations': got 'layer_norm', must be 'none'"),
        ({"architecture": "jumprelu_skip_transcoder"}, r"tensor 'W_skip' is missing"),
        ({"architecture": "topk_transcoder"}, r"field 'k' is missing or wrong"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load_dictionary(damaged(tmp_path, **fields))


def test_missing_broken_pickled_and_infinite_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_dictionary(tmp_path / "none")
    with pytest.raises(UserError, match="pickle"):
        load_dictionary(tmp_path / "tc.pt")
    place = damaged(tmp_path)
    tensors = load_file(place / WEIGHTS)
    (place / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        load_dictionary(place)
    save_file({**tensors, "b_dec": torch.full((6,), torch.inf)}, place / WEIGHTS)
    with pytest.raises(UserError, match="'b_dec' has values that are not finite"):
        load_dictionary(place)


def test_topk_rows_of_different_lengths_are_refused_unless_selection_used_them(tmp_path: Path) -> None:
    place = tmp_path / "topk"
    shutil.copytree(KEPT / "topk", place)
    tensors = load_file(place / WEIGHTS)
    lengths = torch.linspace(0.5, 2.0, len(tensors["W_dec"]))
    save_file({**tensors, "W_dec": tensors["W_dec"] * lengths[:, None]}, place / WEIGHTS)
    with pytest.raises(UserError, match="topk selects without them"):
        load_dictionary(place)
    config = json.loads((place / CONFIG).read_text())
    (place / CONFIG).write_text(json.dumps(config | {"rescale_acts_by_decoder_norm": True}))
    assert load_dictionary(place).dictionary.unit_norm_fault() < 1e-5
