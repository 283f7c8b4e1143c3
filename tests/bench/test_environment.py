from __future__ import annotations

import json
import subprocess
from pathlib import Path

from wheatstone.bench import environment


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_record_is_json_and_says_with_what_and_where():
    record = environment.environment(threads=2)
    assert json.loads(json.dumps(record)) == record
    assert record["threads"] == 2
    assert {"python", "wheatstone", "torch", "numpy"} <= set(record["versions"])
    assert 1 <= record["machine"]["usable_cores"] <= record["machine"]["cores"]
    assert record["machine"]["memory_gib"] > 0
    assert set(environment.LASTING) <= set(record)


def test_the_revision_is_that_of_the_tree_that_tracks_the_source(tmp_path: Path):
    assert environment.source_revision(tmp_path) is None
    git(tmp_path, "init", "-q")
    source = tmp_path / "__init__.py"
    source.write_text("")
    assert environment.source_revision(tmp_path) is None  # in a repository, and not tracked by it
    git(tmp_path, "add", "__init__.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    revision = git(tmp_path, "rev-parse", "HEAD")
    assert environment.source_revision(tmp_path) == {"revision": revision, "dirty": False}
    source.write_text("x = 1\n")
    assert environment.source_revision(tmp_path) == {"revision": revision, "dirty": True}


def test_without_git_there_is_no_revision(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.source_revision(Path(__file__).parent) is None


def test_an_unknown_package_has_no_version():
    assert "no-such-package" not in environment.environment(1)["versions"]
    assert environment.wheatstone_version() != "unknown"
