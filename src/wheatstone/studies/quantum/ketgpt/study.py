"""A small transformer writes circuits like those of known algorithms; and what it takes to tell that they are none.

Source        Apak, Bandic, Sarkar, Feld, "KetGPT: Dataset Augmentation of Quantum Circuits using Transformers",
              ICCS 2024, arXiv:2402.13352 (code: QML-Group/KetGPT)
Idea          There are too few circuits of real algorithms to test compilers with, and random circuits look different.
              A language model trained on the known files writes as many new ones as one likes.
Method        1 make the circuits of MQT Bench and bring them to one normal form  2 keep whole families, and files of
              the others, from training  3 train a decoder-only transformer on their tokens  4 draw circuits token by
              token; the grammar (register, distinct operands, arity) masks what would be no circuit  5 train a judge
              on real circuits against these very ones, and test it on families that it has not seen  6 compare
              structure, routing overhead and copies, beside rivals that no network has made
Differs       A token is a gate, an operand or an angle (arm `words`); the paper's token is a whole line (arm `lines`).
              The register bounds forbid operands, where the published code also forbids lines whose angle holds a
              large number. A circuit ends by its own END token; the published code draws the length, because its
              model has none. Half of the training copies name their family, and circuits are drawn for families as
              they occur (arm `unnamed`: neither). A draw may repeat itself: the rule against repeated runs of 15
              tokens forbids periodic circuits (the report says how many real ones). Measurements, barriers and
              register names do not survive the normal form. The published judge is a DistilBERT, whose weights cannot
              be made here: the fixed judge is a logistic regression on the same first 46 statements, nearly as good at
              telling real from uniformly random (paper: 0.982). It is reported because the paper's main claim rests on
              it; it calls frequency-matched random circuits real as well, so the verdict on realism comes from a judge
              trained on real against the circuits in question. Circuits of MQT Bench up to 24 qubits and 320 words are
              used (paper: 713 files of up to 1,023 lines), up to 100 qubits in preset `paper`.
Falsified by  a judge that tells the circuits from real ones as easily as random ones; a structure as far from real
              circuits as that of frequency-matched statements; circuits that are copies of training circuits
"""

from __future__ import annotations

from collections.abc import Mapping

from wheatstone.bench.extras import need
from wheatstone.bench.run import Trial
from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.quantum.ketgpt.config import Config
from wheatstone.studies.quantum.ketgpt.exhibits import exhibits
from wheatstone.studies.quantum.ketgpt.measures import MEASURES
from wheatstone.studies.quantum.ketgpt.verbs import generate, judge, learn

CARD = Card(
    name="ketgpt",
    family="quantum",
    title="A transformer writes quantum circuits: realistic, or merely plausible?",
    source="Apak et al., ICCS 2024, arXiv:2402.13352",
    claim="Generated circuits pass for real where random ones do not; the published judge cannot show it",
    presets=("smoke", "cpu", "paper"),
)

ARMS = (
    Arm("words", "the method: a token for each gate, operand and angle, within the grammar"),
    Arm("lines", "the paper's tokens: a whole statement each", {"tokens": "lines", "named": 0.0}),
    Arm("unnamed", "the method without families: any circuit of a size", {"named": 0.0}),
    Arm("ngram", "what follows the last three words, within the grammar", {"maker": "ngram"}),
    Arm("unigram", "words with their frequency, within the grammar", {"maker": "ngram", "order": 1}),
    Arm("frequency_matched", "training statements with their frequency, in random order", {"maker": "matched"}),
    Arm(
        "uniform_random", "training statements, all equally likely (the paper's random circuits)", {"maker": "uniform"}
    ),
    Arm("shuffled_training", "training circuits with their gates in random order", {"maker": "shuffled"}),
    Arm("copied_training", "training circuits themselves: a perfect memory", {"maker": "copied"}),
    Arm("spliced", "the first 46 gates of a real circuit, then frequency-matched statements", {"maker": "spliced"}),
    Arm("library_random", "qiskit's random_circuit", {"maker": "library_random"}),
    Arm("own", "a network trained on a user's own files", {"source": "own"}),
    Arm("own_matched", "statements of those files with their frequency", {"source": "own", "maker": "matched"}),
)
OWN_ARMS = ("own", "own_matched")

