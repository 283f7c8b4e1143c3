"""Four tasks of the circuits literature, drawn for a given model: every name, colour, place is one of its tokens.

ioi               indirect object identification (Wang et al. 2023, arXiv:2211.00593): the name that is not repeated.
                  Counterfactual `flip`: the second mention is the other name, so the answer flips (Merullo et al. 2024,
                  arXiv:2310.08744); `abc`: three other names, so no name is repeated (Wang et al.)
colored_objects   the colour of one of three objects, after one worked example (Merullo et al., after BIG-bench).
                  Counterfactual: the same scene, another object is asked for
greater_than      a year that is not before the one it starts in (Hanna et al. 2023, arXiv:2305.00586), last digit:
                  "from the year 1743 to the year 174" -> 4 to 9. Counterfactual: the first year ends with 1
capitals          the capital of a country, of the packaged graph `countries`. Counterfactual: another country
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.domains.lm.prompts import Prompt, Role
from wheatstone.learn.models.language_model import LanguageModel

TaskName = Literal["ioi", "colored_objects", "greater_than", "capitals"]
Random = np.random.Generator

NAMES = (
    "Aaron", "Adam", "Alan", "Alex", "Alice", "Amy", "Andrew", "Anna", "Anthony", "Arthur", "Austin", "Blake", "Brian",
    "Charles", "Charlie", "Chris", "Christian", "Daniel", "David", "Edward", "Emily", "Emma", "Eric", "Frank", "George",
    "Grace", "Harry", "Henry", "Jack", "Jacob", "James", "Jane", "Jason", "Jennifer", "Jessica", "John", "Jonathan",
    "Joseph", "Julia", "Justin", "Kate", "Kelly", "Kevin", "Laura", "Lisa", "Louis", "Maria", "Mark", "Martin", "Mary",
    "Matthew", "Max", "Michael", "Michelle", "Nathan", "Nick", "Oliver", "Patrick", "Paul", "Peter", "Rachel",
    "Richard", "Robert", "Rose", "Ruth", "Ryan", "Sam", "Samuel", "Sarah", "Scott", "Simon", "Stephen", "Steven",
    "Susan", "Thomas", "Tom", "Victoria", "William",
)  # fmt: skip
PLACES = ("store", "garden", "restaurant", "school", "hospital", "office", "house", "station")
OBJECTS = ("ring", "kiss", "bone", "basketball", "computer", "necklace", "drink", "snack")
IOI_TEMPLATES = (
    "Then, {first} and {second} went to the {place}. {again} gave a {object} to",
    "Then, {first} and {second} had a lot of fun at the {place}. {again} gave a {object} to",
    "Then, {first} and {second} were working at the {place}. {again} decided to give a {object} to",
    "Then, {first} and {second} were thinking about going to the {place}. {again} wanted to give a {object} to",
    "Then, {first} and {second} had a long argument, and afterwards {again} said to",
    "After {first} and {second} went to the {place}, {again} gave a {object} to",
    "When {first} and {second} got a {object} at the {place}, {again} decided to give it to",
    "When {first} and {second} got a {object} at the {place}, {again} decided to give the {object} to",
    "While {first} and {second} were working at the {place}, {again} gave a {object} to",
    "While {first} and {second} were commuting to the {place}, {again} gave a {object} to",
    "After the lunch, {first} and {second} went to the {place}. {again} gave a {object} to",
    "Afterwards, {first} and {second} went to the {place}. {again} gave a {object} to",
    "Then, {first} and {second} had a long argument. Afterwards {again} said to",
    "The {place} {first} and {second} went to had a {object}. {again} gave it to",
    "Friends {first} and {second} found a {object} at the {place}. {again} gave it to",
)
"""Wang et al., appendix: 15 sentences, each in two orders of the names."""
THINGS = (
    "cup", "bracelet", "bowl", "mug", "pen", "notebook", "textbook", "necklace", "envelope", "plate", "puzzle", "leash",
    "bottle", "lighter", "pencil", "jug", "ball",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black")
SURFACES = ("table", "desk", "floor")
SIGHTS = ("there is", "you see", "I see")
EVENTS = ("war", "reign", "campaign", "siege", "voyage", "strike", "drought", "project", "journey", "dispute")
CAPITAL_TEMPLATES = (
    "The capital of {country} is",
    "The capital city of {country} is",
    "{country}'s capital city is",
    "The largest airport in {country} is near its capital,",
)
LEAST_WORDS = 4
"""A model whose tokenizer knows fewer of a task's words cannot be asked."""


