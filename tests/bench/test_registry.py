from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.conftest import TOY

from wheatstone.bench import registry
from wheatstone.bench.errors import UserError
from wheatstone.bench.study import Study

SOURCE = TOY.read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of this package's studies."""
    monkeypatch.setattr(registry, "STUDIES", tmp_path)
    return tmp_path


@pytest.fixture
def plugin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution 'walks' that ships the toy study as the module walks.toy."""
    site = folder / "site-packages"
    site.mkdir()
    monkeypatch.setattr(registry, "STUDIES", folder / "none of our own")
    (site / "walks").mkdir()
    (site / "walks" / "__init__.py").write_text("raise RuntimeError('a plugin must not be imported to be listed')\n")
    (site / "walks" / "toy.py").write_text(SOURCE)
    meta = site / "walks-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: walks\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[wheatstone.studies]\ntoy = walks.toy\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [name for name in sys.modules if name.partition(".")[0] == "walks"]:
        del sys.modules[name]


def test_our_own_studies_have_distinct_names():
    names = [card.name for card in registry.cards()]
    assert len(set(names)) == len(names)


def test_listing_imports_neither_torch_nor_numpy_nor_a_study():
    script = """
import sys
from wheatstone.bench import registry
registry.cards()
heavy = {'torch', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)
studies = [name for name in sys.modules if name.startswith('wheatstone.studies.')]
assert not heavy and not studies, (heavy, studies)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_card_is_found_in_modules_and_packages(folder: Path):
    (folder / "neural" / "big").mkdir(parents=True)
    (folder / "neural" / "toy.py").write_text(SOURCE)
    (folder / "neural" / "big" / "__init__.py").write_text(SOURCE.replace('name="toy"', 'name="big"'))
    (folder / "neural" / "parts.py").write_text("x = 1\n")
    assert [(entry.card.name, entry.origin.place) for entry in registry.entries()] == [
        ("big", "wheatstone.studies.neural.big"),
        ("toy", "wheatstone.studies.neural.toy"),
    ]


@pytest.mark.parametrize(
    "card",
    [
        "CARD = Card(\n    name='toy', family='neural', title='a', source='b', claim='c', presets=('smoke',),\n)",
        "CARD: Card = Card(name='toy', family='neural', title='a', source='b', claim='c', presets=('smoke',))",
        "CARD = Card(name='toy', family='neural', title='''\n)''', source='b', claim='c', presets=('smoke',))",
    ],
)
def test_cards_are_read_however_they_are_written(tmp_path: Path, card: str):
    file = tmp_path / "study.py"
    file.write_text(f'"""CARD is below."""\nimport torch\n{card}\nSTUDY = None\n')
    found = registry.read_card(file)
    assert found is not None
    assert (found.name, found.presets) == ("toy", ("smoke",))


def test_a_module_without_a_card_is_no_study(tmp_path: Path):
    file = tmp_path / "study.py"
    file.write_text("CARDS = 3\n")
    assert registry.read_card(file) is None
    file.write_text("CARD = 3\n")
    assert registry.read_card(file) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nCARD = Card(name=NAME)\n", r"study\.py:2: CARD must be a literal, Card\(name='...', ...\)"),
        ("\nCARD = Card(nme='a')\n", r"study\.py:2: CARD must be a literal"),
        ("\nCARD = Card(\n", r"study\.py:2: '\(' was never closed"),
    ],
)
def test_a_card_that_cannot_be_read_is_named(tmp_path: Path, text, message):
    file = tmp_path / "study.py"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        registry.read_card(file)


def test_two_studies_of_one_name_are_refused(folder: Path):
    for name in ("a.py", "b.py"):
        (folder / name).write_text(SOURCE)
    with pytest.raises(
        UserError, match=r"two studies are called 'toy': wheatstone\.studies\.a and wheatstone\.studies\.b"
    ):
        registry.cards()


def test_an_unknown_study_gets_a_suggestion(folder: Path):
    (folder / "toy.py").write_text(SOURCE)
    with pytest.raises(UserError) as caught:
        registry.load("tyo")
    assert str(caught.value) == "unknown study 'tyo'. Did you mean 'toy'? All of them: wheatstone list"


def test_a_plugin_is_listed_without_import_and_loaded_by_name(plugin: Path):
    entry = registry.entries()[0]
    assert (entry.card.name, entry.plugin, entry.file) == ("toy", "walks", plugin / "walks" / "toy.py")
    assert "walks" not in sys.modules
    (plugin / "walks" / "__init__.py").write_text("")
    study = registry.load("toy")
    assert isinstance(study, Study)
    assert registry.origin(study) == ("walks.toy", "STUDY")
    assert registry.source_file(study) == plugin / "walks" / "toy.py"


def test_a_plugin_may_name_its_study(plugin: Path):
    (plugin / "walks" / "__init__.py").write_text("")
    (plugin / "walks-1.0.dist-info" / "entry_points.txt").write_text("[wheatstone.studies]\ntoy = walks.toy:WALK\n")
    (plugin / "walks" / "toy.py").write_text(SOURCE.replace("STUDY = Study", "WALK = Study"))
    assert registry.origin(registry.load("toy")).attribute == "WALK"


def test_a_broken_plugin_is_left_out_with_a_warning(plugin: Path):
    (plugin / "walks" / "toy.py").unlink()
    with pytest.warns(UserWarning, match=r"the study 'toy' of walks is left out: there is no module walks\.toy"):
        assert registry.cards() == []


def test_a_study_in_a_file(toy):
    assert registry.load_file(TOY) is toy
    assert registry.load(str(TOY)) is toy
    assert registry.origin(toy) == (str(TOY), "STUDY")
    assert registry.source_file(toy) == TOY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", r"study\.py:1: '\(' was never closed"),
        ("import nonexistent_thing", r"study\.py: needs the module 'nonexistent_thing', which is not installed"),
        ("x = 1\ny = 1 / 0", r"cannot be imported\. .*study\.py:2: ZeroDivisionError: division by zero"),
        ("STUDY = 3", r"study\.py: no STUDY = Study\(\.\.\.\) at top level"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_no_study_is_named(tmp_path: Path, text, message):
    file = tmp_path / "study.py"
    if text is not None:
        file.write_text(text)
    for _ in range(2):  # a failed import leaves no half module behind
        with pytest.raises(UserError, match=message):
            registry.load_file(file)


def test_a_study_built_by_hand_has_no_origin(toy):
    with pytest.raises(UserError, match=r"worker processes cannot find it\. Use --engine inline"):
        registry.origin(dataclasses.replace(toy))
