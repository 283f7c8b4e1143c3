"""Causal graphs in files: edge list, DOT, dagitty, BIF.

edge list   `.txt`, `.tsv`, `.csv`: a cause and an effect a line, separated by a tab, a comma, blanks, `->` or `causes`
DOT         `.dot`, `.gv`: a `digraph` of Graphviz; attributes are skipped, groups in braces are joined to all
dagitty     `.dag`, `.dagitty`, and a `.txt` that begins so: `dag { x -> y <- z }` with attributes in brackets
BIF         `.bif`: the Bayesian networks of the bnlearn repository and others; probabilities are skipped

Each also with `.gz`. Lines that begin with '#' are comments, and in DOT and BIF also what follows '//' or stands
between '/*' and '*/'.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import NamedTuple

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.domains.causal.graphs import CausalGraph, Edge, graph_of

MAX_BYTES = 32_000_000
_DOT = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")|(?P<arrow>->)|(?P<line>--)|(?P<mark>[{}\[\];,=:])'
    r"|(?P<name>[^\W\d]\w*|-?(?:\.\d+|\d+(?:\.\d*)?)|\w+)|(?P<blank>\s+)|(?P<other>.)",
    re.DOTALL,
)
_DAGITTY = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")|(?P<both><->)|(?P<arrow>->)|(?P<back><-)|(?P<line>--)|(?P<mark>[{}\[\];,=:])'
    r"|(?P<name>[\w.]+)|(?P<blank>\s+)|(?P<other>.)",
    re.DOTALL,
)
_DAGITTY_HEAD = re.compile(r"\s*dag\s*(?:\w+\s*|\"[^\"\n]*\"\s*)?\{")
_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|^[ \t]*#[^\n]*', re.DOTALL | re.MULTILINE)
_BIF_VARIABLE = re.compile(r'\bvariable\s+("[^"\n]*"|[^\s{]+)\s*\{')
_BIF_PROBABILITY = re.compile(r"\bprobability\s*\(([^()]*)\)")
_BIF_NAME = re.compile(r'"[^"\n]*"|[^\s,|]+')
_SEPARATOR = re.compile(r"\s*(?:->|→|\bcauses\b|\t|,|;)\s*|\s+")
HEADERS = {("cause", "effect"), ("from", "to"), ("source", "target")}


def read_graph(path: Path) -> CausalGraph:
    """The graph in a file, in the format that its ending names.

    Raises InputError with lines for what cannot be read and for a cycle, UserError for a file that cannot be opened.
    """
    readers = {
        ".txt": _edge_list,
        ".tsv": _edge_list,
        ".csv": _edge_list,
        ".dot": _dot,
        ".gv": _dot,
        ".dag": _dagitty,
        ".dagitty": _dagitty,
        ".bif": _bif,
    }
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in readers:
        raise UserError(f"{path}: the ending '{suffix}' names no format. Use one of {', '.join(readers)}.")
    text = read_text(path)
    reader = _dagitty if suffix == ".txt" and _DAGITTY_HEAD.match(_without_comments(text)) else readers[suffix]
    edges, nodes = reader(text, str(path))
    return graph_of(edges, str(path), nodes)


def read_text(path: Path) -> str:
    """The text of a file, unzipped where its name ends in `.gz`. Raises UserError or InputError where that fails."""
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rb") as stream:
                content = stream.read(MAX_BYTES + 1)
        else:
            with path.open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory, not a file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{path}: no whole gzip file, though its name ends in .gz") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}: more than {MAX_BYTES // 1_000_000} MB, which is the limit for a graph.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise InputError([Fault(str(path), line, None, "not UTF-8. Save the file as UTF-8.")]) from None


class Read(NamedTuple):
    """What a file says."""

    edges: list[Edge]
    nodes: list[str]


def _edge_list(text: str, file: str) -> Read:
    edges: list[Edge] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = [field.strip('"') for field in _SEPARATOR.split(line.strip().rstrip(".;")) if field]
        if not edges and not faults and tuple(field.lower() for field in fields) in HEADERS:
            continue
        if len(fields) == 2:
            edges.append(Edge(fields[0], fields[1], number))
        else:
            rule = "A line is a cause and an effect, separated by a tab, a comma, blanks, '->' or 'causes'."
            faults.append(Fault(file, number, None, f"{len(fields)} names in '{line.strip()[:60]}'. {rule}"))
    if faults:
        raise InputError(faults)
    return Read(edges, [])


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def _dot(text: str, file: str) -> Read:
    tokens = _tokens(_DOT, text)
    words = [token.text.lower() for token in tokens[:2]]
    if "digraph" not in words[:2] or (words[0] != "digraph" and words[0] != "strict"):
        line = tokens[0].line if tokens else None
        raise InputError([Fault(file, line, None, "no 'digraph'. A causal graph in DOT is a digraph with '->' edges.")])
    begin = next((at for at, token in enumerate(tokens) if token.text == "{"), len(tokens))
    return _DotBody(tokens[begin:], file).read()


def _dagitty(text: str, file: str) -> Read:
    tokens = _tokens(_DAGITTY, text)
    if not _DAGITTY_HEAD.match(_without_comments(text)):
        line = tokens[0].line if tokens else None
        raise InputError([Fault(file, line, None, "no 'dag {'. Other graphs of dagitty are no causal graphs as here.")])
    return _DotBody(tokens[next(at for at, token in enumerate(tokens) if token.text == "{") :], file).read()


def _tokens(pattern: re.Pattern[str], text: str) -> list[_Token]:
    line, found = 1, list[_Token]()
    for match in pattern.finditer(_without_comments(text)):
        kind, value = str(match.lastgroup), match.group()
        if kind != "blank":
            found.append(
                _Token("name" if kind == "text" else kind, value.strip('"') if kind == "text" else value, line)
            )
        line += value.count("\n")
    return found


class _DotBody:
    """The statements between the braces of a graph: edges `a -> b -> {c d}`, nodes, attributes."""

    def __init__(self, tokens: list[_Token], file: str) -> None:
        self.tokens, self.file, self.at = tokens, file, 0
        self.edges: list[Edge] = []
        self.nodes: dict[str, None] = {}

    def read(self) -> Read:
        self._group()
        if self.at < len(self.tokens):
            raise self._fault(self.tokens[self.at], "is after the last '}'")
        return Read(self.edges, list(self.nodes))

    def _group(self) -> list[str]:
        """The nodes of `{ ... }`."""
        opening = self._next("'{'")
        if opening.text != "{":
            raise self._fault(opening, "stands where '{' must")
        members: list[str] = []
        while (token := self._peek("'}'")).text != "}":
            if token.kind == "mark" and token.text in ";,":
                self.at += 1
            else:
                members += self._statement()
        self.at += 1
        return members

    def _statement(self) -> list[str]:
        if self._peek("a node").text.lower() in ("node", "edge", "graph") and self._after("["):
            self.at += 1
            self._attributes()
            return []
        if self._after("="):
            self.at += 3
            return []
        left = self._operand()
        members = list(left)
        while self.at < len(self.tokens) and self.tokens[self.at].kind in ("arrow", "back", "both", "line"):
            arrow = self._next("'->'")
            if arrow.kind == "line":
                raise self._fault(arrow, "has no direction; write '->'")
            if arrow.kind == "both":
                raise self._fault(arrow, "stands for a cause that is not named; write it as a node: 'U -> a', 'U -> b'")
            right = self._operand()
            causes, effects = (left, right) if arrow.kind == "arrow" else (right, left)
            self.edges += [Edge(cause, effect, arrow.line) for cause in causes for effect in effects]
            members += right
            left = right
        self._attributes()
        return members

    def _operand(self) -> list[str]:
        token = self._peek("a node")
        if token.kind == "name" and token.text.lower() == "subgraph":
            self.at += 1
            if self._peek("'{'").text != "{":
                self.at += 1
            return self._group()
        if token.text == "{" and token.kind == "mark":
            return self._group()
        if token.kind != "name":
            raise self._fault(token, "stands where a node must")
        self.at += 1
        while self.at + 1 < len(self.tokens) and self.tokens[self.at].text == ":":
            self.at += 2  # a port
        self.nodes[token.text] = None
        return [token.text]

    def _attributes(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at].text == "[":
            opening = self.tokens[self.at]
            while self._peek("']'", opening).text != "]":
                self.at += 1
            self.at += 1

    def _after(self, text: str) -> bool:
        """Whether the token after the next is `text`."""
        return self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].text == text

    def _peek(self, wanted: str, since: _Token | None = None) -> _Token:
        if self.at == len(self.tokens):
            last = since or (self.tokens[-1] if self.tokens else None)
            text = f"the file ends where {wanted} must follow."
            raise InputError([Fault(self.file, last.line if last else None, None, text)])
        return self.tokens[self.at]

    def _next(self, wanted: str) -> _Token:
        token = self._peek(wanted)
        self.at += 1
        return token

    def _fault(self, token: _Token, text: str) -> InputError:
        return InputError([Fault(self.file, token.line, None, f"'{token.text[:40]}' {text}.")])


def _bif(text: str, file: str) -> Read:
    text = _without_comments(text)
    nodes = [found[1].strip('"') for found in _BIF_VARIABLE.finditer(text)]
    edges: list[Edge] = []
    faults: list[Fault] = []
    if not nodes:
        faults.append(Fault(file, None, None, "no 'variable NAME {'. A BIF file declares its variables first."))
    twice = sorted({name for name in nodes if nodes.count(name) > 1})
    faults += [Fault(file, None, "variable", f"'{name}' is declared twice.") for name in twice]
    known = set(nodes)
    for found in _BIF_PROBABILITY.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        child, _, parents = found[1].partition("|")
        names = [[name.strip('"') for name in _BIF_NAME.findall(part)] for part in (child, parents)]
        if len(names[0]) != 1:
            faults.append(Fault(file, line, "probability", f"{len(names[0])} variables before '|', must be one."))
            continue
        strangers = [name for name in (*names[0], *names[1]) if name not in known]
        faults += [Fault(file, line, "probability", f"'{name}' is no variable of the file.") for name in strangers]
        edges += [Edge(parent, names[0][0], line) for parent in names[1]]
    if faults:
        raise InputError(faults)
    return Read(edges, nodes)


def _without_comments(text: str) -> str:
    """The text with comments blanked out; lines keep their numbers, and what is quoted stays."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0])

    return _COMMENT.sub(blank, text)