def make_task(
    name: TaskName, model: LanguageModel, n: int, random: Random, counterfactual: Literal["flip", "abc"] = "flip"
) -> list[Prompt]:
    """`n` prompts. Raises UserError for a model whose tokenizer cuts too many of the task's words."""
    if name == "ioi":
        return _ioi(model, n, random, counterfactual)
    makers: dict[str, Callable[[LanguageModel, int, Random], list[Prompt]]] = {
        "colored_objects": _colored_objects,
        "greater_than": _greater_than,
        "capitals": _capitals,
    }
    return makers[name](model, n, random)


def task_names() -> tuple[TaskName, ...]:
    """Tasks that `make_task` draws."""
    return get_args(TaskName)


def single_tokens(model: LanguageModel, task: str, words: Sequence[str]) -> list[str]:
    """The words that are one token after a space.

    Raises UserError when there are fewer than LEAST_WORDS.
    """
    begin = len(model.encode("x"))
    kept = [word for word in words if len(model.encode(f"x {word}")) == begin + 1]
    if len(kept) < LEAST_WORDS:
        raise UserError(
            f"{model.name}: its tokenizer cuts the words of '{task}' ({', '.join(words[:3])}, ...) in pieces"
        )
    return kept


def _apart(random: Random, words: Sequence[str], count: int) -> list[str]:
    """`count` words of which none contains another: a place in a prompt is found by its text."""
    while True:
        found = _pick(random, words, count)
        if not any(a in b for a in found for b in found if a is not b):
            return found


def _pick(random: Random, words: Sequence[str], count: int = 1) -> list[str]:
    return [words[int(i)] for i in random.choice(len(words), count, replace=False)]


def _ioi(model: LanguageModel, n: int, random: Random, counterfactual: str) -> list[Prompt]:
    names = single_tokens(model, "ioi", NAMES)
    found: list[Prompt] = []
    for i in range(n):
        io, subject, other, another, third = _apart(random, names, 5)
        first, second = (io, subject) if i % 2 else (subject, io)
        template = IOI_TEMPLATES[int(random.integers(len(IOI_TEMPLATES)))]
        filled = {"place": _pick(random, PLACES)[0], "object": _pick(random, OBJECTS)[0]}
        if counterfactual == "flip":
            changed = template.format(first=first, second=second, again=io, **filled)
        else:
            changed = template.format(first=other, second=another, again=third, **filled)
        roles = {"IO": Role(f" {io}"), "S1": Role(f" {subject}", 1), "S2": Role(subject, 2)}
        clean = template.format(first=first, second=second, again=subject, **filled)
        found.append(Prompt(clean, changed, (f" {io}",), (f" {subject}",), (f" {io}", f" {subject}"), roles))
    return found


