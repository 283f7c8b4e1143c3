"""The order in which a proof is told."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def steps_to(goal: T, premises: Callable[[T], Sequence[T]]) -> list[T]:
    """The goal and all that it rests on, premises before what follows from them, nothing twice."""
    found: dict[T, None] = {}
    waiting = [(goal, False)]
    while waiting:
        one, is_ready = waiting.pop()
        if one in found:
            continue
        if is_ready:
            found[one] = None
        else:
            waiting.append((one, True))
            waiting += [(premise, False) for premise in reversed(premises(one))]
    return list(found)
