"""A neural-symbolic recursive machine learns perception, syntax and semantics together from answers alone.

Source        Li, Zhu, Liang, Wu, Zhu, Huang, ICLR 2024, arXiv:2210.01603 (code: liqing-ustc/NSR, MIT)
Idea          Sequence models do not recombine what they know. A machine that grounds a sentence in symbols, puts a tree
              over them and gives each symbol a program does, and it needs no grammar: where its answer is wrong, it
              abduces the cheapest change of one node that would have made it right, and learns from the changed tree.
Method        1 sample trees from a transition parser  2 compute their values with the programs known so far (deduction)
              3 if none is right, search the value or the symbol of one node that would make one right (abduction)
              4 cache what each symbol had to do, search programs for the caches  5 train the parser on right trees, the
              perception on explained symbols  6 longer sentences once the present ones are understood
Differs       Programs are found by bottom-up enumeration, lists as cheapest cuts of the outputs, recursion by a sketch
              (the paper: DreamCoder). The discount for few examples is 3 a child instead of 10, only caches with new
              evidence decay, and a share of the parser's steps is uniform. Several trees compete for a sentence,
              the most probable right one teaches, and answers that many trees give by chance count less. A symbol known
              to have no value hangs on a head that has its arguments, so an open parenthesis waits. Arc steps are
              masked by the arities too (the paper: shifts alone). PCFG SET keeps its 520 letters (the paper renames
              them by first occurrence) and is generated, since the published training file is not available: letters
              are drawn evenly, outputs have up to 60 letters, tests 9 to 16 functions (up to 35); `pcfg_published` asks
              the published sequences. HINT: 20,000 expressions instead of 998,000; pictures are real digits of
              scikit-learn and drawn operators, 32 clusters for 16 symbols and no arities; their accuracy is that of I
              and SS, because one wrong digit spoils a long expression. The transformer is small and gets about the time
              of the machine, not the paper's 100,000 iterations: where it does not reach half of the
              training distribution (PCFG SET, HINT) it is no rival, and the claim stays undecided.
Falsified by  `scan_length` or `scan_jump` below 0.95; `scan_jump_relabelled` below `scan_jump`;
              `scan_length_no_abduction` answering as much; a transformer that follows to long outputs or to `jump`
"""

from __future__ import annotations

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.logical.nsr.config import Config
from wheatstone.studies.logical.nsr.exhibits import exhibits
from wheatstone.studies.logical.nsr.experiment import MEASURES, run
from wheatstone.studies.logical.nsr.verbs import ARM, explain, learn

CARD = Card(
    name="nsr",
    family="logical",
    title="Trees and programs learnt from answers alone recombine what sequence models do not",
    source="Li et al., ICLR 2024, arXiv:2210.01603",
    claim="A machine that abduces its own trees and programs answers longer and new combinations, transformers do not",
    presets=("smoke", "cpu", "images", "paper"),
)

JUMP = {"task": "scan-add-jump"}
PCFG = {"task": "pcfg-productivity", "n_train": 4000, "rounds": 80, "baseline_steps": 600, "baseline_batch": 64}
HINT = {"task": "hint", "n_test": 300, "rounds": 140, "baseline_batch": 256}
IMAGES = {"task": "hint-images", "n_test": 300, "rounds": 40}
TRANSFORMER = {"learner": "transformer"}