def _colored_objects(model: LanguageModel, n: int, random: Random) -> list[Prompt]:
    colours = [c for c in COLOURS if c in single_tokens(model, "colored_objects", COLOURS)]
    capitals = single_tokens(model, "colored_objects", [c.capitalize() for c in COLOURS])
    colours = [colour for colour in colours if colour.capitalize() in capitals]
    if len(colours) < 6:
        raise UserError(f"{model.name}: its tokenizer has {len(colours)} of 8 colours in one piece, 6 are needed")
    found: list[Prompt] = []
    while len(found) < n:
        objects, of = _apart(random, THINGS, 6), _pick(random, colours, 6)
        shown = _scene(random, objects[:3], of[:3])
        example = int(random.integers(3))
        head = f"{shown} What color is the {objects[example]}?\nA: {of[example].capitalize()}\n"
        scene = _scene(random, objects[3:], of[3:])
        asked, changed = (int(i) for i in random.choice(3, 2, replace=False))
        clean, other = (f"{head}{scene} What color is the {objects[3 + i]}?\nA:" for i in (asked, changed))
        if len(model.encode(clean)) != len(model.encode(other)):
            continue
        answers = [f" {colour.capitalize()}" for colour in of[3:]]
        elsewhere = [i for i in range(3) if i != asked]
        # Colours and objects of the two scenes differ, so each occurs in its own scene alone.
        roles = {"right": Role(f" {of[3 + asked]}", 1), "query": Role(f" {objects[3 + asked]}", 2)}
        roles |= {f"wrong{k + 1}": Role(f" {of[3 + i]}", 1) for k, i in enumerate(elsewhere)}
        roles["object"] = Role(f" {objects[3 + asked]}", 1)
        found.append(Prompt(clean, other, (answers[asked],), (answers[changed],), tuple(answers), roles))
    return found


def _scene(random: Random, objects: Sequence[str], colours: Sequence[str]) -> str:
    """'Q: On the table, there is a blue pencil, a black necklace, and a yellow lighter.'"""
    surface, sight = _pick(random, SURFACES)[0], _pick(random, SIGHTS)[0]
    items = [
        f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {thing}"
        for colour, thing in zip(colours, objects, strict=True)
    ]
    return f"Q: On the {surface}, {sight} {items[0]}, {items[1]}, and {items[2]}."


def _greater_than(model: LanguageModel, n: int, random: Random) -> list[Prompt]:
    year = "in the year 174"
    if len(model.encode(f"{year}5")) != len(model.encode(year)) + 1:
        raise UserError(f"{model.name}: 'greater_than' asks for the last digit of a year, its tokenizer joins digits")
    found: list[Prompt] = []
    for _ in range(n):
        century, tens, units = int(random.integers(11, 19)), int(random.integers(2, 9)), int(random.integers(2, 8))
        start = f"The {_pick(random, EVENTS)[0]} lasted from the year {century}{tens}"
        end = f" to the year {century}{tens}"
        digits = [str(digit) for digit in range(10)]
        roles = {"units": Role(f"{century}{tens}{units}", 1), "tens": Role(f"year {century}{tens}", 1)}
        found.append(
            Prompt(
                f"{start}{units}{end}",
                f"{start}1{end}",
                tuple(digits[units + 1 :]),
                tuple(digits[: units + 1]),
                tuple(digits),
                roles,
            )
        )
    return found


def _capitals(model: LanguageModel, n: int, random: Random) -> list[Prompt]:
    from wheatstone.domains.kg.catalogue import get
    from wheatstone.domains.kg.load import load

    graph, _ = load(get("countries"), multi="error")
    pairs = {fact.head: fact.tail for fact in graph.facts() if fact.relation == "capital"}
    known = sorted(pairs)
    heads = set(single_tokens(model, "capitals", known))
    tails = set(single_tokens(model, "capitals", sorted(set(pairs.values()))))
    usable = [
        country for country in known if country in heads and pairs[country] in tails and country != pairs[country]
    ]
    if len(usable) < LEAST_WORDS:
        raise UserError(f"{model.name}: its tokenizer has {len(usable)} countries and capitals in one piece each")
    found: list[Prompt] = []
    while len(found) < n:
        country, other = _pick(random, usable, 2)
        template = CAPITAL_TEMPLATES[int(random.integers(len(CAPITAL_TEMPLATES)))]
        clean, changed = template.format(country=country), template.format(country=other)
        # At the start of a text a name has no space before it, and may be of several tokens.
        if pairs[country] != pairs[other] and len(model.encode(clean)) == len(model.encode(changed)):
            right, wrong = f" {pairs[country]}", f" {pairs[other]}"
            found.append(Prompt(clean, changed, (right,), (wrong,), (right, wrong), {"country": Role(country)}))
    return found
