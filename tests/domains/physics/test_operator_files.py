"""Triples, waveforms and stored operators: what is read, what is refused and where, splits that share no function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.operators import Box
from wheatstone.domains.physics.surrogate import Surrogate
from wheatstone.domains.physics.triples import Triples, read_triples, shared_functions, split_by_function
from wheatstone.domains.physics.waveforms import at_sensors, read_waveforms
from wheatstone.learn.models.operator_network import OperatorNetwork, OperatorNetworkConfig

U = np.random.default_rng(0).standard_normal((12, 6))
S = U[:, :4].cumsum(1)
Y = np.linspace(0, 1, 4)


def stored(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "t.npz", **arrays)
    return folder / "t.npz"


@pytest.mark.parametrize(
    "y", [Y, Y[:, None], np.tile(Y, (12, 1)), np.tile(Y, (12, 1))[:, :, None]], ids=lambda y: str(y.shape)
)
def test_places_may_be_shared_or_not(tmp_path: Path, y: np.ndarray) -> None:
    found = read_triples(stored(tmp_path, U=U, Y=y, S=S)).triples
    assert found.y.shape == (12, 4, 1)
    assert found.is_aligned
    assert np.array_equal(found.s, S)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    triples = Triples(U, np.random.default_rng(1).uniform(size=(12, 4, 2)), S)
    found = read_triples(stored(tmp_path, U=triples.u, Y=triples.y, S=triples.s, X=np.linspace(2, 3, 6)))
    assert np.array_equal(found.triples.y, triples.y)
    assert found.sensors[0] == 2
    assert not found.triples.is_aligned


BAD = U.copy()
BAD[3, 1] = np.nan
BROKEN = [
    ({"U": U, "S": S}, "no array 'Y'. It has U, S"),
    ({"u": U, "Y": Y, "S": S}, "no array 'U'"),
    ({"U": U[0], "Y": Y, "S": S}, r"array 'U': shape \(6,\)"),
    ({"U": U, "Y": Y, "S": S[:5]}, r"array 'S': shape \(5, 4\), must be \[12"),
    ({"U": U, "Y": Y[:3], "S": S}, r"array 'Y': shape \(3,\), must be \[12, 4"),
    ({"U": U, "Y": Y, "S": S, "X": np.arange(5.0)}, "array 'X': shape"),
    ({"U": U, "Y": Y, "S": S, "X": np.array([0, 1, 1, 2, 3, 4.0])}, "must increase; entry 2"),
    ({"U": BAD, "Y": Y, "S": S}, r"field 'U\[3\]': 1 value\(s\) that are no numbers"),
    ({"U": U.astype(complex), "Y": Y, "S": S}, "holds complex128"),
    ({"U": U, "Y": np.stack([Y, 0 * Y], 1), "S": S}, "coordinate 1 is 0 in all rows"),
    ({"U": U[:5], "Y": Y, "S": S[:5]}, "5 different functions in U"),
]


@pytest.mark.parametrize(("arrays", "message"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_broken_triples_are_refused(tmp_path: Path, arrays, message) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_triples(stored(tmp_path, **arrays))
    assert str(error.value).startswith("t.npz")


def test_no_archive_and_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UserError, match=r"^a\.npz: damaged, or no archive"):
        read_triples(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", U=np.array([{}], dtype=object), Y=Y, S=S)
    with pytest.raises(UserError, match="objects, which only pickle can hold"):
        read_triples(tmp_path / "b.npz")
    with pytest.raises(UserError, match="no such file"):
        read_triples(tmp_path / "c.npz")


@given(st.integers(0, 1000), st.floats(0.05, 0.9))
def test_a_function_is_on_one_side_with_all_its_labels(seed: int, share: float) -> None:
    repeated = U[np.random.default_rng(seed).integers(0, 12, 40)]
    triples = Triples(repeated, np.zeros((40, 1, 1)), repeated[:, :1])
    halves = split_by_function(triples, share, np.random.default_rng(seed))
    assert len(halves.train) + len(halves.test) == 40
    assert len(halves.test) > 0
    assert shared_functions(halves.train, halves.test) == 0


def table(folder: Path, text: str) -> Path:
    (folder / "u.csv").write_text(text)
    return folder / "u.csv"


@pytest.mark.parametrize("text", ["t,u\n0,1\n1,3\n", "# a comment\n0 1\n1 3\n", "0;1\n\n1;3", "t\tu\n0\t1\n1\t3\n"])
def test_tables_in_many_forms(tmp_path: Path, text: str) -> None:
    waves = read_waveforms(table(tmp_path, text))
    assert at_sensors(waves, np.array([0, 0.5, 1])).tolist() == [[1, 2, 3]]


def test_one_column_is_the_sensors(tmp_path: Path) -> None:
    waves = read_waveforms(table(tmp_path, "u\n1\n2\n3\n"))
    assert at_sensors(waves, np.arange(3.0)).tolist() == [[1, 2, 3]]
    with pytest.raises(UserError, match="expected 4 sensor values, it has 3"):
        at_sensors(waves, np.arange(4.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,u\n0,1\n1,x\n", r"u\.csv:3 field 'u': 'x' is no finite number"),
        ("0,1\n1,2\n1,3\n", r"u\.csv:3.*1 comes after 1"),
        ("0,1\n1\n", r"u\.csv:2: 1 columns"),
        ("t,u\n", "no numbers"),
        ("0,1\n1,nan\n", r"u\.csv:2.*'nan'"),
    ],
    ids=str,
)
def test_broken_tables_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_waveforms(table(tmp_path, text))


def test_a_drive_must_reach_all_sensors(tmp_path: Path) -> None:
    waves = read_waveforms(table(tmp_path, "0,1\n0.9,2\n"))
    with pytest.raises(UserError, match=r"from 0 \(line 1\) to 0.9 \(line 2\); the sensors need 0 to 1"):
        at_sensors(waves, np.array([0.0, 1.0]))


def surrogate(n: int = 2) -> Surrogate:
    cfg = OperatorNetworkConfig(sensors=6, width=4)
    members = [OperatorNetwork(cfg, torch.Generator().manual_seed(at)) for at in range(n)]
    return Surrogate(members, np.linspace(0, 1, 6), Box((0.0,), (1.0,), ("t",)), -1.0, 1.0, 0.5, "test")


def test_a_stored_operator_answers_as_before(tmp_path: Path) -> None:
    surrogate().save(tmp_path / "m.safetensors")
    again = Surrogate.load(tmp_path / "m.safetensors")
    one, other = (found.predict(U[:3], Y[:, None]) for found in (surrogate(), again))
    assert np.array_equal(one.mean, other.mean)
    assert np.array_equal(one.spread, other.spread)
    assert again.box == surrogate().box
    assert np.isnan(surrogate(1).predict(U[:1], Y[:, None]).spread).all()


def test_error_bars_are_those_of_the_calibration_and_are_stored(tmp_path: Path) -> None:
    draw, places = np.random.default_rng(5), Y[:, None]
    u = draw.standard_normal((29, 6))
    base = surrogate()
    offsets = np.arange(1.0, 30)  # every function is off by as many scales
    plain = base.predict(u, places)
    truth = plain.mean + offsets[:, None] * np.hypot(plain.spread, 0.5)
    set_by = base.calibrated(u, np.broadcast_to(places, (29, *places.shape)), truth, 0.5)
    assert set_by.ratios == pytest.approx(np.broadcast_to(offsets[:, None], (29, 4)))
    set_by.save(tmp_path / "m.safetensors")
    again = Surrogate.load(tmp_path / "m.safetensors")
    new = again.predict(U, places)
    assert again.half_width(new, 0.9, whole=True) == pytest.approx(27 * np.hypot(new.spread, 0.5))  # rank 0.9 * 30
    assert again.half_width(new, 0.9) == pytest.approx(27 * np.hypot(new.spread, 0.5))
    with pytest.raises(UserError, match=r"level 0\.99 need 99 functions"):
        again.half_width(new, 0.99)
    assert not base.promises(0.5)
    one = surrogate(1)
    alone = one.calibrated(u, np.broadcast_to(places, (29, *places.shape)), one.predict(u, places).mean + 1, 0.5)
    assert alone.half_width(alone.predict(U, places), 0.5) == pytest.approx(1.0)


def test_strange_inputs_are_said() -> None:
    flat, large, steep = np.zeros(6), np.full(6, 2.0), np.array([0, 0.9, 0, 0, 0, 0])
    assert surrogate().strangeness(np.stack([flat, large, steep]), "abc") == [
        "b runs from 2 to 2; in training it was -1 to 1",
        "c changes by 0.9 from one sensor to the next; in training it was 0.5 at most",
    ]


@pytest.mark.parametrize("damage", ["cut", "other", "newer"])
def test_a_damaged_operator_is_refused(tmp_path: Path, damage: str) -> None:
    from wheatstone.bench.checkpoint import read_tensors, write_tensors

    path = tmp_path / "m.safetensors"
    surrogate().save(path)
    tensors, record = read_tensors(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    elif damage == "other":
        write_tensors(path, tensors, {"step": 3})
    else:
        write_tensors(path, tensors, record | {"surrogate": 99})
    with pytest.raises(UserError, match="newer than 2" if damage == "newer" else "not a trained operator"):
        Surrogate.load(path)
    write_tensors(path, {"sensors": tensors["sensors"]}, record)
    with pytest.raises(UserError, match="damaged"):
        Surrogate.load(path)
