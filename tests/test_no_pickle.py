"""Nothing that is read can carry code: no module of ours unpickles, and a whole run works where unpickling raises."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"torch.load", "torch.save", "np.load", "numpy.load", "np.fromfile", "eval", "exec", "__import__"}
FORBIDDEN_KEYWORDS = {"allow_pickle", "weights_only"}

WITHOUT_PICKLE = """
import importlib, os, pickle, pkgutil, sys
import numpy, torch, tyro, matplotlib.pyplot
import wheatstone
from wheatstone.bench.errors import UserError

class Unpickled(BaseException):
    pass

def refuse(*_, **__):
    raise Unpickled("something was unpickled")

class Refuser:
    def __init__(self, *_, **__):
        refuse()

pickle.load = pickle.loads = torch.load = torch.save = refuse
pickle.Unpickler = pickle._Unpickler = Refuser
plain_load = numpy.load
numpy.load = lambda *given, **more: refuse() if more.get("allow_pickle") else plain_load(*given, **more)

missing = []
for module in pkgutil.walk_packages(wheatstone.__path__, "wheatstone."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except (UserError, ModuleNotFoundError) as error:
        missing.append(f"{module.name}: {error}")

from wheatstone.cli.main import main
study, out = sys.argv[1:]
command = ["run", study, "--preset", "smoke", "--engine", "inline", "--out", out]
save, left = wheatstone.bench.trial.Trial.save_checkpoint, [5]

def interrupted(self, *given, **more):
    save(self, *given, **more)
    left[0] -= 1
    if left[0] == 0:
        raise KeyboardInterrupt

wheatstone.bench.trial.Trial.save_checkpoint = interrupted
assert main(command) == 130
left[0] = -1
assert main(command) == 0
assert main(["report", out, "--study", study]) == 0
print("MISSING", missing)
"""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_no_source_names_pickle(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found = {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str(module)):
                found = {module.partition(".")[0]}
            case ast.Call(func=function, keywords=keywords):
                found = {ast.unparse(function), *(word.arg for word in keywords if word.arg)}
            case _:
                continue
        assert not found & (FORBIDDEN_MODULES | FORBIDDEN_CALLS | FORBIDDEN_KEYWORDS), (path, node.lineno)


def test_a_whole_run_without_pickle(tmp_path: Path) -> None:
    study = ROOT / "tests" / "faults" / "tiny.py"
    command = [sys.executable, "-c", WITHOUT_PICKLE, str(study), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "report.html").is_file()
    missing = done.stdout.splitlines()[-1]
    assert missing == "MISSING []" or "install" in missing or "No module named" in missing  # an extra that is absent