ARMS = (
    Arm("scan_length", "SCAN: trained up to 22 actions, asked for 24 to 48"),
    Arm("scan_length_transformer", "the same pairs, a transformer", TRANSFORMER),
    Arm("scan_length_no_abduction", "only trees that are right by luck teach", {"abduction": False}),
    Arm("scan_length_no_exploration", "trees are sampled as the parser means them", {"exploration": 0.0}),
    Arm("scan_length_no_curriculum", "sentences of all lengths from the start", {"curriculum": False}),
    Arm(
        "scan_length_original_order",
        "`opposite left` stays as it is, and arities are found: the words' order as SCAN has it",
        {"reorder": False, "arities": "learned"},
    ),
    Arm("scan_jump", "SCAN: `jump` is trained alone and asked in every combination", JUMP),
    Arm("scan_jump_transformer", "the same pairs, a transformer", {**JUMP, **TRANSFORMER}),
    Arm("scan_jump_relabelled", "words and actions exchanged at random", {**JUMP, "relabel": True}),
    Arm("scan_jump_arities_learned", "nobody tells how many children a word has", {**JUMP, "arities": "learned"}),
    Arm("scan_around_right", "SCAN: `around right` is never trained", {"task": "scan-around-right"}),
    Arm("pcfg_productivity", "string edits: trained up to 8 functions, asked for 9 to 16", PCFG),
    Arm("pcfg_productivity_transformer", "the same pairs, a transformer", {**PCFG, **TRANSFORMER}),
    Arm("pcfg_published", "the published sequences (needs their file)", {**PCFG, "published": True, "n_train": 15_000}),
    Arm("hint", "arithmetic with given symbols: small numbers trained, large and long expressions asked", HINT),
    Arm("hint_transformer", "the same pairs, a transformer", {**HINT, **TRANSFORMER}),
    Arm("hint_no_recursion", "programs on numbers cannot be recursive", {**HINT, "recursion": False}),
    Arm(
        "hint_images", "arithmetic from pictures of handwriting: symbols, arities, trees and programs are found", IMAGES
    ),
    Arm("hint_images_untaught", "perception stays at its clusters", {**IMAGES, "taught_perception": False}),
    Arm("hieroglyph", "the human study's postfix expressions in base 9 (needs their file)", {"task": "hieroglyph"}),
    Arm(ARM, "the pairs of a file", {"task": "own", "arities": "given"}),
)

CLAIMS = (
    Claim(
        "length",
        "Commands whose actions are longer than any in training are carried out, a transformer of the same pairs "
        "carries out few, though it carries out unseen commands of the training lengths.",
        "accuracy",
        "scan_length",
        "scan_length_transformer",
        "higher",
        margin=0.65,
        bound=0.95,
        control_bound=0.30,
        paper=1.0,
        requires=(Require("scan_length_transformer", "validation_accuracy", at_least=0.9),),
        source="table 1: SCAN length 100 %; baselines below 20 %",
    ),
    Claim(
        "add-jump",
        "A word that training shows only alone is used in every combination; a transformer does not.",
        "accuracy",
        "scan_jump",
        "scan_jump_transformer",
        "higher",
        margin=0.85,
        bound=0.95,
        control_bound=0.10,
        paper=1.0,
        requires=(Require("scan_jump_transformer", "validation_accuracy", at_least=0.9),),
        source="table 1: SCAN add-jump 100 %; baselines near 0",
    ),
    Claim(
        "names-carry-nothing",
        "With words and actions exchanged at random it learns the same: no program was known beforehand.",
        "accuracy",
        "scan_jump_relabelled",
        "scan_jump_transformer",
        "higher",
        margin=0.85,
        bound=0.95,
        source="not in the paper; the check that reference programs, which its code holds for logging, do not leak",
    ),
    Claim(
        "arities-can-be-found",
        "Nobody has to tell how many children a word has.",
        "accuracy",
        "scan_jump_arities_learned",
        "scan_jump_transformer",
        "higher",
        margin=0.85,
        bound=0.95,
        source="not in the paper, where arities are given; bounds are those of add-jump",
    ),
    Claim(
        "abduction-teaches",
        "Without abduction hardly anything is learnt: the answers alone do not say which tree or program was right.",
        "accuracy",
        "scan_length",
        "scan_length_no_abduction",
        "higher",
        margin=0.5,
        control_bound=0.30,
        source="section 3: learning by deduction-abduction; margin and bound are ours, set before the first run",
    ),
    Claim(
        "exploration-is-needed",
        "A parser that only samples what it means stays with its first habits.",
        "accuracy",
        "scan_length",
        "scan_length_no_exploration",
        "higher",
        margin=0.5,
        source="not in the paper; an earlier prototype without uniform steps stayed at 0.007; margin is ours",
    ),
    Claim(
        "productivity",
        "Strings are edited by more nested functions than any training example has.",
        "accuracy",
        "pcfg_productivity",
        "pcfg_productivity_transformer",
        "higher",
        margin=0.4,
        bound=0.90,
        paper=1.0,
        requires=(Require("pcfg_productivity_transformer", "validation_accuracy", at_least=0.5),),
        source="table 2: PCFG productivity 100 %, transformer 50 %; bound set for this size before the first run, what "
        "is required of the rival after it",
    ),
    Claim(
        "large-and-long-arithmetic",
        "Expressions with numbers larger than any in training, short and long, are computed (mean of SL and LL).",
        "accuracy",
        "hint",
        "hint_transformer",
        "higher",
        margin=0.45,
        bound=0.75,
        control_bound=0.30,
        requires=(Require("hint_transformer", "validation_accuracy", at_least=0.5),),
        source="table 3: HINT, where the best baseline has 10.9 and 19.0 % of SL and LL from pictures; bounds set for "
        "symbols at this size before the first run, what is required of the rival after it",
    ),
    Claim(
        "recursion-carries-to-large-numbers",
        "Without recursive programs, operators are tables of what was seen and large numbers are out of reach.",
        "accuracy",
        "hint",
        "hint_no_recursion",
        "higher",
        margin=0.45,
        source="section 4: programs as recursive functions; margin is ours, set before the first run",
    ),
    Claim(
        "explanations-teach-perception",
        "What explains the answers teaches what pictures show, beyond the clusters that perception starts from.",
        "perception_accuracy",
        "hint_images",
        "hint_images_untaught",
        "higher",
        margin=0.05,
        source="section 3: perception is learnt from the revised trees; margin is ours, set before the first run",
    ),
)

