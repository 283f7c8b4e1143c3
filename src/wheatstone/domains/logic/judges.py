"""Judges: further processes that judge conjectures ahead of time.

A judgement depends on the conjecture and on what is known, so it may be made before it is asked for, by any process.
The exploration offers the conjectures that come next; when it reaches one, the judgement is there, or is made at once.
After each theorem the prover is another one and what was judged ahead is thrown away. So the number of judges changes
how long an exploration takes and nothing else.

Each judge is `python -m wheatstone.domains.logic.judges`; it reads JSON lines from its stdin, writes JSON lines to its
stdout, and ends when its stdin does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wheatstone
from wheatstone.domains.logic.prove import Induction, Judgement, Proof, Prover
from wheatstone.domains.logic.saturate import Definition, Limits
from wheatstone.domains.logic.terms import Sequent, listed, tupled

AHEAD = 3
"""Conjectures that a judge has before it."""


class Judges:
    """The processes, and what they have found out. Use it as a context."""

    def __init__(self, count: int) -> None:
        self._judges = [_Judge() for _ in range(count)]
        self._found: dict[tuple[int, Sequent], Judgement] = {}
        self._waiting: dict[tuple[int, Sequent], _Judge] = {}

    @property
    def ahead(self) -> int:
        """How many conjectures are worth offering."""
        return AHEAD * len(self._judges)

    def __enter__(self) -> Judges:
        return self

    def __exit__(self, *failure: object) -> None:
        for judge in self._judges:
            judge.close()

    def offer(self, prover: Prover, goals: Iterable[tuple[Sequent, Limits | None]]) -> None:
        """Lets judges that have time begin with these conjectures."""
        for goal, follows in goals:
            key = prover.version, goal
            judge = min(self._judges, key=lambda one: len(one.asked), default=None)
            if judge is None or len(judge.asked) >= AHEAD:
                return
            if key not in self._found and key not in self._waiting:
                judge.ask(prover, key, follows)
                self._waiting[key] = judge

    def judge(self, prover: Prover, goal: Sequent, follows: Limits | None) -> Judgement:
        """The judgement, made ahead of time or now."""
        key = prover.version, goal
        while key in self._waiting:
            judge = self._waiting[key]
            answered, judgement = judge.answer()
            del self._waiting[answered]
            self._found[answered] = judgement
        found = self._found.pop(key, None)
        if found is not None:
            return found
        if any(version != prover.version for version, _ in self._found):
            self._found = {one: value for one, value in self._found.items() if one[0] == prover.version}
        return prover.judge(goal, follows)


class _Judge:
    """One process."""

    def __init__(self) -> None:
        package = str(Path(wheatstone.__file__).parent.parent)
        known = os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "wheatstone.domains.logic.judges"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{known}" if known else package},
        )
        self._version = -1
        self.asked: deque[tuple[int, Sequent]] = deque()

    def ask(self, prover: Prover, key: tuple[int, Sequent], follows: Limits | None) -> None:
        message: dict[str, Any] = {
            "goal": [listed(key[1].premises), listed(key[1].conclusion)],
            "follows": follows and dataclasses.asdict(follows),
        }
        if self._version != prover.version:
            message["prover"] = _described(prover)
            self._version = prover.version
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        self.asked.append(key)

    def answer(self) -> tuple[tuple[int, Sequent], Judgement]:
        """Waits for the oldest question."""
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        proof = answer["proof"] and Proof(**(answer["proof"] | {"cites": tuple(answer["proof"]["cites"])}))
        return self.asked.popleft(), Judgement(answer["outcome"], proof, answer["work"])

    def close(self) -> None:
        """Ends the process, in the middle of whatever it does."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


def _described(prover: Prover) -> dict[str, Any]:
    definitions = {name: [one.parameters, one.body] for name, one in prover.definitions.items()}
    existences = {name: [one.parameters, one.body] for name, one in prover.existences.items()}
    return {
        "definitions": _listed(definitions),
        "existences": _listed(existences),
        "induction": prover.induction and [listed(prover.induction.zero), prover.induction.successor],
        "limits": dataclasses.asdict(prover.limits),
        "constants": listed(list(prover.constants)),
        "proposed": prover.proposed,
        "known": {name: [listed(one.premises), listed(one.conclusion)] for name, one in prover.sequents.items()},
    }


def _listed(values: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: listed(value) for name, value in values.items()}


def _definitions(values: dict[str, Any]) -> dict[str, Definition]:
    return {name: Definition(name, *tupled(value)) for name, value in values.items()}


def _rebuilt(stored: dict[str, Any]) -> Prover:
    induction = stored["induction"] and Induction(tupled(stored["induction"][0]), stored["induction"][1])
    prover = Prover(
        _definitions(stored["definitions"]),
        induction,
        Limits(**stored["limits"]),
        list(tupled(stored["constants"])),
        _definitions(stored["existences"]),
        stored["proposed"],
    )
    for name, sequent in stored["known"].items():
        prover.know(name, Sequent(*tupled(sequent)))
    return prover


def main() -> None:
    """Answers questions until stdin ends."""
    prover: Prover | None = None
    for line in sys.stdin:
        message = json.loads(line)
        if "prover" in message:
            prover = _rebuilt(message["prover"])
        assert prover is not None
        follows = message["follows"] and Limits(**message["follows"])
        judgement = prover.judge(Sequent(*tupled(message["goal"])), follows)
        proof = judgement.proof and dataclasses.asdict(judgement.proof)
        print(json.dumps({"outcome": judgement.outcome, "proof": proof, "work": judgement.work}), flush=True)


if __name__ == "__main__":
    main()
