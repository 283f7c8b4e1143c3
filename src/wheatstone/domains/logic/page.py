"""One HTML page of a document: every theorem with its proof, what it cites and what cites it, to search and to follow.

The page is a single file without scripts from elsewhere. Each theorem has an anchor; a proof is a list of lines, each
with its reason and links to what it cites. The picture shows the citations between the theorems that were named
essential, oldest at the left.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wheatstone.domains.logic.kernel import Accepted
from wheatstone.domains.logic.library import sequent_of
from wheatstone.domains.logic.terms import pretty, pretty_formula, pretty_sequent, tupled

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
input{font:inherit;width:100%;padding:.5rem;border:1px solid #999;border-radius:4px;box-sizing:border-box}
article{border-top:1px solid #ddd;padding:.6rem 0}article h3{margin:0;font-size:1rem;font-weight:600}
.say{font-family:"STIX Two Math","Cambria Math",serif;font-size:1.1rem}
.meta{color:#555;font-size:.85rem}a{color:#0b5cad;text-decoration:none}a:hover{text-decoration:underline}
table{border-collapse:collapse;margin:.4rem 0;font-size:.9rem}td{padding:.1rem .6rem;vertical-align:top}
td:first-child{color:#888;text-align:right}summary{cursor:pointer;color:#0b5cad;font-size:.85rem}
svg{max-width:100%;height:auto;border:1px solid #eee}svg a:hover text{font-weight:bold}.hidden{display:none}
"""
SCRIPT = """
const box=document.getElementById('q'),all=[...document.querySelectorAll('article')],n=document.getElementById('n');
function look(){const w=box.value.toLowerCase().split(/\\s+/).filter(Boolean);let k=0;
for(const a of all){const t=a.dataset.text;const ok=w.every(x=>t.includes(x));a.classList.toggle('hidden',!ok);k+=ok}
n.textContent=k+' of '+all.length}
box.addEventListener('input',look);look();
addEventListener('hashchange',()=>{const a=document.getElementById(decodeURIComponent(location.hash.slice(1)));
if(a){a.classList.remove('hidden');const d=a.querySelector('details');if(d)d.open=true;a.scrollIntoView()}});
"""


def page(document: Mapping[str, Any], accepted: Mapping[str, Accepted], essential: Collection[str] = ()) -> str:
    """The page as text."""
    items = [item for item in document["items"] if item["item"] in ("axiom", "theorem")]
    used: dict[str, list[str]] = {item["name"]: [] for item in items}
    for name, one in accepted.items():
        for cited in sorted(one.cites):
            used[cited].append(name)
    theorems = [item for item in items if item["item"] == "theorem"]
    title = f"{document.get('theory', 'theory')}: {len(theorems)} theorems"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        "<p>Every proof on this page has been checked by a kernel that shares no code with the search.</p>",
        '<p><input id="q" type="search" placeholder="Search: a symbol, a name, an axiom" aria-label="Search"></p>',
        '<p class="meta" id="n"></p>',
        _picture(accepted, essential),
        "<h2>Theorems</h2>",
        *[
            _article(item, accepted.get(item["name"]), used[item["name"]], item["name"] in essential)
            for item in theorems
        ],
        "<h2>Axioms</h2>",
        *[_article(item, None, used[item["name"]], False) for item in items if item["item"] == "axiom"],
        f"<script>{SCRIPT}</script></body></html>",
    ]
    return "\n".join(parts)


def _link(name: str) -> str:
    return f'<a href="#{html.escape(name)}">{html.escape(name)}</a>'


def _links(names: Sequence[str]) -> str:
    return ", ".join(map(_link, names)) or "nothing"


def _article(item: Mapping[str, Any], accepted: Accepted | None, used: Sequence[str], is_essential: bool) -> str:
    name = item["name"]
    said = pretty_sequent(sequent_of(dict(item)))
    found = " ".join([name, said, *(accepted.axioms if accepted else ())]).lower()
    mark = " · follows from no other theorems" if is_essential else ""
    rows = [
        f'<article id="{html.escape(name)}" data-text="{html.escape(found)}">',
        f'<h3>{html.escape(name)} <span class="say">{html.escape(said)}</span></h3>',
    ]
    if accepted is None:
        rows.append(f'<div class="meta">axiom · used by {_links(used)}</div></article>')
        return "\n".join(rows)
    proof = item["proof"]
    how = f"induction on {html.escape(proof['induction']['variable'])}" if "induction" in proof else "direct"
    rows.append(f'<div class="meta">{how} · {accepted.lines} lines{mark} · used by {_links(used)}</div>')
    rows.append(
        f'<div class="meta">axioms: {_links(sorted(accepted.axioms - {"induction"}))}'
        + (" and induction" if "induction" in accepted.axioms else "")
        + "</div>"
    )
    rows.append("<details><summary>proof</summary>")
    if "induction" in proof:
        plan = proof["induction"]
        rows += ["<div>Base</div>", _lines(plan["base"]), f"<div>Step, for {html.escape(plan['eigen'])}</div>"]
        rows.append(_lines(plan["step"]))
    else:
        rows.append(_lines(proof["lines"]))
    rows.append("</details></article>")
    return "\n".join(rows)