SMOKE = Config(
    n_test=100,
    n_validation=20,
    max_words=3,
    rounds=10,
    batch=100,
    evaluations=5,
    baseline_steps=10,
    baseline_batch=16,
    baseline_width=16,
)
CPU = Config()
PAPER = Config(
    n_train=1_000_000,
    n_test=10_000,
    rounds=4000,
    batch=600,
    lr=1e-3,
    hidden=200,
    width=50,
    evaluations=40,
    baseline_steps=100_000,
    baseline_width=512,
    baseline_layers=7,
    baseline_lr=1e-4,
)
IMAGE_ARMS = ("hint_images", "hint_images_untaught")
PAPER_ARMS = tuple(arm.name for arm in ARMS if arm.name not in ("pcfg_published", "hieroglyph", ARM))
CPU_ARMS = tuple(name for name in PAPER_ARMS if name not in IMAGE_ARMS)

STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(
            SMOKE,
            seeds=1,
            arms=("scan_length", "scan_length_transformer"),
            about="SCAN commands of up to three words; seconds.",
        ),
        "cpu": Preset(CPU, seeds=3, arms=CPU_ARMS, about="Every claim on given symbols: about a minute a trial."),
        "images": Preset(
            CPU,
            seeds=3,
            arms=IMAGE_ARMS,
            about="The claim on pictures: four minutes a trial, most of them in the search for programs that explain "
            "what is seen wrongly at first.",
        ),
        "paper": Preset(
            PAPER,
            seeds=5,
            arms=PAPER_ARMS,
            about="The paper's data sizes and its transformer, for a large GPU or a day of cores; not run here. Arms "
            "keep their own number of rounds.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(
        Verb("learn", learn, broken_input=("broken.tsv",)),
        Verb("explain", explain, broken_input=("broken_run.json", "walk twice")),
    ),
)
