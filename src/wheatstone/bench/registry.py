"""Where studies come from: this package, installed plugins, or one file.

Listing reads the `CARD = Card(...)` literal of each module from its syntax tree, so it imports neither torch nor any
study. A plugin announces its studies as entry points of the group 'wheatstone.studies', whose value is a module with
`CARD` and `STUDY` at top level (or `module:NAME` for a study under another name).
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.bench.study import Card, Study

GROUP = "wheatstone.studies"
STUDIES = Path(__file__).parent.parent / "studies"
PACKAGE = "wheatstone.studies"


class Origin(NamedTuple):
    """Where another process finds the same study."""

    place: str
    """A module's dotted name, or the path of a file that ends in '.py'."""
    attribute: str = "STUDY"

    def load(self) -> Study[Any]:
        """Imports the study. Raises UserError."""
        if self.place.endswith(".py"):
            return load_file(Path(self.place), self.attribute)
        return _study_of(_import(self.place), self)


@dataclass(frozen=True)
class Entry:
    """One study that can be loaded."""

    card: Card
    origin: Origin
    file: Path | None
    """The source that holds the card; None for a plugin whose card had to be imported."""
    plugin: str | None = None
    """The distribution that ships it; None for our own."""


_origins: list[tuple[Study[Any], Origin]] = []
"""Every study that was loaded, with its origin: a worker process loads it from there again."""


def entries() -> list[Entry]:
    """Every study of this package, then of plugins, each by name.

    A broken plugin is left out with a warning. Raises UserError when two studies share a name.
    """
    found = sorted(_own(), key=lambda entry: entry.card.name)
    found += sorted(_plugins(), key=lambda entry: entry.card.name)
    seen: dict[str, Entry] = {}
    for entry in found:
        if entry.card.name in seen:
            first = seen[entry.card.name]
            raise UserError(
                f"two studies are called '{entry.card.name}': {first.origin.place} and {entry.origin.place}. "
                "Rename one, or uninstall the plugin that ships it."
            )
        seen[entry.card.name] = entry
    return found


def cards() -> list[Card]:
    """The card of every study, own ones first."""
    return [entry.card for entry in entries()]


def load(name: str) -> Study[Any]:
    """The study of that name, or in the file of that name when it ends in '.py'. Raises UserError."""
    if name.endswith(".py"):
        return load_file(Path(name))
    known = {entry.card.name: entry for entry in entries()}
    if name not in known:
        raise UserError(f"unknown study '{name}'.{did_you_mean(name, known)} All of them: wheatstone list")
    return known[name].origin.load()


def load_file(path: Path, attribute: str = "STUDY") -> Study[Any]:
    """The study in a Python file that belongs to no package. Raises UserError when it cannot be read or imported."""
    path = path.resolve()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    name = f"wheatstone_study_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module = sys.modules.get(name)
    if module is None:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UserError(f"{path}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and pydantic look the module up by name
        try:
            with _import_faults(str(path)):
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return _study_of(module, Origin(str(path), attribute))


def origin(study: Study[Any]) -> Origin:
    """Where `study` was loaded from. Raises UserError for one that was built by hand: no other process can find it."""
    for known, place in _origins:
        if known is study:
            return place
    raise UserError(
        f"{study.name}: not loaded by the registry, so worker processes cannot find it. Use --engine inline."
    )


def source_file(study: Study[Any]) -> Path:
    """The file that holds the study's `CARD`. Raises UserError as `origin` does."""
    place = origin(study).place
    if place.endswith(".py"):
        return Path(place)
    file = sys.modules[place].__file__
    if file is None:
        raise UserError(f"{study.name}: its module {place} has no source file")
    return Path(file)


def read_card(path: Path) -> Card | None:
    """The `CARD = Card(...)` literal of a source file, None when it has no such statement; nothing is imported.

    Raises UserError when the card is not a literal.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start + 1}), so not a study") from None
    start = re.search(r"^CARD\b", text, re.MULTILINE)
    if start is None:
        return None
    for node in _card_statements(text, start.start(), path):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="CARD")], value=ast.Call() as call)
                | ast.AnnAssign(target=ast.Name(id="CARD"), value=ast.Call() as call)
            ):
                try:
                    return _checked(Card(**{str(item.arg): ast.literal_eval(item.value) for item in call.keywords}))
                except (ValueError, TypeError, RecursionError, MemoryError) as error:
                    line = text.count("\n", 0, start.start()) + 1
                    raise UserError(
                        f"{path}:{line}: CARD must be a literal, Card(name='...', ...), "
                        f"so that it can be listed without import ({error})"
                    ) from None
            case _:
                pass
    return None


def _checked(card: Card) -> Card:
    """Raises TypeError for a card that does not hold text."""
    for field in dataclasses.fields(card):
        value = getattr(card, field.name)
        texts = value if field.name == "presets" and isinstance(value, tuple) else (value,)
        if not all(isinstance(text, str) for text in texts) or (field.name == "presets") != isinstance(value, tuple):
            raise TypeError(f"{field.name} is {repr(value)[:40]}")
    return card


def _card_statements(text: str, start: int, path: Path) -> list[ast.stmt]:
    """The statements of the card, parsed alone when they can be, for speed; else of the whole module."""
    end = re.compile(r"^\)", re.MULTILINE).search(text, start)
    if end:
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            return ast.parse(text[start : end.end()]).body
    try:
        return ast.parse(text).body
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL byte, or brackets without end
        raise UserError(f"{path}: not Python ({error})") from None


def _own() -> Iterator[Entry]:
    for file in sorted(STUDIES.rglob("*.py")):
        card = read_card(file)
        if card is not None:
            parts = file.relative_to(STUDIES).with_suffix("").parts
            module = ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))
            yield Entry(card, Origin(module), file)


def _plugins() -> Iterator[Entry]:
    for point in metadata.entry_points(group=GROUP):
        shipped_by = point.dist.name if point.dist else "unknown distribution"
        place = Origin(point.module, point.attr or "STUDY")
        try:
            spec = _find(point.module)
            file = Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
            if spec is None:
                raise UserError(f"there is no module {point.module}")
            card = read_card(file) if file else None
            if card is None or place.attribute != "STUDY":
                card = place.load().card
            yield Entry(card, place, file, shipped_by)
        except (UserError, OSError, ImportError, ValueError) as error:
            warnings.warn(f"the study '{point.name}' of {shipped_by} is left out: {error}", stacklevel=3)


def _find(module: str) -> ModuleSpec | None:
    """The spec of a module, found without importing its parents."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    for part in inner:
        if spec is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec


def _import(module: str) -> ModuleType:
    with _import_faults(module):
        return importlib.import_module(module)


@contextlib.contextmanager
def _import_faults(place: str) -> Generator[None]:
    """Turns what goes wrong while a study is imported into a UserError that names file, line and fault."""
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"{error.filename}:{error.lineno}: {error.msg}") from None
    except ModuleNotFoundError as error:
        raise UserError(f"{place}: needs the module '{error.name}', which is not installed") from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {error}"
        raise UserError(f"{place}: cannot be imported. {frame.filename}:{frame.lineno}: {fault}") from error


def _study_of(module: ModuleType, place: Origin) -> Study[Any]:
    study = getattr(module, place.attribute, None)
    if not isinstance(study, Study):
        raise UserError(f"{place.place}: no {place.attribute} = Study(...) at top level")
    if not any(known is study for known, _ in _origins):
        _origins.append((study, place))
    return study
