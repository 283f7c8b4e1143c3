"""Tokenizers: byte-level BPE (GPT-2, SmolLM2), scored pieces (llama2.c, SentencePiece), and plain numbers.

Byte-level BPE is the `tokenizers` package's, from a tokenizer.json or from the tables in a GGUF file. Scored pieces are
merged as llama2.c does it: of all neighbours whose union is a piece, those with the best score, the leftmost first;
characters without a piece become bytes.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need
from wheatstone.learn.models.language_model import Tokenizer

Hub = Any
"""A tokenizer of the `tokenizers` package, which is imported where it is needed."""
BYTE = re.compile(rb"<0x([0-9A-F]{2})>")
FIRST_BYTE = 3
"""Id of byte 0 where a text has characters without a piece."""
GPT2_FILES = ("vocab.json", "merges.txt")


class ByteLevelTokenizer:
    """A tokenizer of the `tokenizers` package."""

    def __init__(self, inner: Hub, bos: int | None, eos: int | None) -> None:
        self.inner = inner
        self.bos = bos
        self.eos = eos

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without a token for its begin."""
        return self.inner.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of these ids, control tokens by their names."""
        return self.inner.decode(list(tokens), skip_special_tokens=False)


class PieceTokenizer:
    """Pieces with scores; ids 0, 1, 2 are unknown, begin and end of a text."""

    def __init__(self, pieces: Sequence[bytes], scores: Sequence[float], *, place: str) -> None:
        if len(pieces) < FIRST_BYTE + 256:
            raise UserError(
                f"{place}: {len(pieces)} pieces, fewer than the {FIRST_BYTE + 256} of unknown text and bytes"
            )
        self.pieces = list(pieces)
        self.scores = list(scores)
        self.bos = 1
        self.eos = 2
        self._id: dict[bytes, int] = {}
        for i, piece in enumerate(pieces):
            if i >= FIRST_BYTE and not BYTE.fullmatch(piece):
                self._id.setdefault(piece, i)

    def encode(self, text: str) -> list[int]:
        """The ids of `text` after the space that begins every text."""
        if not text:
            return []
        ids: list[int] = []
        for character in " " + text:
            raw = character.encode("utf-8", "replace")
            found = self._id.get(raw)
            ids += [FIRST_BYTE + byte for byte in raw] if found is None else [found]
        return self._merged(ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of these ids; begin and end of a text are left out, and the space that follows the begin."""
        out = bytearray()
        before = None
        for token in tokens:
            if token not in (self.bos, self.eos):
                piece = self.pieces[token]
                byte = BYTE.fullmatch(piece)
                piece = bytes.fromhex(byte[1].decode()) if byte else piece
                out += piece[1:] if before == self.bos and piece.startswith(b" ") else piece
            before = token
        return out.decode("utf-8", "replace")

    def _merged(self, ids: list[int]) -> list[int]:
        """Neighbours united, best score first; a queue of candidates makes a long text cost n log n."""
        left, right = list(range(-1, len(ids) - 1)), [*range(1, len(ids)), -1]
        alive = [True] * len(ids)
        queue: list[tuple[float, int, int, int]] = []  # (-score, place, its id, its right neighbour's id)

        def offer(place: int) -> None:
            follower = right[place]
            if place < 0 or follower < 0:
                return
            union = self._id.get(self.pieces[ids[place]] + self.pieces[ids[follower]])
            if union is not None:
                heapq.heappush(queue, (-self.scores[union], place, ids[place], ids[follower]))

        for place in range(len(ids) - 1):
            offer(place)
        while queue:
            _, place, mine, its = heapq.heappop(queue)
            follower = right[place]
            if not alive[place] or follower < 0 or ids[place] != mine or ids[follower] != its:
                continue  # one of the two has been united with another since
            ids[place] = self._id[self.pieces[mine] + self.pieces[its]]
            alive[follower] = False
            right[place] = right[follower]
            if right[place] >= 0:
                left[right[place]] = place
            offer(place)
            offer(left[place])
        return [i for i, lives in zip(ids, alive, strict=True) if lives]


class NumberTokenizer:
    """For a model that comes without words: a text is token ids with spaces between them."""

    bos = None
    eos = None

    def __init__(self, vocab: int, place: str) -> None:
        self.vocab = vocab
        self.place = place

    def encode(self, text: str) -> list[int]:
        """The numbers in `text`. Raises UserError for anything else, and for a number that is no token."""
        words = text.split()
        for word in words:
            if not (word.isascii() and word.isdigit() and len(word) < 12 and int(word) < self.vocab):
                raise UserError(
                    f"{self.place}: comes without a tokenizer, so a text is token ids below {self.vocab} with spaces "
                    f"between them; got '{word}'"
                )
        return [int(word) for word in words]

    def decode(self, tokens: Sequence[int]) -> str:
        """The numbers with spaces between them."""
        return " ".join(str(token) for token in tokens)


