"""Definitions in, theorems with checked proofs out: exploring arithmetic and groups without training or chance.

Source        Sergeev, Generative Logic, 2025-2026, arXiv:2508.00017 (code: Generative-Logic/GL, AGPL-3: read for facts)
Idea          Given definitions in a small language, a machine can explore what follows from them: it enumerates
              conjectures, throws out the false ones in small worlds, proves the rest by forward inference with full
              provenance, and prints each proof. No step is learnt and none is random.
Method        1 read relations and axioms  2 make function symbols of the relations that are total and single-valued, by
              axiom or by proof  3 enumerate equations and conditional sequents by size, one for all variants  4 refute
              in a window of the numbers, or in finite models that z3 finds on demand  5 pass over what follows from the
              theorems so far; prove the rest by equality saturation in a graph per attempt, with induction where the
              theory declares it  6 write each proof as lines for a kernel that shares no code with the search, and for
              Metamath  7 drop theorems that follow from the others  8 break the proofs and see who notices
Differs       Statements are sequents over function symbols rather than chains of relations, so that statement and
              mirror image are one equation: the original's 60 theorems with 21 mirrored ones are not comparable in
              number, so the statements of its Peano stage are asked for one by one. Order and divisibility are in the
              theory from the start. Essential theorems are found by instantiation, equality and modus ponens alone,
              without definitions and induction. No step is random but the order in `random_order`: the seed draws the
              assignments beyond the window, the spot checks and the mutants. So most arms find the same with every
              seed, and `peano` differs in a few conditional theorems, which another sample let through. `no_filter`
              enumerates equations only, smallest first. Intervals, sequences and folds as objects of their own are not
              built: the sum of the first n numbers is a function by recursion, and `paper` differs from `cpu` in sizes
              alone.
Found         In `cpu` all 32 statements of the original's Peano stage are theorems or follow from theorems without
              induction, and so are all eight laws; every proof passes the kernel and the metamath program. Half of the
              laws are not stated as they stand: left-commutativity is found before associativity, which then follows.
              The controls have the same work as `peano`, which uses all of it up on conditional sequents long after the
              last law. `no_filter` suffers twice: false conjectures cost work, and among them those that wait for a
              lemma are not tried again, since only the smallest open ones are. What stays open in `peano` when the work
              is used up are equations that would follow by now, true sequents that need a case distinction inside of an
              induction (cancellation of squares), and a few that are false beyond the window.
Falsified by  `no_induction`, `no_lemmas` or `no_filter` finding the same laws within the same work; `groups_no_inverse`
              proving laws of groups; the kernel accepting a broken proof or a circle of citations
"""

from __future__ import annotations

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.logical.generative_logic import verbs
from wheatstone.studies.logical.generative_logic.config import Config
from wheatstone.studies.logical.generative_logic.exhibits import exhibits
from wheatstone.studies.logical.generative_logic.experiment import MEASURES, run

CARD = Card(
    name="generative-logic",
    family="logical",
    title="Generative Logic: theorems of arithmetic and groups, found, proved and checked",
    source="Sergeev, 2025-2026, arXiv:2508.00017",
    claim="From the Peano axioms alone a deterministic search finds and proves the laws of addition and multiplication",
    presets=("smoke", "cpu", "paper"),
)

ARMS = (
    Arm("peano", "arithmetic with order and divisibility, from the Peano axioms"),
    Arm("addition", "addition alone", {"theory": "addition"}),
    Arm("groups", "groups from a left identity and left inverses, by relation", {"theory": "groups"}),
    Arm("sums", "arithmetic with the sum of the first n numbers", {"theory": "sums", "conditional": 0, "joined": 0}),
    Arm("no_induction", "the Peano axioms without induction", {"induction": False}),
    Arm("no_lemmas", "no proof cites an earlier theorem", {"reuse": False}),
    Arm("no_filter", "conjectures are proved without having been tested", {"filter": False}),
    Arm("random_order", "conjectures in random order", {"order": "random"}),
    Arm(
        "groups_no_inverse",
        "groups without the axiom of inverses",
        {"theory": "groups", "without_axiom": "left_inverse"},
    ),
    Arm(
        "sums_no_recursion",
        "the sum without the axiom that it grows by",
        {"theory": "sums", "conditional": 0, "joined": 0, "without_axiom": "sum_successor"},
    ),
    Arm("addition_no_induction", "addition alone, without induction", {"theory": "addition", "induction": False}),
    Arm("addition_random_order", "addition alone, in random order", {"theory": "addition", "order": "random"}),
)

ALL_CHECKED = Require("peano", "kernel_accepted", at_least=1.0)
NONE_FALSE = Require("peano", "false_at_large", at_most=0.0)

