"""Judges find what differs and nothing else; measures of memory find copies under any names."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.domains.quantum.judging import (
    FIRST_LINES,
    Read,
    area,
    copied_share,
    edit_distances,
    fixed_judge,
    header_of,
    nearest,
    steps_of,
    two_sample,
    words_of,
)
from wheatstone.domains.quantum.program import Op, Program

RNG = np.random.default_rng


def ladder(n: int, gate: str, repeats: int = 3) -> Program:
    """A pattern that a family repeats at every size."""
    ops = [Op(gate, (place, place + 1)) for _ in range(repeats) for place in range(n - 1)]
    return Program(n, (Op("h", (0,)), *ops), gate, f"{gate}_{n}")


def noise(like: Program, rng: np.random.Generator) -> Program:
    """The same gates on random qubits in random order."""
    ops = [Op(op.gate, tuple(map(int, rng.permutation(like.n)[: len(op.qubits)]))) for op in like.ops]
    return Program(like.n, tuple(ops[place] for place in rng.permutation(len(ops))), like.family, like.name)


REAL = [ladder(n, gate) for n in range(3, 13) for gate in ("cx", "cz", "cy", "ch", "swap", "csx")]
NOISE = [noise(one, RNG(place)) for place, one in enumerate(REAL)]


def families(programs: list[Program]) -> list[str]:
    return [one.family for one in programs]


def judged(candidates: list[Program], *reads: Read) -> float:
    return two_sample(REAL, families(REAL), candidates, families(candidates), RNG(0), *reads).auc()


def test_noise_is_found_out_on_families_that_the_judge_has_not_seen() -> None:
    assert judged(NOISE) > 0.95


def test_the_same_circuits_cannot_be_told_from_themselves() -> None:
    assert judged(list(REAL)) == pytest.approx(0.5, abs=0.02)


def test_a_header_tells_nothing() -> None:
    assert judged(NOISE, header_of) == pytest.approx(0.5, abs=0.02)


def test_a_random_tail_passes_a_judge_that_reads_the_start_alone() -> None:
    real = [ladder(n, gate, 14) for n in range(6, 13) for gate in ("cx", "cz", "cy", "ch", "swap")]
    spliced = [
        Program(one.n, one.ops[:FIRST_LINES] + noise(one, RNG(3)).ops[FIRST_LINES:], one.family, one.name)
        for one in real
    ]

    def start(one: Program) -> list[str]:
        begun = Program(one.n, one.ops[:FIRST_LINES])
        return words_of(begun) + steps_of(begun)

    groups = families(real)
    assert two_sample(real, groups, spliced, groups, RNG(0)).auc() > 0.9
    assert two_sample(real, groups, spliced, groups, RNG(0), start).auc() == pytest.approx(0.5, abs=0.02)


def test_one_group_alone_is_no_test() -> None:
    alone = ["one"] * len(REAL)
    assert np.isnan(two_sample(REAL, alone, NOISE, alone, RNG(0)).auc())


def test_area_is_the_share_of_pairs_in_order() -> None:
    scores, positive = np.array([0.0, 1.0, 1.0, 2.0]), np.array([False, False, True, True])
    assert area(scores, positive) == (1 + 1 + 0.5 + 1) / 4
    assert np.isnan(area(scores, np.ones(4, bool)))


def test_the_published_judge_looks_at_statements_only() -> None:
    rng = RNG(0)
    other = [Program(one.n, tuple(Op("x", op.qubits[:1]) for op in one.ops)) for one in REAL]
    judge = fixed_judge(REAL, other, rng)
    assert judge.accuracy == 1.0
    shuffled = [Program(one.n, tuple(one.ops[place] for place in rng.permutation(len(one.ops)))) for one in REAL]
    assert judge.says_real(shuffled).mean() == 1.0
    assert judge.says_real(other).mean() == 0.0


def test_edit_distances_are_levenshtein() -> None:
    def slow(a: list[int], b: list[int]) -> int:
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            last, row[0] = row[0], i
            for j, y in enumerate(b, 1):
                last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
        return row[-1]

    rng = RNG(0)
    for _ in range(40):
        one = list(map(int, rng.integers(3, size=rng.integers(0, 9))))
        others = [list(map(int, rng.integers(3, size=rng.integers(0, 9)))) for _ in range(4)]
        assert edit_distances(one, others).tolist() == [slow(one, other) for other in others]


def test_copies_are_found_under_other_names() -> None:
    rng = RNG(0)
    turned = [one.relabelled(list(map(int, rng.permutation(one.n)))) for one in REAL]
    near = nearest(turned, REAL)
    assert {one.distance for one in near} == {0.0}
    assert [REAL[one.place].name for one in near] == [one.name for one in REAL]
    assert copied_share(turned, REAL) == 1.0
    assert copied_share([ladder(5, "cx", 1)], [ladder(5, "cz")], 4) < 1
    assert np.isnan(copied_share([ladder(2, "cx", 1)], REAL))
    changed = Program(6, (*ladder(6, "cx").ops[:-1], Op("t", (5,))))
    (found,) = nearest([changed], REAL)
    assert found.distance == pytest.approx(1 / len(changed.ops))
