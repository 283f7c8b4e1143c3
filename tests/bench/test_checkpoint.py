from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.errors import UserError


@given(
    arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]), array_shapes(min_dims=0, min_side=0)
    ),
    st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False) | st.text() | st.none() | st.booleans()),
)
def test_arrays_and_record_come_back_exactly(tmp_path_factory, array, record):
    path = tmp_path_factory.mktemp("checkpoint") / "a.safetensors"
    write_tensors(path, {"array": array}, record)
    tensors, stored = read_tensors(path)
    assert tensors["array"].dtype == array.dtype
    np.testing.assert_array_equal(tensors["array"], array)
    assert stored == record


def test_torch_comes_back_as_torch(tmp_path: Path):
    weights = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    tensors = {
        "weights": weights,
        "tied": weights,
        "slice": weights[1],
        "transposed": weights.T,
        "half": weights.to(torch.bfloat16),
        "rng": torch.get_rng_state(),
        "empty": torch.zeros(0),
    }
    write_tensors(tmp_path / "a.safetensors", tensors, {})
    stored, _ = read_tensors(tmp_path / "a.safetensors")
    for name, tensor in tensors.items():
        assert stored[name].dtype == tensor.dtype
        assert torch.equal(stored[name], tensor)


def test_a_checkpoint_without_tensors_holds_its_record(tmp_path: Path):
    write_tensors(tmp_path / "a.safetensors", {}, {"rng": 2**127 + 1, "values": [0.1, float("inf")]})
    assert read_tensors(tmp_path / "a.safetensors") == ({}, {"rng": 2**127 + 1, "values": [0.1, float("inf")]})


def test_a_mixture_is_refused(tmp_path: Path):
    with pytest.raises(TypeError, match="tensor 'a' is a ndarray"):
        write_tensors(tmp_path / "a.safetensors", {"a": np.zeros(1), "b": torch.zeros(1)}, {})


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut short", "cut in the header", "foreign", "flipped header"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str):
    path = tmp_path / "checkpoint.safetensors"
    write_tensors(path, {"a": np.arange(100)}, {"step": 3})
    data = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "garbage": b"not a checkpoint at all",
            "cut short": data[:-8],
            "cut in the header": data[:20],
            "foreign": (2).to_bytes(8, "little") + b"{}",
            "flipped header": data[:8] + b"[" + data[9:],
        }[damage]
    )
    with pytest.raises(UserError, match=r"checkpoint\.safetensors: damaged .* Delete it to train the trial again"):
        read_tensors(path)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": np.zeros(1)}, {})
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match=r"a\.safetensors: the disk is full"):
        write_tensors(path, {"a": np.ones(1)}, {})
    assert read_tensors(path)[0]["a"] == 0
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
