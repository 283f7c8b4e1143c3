"""The command line's front door: a table of commands, each imported only when it is called.

`wheatstone --help` and `wheatstone list` answer at once because nothing here imports torch, numpy or a study. A fault
that the user can mend ends with its message and exit code 2; Ctrl-C ends with a line that says how to go on and 130;
any other exception is a bug of ours: one line, the traceback in a file (or on the screen with WHEATSTONE_DEBUG=1), 1.
"""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from wheatstone import __version__
from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.bench.shown import printable

OK, BUG, USER_FAULT, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """Where a command lives and what `--help` says about it."""

    place: str
    """'module:function' below wheatstone.cli; the function takes the arguments after the command's name."""
    usage: str
    about: str
    goes_on: bool = False
    """Whether the same command, given again after Ctrl-C, goes on where it stopped."""


COMMANDS = {
    "list": Command("catalogue:list_studies", "list", "every study: family, claim, last verdict"),
    "show": Command("catalogue:show_study", "show STUDY", "the paper, the method, arms, claims, presets, cost"),
    "run": Command("run:run_study", "run STUDY [--preset cpu]", "measure a study's claims, arm against arm", True),
    "sweep": Command("sweep:sweep_study", "sweep STUDY --grid phi=3,9", "a grid of settings, one report", True),
    "apply": Command("apply:apply_verb", "apply STUDY VERB INPUT", "a study's method on a file of yours", True),
    "grok": Command("apply:grok", "grok FACTS.tsv", "train on a knowledge graph until it groks", True),
    "ask": Command("apply:ask", 'ask RUN "A | r1 | r2"', "multi-hop questions, answered from the weights"),
    "circuit": Command("apply:circuit", "circuit RUN", "the generalising circuit: where each hop is computed"),
    "report": Command("pages:report", "report RUN", "write a run's page again and say where it is"),
    "serve": Command("pages:serve", "serve", "a local page with all runs, live curves and verdicts"),
    "check": Command("check:check_study", "check my_study.py", "the whole contract, run on any study"),
    "data": Command("data:data", "data get NAME", "checksummed downloads into a cache"),
    "models": Command("models:models", "models install NAME", "real language models, checksummed, into a cache"),
    "docs": Command("docs:docs", "docs [--check]", "write the study pages and docs/RESULTS.md, or check them"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (the console script passes it to `sys.exit`)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(help_text())
        return OK
    if given[0] in ("-V", "--version"):
        print(f"wheatstone {__version__}")
        return OK
    # Read when torch is loaded, which is later: threads that wait sleep, so that two programs can share the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name that is no UTF-8 is shown with its escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = call(given[0], given[1:])
        sys.stdout.flush()
        return code
    except UserError as fault:
        print(printable(str(fault), keep="\n\t"), file=sys.stderr)
        return USER_FAULT
    except KeyboardInterrupt as stop:  # whoever keeps nothing says so itself
        print(f"\n{str(stop) or interrupted(given)}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()  # the reader (head, less) has gone
        return BUG
    except Exception as bug:
        if isinstance(bug, OSError) and bug.errno in (errno.ENOSPC, errno.EDQUOT) and bug.filename is None:
            _drop_output()
            print("standard output: the disk is full. Free some space and run the same command again.", file=sys.stderr)
            return USER_FAULT
        if os.environ.get("WHEATSTONE_DEBUG"):
            raise
        print(bug_report(bug, given), file=sys.stderr)
        return BUG


def _drop_output() -> None:
    """Python's own flush at exit must not fail a second time."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def call(name: str, arguments: Sequence[str]) -> int:
    """Import the command's module and call it.

    Raises UserError for a name that is no command.
    """
    if name not in COMMANDS:
        raise UserError(f"unknown command '{name}'.{did_you_mean(name, COMMANDS)} All of them: wheatstone --help")
    module, _, function = COMMANDS[name].place.partition(":")
    handler: Callable[[Sequence[str]], int | None] = getattr(import_module(f"wheatstone.cli.{module}"), function)
    return handler(arguments) or OK


def help_text() -> str:
    """The list of commands, one line each."""
    width = max(len(command.usage) for command in COMMANDS.values())
    rows = "\n".join(f"  {command.usage:<{width}}  {command.about}" for command in COMMANDS.values())
    return (
        "wheatstone: a bench for claims about circuits and generalisation\n\n"
        f"usage: wheatstone COMMAND ...\n\n{rows}\n\n"
        "Options of a command: wheatstone COMMAND --help     Version: wheatstone --version"
    )


def interrupted(given: Sequence[str]) -> str:
    """What Ctrl-C says: a run is never lost, the same command goes on with it."""
    command = COMMANDS.get(given[0])
    if command is None or not command.goes_on:
        return "Interrupted."
    # --fresh would throw away what the command is asked to go on with.
    again = shlex.join(["wheatstone", *(word for word in given if word != "--fresh")])
    return f"Interrupted. What is done is kept; to go on: {again}"


def bug_report(bug: Exception, given: Sequence[str]) -> str:
    """One line for the user; the traceback goes to a file that can be sent along."""
    fault = printable(" ".join(f"{type(bug).__name__}: {bug}".split())[:300])
    text = f"wheatstone {__version__}, Python {sys.version}\n{shlex.join(['wheatstone', *given])}\n\n"
    text += "".join(traceback.format_exception(bug))
    try:
        with tempfile.NamedTemporaryFile("wb", prefix="wheatstone-bug-", suffix=".txt", delete=False) as log:
            log.write(text.encode(errors="backslashreplace"))
    except OSError as full:
        return f"This is a bug in wheatstone: {fault}. The traceback could not be kept ({full.strerror})."
    return f"This is a bug in wheatstone: {fault}. The traceback is in {log.name}"
