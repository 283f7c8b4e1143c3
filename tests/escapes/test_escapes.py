"""Names that a user's file may hold, through a real run into report, served page, documentation and terminal.

They would set the title of the page, or ask a server that nobody asked, if any of them became markup or script.
"""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from wheatstone.bench import registry
from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.serve import make_app
from wheatstone.bench.shown import printable
from wheatstone.cli.main import main
from wheatstone.cli.markdown import results_of, study_page
from wheatstone.domains.kg.load import load

PWN = "document.title='pwned'"
NAMES = (
    f"<script>{PWN}</script>",
    f'"><img src=x onerror={PWN}>',
    f"</script><script>{PWN}</script>",
    f"javascript:{PWN}",
    "<img src=http://attacker.example/x.png>",
    "a\u202egpj.exe",
    "<!--",
    "&lt;b&gt;",
    "{{7*7}} ${7*7}",
    "$x_1$ **b** `touch pwned`",
    f'<a href="javascript:{PWN}">x</a>',
    f"' onmouseover='{PWN}",
    "]]>",
    "\\u003cscript\\u003e",
)
RELATIONS = ("<b>r1</b>", f'r2" onload="{PWN}', "</td></table></div>r3")
FILE = f"<img src=x onerror={PWN}>.tsv".replace("/", "")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Made(NamedTuple):
    """A run of `grok` on hostile names, and what it printed."""

    run: Run
    printed: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("runs")
    facts, n = folder / FILE, len(NAMES)
    facts.write_text(
        "".join(
            f"{NAMES[i]}\t{relation}\t{NAMES[(i * (k + 2) + k + 1) % n]}\n"
            for i in range(n)
            for k, relation in enumerate(RELATIONS)
        )
    )
    runs = folder / "runs"
    runs.mkdir()
    capture = pytest.MonkeyPatch()
    lines: list[str] = []
    capture.setattr("builtins.print", lambda *text, **_: lines.append(" ".join(map(str, text))))
    words = ["--steps", "12", "--d-model", "16", "--heads", "4", "--jobs", "1", "--out", str(runs / "hostile <b>")]
    code = main(["grok", str(facts), *words, "--no-control"])
    capture.undo()
    assert code == 0, lines
    return Made(Run.open(runs / "hostile <b>"), "\n".join(lines))


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def check_page(page: str) -> Elements:
    """No element or attribute that the bench does not write itself, and no address that leads out of the page."""
    read = Elements(page)
    assert not read.comments
    for tag, attributes in read.found:
        assert tag in OWN, (tag, attributes)
        for name, value in attributes.items():
            assert re.fullmatch(r"[a-z][a-z0-9-]*", name), (tag, attributes)
            assert not name.startswith("on"), (tag, attributes)
            if name in ("href", "src", "action"):
                assert value is not None
                assert value == "/" or value.startswith(("#", "/runs/", "/live/", "/compare")), (tag, attributes)
    return read


OWN = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "nav", "section", "article"),
    *("h1", "h2", "h3", "p", "a", "b", "i", "ul", "li", "div", "span", "pre", "code", "details", "summary", "script"),
    *(
        "table",
        "thead",
        "tbody",
        "tr",
        "td",
        "th",
        "figure",
        "figcaption",
        "img",
        "svg",
        "line",
        "text",
        "path",
        "rect",
    ),
    *("g", "circle", "title", "defs", "marker", "polygon", "em", "small", "strong", "clippath"),
    *("form", "label", "input", "select", "option", "button", "progress"),
}


def test_the_report_shows_names_as_text(made: Made) -> None:
    page = (made.run.path / "report.html").read_text(encoding="utf-8")
    read = check_page(page)
    assert sum(tag == "script" for tag, _ in read.found) == page.count("<script")
    assert "</td></table></div>r3" in read.text
    assert "pwned" in read.text, "the names are in the page"
    policy = next(a["content"] for tag, a in read.found if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'unsafe-inline'")
    assert "connect-src 'none'" in policy
    assert "form-action 'none'" in policy


def test_the_served_page_shows_names_as_text(made: Made) -> None:
    with TestClient(make_app(made.run.path.parent), base_url="http://localhost") as client:
        read = check_page(client.get("/").text)
        assert "hostile <b>" in read.text
        assert "hostile <b>" in check_page(client.get("/live/hostile%20%3Cb%3E").text).text
        both = client.get("/compare", params={"run": ["hostile <b>", "hostile <b>"]})
        assert "hostile <b>" in check_page(both.text).text
        assert client.get("/api/runs").json()[0]["name"] == "hostile <b>"
        reply = client.get("/runs/hostile%20%3Cb%3E/")
        assert reply.status_code == 200
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_documentation_shows_text_as_text(made: Made) -> None:
    findings = made.run.findings()
    assert findings is not None
    study = registry.load(findings.study)
    hostile = findings.verdicts[0]
    claim = type(hostile.claim)(**{**vars(hostile.claim), "text": NAMES[0] + " | " + NAMES[1]})
    verdict = type(hostile)(**{**vars(hostile), "claim": claim, "reason": NAMES[2]})
    changed: dict[str, Any] = {**vars(findings), "verdicts": (verdict,)}
    for text in (results_of(type(findings)(**changed)), study_page(study, [findings])):
        assert "<script" not in text
        assert "<img" not in text


def test_the_terminal_gets_no_control_characters(made: Made) -> None:
    assert all(c.isprintable() or c == "\n" for c in made.printed)
    assert "a\\u202egpj.exe" in made.printed


def test_the_command_that_is_offered_is_safe_to_paste(made: Made) -> None:
    line = next(line for line in made.printed.splitlines() if line.startswith("Ask it:"))
    words = shlex.split(line.removeprefix("Ask it:"))
    assert words[:3] == ["wheatstone", "ask", str(made.run.path)]
    assert len(words) == 4


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\0b", "a\u2028b", "a\x9b31mb", "a\x07b", "a\x7fb"])
def test_names_that_a_terminal_obeys_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "facts.tsv").write_text(f"{name}\tr\tb\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "facts.tsv")
    assert str(caught.value).isprintable()


def test_a_message_with_a_hostile_argument_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "\x1b[31mred\x1b]0;title\x07\u202e"]) == 2
    assert "\\x1b[31mred\\x1b]0;title\\x07\\u202e" in capsys.readouterr().err


def test_joiners_stay() -> None:
    assert printable("نامه\u200cای") == "نامه\u200cای"
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert printable("\udcff") == "\\udcff"


class Witness:
    """A proxy that refuses everything and remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(1)
                try:
                    self.asked.append(peer.recv(2000))
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium, the only way to see that nothing of a name is carried out")
def test_nothing_of_a_name_is_carried_out_in_a_browser(made: Made, tmp_path: Path) -> None:
    witness = Witness()
    try:
        done = subprocess.run(
            [
                str(BROWSER),
                *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
                *("--disable-component-update", "--disable-sync", "--virtual-time-budget=8000", "--dump-dom"),
                f"--user-data-dir={tmp_path / 'browser'}",
                f"--proxy-server=http://127.0.0.1:{witness.port}",
                (made.run.path / "report.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=200,
            check=True,
        )
    finally:
        witness.close()
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    assert title[1].endswith("· cpu"), title[1]
    assert 'data-live="1"' in done.stdout, "the page's own script ran"
    assert not [asked for asked in witness.asked if b"attacker" in asked], witness.asked
