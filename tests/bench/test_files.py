from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import (
    copy_atomically,
    disk_faults,
    hold,
    plain,
    read_json,
    sha256,
    sweep_stale,
    write_atomically,
    write_json,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def without_nan(value):
    """The same value with None in the place of numbers that are not finite, by another road than `plain`."""
    return json.loads(json.dumps(value).replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null"))


@given(json_values.filter(lambda value: not any(word in repr(value) for word in ("NaN", "Infinity"))))
def test_json_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, value)
    assert read_json(path) == without_nan(value)


def test_arrays_tuples_and_keys_become_plain():
    value = {1: (np.arange(2), np.float32(0.5)), "nan": [math.nan, math.inf]}
    assert plain(value) == {"1": [[0, 1], 0.5], "nan": [None, None]}
    with pytest.raises(TypeError, match="a set has no JSON form"):
        plain({1, 2})


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "deep" / "a.txt"
    write_atomically(path, b"a long first content")
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(path.parent.iterdir()) == [path]


def test_a_copy_is_the_same_file(tmp_path: Path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    copy_atomically(source, tmp_path / "copy")
    assert sha256(tmp_path / "copy") == sha256(source)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(tmp_path: Path, code: int):
    message = r"weights: the disk is full\. Free some space and run the same command again"
    with pytest.raises(UserError, match=message), disk_faults(tmp_path / "weights"):
        raise OSError(code, os.strerror(code))


def test_a_forbidden_place_is_named(tmp_path: Path):
    message = r"run: cannot be written \(Read-only file system\)\. Choose another folder"
    with pytest.raises(UserError, match=message), disk_faults(tmp_path / "run"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_other_faults_pass_through(tmp_path: Path):
    with pytest.raises(FileNotFoundError), disk_faults(tmp_path):
        (tmp_path / "nowhere").read_bytes()


def test_damaged_json_is_named(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"a\.json: damaged, not a JSON file \(.*line 1 column 7"):
        read_json(tmp_path / "a.json")


def test_only_temporary_files_are_swept(tmp_path: Path):
    for name in (".a.json.12.tmp", "notes.tmp", ".hidden", "a.json"):
        (tmp_path / name).touch()
    sweep_stale(tmp_path, tmp_path / "nowhere")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a.json", "notes.tmp"]


def test_a_lock_names_its_holder_and_is_free_afterwards(tmp_path: Path):
    path = tmp_path / "lock"
    with (
        hold(path, str),
        pytest.raises(UserError, match=f"^held by process {os.getpid()}$"),
        hold(path, lambda who: f"held by {who}"),
    ):
        pass
    with hold(path, str):
        pass
    assert path.read_bytes() == b""


def test_a_lock_of_nobody_known(tmp_path: Path):
    path = tmp_path / "lock"
    with hold(path, str):
        path.write_bytes(b"")
        with pytest.raises(UserError, match="another process"), hold(path, str):
            pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int):
    def refused(_file: object, _how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    message = r"lock: this file system has no locks \(.*\).*local disk with --out"
    with pytest.raises(UserError, match=message), hold(tmp_path / "lock", str):
        pass


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_a_failing_disk_is_named(tmp_path: Path, code: int):
    message = r"weights: the system could not read or write it \(.*\)\. When that is mended, run the same command again"
    with pytest.raises(UserError, match=message), disk_faults(tmp_path / "weights"):
        raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000 + "b"])
def test_a_place_that_cannot_be_is_named(tmp_path: Path, name: str):
    with pytest.raises(UserError, match=r"cannot be a file here \(File name too long\)"):
        write_json(tmp_path / name, 1)