def _lines(lines: Sequence[Any]) -> str:
    return "<table>" + "".join(_rows(lines)) + "</table>"


def _rows(lines: Sequence[Any]) -> list[str]:
    rows: list[str] = []
    for line in lines:
        if line[2] == "choose":
            rows += _rows(line[5])
        said = html.escape(pretty_formula(tupled(line[1])))
        rows.append(f'<tr><td>{html.escape(line[0])}</td><td class="say">{said}</td><td>{_why(line)}</td></tr>')
    return rows


def _why(line: Sequence[Any]) -> str:
    """The reason of a line as HTML with links."""
    rule, rest = line[2], line[3:]
    if rule == "premise":
        return f"premise {rest[0] + 1}"
    if rule in ("cite", "hypothesis"):
        values, refs = rest[-2], rest[-1]
        name = _link(rest[0]) if rule == "cite" else "induction hypothesis"
        where = ", ".join(f"{html.escape(one)} := {html.escape(pretty(tupled(term)))}" for one, term in values.items())
        return name + (f" with {where}" if where else "") + (f" from {', '.join(refs)}" if refs else "")
    if rule == "refl":
        return "equal to itself"
    if rule == "sym":
        return f"{rest[0]} turned round"
    if rule == "trans":
        return "chain of " + ", ".join(rest[0])
    if rule == "cong":
        return "same function of equals: " + ", ".join(ref for ref in rest[0] if ref)
    if rule == "subst":
        return f"{rest[0]} with equals put in: " + ", ".join(ref for ref in rest[1] if ref)
    if rule in ("unfold", "fold"):
        return f"{rest[0]} by definition"
    if rule == "witness":
        return f"{rest[0]}, witness {html.escape(pretty(tupled(rest[1])))}"
    if rule == "choose":
        return f"{rest[0]} gives {html.escape(rest[1])} with {html.escape(line[0])}*"
    return f"{rule} {', '.join(map(str, rest))}"


def reason(line: Sequence[Any]) -> str:
    """The reason of a line as plain text."""
    return html.unescape(re.sub(r"<[^>]*>", "", _why(line)))


def _picture(accepted: Mapping[str, Accepted], essential: Collection[str]) -> str:
    """Citations between essential theorems as an SVG, one column for each depth."""
    if not essential:
        return ""
    reach: dict[str, set[str]] = {}
    for name, one in accepted.items():
        reach[name] = set()
        for cited in one.cites:
            reach[name] |= {cited} if cited in essential else reach.get(cited, set())
    column: dict[str, int] = {}
    rows: dict[int, list[str]] = {}
    for name in accepted:
        if name in essential:
            column[name] = 1 + max((column[cited] for cited in reach[name] if cited in column), default=-1)
            rows.setdefault(column[name], []).append(name)
    width, height = 110, 26
    spot = {
        name: (at * width + 50, place * height + 24) for at, names in rows.items() for place, name in enumerate(names)
    }
    tall = max(map(len, rows.values())) * height + 24
    parts = [f'<h2>What the essential theorems cite</h2><svg viewBox="0 0 {len(rows) * width} {tall}" role="img">']
    for name, (x, y) in spot.items():
        for cited in sorted(reach[name] & spot.keys()):
            u, v = spot[cited]
            parts.append(f'<line x1="{u}" y1="{v}" x2="{x}" y2="{y}" stroke="#bbb" stroke-width="0.7"/>')
    for name, (x, y) in spot.items():
        label = html.escape(name)
        parts.append(
            f'<a href="#{label}"><circle cx="{x}" cy="{y}" r="4" fill="#0b5cad"/>'
            f'<text x="{x + 6}" y="{y + 4}" font-size="11">{label}</text></a>'
        )
    return "".join(parts) + "</svg>"