CLAIMS = (
    Claim(
        "arithmetic-needs-induction",
        "Associativity and commutativity of + and *, both distributive laws, a * 1 = a and cancellation of + are found "
        "and proved; without the schema of induction almost none of them is.",
        "laws",
        "peano",
        "no_induction",
        "higher",
        margin=0.5,
        bound=1.0,
        control_bound=0.2,
        requires=(ALL_CHECKED, NONE_FALSE),
        source="v1 abstract: these laws (but a * 1 and cancellation) from the Peano axioms; margin set before the run",
        paper=1.0,
    ),
    Claim(
        "lemmas-pay",
        "With the same work but no citation of earlier theorems most of the laws are out of reach.",
        "laws",
        "peano",
        "no_lemmas",
        "higher",
        margin=0.4,
        bound=1.0,
        requires=(ALL_CHECKED,),
        source="section on message passing between blocks: theorems become rules; margin set before the run",
    ),
    Claim(
        "filter-pays",
        "With the same work but without the counterexample filter most of the laws are out of reach.",
        "laws",
        "peano",
        "no_filter",
        "higher",
        margin=0.4,
        bound=1.0,
        requires=(ALL_CHECKED,),
        source="section on the counterexample filter; margin set before the run",
    ),
    Claim(
        "small-first-pays",
        "Small conjectures first reach all laws with at least 100,000 matches less than a random order.",
        "work_to_laws",
        "peano",
        "random_order",
        "lower",
        margin=100_000.0,
        requires=(ALL_CHECKED,),
        source="not in the paper: the order is a choice of ours; margin set before the run",
    ),
    Claim(
        "groups-by-relation",
        "Right identity and inverse, uniqueness of both, the inverse of a product and cancellation are proved from a "
        "left identity and left inverses, without induction, and none of it without the axiom of inverses.",
        "laws",
        "groups",
        "groups_no_inverse",
        "higher",
        margin=0.5,
        bound=1.0,
        control_bound=0.0,
        requires=(Require("groups", "kernel_accepted", at_least=1.0),),
        source="not in the paper: a second theory from the same engine",
    ),
    Claim(
        "gauss-sum",
        "n (n + 1) = 2 (1 + ... + n) is found and proved, and not without the recursion of the sum.",
        "laws",
        "sums",
        "sums_no_recursion",
        "higher",
        margin=0.5,
        bound=1.0,
        control_bound=0.0,
        requires=(Require("sums", "kernel_accepted", at_least=1.0),),
        source="v3 abstract: the Gauss sum found and proved, there with folds over sequences",
        paper=1.0,
    ),
    Claim(
        "no-circles",
        "The kernel accepts no theorem of a circle of citations; checked one by one, as the original's verifier does, "
        "every theorem of the circle is in order.",
        "circles_rejected",
        "peano",
        "peano",
        "higher",
        control_measure="circles_noticed",
        margin=0.5,
        bound=1.0,
        control_bound=0.0,
        source="v4 abstract: 34,320 checks without failure; two false theorems that cite each other pass them",
    ),
    Claim(
        "broken-proofs-are-rejected",
        "The kernel rejects every proof with one broken step; a look at the citations alone notices hardly any.",
        "mutants_rejected",
        "peano",
        "peano",
        "higher",
        control_measure="mutants_noticed",
        margin=0.5,
        bound=1.0,
        control_bound=0.2,
        source="v4 abstract: an independent verifier; the mutants are ours",
    ),
)

SMOKE = Config(theory="addition", work=200_000, conditional=8, joined=0, mutants=60, spot_checks=40)
CPU = Config()
PAPER = Config(equation=6, work=60_000_000, window=4, samples=200, mutants=2000, spot_checks=1000)

STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(
            SMOKE,
            seeds=2,
            arms=("addition", "addition_no_induction", "addition_random_order"),
            about="Addition alone, in seconds.",
        ),
        "cpu": Preset(
            CPU,
            seeds=3,
            arms=(
                "peano",
                "groups",
                "sums",
                "no_induction",
                "no_lemmas",
                "no_filter",
                "random_order",
                "groups_no_inverse",
                "sums_no_recursion",
            ),
            about="Peano, groups and sums with their controls: within two minutes a trial on one thread of a busy "
            "machine, mostly within one; the laws themselves take seconds.",
        ),
        "paper": Preset(
            PAPER,
            seeds=3,
            arms=("peano", "groups", "sums", "no_induction", "no_lemmas", "no_filter", "random_order"),
            about="Larger terms and ten times the work; hours on one thread a trial, no GPU; not run here. Folds, "
            "intervals and sequences as objects are not built.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(
        Verb("explore", verbs.explore, broken_input=("broken.mpl",)),
        Verb("check", verbs.check, broken_input=("broken.json",)),
        Verb("prove", verbs.prove, broken_input=("broken_names.mpl", "(>[a](in[a,N])(in3[a,i0,a,+]))")),
    ),
)
