"""Router logs: three formats, one trace; every fault with its place."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.routing.files import read_log
from wheatstone.domains.routing.traces import Trace, measure
from wheatstone.interp.pathways import consistencies

DATA = Path(__file__).parents[2] / "data" / "grokking-pathways"
EXPERTS = np.array([[[3, 1], [0, 2]], [[3, 1], [0, 2]], [[0, 1], [1, 2]]])
WEIGHTS = np.array([[[0.6, 0.2], [0.5, 0.5]], [[0.4, 0.4], [0.9, 0.1]], [[0.7, 0.3], [0.5, 0.25]]])
EMBEDDING = np.arange(2 * 4 * 3, dtype=float).reshape(2, 4, 3)


def lines(path: Path, *, head: dict[str, object] | None = None) -> Path:
    rows: list[dict[str, object]] = [head] if head else []
    for sample, group, experts, weights in zip((7, 7, 9), (1, 1, 1), EXPERTS.tolist(), WEIGHTS.tolist(), strict=True):
        rows.append({"sample": sample, "group": group, "experts": experts, "weights": weights})
    text = "\n".join(map(json.dumps, rows))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def same(a: Trace, b: Trace) -> None:
    np.testing.assert_allclose(a.weights, b.weights, atol=1e-6)
    assert (a.samples, a.groups) == (b.samples, b.groups)


def test_all_formats_read_the_same(tmp_path: Path) -> None:
    plain = read_log(lines(tmp_path / "a.jsonl"))
    same(plain, read_log(lines(tmp_path / "a.jsonl.gz")))
    labels = {"sample": np.array([7, 7, 9]), "group": np.array([1, 1, 1])}
    np.savez(tmp_path / "a.npz", experts=EXPERTS, weights=WEIGHTS, **labels)
    same(plain, read_log(tmp_path / "a.npz"))
    tensors = {
        name: torch.from_numpy(value) for name, value in {"experts": EXPERTS, "weights": WEIGHTS, **labels}.items()
    }
    save_file(tensors, tmp_path / "a.safetensors")
    same(plain, read_log(tmp_path / "a.safetensors"))
    assert plain.weights.shape == (3, 2, 4)
    assert plain.weights[0].tolist() == [[0, 0.2, 0, 0.6], [0.5, 0, 0.5, 0]]
    assert plain.samples == ("7", "7", "9")


def test_half_precision_and_rows_of_routers_are_read(tmp_path: Path) -> None:
    tensors = {
        "experts": torch.from_numpy(EXPERTS),
        "weights": torch.from_numpy(WEIGHTS).bfloat16(),
        "embedding": torch.from_numpy(EMBEDDING).bfloat16(),
    }
    save_file(tensors, tmp_path / "a.safetensors")
    found = read_log(tmp_path / "a.safetensors")
    np.testing.assert_allclose(found.weights.sum(-1), WEIGHTS.sum(-1), atol=0.01)
    assert found.embedding is not None
    assert found.samples == ("0", "1", "2")
    with_rows = read_log(lines(tmp_path / "a.jsonl", head={"embedding": EMBEDDING.tolist()}))
    assert with_rows.embedding is not None
    np.testing.assert_allclose(with_rows.embedding, EMBEDDING)


def test_tokens_of_a_sample_are_averaged_or_the_last_is_taken(tmp_path: Path) -> None:
    trace = read_log(lines(tmp_path / "a.jsonl"))
    whole = trace.by_sample()
    assert (whole.samples, whole.groups, whole.top_k) == (("7", "9"), ("1", "1"), 2)
    np.testing.assert_allclose(whole.weights[0], trace.weights[:2].mean(0))
    np.testing.assert_allclose(trace.last_tokens().weights, trace.weights[1:])


def test_measures_by_hand(tmp_path: Path) -> None:
    trace = read_log(lines(tmp_path / "a.jsonl", head={"embedding": EMBEDDING.tolist()})).last_tokens()
    # 1 3 | 0 2 (ties by number, then by weight) against 0 1 | 1 2: Levenshtein 3 of 4 symbols
    found, *groups = measure(dataclasses.replace(trace, groups=("1", "2")), top_k=2, share=None, pairs=10)
    assert (found.group, found.samples, found.pairs, found.symbols) == ("all", 2, 1, 4.0)
    assert found.distance == pytest.approx(3 / 4)
    assert found.consistency is not None
    assert found.complexity == pytest.approx(1 - found.consistency)
    assert [(one.group, one.distance) for one in groups] == [("1", None), ("2", None)]
    with pytest.raises(UserError, match="got 1 sample, need at least 2"):
        measure(Trace(trace.weights[:1], ("a",), ("b",), 2), top_k=2, share=None, pairs=3)


def test_of_averaged_tokens_only_the_experts_of_the_pathway_count() -> None:
    """The paper's sum runs over the selected experts: what the others weigh must not matter."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(6), size=(20, 3))
    names = tuple(map(str, range(20)))
    trace = Trace(weights, names, ("all",) * 20, 2, rng.normal(size=(3, 6, 5)))
    few = np.where(weights >= np.sort(weights, axis=-1)[..., [-2]], weights, 0.0)
    (found,), (alone,) = (
        measure(dataclasses.replace(trace, weights=one), top_k=2, share=None, pairs=500) for one in (weights, few)
    )
    assert found.consistency == pytest.approx(alone.consistency)
    assert (found.distance, found.shuffled, found.symbols) == (alone.distance, alone.shuffled, 6.0)
    assert found.entropy > alone.entropy  # use is that of all experts
    (whole,) = measure(trace, top_k=6, share=None, pairs=500)
    assert whole.consistency == pytest.approx(consistencies(weights, trace.embedding).mean())


