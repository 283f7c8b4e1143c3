"""A network drawn by its axes is a network: it type-checks, runs, differentiates, and tells what it costs.

Source        Abbott, TMLR 2024, arXiv:2402.05424 (code: vtabbott/Neural-Circuit-Diagrams, one notebook)
Idea          Wires are axes, columns alternate between tuples of arrays and operations, and an operation is lifted over
              the axes that it does not touch by drawing them past it. Such a picture composes like code, so diagram to
              code, to derivative and to cost are mechanical, and what plain code lets through is a type error.
Method        1 terms of a small language, with types whose axes have names and sizes  2 check, compile, draw,
              differentiate, count and rewrite the same typed program  3 compare with torch's own layers on the same
              weights, all axes of different sizes  4 laws of the language on random terms  5 formulas of work against
              torch's counter  6 contractions in their cheapest order  7 sixty mistakes, as diagrams and in plain torch
Differs       The paper draws by hand and compares figures with code by eye; here one typed program is drawn and run.
              Names of axes, not only sizes, are part of a type. Batch norm is drawn at rest. Windows carry
              convolution, so one rule serves stride, dilation, padding, groups and pooling. Sizes are small.
Falsified by  A compiled diagram that differs from the layer it draws, a law that fails on a random term, a formula that
              is not what the counter counts, a rewriting that changes a value, or a mistake that is not refused
"""

from __future__ import annotations

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.neural.neural_circuit_diagrams import verbs
from wheatstone.studies.neural.neural_circuit_diagrams.config import Config
from wheatstone.studies.neural.neural_circuit_diagrams.exhibits import exhibits
from wheatstone.studies.neural.neural_circuit_diagrams.experiment import MEASURES, run

CARD = Card(
    name="neural-circuit-diagrams",
    family="neural",
    title="Neural circuit diagrams: networks as typed pictures that run",
    source="Abbott, TMLR 2024, arXiv:2402.05424",
    claim="A diagram compiles to the layer it draws, obeys its laws, tells its cost and refuses what torch lets run",
    presets=("smoke", "cpu", "paper"),
)

ARMS = (
    Arm("diagrams", "the language as it is"),
    Arm("mutated", "a diagram with one operation exchanged; formulas with one size too many", {"side": "mutated"}),
    Arm("plain_torch", "the same mistakes in plain torch", {"side": "plain"}),
    Arm("given_order", "contractions in the order in which they are written", {"rewriting": False}),
)

HERE = "bounds fixed before the runs"
CLAIMS = (
    Claim(
        "compiled-is-the-layer",
        "Every diagram computes the outputs and gradients of torch's layer on the same weights; a diagram with one "
        "operation exchanged does not.",
        "equal",
        "diagrams",
        "mutated",
        "higher",
        margin=0.9,
        bound=1.0,
        control_bound=0.0,
        source=f"section 4: diagrams beside code; {HERE}: 1e-12 in float64, 1e-5 in float32",
        requires=(
            Require("diagrams", "parameters_equal", at_least=1.0),
            Require("diagrams", "source_gap", at_most=1e-12),
            Require("diagrams", "numpy_gap", at_most=1e-12),
        ),
    ),
    Claim(
        "derivative-is-a-diagram",
        "The derived diagram gives the gradients that autograd gives; of a mutant, autograd's differ from the layer's.",
        "derived_gap",
        "diagrams",
        "mutated",
        "lower",
        margin=0.0,
        bound=1e-12,
        control_measure="gradient_gap",
        source=f"section 5, backpropagation; {HERE}",
    ),
    Claim(
        "laws-hold",
        "No law fails on at least 2000 random terms; with one operation of one side exchanged most do.",
        "laws_hold",
        "diagrams",
        "mutated",
        "higher",
        margin=0.5,
        bound=1.0,
        control_bound=0.25,
        source=f"section 2 and notebook: lifting, linearity, tuples; {HERE}",
        requires=(Require("diagrams", "laws_tried", at_least=2000),),
    ),
    Claim(
        "work-is-counted",
        "The polynomial of the sizes is exactly the work that torch's counter counts in torch's own layers.",
        "flops_exact",
        "diagrams",
        "mutated",
        "higher",
        margin=0.9,
        bound=1.0,
        control_bound=0.0,
        source=f"section 5, time of a diagram; {HERE}",
    ),
    Claim(
        "linear-attention-is-found",
        "Rewriting finds the order of attention without softmax whose work is linear in the length.",
        "rewrite_gain",
        "diagrams",
        "given_order",
        "higher",
        margin=7.0,
        bound=8.0,
        control_bound=1.0,
        source=f"section 2.4, linear operations may be exchanged; {HERE}",
        requires=(Require("diagrams", "rewrite_gap", at_most=1e-9),),
    ),
    Claim(
        "no-rule-crosses-a-softmax",
        "With a softmax between the contractions nothing is gained, because nothing may be exchanged.",
        "rewrite_gain",
        "diagrams",
        "diagrams",
        "higher",
        control_measure="softmax_gain",
        margin=7.0,
        control_bound=1.0,
        source="control of this bench",
    ),
    Claim(
        "mistakes-are-refused",
        "Every one of sixty mistakes is refused at its place, every right form is accepted; plain torch lets at least "
        "a quarter of the same mistakes run.",
        "caught",
        "diagrams",
        "plain_torch",
        "higher",
        margin=0.25,
        bound=1.0,
        source=f"section 1: ambiguity of notation, unstated broadcasting; {HERE}",
        requires=(
            Require("diagrams", "false_alarms", at_most=0.0),
            Require("diagrams", "mistakes", at_least=60),
        ),
    ),
)

SMOKE = Config(architectures="mlp,attention", draws=1, terms=56, counted=2, length=64, features=8, mistake_draws=1)
CPU = Config()
PAPER = Config(draws=10, terms=20_020, counted=100, length=4096, mistake_draws=50)

STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(SMOKE, seeds=1, about="Seconds; two architectures."),
        "cpu": Preset(CPU, seeds=3, about="Ten architectures, 2002 random terms, 60 mistakes; some minutes."),
        "paper": Preset(PAPER, seeds=3, about="Ten times as many draws of everything; half an hour."),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(
        Verb("check", verbs.check_file, broken_input=("broken.ncd",)),
        Verb("draw", verbs.draw_file, broken_input=("broken.ncd",)),
        Verb("compile", verbs.compile_file, broken_input=("broken.ncd",)),
        Verb("cost", verbs.cost_file, broken_input=("broken.ncd",)),
        Verb("backward", verbs.backward_file, broken_input=("broken.ncd",)),
        Verb("rewrite", verbs.rewrite_file, broken_input=("broken.ncd",)),
    ),
)
