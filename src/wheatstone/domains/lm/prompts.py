"""Prompts with known answers and a counterfactual each: as text, as a JSONL file, as tensors for path patching.

A line of a task file is an object:

    {"clean": "When Mary and John went to the store, John gave a drink to",
     "counterfactual": "When Mary and John went to the store, Mary gave a drink to",
     "answer": " Mary",                       one token after `clean`, or a list of them
     "wrong": " John",                        what the answer is measured against, one token or a list
     "choices": [" Mary", " John"],           optional: what to choose from; answer and wrong when left out
     "roles": {"IO": "Mary", "S2": {"text": "John", "occurrence": 2}}}      optional: places in `clean`

A role's text must occur in `clean`, once unless `occurrence` counts (1, 2, ... from the start, -1, -2, ... from the
end). Its position is the last token of that occurrence. Clean and counterfactual prompt have the same number of tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.bench.files import write_atomically
from wheatstone.interp.path_patching import Contrast
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.loading.tokenizers import PieceTokenizer

LARGEST_FILE = 64 * 2**20
FIELDS = ("clean", "counterfactual", "answer", "wrong", "choices", "roles")


@dataclass(frozen=True)
class Role:
    """A place in a prompt: an occurrence of a text."""

    text: str
    occurrence: int | None = None
    """1, 2, ... from the start, -1, -2, ... from the end; None where there is only one."""


@dataclass(frozen=True)
class Prompt:
    """One question and its counterfactual."""

    clean: str
    counterfactual: str
    answer: tuple[str, ...]
    wrong: tuple[str, ...]
    choices: tuple[str, ...]
    roles: dict[str, Role] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskPrompts:
    """Prompts as a model reads them."""

    name: str
    prompts: tuple[Prompt, ...]
    contrast: Contrast
    choices: tuple[tuple[int, ...], ...]
    roles: dict[str, Int[Tensor, " batch"]]
    """Position of each role that every prompt has."""


def load_prompts(path: Path) -> list[Prompt]:
    """The prompts of a JSONL file.

    Raises UserError for a file that is no such file: with line and field of the first five faults.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path}: larger than {LARGEST_FILE:,} bytes")
        lines = path.read_bytes().decode("utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start:,})") from None
    found: list[Prompt] = []
    faults: list[Fault] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            outcome = _prompt_of(line)
            if isinstance(outcome, Prompt):
                found.append(outcome)
            else:
                faults += [Fault(path.name, number, name or None, text) for name, text in outcome]
    if faults:
        raise InputError(faults)
    if not found:
        raise UserError(f"{path}: holds no prompts. A line is a JSON object with {', '.join(FIELDS[:4])}.")
    return found


def save_prompts(path: Path, prompts: Sequence[Prompt]) -> None:
    """Writes what `load_prompts` reads."""
    lines = [json.dumps(_json_of(prompt), ensure_ascii=False) for prompt in prompts]
    write_atomically(path, "".join(line + "\n" for line in lines).encode())


def encode_prompts(model: LanguageModel, name: str, prompts: Sequence[Prompt], place: str | None = None) -> TaskPrompts:
    """The prompts as tensors, padded on the right; a tokenizer of scored pieces gets the token that begins a text.

    Raises UserError where an answer is not one token, the two prompts of a pair differ in tokens, a role is not to be
    found or not a piece of its own, and where a prompt is longer than the model's context: with `place` and number.
    """
    faults: list[Fault] = []
    rows: list[_Row] = []
    for number, prompt in enumerate(prompts, start=1):
        outcome = _encode(model, prompt)
        if isinstance(outcome, _Row):
            rows.append(outcome)
        else:
            faults += [Fault(place or name, number, field_name, text) for field_name, text in outcome]
    if faults:
        raise InputError(faults)
    if not rows:
        raise UserError(f"{place or name}: no prompts")
    longest = max(len(row.clean) for row in rows)

    def padded(ids: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in ids])

    contrast = Contrast(
        padded([row.clean for row in rows]),
        padded([row.counterfactual for row in rows]),
        torch.tensor([len(row.clean) - 1 for row in rows]),
        tuple(row.answers for row in rows),
        tuple(row.wrong for row in rows),
    )
    shared = set.intersection(*(set(row.roles) for row in rows))
    roles = {role: torch.tensor([row.roles[role] for row in rows]) for role in rows[0].roles if role in shared}
    return TaskPrompts(name, tuple(prompts), contrast, tuple(row.choices for row in rows), roles)


@dataclass(frozen=True)
class _Row:
    clean: list[int]
    counterfactual: list[int]
    answers: tuple[int, ...]
    wrong: tuple[int, ...]
    choices: tuple[int, ...]
    roles: dict[str, int]


Faults = list[tuple[str, str]]
"""(field, what is wrong)."""


