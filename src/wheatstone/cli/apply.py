"""`wheatstone apply STUDY VERB ...`: a study's method on the user's own file.

A verb is a typed function of the study: its parameters are the options, its docstring the help. `grok`, `ask` and
`circuit` are verbs of one study under short names of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wheatstone.bench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from wheatstone.bench.study import Study

KNOWLEDGE_GRAPHS = "grokking-in-the-wild"
USAGE = "usage: wheatstone apply STUDY VERB INPUT ...\n\nThe verbs of a study: wheatstone show STUDY"


def apply_verb(arguments: Sequence[str]) -> int:
    """Call one verb of a study with the rest of the arguments."""
    from wheatstone.bench.registry import load

    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    study = load(arguments[0])
    if len(arguments) == 1 or arguments[1] in ("-h", "--help"):
        print(_verbs(study))
        return 0 if len(arguments) > 1 else 2
    return _call(study, arguments[1], arguments[2:], f"apply {arguments[0]} {arguments[1]}")


def grok(arguments: Sequence[str]) -> int:
    """Train on a knowledge graph until it groks."""
    return _short("grok", arguments)


def ask(arguments: Sequence[str]) -> int:
    """Ask a trained model multi-hop questions."""
    return _short("ask", arguments)


def circuit(arguments: Sequence[str]) -> int:
    """Draw the circuit of a trained model."""
    return _short("circuit", arguments)


def _short(verb: str, arguments: Sequence[str]) -> int:
    from wheatstone.bench.registry import load

    return _call(load(KNOWLEDGE_GRAPHS), verb, arguments, verb)


def _call(study: Study[Any], name: str, arguments: Sequence[str], command: str) -> int:
    from wheatstone.bench.config import within_bounds
    from wheatstone.cli.options import parse

    known = {verb.name: verb for verb in study.verbs}
    if name not in known:
        raise UserError(f"{study.name}: no verb '{name}'.{did_you_mean(name, known)}\n{_verbs(study)}")
    function = known[name].function
    try:
        return parse(within_bounds(function, command), arguments, command, inspect.getdoc(function) or "") or 0
    except OSError as fault:
        # A file that the user named and that cannot be opened is the user's to mend, whatever verb tripped over it.
        if str(fault.filename) in arguments:
            raise UserError(f"{fault.filename}: {fault.strerror}.") from None
        raise


def _verbs(study: Study[Any]) -> str:
    if not study.verbs:
        return f"{study.name} has no verbs: it works on data of its own. Run it: wheatstone run {study.name}"
    width = max(len(verb.name) for verb in study.verbs)
    lines = [f"  {verb.name:<{width}}  {verb.about}" for verb in study.verbs]
    return "\n".join([f"Verbs of {study.name} (wheatstone apply {study.name} VERB --help):", *lines])
