"""Files of trajectories: what is read, what is refused in which words, and how derivatives are estimated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.domains.physics.recorded import write_csv, write_npz

from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.trajectories import (
    Recorded,
    as_particles,
    motion,
    read_trajectories,
    split_columns,
)

T = np.linspace(0, 6, 61)


def spring(rate: float = 1.0, noise: float = 0.0, seed: int = 0) -> Recorded:
    q, p = np.cos(rate * T)[:, None], -rate * np.sin(rate * T)[:, None]
    draw = np.random.default_rng(seed)
    return Recorded("a", T, q + noise * draw.normal(size=q.shape), p + noise * draw.normal(size=p.shape))


@pytest.mark.parametrize("name", ["orbits.csv", "orbits.npz"])
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    both = [spring(), Recorded("b", T, spring(2.0).q, spring(2.0).p)]
    (write_csv if name.endswith("csv") else write_npz)(tmp_path / name, both)
    found = read_trajectories(tmp_path / name)
    assert [one.name for one in found] == (["a", "b"] if name.endswith("csv") else ["0", "1"])
    for one, other in zip(found, both, strict=True):
        assert np.array_equal(one.t, other.t)
        assert np.array_equal(one.q, other.q)
        assert np.array_equal(one.p, other.p)


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    rows = "\n".join(f"{t},{np.cos(t)},{-np.sin(t)},0" for t in T)
    (tmp_path / "a.csv").write_text(f"t,angle,spin,note\n{rows}\n")
    (found,) = read_trajectories(tmp_path / "a.csv", split_columns("angle"), split_columns(" spin "))
    assert found.q.shape == found.p.shape == (61, 1)
    np.savez(tmp_path / "a.npz", t=T, x=np.cos(T), y=np.sin(T), px=-np.sin(T), py=np.cos(T))
    (found,) = read_trajectories(tmp_path / "a.npz", ("x", "y"), ("px", "py"))
    assert found.q.shape == found.p.shape == (61, 2)


def test_derivatives_of_the_file_are_taken_and_others_estimated(tmp_path: Path) -> None:
    exact = spring()
    found = motion(exact)
    assert found.dq[2:-2] == pytest.approx(exact.p[2:-2], abs=0.01)
    assert found.error < 0.01
    np.savez(tmp_path / "known.npz", t=T, q=exact.q, p=exact.p, dq=exact.p, dp=-exact.q)
    (read,) = read_trajectories(tmp_path / "known.npz")
    assert np.array_equal(motion(read).dp, -exact.q)
    assert motion(read).error == 0


@pytest.mark.parametrize("noise", [0.003, 0.03])
def test_the_printed_error_is_near_the_true_one(noise: float) -> None:
    exact, printed, true = spring(), list[float](), list[float]()
    for seed in range(8):
        found = motion(spring(noise=noise, seed=seed))
        printed.append(found.error)
        wrong = np.concatenate([found.dq - exact.p, found.dp + exact.q])
        true.append(float(np.sqrt((wrong**2).mean() / ((exact.p**2).mean() + (exact.q**2).mean()) * 2)))
    assert 0.4 < np.mean(printed) / np.mean(true) < 2.5


def test_momenta_come_from_positions_where_there_are_none(tmp_path: Path) -> None:
    """An encoder: angles alone. Momentum is mass times velocity, and the printed error is near the true one."""
    known = spring(2.0)
    for noise, near in ((0.0, 0.02), (0.002, 0.25)):
        q = known.q + noise * np.random.default_rng(0).normal(size=known.q.shape)
        (tmp_path / "a.csv").write_text(
            "\n".join(["t,q1", *(f"{t!r},{x!r}" for t, x in zip(T.tolist(), q[:, 0].tolist(), strict=True))])
        )
        np.savez(tmp_path / "a.npz", t=T, q=q)
        (read,), (also,) = (read_trajectories(tmp_path / name, positions_only=True) for name in ("a.csv", "a.npz"))
        assert read.p is None
        assert np.array_equal(read.q[:, 0], also.q[:, 0])
        found = motion(read, np.array([3.0]))
        inner = slice(found.loose, -found.loose)
        assert known.p is not None
        assert found.loose == 3
        assert found.p[inner] == pytest.approx(3 * known.p[inner], abs=0.2)
        assert found.dq * 3 == pytest.approx(found.p)
        wrong = found.dp[inner] + 3 * 4 * known.q[inner]
        true = float(np.sqrt((wrong**2).mean() / ((12 * known.q[inner]) ** 2).mean()))
        assert true < near
        assert 0.3 < found.error / true < 3 or noise == 0


def test_mass_is_for_files_without_momenta(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [spring()])
    write_npz(tmp_path / "a.npz", [spring()])
    for name, place in (("a.csv", "a.csv:1 field 'p1': "), ("a.npz", "a.npz field 'p': ")):
        with pytest.raises(UserError) as fault:
            read_trajectories(tmp_path / name, positions_only=True)
        assert str(fault.value).startswith(place + "momenta are in the file, so --mass")


def test_scale_and_unit_of_time_do_not_matter() -> None:
    noisy = spring(noise=0.01)
    tiny = Recorded("a", 1e-9 * T, 1e-6 * noisy.q, 1e12 * noisy.p)
    found, scaled = motion(noisy), motion(tiny)
    assert scaled.dq * 1e-3 == pytest.approx(found.dq, abs=1e-6)
    assert scaled.dp * 1e-21 == pytest.approx(found.dp, abs=1e-6)


def table(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


GOOD = [f"{0.1 * k:.1f},1,2" for k in range(14)]
BROKEN = {
    "counts": (table("t,q1,q2,p1", ["0,1,2,3"]), "a.csv:1: 2 positions (q1, q2) and 1 momenta (p1);"),
    "no-time": (table("time,q,p", GOOD), "a.csv:1: no column 't' (times); columns: time, q, p."),
    "no-p": (table("t,q,v", GOOD), "a.csv:1 field 'p': no column begins with 'p'. Name them with --p, or give --mass"),
    "decreasing": (table("t,q,p", [*GOOD[:5], "0.2,1,2", *GOOD[6:]]), "a.csv:7 field 't': 0.2 after 0.4;"),
    "uneven": (table("t,q,p", [*GOOD, "2.0,1,2"]), "a.csv:16 field 't': a step of 0.7 where the others have 0.1."),
    "nan": (table("t,q,p", [*GOOD[:3], "0.3,nan,2", *GOOD[4:]]), "a.csv:5 field 'q': 'nan' is not a finite number."),
    "nan-derivative": (
        table("t,q,p,dq,dp", [f"{row},0,{'x' if k == 2 else 0}" for k, row in enumerate(GOOD)]),
        "a.csv:4 field 'dp': 'x' is not a finite number.",
    ),
    "ragged": (table("t,q,p", [*GOOD[:2], "0.2,1", *GOOD[3:]]), "a.csv:4: 2 cells, the header has 3."),
    "short": (table("t,q,p", GOOD[:5]), "a.csv: there are 5 rows; at least 12 are needed"),
    "twice": (table("t,q,q,p", GOOD), "a.csv:1 field 'q': two columns of this name."),
    "empty": ("", "a.csv: no rows."),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_table_is_told(case: str, tmp_path: Path) -> None:
    text, message = BROKEN[case]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError) as fault:
        read_trajectories(tmp_path / "a.csv")
    assert str(fault.value).startswith(message)


def test_uneven_times_are_taken_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(BROKEN["uneven"][0])
    assert len(read_trajectories(tmp_path / "a.csv", allow_uneven=True)[0].t) == 15


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"t": T, "q": np.cos(T)}, "a.npz field 'p': no such array; there are q, t. Name it with --p, or give --mass"),
        ({"t": T, "q": np.ones((61, 2)), "p": np.ones(61)}, "a.npz field 'p': shape (61,), q has (61, 2)"),
        ({"t": T[:50], "q": np.cos(T), "p": np.cos(T)}, "a.npz field 'q': shape (61,); with 50 times it must be"),
        ({"t": T, "q": np.cos(T), "p": np.where(T > 5.9, np.nan, T)}, "a.npz field 'p': not a finite number in"),
        ({"t": T[::-1], "q": np.cos(T), "p": T}, "a.npz field 't': row 1: 5.9 after 6; times must increase."),
        ({"t": T, "q": np.array(["x"] * 61), "p": T}, "a.npz field 'q': holds <U1, not real numbers."),
    ],
    ids=["missing", "shapes", "times", "nan", "decreasing", "text"],
)
def test_a_broken_archive_is_told(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError) as fault:
        read_trajectories(tmp_path / "a.npz")
    assert str(fault.value).startswith(message)


def test_pickled_and_foreign_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=T, q=np.array([object()] * 61), p=T)
    (tmp_path / "b.npz").write_text("t,q,p\n")
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00")
    for name, message in (
        ("a.npz", "no archive of plain arrays"),
        ("b.npz", "no archive of plain arrays"),
        ("c.csv", "not UTF-8"),
    ):
        with pytest.raises(UserError, match=message):
            read_trajectories(tmp_path / name)


def test_columns_become_particles() -> None:
    values = np.arange(12.0).reshape(2, 6)
    assert as_particles(values, 3).shape == (2, 3, 2)
    assert as_particles(values, 3)[0, 1].tolist() == [2, 3]
    for particles in (1, 4):
        with pytest.raises(UserError, match=f"6 positions are no {particles} particles"):
            as_particles(values, particles)