def test_every_fault_of_lines_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    with pytest.raises(InputError) as caught:
        read_log(Path("broken.jsonl"))
    assert str(caught.value) == (
        "broken.jsonl:3 field 'experts': got 1 layers, the lines before have 2.\n"
        "broken.jsonl:4 field 'experts': layer 0: expert 3 twice.\n"
        "broken.jsonl:5 field 'weights': layer 0: sum to 1.3, must be at most 1.\n"
        "broken.jsonl:6 field 'group': sample 'q1' is in 'code' here, in 'math' before.\n"
        "broken.jsonl:7 field 'weights': missing. A line has the experts of each layer and their weights."
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "1: is not an object"),
        ("{", "1: is not JSON"),
        ('{"experts": [[0.5]], "weights": [[0.5]]}', "1 field 'experts': must be a list of layers"),
        ('{"experts": [[true]], "weights": [[0.5]]}', "1 field 'experts': must be a list of layers"),
        ('{"experts": [[]], "weights": [[]]}', "1 field 'experts': must be a list of layers"),
        ('{"experts": [[-1]], "weights": [[0.5]]}', "layer 0: got expert -1, must lie between 0"),
        ('{"experts": [[1]], "weights": [[-3.5]]}', "got -3.5, must lie between 0 and 1"),
        ('{"experts": [[1]], "weights": [[NaN]]}', "got nan, must lie between 0 and 1"),
        ('{"experts": [[1, 2]], "weights": [[0.5]]}', "got 1 weights for 2 experts"),
        ('{"n_expert": 2}\n{"experts": [[2]], "weights": [[1]]}', "2 field 'experts': got expert 2, there are 2"),
        ('{"n_expert": "x"}\n{"experts": [[2]], "weights": [[1]]}', "1 field 'n_expert': must be a whole number"),
        (
            '{"embedding": [[[1, 2], [3]]]}\n{"experts": [[1]], "weights": [[1]]}',
            r"1 field 'embedding': got shape .*, must be \[1, n_expert, d_model\]",
        ),
        ("\n", "no token in it"),
        (
            '{"sample": 1, "group": "a", "experts": [[1]], "weights": [[1]]}\n' * 2
            + '{"sample": 2, "group": "b", "experts": [[1]], "weights": [[1]]}\n'
            + '{"sample": 3, "group": "b", "experts": [[1]], "weights": [[1]]}',
            "log.jsonl:1 field 'group': 'a' has this sample alone, and a distance is between two",
        ),
    ],
)
def test_lines_that_cannot_be_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_log(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weights": WEIGHTS}, "field 'experts': missing. It holds weights"),
        ({"experts": EXPERTS[0], "weights": WEIGHTS}, r"field 'experts': got int64 \[2, 2\], must be whole numbers"),
        ({"experts": EXPERTS.astype(float), "weights": WEIGHTS}, "field 'experts': got float64"),
        ({"experts": EXPERTS, "weights": WEIGHTS[:2]}, r"field 'weights': got float64 \[2, 2, 2\]"),
        ({"experts": EXPERTS - 1, "weights": WEIGHTS}, "row 0, layer 1: got expert -1"),
        ({"experts": EXPERTS, "weights": WEIGHTS, "n_expert": np.array(3)}, "row 0, layer 0: got expert 3"),
        ({"experts": EXPERTS, "weights": WEIGHTS * 2}, "field 'weights': row 0, layer 0: not between 0 and 1"),
        ({"experts": EXPERTS, "weights": WEIGHTS + 0.05}, "row 0, layer 1: sum to more than 1"),
        ({"experts": EXPERTS * 0, "weights": WEIGHTS}, "field 'experts': row 0, layer 0: an expert twice"),
        ({"experts": EXPERTS, "weights": WEIGHTS, "sample": np.array([1, 2])}, r"field 'sample': got int64 \[2\]"),
        (
            {"experts": EXPERTS, "weights": WEIGHTS, "sample": np.array([1, 1, 1]), "group": np.array([0, 0, 1])},
            "field 'group': row 2: sample 1 is in 1 here, in 0 before",
        ),
        (
            {"experts": EXPERTS, "weights": WEIGHTS, "group": np.array([0, 1, 0])},
            "field 'group': row 1: '1' has this sample alone",
        ),
        (
            {"experts": EXPERTS, "weights": WEIGHTS, "embedding": EMBEDDING[:1]},
            r"field 'embedding': got shape \[1, 4, 3\]",
        ),
        ({"experts": EXPERTS, "weights": WEIGHTS, "embedding": EMBEDDING + np.inf}, "values that are not finite"),
    ],
)
def test_arrays_that_cannot_be_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "log.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_log(tmp_path / "log.npz")


def test_damaged_and_unknown_files_are_told(tmp_path: Path) -> None:
    for name, content, message in (
        ("a.npz", b"PK\x03\x04 not a zip", "damaged, or no archive of plain arrays"),
        ("a.safetensors", b"\x00" * 20, "damaged, or not of this format"),
        ("a.jsonl.gz", b"not gzip", "no whole gzip file"),
        ("a.csv", b"1,2", "the ending '.csv' names no format"),
        ("a.jsonl", b"\xff\xfe", "not UTF-8"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            read_log(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        read_log(tmp_path / "absent.npz")
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "objects.npz", experts=objects, weights=objects)
    with pytest.raises(UserError, match="plain arrays"):
        read_log(tmp_path / "objects.npz")  # pickled objects are never read
    np.save(tmp_path / "one.npy", EXPERTS)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(UserError, match="no archive of named arrays"):
        read_log(tmp_path / "one.npz")