CLAIMS = (
    Claim(
        "valid-by-construction",
        "Every circuit drawn within the grammar is read back by qiskit; drawn freely, fewer are.",
        "loads",
        "words",
        "words",
        "higher",
        control_measure="loads_free",
        margin=0.0,
        bound=1.0,
        source="section on generation: generated files load in Qiskit; margin is ours",
    ),
    Claim(
        "learns-the-language",
        "The loss on unseen files is at most 0.6 of what word frequencies alone give.",
        "nats_ratio",
        "words",
        "unigram",
        "lower",
        margin=0.4,
        bound=0.6,
        source="training loss curve of the published notebook; the bound was set from a prototype (0.57)",
    ),
    Claim(
        "learns-more-than-three-words",
        "The loss on unseen files is lower than that of a model of the last three words.",
        "nats_files",
        "words",
        "ngram",
        "lower",
        margin=0.0,
        source="margin is ours: without it the network would not be needed",
    ),
    Claim(
        "judge-cannot-tell",
        "A judge trained on real against generated circuits has an area of 0.85 at most, and 0.95 at least where the "
        "circuits are frequency-matched statements.",
        "auc",
        "words",
        "frequency_matched",
        "lower",
        margin=0.1,
        bound=0.85,
        control_bound=0.95,
        source="abstract: a classifier takes generated circuits for real; bounds set before the runs",
    ),
    Claim(
        "judge-knows-uniform-random",
        "The same judge has an area of 0.97 at least where statements are drawn uniformly.",
        "auc",
        "words",
        "uniform_random",
        "lower",
        margin=0.1,
        bound=0.85,
        control_bound=0.97,
        source="abstract: a classifier takes generated circuits for real; bounds set before the runs",
    ),
    Claim(
        "published-judge-accepts",
        "The published judge calls generated circuits real, and uniformly random ones not.",
        "judged_real",
        "words",
        "uniform_random",
        "higher",
        margin=0.5,
        paper=0.999,
        requires=(Require("words", "judge_accuracy", at_least=0.9),),
        source="results on the classifier: 999 of 1,000 called real",
    ),
    Claim(
        "published-judge-is-empty",
        "The published judge calls at least 0.96 of frequency-matched random circuits real too.",
        "judged_real",
        "frequency_matched",
        "uniform_random",
        "higher",
        margin=0.5,
        bound=0.96,
        requires=(Require("frequency_matched", "judge_accuracy", at_least=0.9),),
        source="results on the classifier, with another control; bound from a prototype (0.96 to 1.00)",
    ),
    Claim(
        "structure-near-real",
        "The structure is at most half as far from real circuits as that of frequency-matched statements.",
        "structure_ratio",
        "words",
        "frequency_matched",
        "lower",
        margin=0.5,
        bound=0.5,
        source="abstract: structural metrics are closer to real circuits than those of random ones; bound is ours",
    ),
    Claim(
        "no-exact-copies",
        "No generated circuit is a training circuit with other qubit numbers, ghz and wstate apart.",
        "copied",
        "words",
        "copied_training",
        "lower",
        margin=0.5,
        bound=0.0,
        source="abstract: the circuits are new; bound set before the runs",
    ),
    Claim(
        "copies-pass-the-judge",
        "A perfect memory passes any judge, and only its copied runs show it: the copy rate belongs beside realism.",
        "copied_words",
        "copied_training",
        "words",
        "higher",
        margin=0.3,
        bound=0.99,
        requires=(Require("copied_training", "auc", at_most=0.6),),
        source="not in the paper; margin set before the runs",
    ),
    Claim(
        "splice-is-caught",
        "Real beginnings with random ends are caught by a judge that reads them whole, and not by one that stops after "
        "46 gates.",
        "auc",
        "spliced",
        "spliced",
        "higher",
        control_measure="auc_start",
        margin=0.3,
        source="the published judge reads 512 word pieces; margin set before the runs",
    ),
    Claim(
        "lines-cannot-say-new-ones",
        "Whole lines as tokens leave more than a tenth of unseen files outside of the vocabulary; words leave nothing.",
        "unknown",
        "lines",
        "words",
        "higher",
        margin=0.1,
        control_bound=0.0,
        source="section on tokenisation: one token a line; margin set before the runs",
    ),
    Claim(
        "routing-like-real",
        "Routing overheads on three chips are nearer to those of real circuits than frequency-matched statements'.",
        "swap_distance",
        "words",
        "frequency_matched",
        "lower",
        margin=0.0,
        source="introduction: circuits for testing compilers; margin is ours",
    ),
)

CPU = Config(
    d_model=128,
    n_layer=3,
    n_head=4,
    optimiser="muon",
    lr=2e-3,
    weight_decay=0.1,
    matrix_lr=0.02,
    matrix_decay=0.1,
    schedule="linear",
    warmup=20,
    steps=240,
    batch=8,
    evaluations=8,
    compiled=40,
)
SMOKE = Config(
    families="ghz+bv+qft+wstate",
    max_qubits=6,
    max_words=64,
    held_out_families=1,
    d_model=32,
    n_layer=1,
    n_head=2,
    lr=5e-3,
    matrix_lr=0.05,
    weight_decay=0.1,
    warmup=5,
    steps=40,
    batch=8,
    evaluations=3,
    copies=4,
    samples=10,
    compiled=1,
)
PAPER = Config(
    tokens="words",
    max_qubits=100,
    max_words=4096,
    d_model=768,
    n_layer=3,
    n_head=4,
    optimiser="adamw",
    lr=5e-5,
    weight_decay=0.0,
    beta2=0.999,
    schedule="linear",
    warmup=0,
    steps=895,
    batch=4,
    copies=5,
    samples=1000,
    compiled=100,
)


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """One arm with one seed; the packages behind it are imported only here."""
    need("qiskit", extra="quantum", to="run ketgpt")
    need("mqt", extra="quantum", to="make the circuits of MQT Bench")
    need("sklearn", extra="quantum", to="train judges")
    from wheatstone.studies.quantum.ketgpt import experiment

    return experiment.run(trial)


STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(
            SMOKE,
            seeds=2,
            arms=("words", "lines", "frequency_matched", "copied_training"),
            about="Circuits of four families up to 6 qubits, one layer: seconds.",
        ),
        "cpu": Preset(
            CPU,
            seeds=3,
            arms=tuple(arm.name for arm in ARMS if arm.name not in OWN_ARMS),
            about="Some 290 circuits of 30 families up to 24 qubits, three layers of width 128; 15 s of CPU a rival, "
            "some 100 s a network.",
        ),
        "paper": Preset(
            PAPER,
            seeds=3,
            arms=tuple(arm.name for arm in ARMS if arm.name not in OWN_ARMS),
            about="Circuits up to 100 qubits, the paper's network and 1,000 samples; for a GPU; not run here.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(
        Verb("learn", learn, broken_input=("broken.qasm",)),
        Verb("generate", generate, broken_input=("broken.safetensors", "--qubits", "4")),
        Verb("judge", judge, broken_input=("broken.qasm", "broken.qasm")),
    ),
)