def _encode(model: LanguageModel, prompt: Prompt) -> _Row | Faults:
    begin = [model.tokenizer.bos or 0] if isinstance(model.tokenizer, PieceTokenizer) else []
    clean, other = [*begin, *model.encode(prompt.clean)], [*begin, *model.encode(prompt.counterfactual)]
    faults: Faults = []
    if len(clean) != len(other):
        faults.append(("counterfactual", f"{len(other)} tokens, the clean prompt has {len(clean)}: must be as many"))
    if len(clean) > model.model.cfg.context:
        faults.append(("clean", f"{len(clean)} tokens, {model.name} has {model.model.cfg.context} positions"))
    tokens: dict[str, tuple[int, ...]] = {}
    for name, texts in (("answer", prompt.answer), ("wrong", prompt.wrong), ("choices", prompt.choices)):
        ids: list[int] = []
        for text in texts:
            added = model.encode(prompt.clean + text)[len(clean) - len(begin) :]
            if len(added) == 1:
                ids.append(added[0])
            else:
                pieces = " ".join(repr(model.decode([i])) for i in added)
                faults.append((name, f"{text!r} is {len(added)} tokens, must be one: {pieces}"))
        tokens[name] = tuple(ids)
    if not faults and set(tokens["answer"]) & set(tokens["wrong"]):
        faults.append(("wrong", "is also an answer"))
    roles: dict[str, int] = {}
    for name, role in prompt.roles.items():
        stop = _end_of(prompt.clean, role)
        if isinstance(stop, str):
            faults.append(("roles", f"'{name}': {stop}"))
            continue
        before = [*begin, *model.encode(prompt.clean[:stop])]
        if clean[: len(before)] != before:
            faults.append(("roles", f"'{name}': {role.text!r} ends within a token of {model.name}"))
        roles[name] = len(before) - 1
    return faults or _Row(clean, other, tokens["answer"], tokens["wrong"], tokens["choices"], roles)


def _end_of(text: str, role: Role) -> int | str:
    """Where the occurrence ends, or what is wrong."""
    starts: list[int] = []
    at = text.find(role.text)
    while at >= 0:
        starts.append(at)
        at = text.find(role.text, at + 1)
    if not starts:
        return f"{role.text!r} does not occur in the clean prompt"
    if role.occurrence is None:
        if len(starts) > 1:
            return f"{role.text!r} occurs {len(starts)} times; say which with 'occurrence'"
        return starts[0] + len(role.text)
    index = role.occurrence - 1 if role.occurrence > 0 else role.occurrence
    if role.occurrence == 0 or not -len(starts) <= index < len(starts):
        return f"{role.text!r} occurs {len(starts)} times, there is no occurrence {role.occurrence}"
    return starts[index] + len(role.text)


def _prompt_of(line: str) -> Prompt | Faults:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        return [("", f"not JSON ({error})")]
    if not isinstance(data, dict):
        return [("", f"must be a JSON object with {', '.join(FIELDS[:4])}")]
    faults: Faults = [
        (str(name), "unknown field; known are " + ", ".join(FIELDS)) for name in sorted(data.keys() - {*FIELDS})
    ]
    for name in ("clean", "counterfactual"):
        if not isinstance(data.get(name), str) or not data[name]:
            faults.append((name, "must be a text that is not empty"))
    texts: dict[str, tuple[str, ...]] = {}
    for name in ("answer", "wrong", "choices"):
        found = _texts(data.get(name, [] if name == "choices" else None))
        if found is None or (not found and name != "choices"):
            faults.append((name, "must be a text that is not empty, or a list of them"))
        texts[name] = found or ()
    roles = _roles(data.get("roles", {}))
    if isinstance(roles, str):
        faults.append(("roles", roles))
        roles = {}
    if faults:
        return faults
    choices = texts["choices"] or (*texts["answer"], *texts["wrong"])
    return Prompt(data["clean"], data["counterfactual"], texts["answer"], texts["wrong"], choices, roles)


def _texts(value: Any) -> tuple[str, ...] | None:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
        return None
    return tuple(values)


def _roles(value: Any) -> dict[str, Role] | str:
    if not isinstance(value, dict):
        return 'must be an object of name -> text or {"text": ..., "occurrence": ...}'
    found: dict[str, Role] = {}
    for name, place in value.items():
        if isinstance(place, str) and place:
            found[name] = Role(place)
            continue
        text = place.get("text") if isinstance(place, dict) else None
        count = place.get("occurrence") if isinstance(place, dict) else None
        if not isinstance(text, str) or not text or not (count is None or type(count) is int):
            return f'\'{name}\': must be a text or {{"text": ..., "occurrence": ...}}'
        found[name] = Role(text, count)
    return found


def _json_of(prompt: Prompt) -> dict[str, Any]:
    def one(texts: tuple[str, ...]) -> str | list[str]:
        return texts[0] if len(texts) == 1 else list(texts)

    roles = {
        name: role.text if role.occurrence is None else {"text": role.text, "occurrence": role.occurrence}
        for name, role in prompt.roles.items()
    }
    return {
        "clean": prompt.clean,
        "counterfactual": prompt.counterfactual,
        "answer": one(prompt.answer),
        "wrong": one(prompt.wrong),
        "choices": list(prompt.choices),
        "roles": roles,
    }