def tokenizer_in(folder: Path, vocab: int, *, bos: Any, eos: Any) -> Tokenizer:
    """The tokenizer of a folder: tokenizer.json, or GPT-2's vocab.json with merges.txt, or numbers where there is none.

    Raises UserError for one that is damaged or has more tokens than the model.
    """
    file, tables = folder / "tokenizer.json", [folder / name for name in GPT2_FILES]
    if file.is_file():
        return read_tokenizer_json(file, vocab, bos=bos, eos=eos)
    if not all(table.is_file() for table in tables):
        return NumberTokenizer(vocab, str(folder))
    need("tokenizers", extra="neural", to=f"read {tables[0].name}")
    from tokenizers.models import BPE

    try:
        model = BPE.from_file(*map(str, tables))
    except Exception as error:  # the package raises bare exceptions
        raise UserError(f"{folder}: {' and '.join(GPT2_FILES)} are no byte-level BPE ({error})") from None
    return _checked(_byte_level(model, digits=False), folder, vocab, bos, eos)


def read_tokenizer_json(file: Path, vocab: int, *, bos: Any = None, eos: Any = None) -> Tokenizer:
    """A tokenizer.json. Raises UserError when it is damaged or has more tokens than the model."""
    need("tokenizers", extra="neural", to=f"read {file.name}")
    from tokenizers import Tokenizer as HubTokenizer

    try:
        inner = HubTokenizer.from_file(str(file))
    except Exception as error:  # the package raises bare exceptions
        raise UserError(f"{file}: not a tokenizer ({error})") from None
    return _checked(inner, file, vocab, bos, eos)


def tokenizer_from_tables(
    place: Path, kind: str, before: str, tokens: Sequence[str], tables: Mapping[str, Sequence[Any]], vocab: int,
    *, bos: int | None, eos: int | None,
) -> Tokenizer:  # fmt: skip
    """The tokenizer in a GGUF file's own tables: `kind` 'gpt2' with merges, or 'llama' with scores.

    `before` names how a text is cut up before it is merged. Raises UserError for what is not known.
    """
    types = tables.get("token_type") or [1] * len(tokens)
    if kind == "llama":
        scores = tables.get("scores", ())
        if len(scores) != len(tokens) or len(tokens) > vocab:
            raise UserError(f"{place}: {len(tokens)} pieces with {len(scores)} scores for {vocab} tokens")
        return PieceTokenizer([token.replace("\u2581", " ").encode() for token in tokens], scores, place=str(place))
    if kind != "gpt2" or before not in ("gpt-2", "default", "smollm"):
        raise UserError(
            f"{place}: its tokenizer ('{kind}', '{before}') is not built. Put tokenizer.json beside the file."
        )
    need("tokenizers", extra="neural", to=f"read {place.name}")
    from tokenizers import AddedToken
    from tokenizers.models import BPE

    merges = [tuple(str(merge).split(" ")) for merge in tables.get("merges", ())]
    names = {token: i for i, token in enumerate(tokens)}
    odd = next((m for m in merges if len(m) != 2 or any(p not in names for p in (*m, "".join(m)))), None)
    if odd is not None or len(names) != len(tokens) or len(types) != len(tokens):
        raise UserError(f"{place}: damaged tokenizer (merge {' '.join(odd or ())!r}, {len(names)} tokens)")
    inner = _byte_level(BPE(vocab=names, merges=[(m[0], m[1]) for m in merges]), digits=before == "smollm")
    inner.add_special_tokens(
        [AddedToken(token, special=True) for token, of in zip(tokens, types, strict=True) if of == 3]
    )
    return _checked(inner, place, vocab, bos, eos)


def _byte_level(model: Any, *, digits: bool) -> Hub:
    """GPT-2's way of cutting a text up; with `digits`, every digit stands alone (SmolLM2)."""
    from tokenizers import Tokenizer as HubTokenizer
    from tokenizers import decoders, pre_tokenizers

    inner = HubTokenizer(model)
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    single = pre_tokenizers.Digits(individual_digits=True)
    inner.pre_tokenizer = pre_tokenizers.Sequence([single, cut]) if digits else cut
    inner.decoder = decoders.ByteLevel()
    return inner


def _checked(inner: Hub, place: Path, vocab: int, bos: Any, eos: Any) -> ByteLevelTokenizer:
    largest = max(inner.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= vocab:
        raise UserError(f"{place}: has a token {largest}, the model has {vocab} tokens")
    first = eos[0] if isinstance(eos, list) and eos else eos

    def token(value: Any) -> int | None:
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < vocab else None

    return ByteLevelTokenizer(inner, token(bos), token(first))
