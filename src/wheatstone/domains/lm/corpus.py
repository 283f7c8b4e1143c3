"""Text for a language model: a file of documents, or what the model says itself.

A model's own samples are text of its own distribution, at hand where its training text is not: the loss on them is the
model's entropy, and whatever is put in the place of one of its layers can only raise it.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.learn.generation import Draw, generate
from wheatstone.learn.models.language_model import LanguageModel

ARTEFACTS = (
    (re.compile(r" @([-,.])@ "), r"\1"),
    (re.compile(r" ?<unk>"), ""),
    (re.compile(r" ([.,;:!?%)\]}])"), r"\1"),
    (re.compile(r"([(\[{$£]) "), r"\1"),
    (re.compile(r" (n't|'s|'re|'ve|'ll|'d|'m)\b"), r"\1"),
    (re.compile(r"\" ([^\"\n]*?) \""), r'"\1"'),
    (re.compile(r" +"), " "),
)
"""What the tokenisation of WikiText (Merity et al. 2016, arXiv:1609.07843) has put into the text, and back."""
TITLE = re.compile(r"^ ?= ([^=].*[^=]|[^=]) = ?$")


def detokenised(text: str) -> str:
    """WikiText as it would be written: `0 @.@ 7` is 0.7, no `<unk>`, no space before a full stop."""
    for pattern, replacement in ARTEFACTS:
        text = pattern.sub(replacement, text)
    return text


def documents_of(text: str) -> list[str]:
    """Documents of a text: articles headed by lines like ` = Title = `, else parts between blank lines, else lines."""
    lines = text.splitlines()
    heads = [i for i, line in enumerate(lines) if TITLE.match(line)]
    if len(heads) > 1:
        bounds = zip(heads, [*heads[1:], len(lines)], strict=True)
        parts = [detokenised("\n".join(line for line in lines[i:j] if line.strip())) for i, j in bounds]
    else:
        parts = re.split(r"\n\s*\n", text)
        parts = parts if sum(bool(part.strip()) for part in parts) > 1 else lines
    return [part.strip() for part in parts if part.strip()]


def read_documents(path: Path) -> list[str]:
    """The documents of a UTF-8 text file. Raises UserError when it cannot be read or is empty."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8 text ({error.reason}). Save it as UTF-8.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    found = documents_of(text)
    if not found:
        raise UserError(f"{path}: empty. Give a text of several documents, a blank line between two.")
    return found


def own_samples(model: LanguageModel, n: int, length: int, generator: torch.Generator) -> Int[Tensor, "row pos"]:
    """`n` rows of `length` tokens drawn from the model, after its begin of text or a random token."""
    bos, vocab = model.tokenizer.bos, model.model.cfg.vocab
    first = torch.full((n, 1), bos) if bos is not None else torch.randint(vocab, (n, 1), generator=generator)
    return torch.cat([first, generate(model.model, first, length - 1, draw=Draw(generator))], dim=1)
