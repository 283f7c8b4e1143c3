"""Documents are split where they end, WikiText reads as it was written, and samples are the model's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.lm import load_model
from wheatstone.domains.lm.corpus import detokenised, documents_of, own_samples, read_documents

STORIES = data_folder() / "lm" / "stories260K.bin"


@pytest.mark.parametrize(
    ("tokenised", "written"),
    [
        ("60 cm ( 24 in ) long", "60 cm (24 in) long"),
        ("weigh 0 @.@ 7 – 2 @.@ 2 kg , and", "weigh 0.7 – 2.2 kg, and"),
        ('becoming " lobster red " on', 'becoming "lobster red" on'),
        ("a large <unk> , it 's 1 @,@ 000 well @-@ known", "a large, it's 1,000 well-known"),
    ],
)
def test_wikitext_reads_as_it_was_written(tokenised: str, written: str) -> None:
    assert detokenised(tokenised) == written


def test_documents_are_articles_or_parts_or_lines() -> None:
    wiki = " \n = One = \n\n first .\n\n = = Part = = \n\n more .\n\n = Two = \n\n second .\n"
    assert len(documents_of(wiki)) == 2
    assert "more." in documents_of(wiki)[0]
    assert documents_of("a\nb\n\nc\n") == ["a\nb", "c"]
    assert documents_of("a\nb\n") == ["a", "b"]


def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"fine\nnot \xff fine\n")
    with pytest.raises(UserError, match=r"bad.txt:2: not UTF-8"):
        read_documents(tmp_path / "bad.txt")
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UserError, match="empty"):
        read_documents(tmp_path / "empty.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read_documents(tmp_path / "none.txt")


@pytest.mark.skipif(not STORIES.is_file(), reason=f"{STORIES} is not there")
def test_samples_are_probable_under_the_model_and_repeatable() -> None:
    model = load_model(STORIES)
    rows = own_samples(model, 8, 60, torch.Generator().manual_seed(0))
    assert torch.equal(rows, own_samples(model, 8, 60, torch.Generator().manual_seed(0)))
    logits = model.logits(rows)[:, :-1].log_softmax(-1)
    loss = -logits.gather(-1, rows[:, 1:, None]).mean().item()
    assert 0.9 < loss < 1.8  # nats; uniform over 512 tokens would be 6.2
