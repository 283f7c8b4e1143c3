"""Statements that a run is asked about: laws that each theory should yield, and what the original reports.

Both are written in the text format of theories, over relations, and become functional when they are compared with the
theorems. The reported statements are those of the Peano stage of the original's fourth version, one for each pair of
statement and mirror image: where both sides are functions the two are one equation.
"""

from __future__ import annotations

LAWS: dict[str, dict[str, str]] = {
    "addition": {
        "0 + a = a": "(>[a](in[a,N])(in3[i0,a,a,+]))",
        "successor of the left": "(>[a,b,c,d,e](&(in2[a,c,s])(in3[a,b,d,+]))(>[](in2[d,e,s])(in3[c,b,e,+])))",
        "addition commutes": "(>[a,b,c](in3[a,b,c,+])(in3[b,a,c,+]))",
    },
    "peano": {
        "addition commutes": "(>[a,b,c](in3[a,b,c,+])(in3[b,a,c,+]))",
        "addition associates": "(>[a,b,c,d,e,f](&(in3[a,b,d,+])(&(in3[b,c,e,+])(in3[d,c,f,+])))(in3[a,e,f,+]))",
        "multiplication commutes": "(>[a,b,c](in3[a,b,c,*])(in3[b,a,c,*]))",
        "multiplication associates": "(>[a,b,c,d,e,f](&(in3[a,b,d,*])(&(in3[b,c,e,*])(in3[d,c,f,*])))(in3[a,e,f,*]))",
        "left distributivity": "(>[a,b,c,d,e,f,g](&(in3[b,c,d,+])(&(in3[a,b,e,*])(in3[a,c,f,*])))"
        "(>[](in3[e,f,g,+])(in3[a,d,g,*])))",
        "right distributivity": "(>[a,b,c,d,e,f,g](&(in3[a,b,d,+])(&(in3[a,c,e,*])(in3[b,c,f,*])))"
        "(>[](in3[e,f,g,+])(in3[d,c,g,*])))",
        "a * 1 = a": "(>[a](in[a,N])(in3[a,i1,a,*]))",
        "cancellation": "(>[a,b,c,d](&(in3[a,b,d,+])(in3[a,c,d,+]))(=[b,c]))",
    },
    "groups": {
        "right identity": "(>[a](in[a,G])(in3[a,e,a,*]))",
        "right inverse": "(>[a,b](in2[a,b,inv])(in3[a,b,e,*]))",
        "unique identity": "(>[a,b](in3[a,b,a,*])(=[b,e]))",
        "unique inverse": "(>[a,b,c](&(in2[a,b,inv])(in2[a,c,inv]))(=[b,c]))",
        "inverse of a product": "(>[a,b,c,d,f,g](&(in3[a,b,c,*])(&(in2[a,d,inv])(in2[b,f,inv])))"
        "(>[](in3[f,d,g,*])(in2[c,g,inv])))",
        "cancellation": "(>[a,b,c,d](&(in3[a,b,d,*])(in3[a,c,d,*]))(=[b,c]))",
    },
    "sums": {
        "n (n + 1) is twice the sum": "(>[n,m,t,u](&(in2[n,m,s])(&(in2[n,t,sum])(in3[n,m,u,*])))(in3[t,t,u,+]))",
    },
}

REPORTED: tuple[str, ...] = (
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in2[d,e,s])(>[](in3[b,d,a,*])(in3[b,e,c,*]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d](in2[b,d,s])(>[e](in2[c,e,s])(in3[a,d,e,+]))))",
    "(>[a,b](in2[a,b,s])(in3[i1,a,b,+]))",
    "(>[a,b](in3[i0,a,b,+])(in3[a,i0,b,+]))",
    "(>[a,b](in3[i0,a,b,*])(in3[a,i0,b,*]))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in3[a,d,e,+])(>[f](in3[b,f,d,+])(in3[c,f,e,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d](in2[a,d,s])(>[e](in2[c,e,s])(in3[d,b,e,+]))))",
    "(>[a,b](in2[a,b,s])(in3[a,i1,b,+]))",
    "(>[a,b,c](in3[a,b,c,+])(>[d](in2[b,d,s])(>[e](in2[e,a,s])(in3[d,e,c,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d](in2[b,d,s])(>[e](in2[c,e,s])(in3[d,a,e,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(in3[b,a,c,+]))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in3[a,d,e,+])(>[f](in3[c,d,f,+])(in3[e,b,f,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d](in2[a,d,s])(>[e](in2[c,e,s])(in3[b,d,e,+]))))",
    "(>[a,b](in3[i1,a,b,+])(in3[a,i1,b,+]))",
    "(>[a,b,c](in3[a,b,c,*])(>[d,e](in3[a,d,e,*])(>[f,g](in3[a,f,g,*])(>[](in3[b,d,f,+])(in3[c,e,g,+])))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d](in2[a,d,s])(>[e](in2[e,b,s])(in3[d,e,c,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d](in2[a,d,s])(>[e](in2[e,b,s])(in3[e,d,c,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in3[a,d,e,+])(>[f](in3[f,b,d,+])(in3[f,c,e,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e,f](in3[d,e,f,+])(>[](in3[b,a,e,+])(in3[d,c,f,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e,f](in3[d,e,f,+])(>[](in3[b,a,d,+])(in3[c,e,f,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in3[b,d,e,+])(>[f](in3[f,d,a,+])(in3[e,f,c,+]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in3[a,d,e,+])(>[f](in3[b,e,f,+])(in3[d,c,f,+]))))",
    "(>[a,b](in3[a,b,i0,+])(in3[b,a,i0,+]))",
    "(>[a,b](in3[a,b,i1,+])(in3[b,a,i1,+]))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in2[d,e,s])(>[](in3[d,a,b,*])(in3[e,a,c,*]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in2[d,e,s])(>[](in3[a,d,b,*])(in3[a,e,c,*]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in3[a,d,e,*])(>[f](in3[b,d,f,*])(>[g](in3[c,d,g,*])(in3[e,f,g,+])))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in2[d,e,s])(>[](in3[d,b,a,*])(in3[e,b,c,*]))))",
    "(>[a,b,c](in3[a,b,c,*])(in3[b,a,c,*]))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in2[d,e,s])(>[](in3[d,a,b,*])(in3[a,e,c,*]))))",
    "(>[a,b,c](in3[a,b,c,+])(>[d,e](in2[d,e,s])(>[](in3[d,b,a,*])(in3[b,e,c,*]))))",
    "(>[a,b,c](in3[a,b,c,*])(>[d,e](in3[a,d,e,*])(>[f](in3[b,f,d,*])(in3[c,f,e,*]))))",
)
