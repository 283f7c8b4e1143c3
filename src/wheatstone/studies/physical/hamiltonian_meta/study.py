"""A Hamiltonian network that was taught by several laws adapts to an unseen one in a few gradient steps.

Source        Song, Jeong, ICLR 2024, arXiv:2212.01168
Idea          A Hamiltonian network conserves energy, but its weights say nothing about another law. Meta-learning over
              tasks that obey different laws looks for weights from which a few steps on a few points of an orbit lead
              to the energy of a law that training never showed. A graph network lets systems with one, two or three
              particles share the weights.
Method        1 orbits of spring, pendulum, Henon-Heiles and magnetic mirror, one of them held out; a task is one orbit
              2 the network gives an energy, its symplectic gradient is fitted to the time derivatives  3 MAML: five
              steps of gradient descent on the support points of a task, Adam on the loss at its query points, second
              derivatives included  4 adapt to orbits of the held-out system  5 relative error of the field on other
              points, orbits by a symplectic integrator, the true energy along them
Differs       The paper's constants are all 1. There joint pre-training that is fine-tuned fairly (each start chooses
              its learning rate, for each number of steps, on other tasks) is the equal of meta-learning; the headline
              here is a setting in which tasks conflict (strengths between 1/4 and 4, the cubic term between -1 and 1),
              and the paper's setting is measured beside it without promise. 60 trajectories a system and 600 outer
              iterations instead of 10 000 and up to 50 000; messages depend on the pair of particles (a graph
              convolution over a complete graph makes all particles equal); the form of the mirror's potential, the
              split of a trajectory and the inner loop are our choice. CKA is reported, no claim hangs on it. Thresholds
              were fixed before any run of this study, from a prototype with a perceptron; those of `mismatched` and
              `meta_faster`, which came later, are the same. Four choices were made after pilots with a seed that is not
              measured: orbits of all systems have comparable size (else the field of the held-out one is small beside
              what training saw), biases start at random (without them a tanh network is odd, and energies are mostly
              even), outer learning rate 0.003 for every method (with 0.001, 600 iterations leave MAML and joint
              training further from their ends), the inner rates of `meta_faster` (the best of 0.05, 0.1 and 0.2) and
              `context`.
              Rates of adaptation reach from 0.005 to 3.2. In a first record of this study they ended at 0.1, and every
              start chose that end: after 5 steps the pre-trained start seemed twice as wrong as the meta-learnt one.
              With rates that suit it, it is 1.35 times as wrong on the orbit that was adapted to, which leaves the
              factor of 0.75 open, 1.6 times on an orbit of another energy, 1.9 times with 10 points instead of 50, and
              the lead on Henon-Heiles is open too. A random start needs rates of 0.4 to 0.8 and is then, after 100
              steps, 1.5 times as wrong as the pre-trained one instead of 3 times. A larger inner rate does not help
              MAML (`meta_faster`). Held out, the spring is nearly the small pendulum that training shows. A rate is
              chosen on eight tasks: in one seed of five the one that `vector_field` chose for 20 and 100 steps diverges
              on the test tasks, and its orbits are lost at once; the other four seeds lie far beyond the margin, too.
Falsified by  fine-tuned joint pre-training as good as meta-learning on conflicting tasks; a network without the
              structure drifting no more than the Hamiltonian one; a start that helps on one held-out system alone
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from wheatstone.bench.extras import need
from wheatstone.bench.run import Trial
from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.physical.hamiltonian_meta.config import Config
from wheatstone.studies.physical.hamiltonian_meta.exhibits import exhibits
from wheatstone.studies.physical.hamiltonian_meta.measures import MEASURES
from wheatstone.studies.physical.hamiltonian_meta.verbs import adapt

CARD = Card(
    name="hamiltonian-meta",
    family="physical",
    title="Hamiltonian networks that adapt to an unseen law",
    source="Song & Jeong, ICLR 2024, arXiv:2212.01168",
    claim="Where tasks conflict, a meta-learnt start needs fewer steps for an unseen law than a pre-trained one",
    presets=("smoke", "cpu", "bodies", "friction", "paper"),
)

OTHERS = ("spring", "pendulum", "henon-heiles")
"""Systems that are also held out in turn; the magnetic mirror is the one of the main arms."""

ARMS = (
    Arm("meta", "the method: MAML on the other systems, the magnetic mirror held out"),
    Arm("meta_faster", "the method with four times the inner rate, tuned like all other rates", {"inner_lr": 0.2}),
    Arm("pretrained", "joint pre-training on as many points, fine-tuned", {"method": "joint"}),
    Arm("scratch", "a random start", {"method": "none"}),
    Arm("vector_field", "MAML of the same network without the energy", {"network": "vector_field"}),
    Arm("first_order", "MAML without second derivatives", {"method": "first_order"}),
    Arm("reptile", "Reptile: towards where the inner steps lead", {"method": "reptile"}),
    Arm("anil", "only the readout adapts, in the inner loop and afterwards", {"method": "anil"}),
    Arm("context", "only 8 numbers that shift all features adapt, faster", {"method": "context", "inner_lr": 0.5}),
    Arm(
        "mismatched",
        "negative control: MAML whose query points are another task's, so that adapting cannot be learnt",
        {"mismatched": True},
    ),
    Arm("oracle", "MAML on the held-out system itself", {"oracle": True}),
    Arm("one_system", "MAML on the spring alone", {"n_training": 1}),
    Arm("two_systems", "MAML on spring and pendulum", {"n_training": 2}),
    *(
        Arm(f"{name}_{system.replace('-', '_')}", f"{about}, held out: {system}", {"held_out": system, **changes})
        for system in OTHERS
        for name, about, changes in (
            ("meta", "MAML", {}),
            ("pretrained", "joint pre-training", {"method": "joint"}),
            ("scratch", "a random start", {"method": "none"}),
        )
    ),
    Arm("meta_fixed", "MAML, all constants 1", {"setting": "fixed"}),
    Arm("pretrained_fixed", "joint pre-training, all constants 1", {"setting": "fixed", "method": "joint"}),
    Arm("scratch_fixed", "a random start, all constants 1", {"setting": "fixed", "method": "none"}),
)


def _times(factor: float) -> float:
    """The margin of a logarithm: at most `factor` times the control's error."""
    return -math.log10(factor) or 0.0  # not -0.0


def _error(
    name: str, text: str, measure: str, treatment: str, control: str, factor: float, source: str,
    requires: tuple[Require, ...] = (),
) -> Claim:  # fmt: skip
    return Claim(name, text, measure, treatment, control, "lower", _times(factor), source, requires=requires)


OURS = "abstract: better than pre-trained and random starts; factor from a prototype"
CLAIMS = (
    _error(
        "meta-beats-pretraining-5",
        "After 5 steps on an unseen law the meta-learnt start has at most 0.75 times the error of the pre-trained one.",
        "log_error_5", "meta", "pretrained", 0.75, OURS,
    ),
    _error(
        "faster-meta-beats-pretraining-5",
        "With a tuned inner rate it has at most 0.75 times the error of the pre-trained one.",
        "log_error_5", "meta_faster", "pretrained", 0.75, OURS,
    ),
    _error(
        "adapting-is-what-is-learnt",
        "After 5 steps it has at most 0.75 times the error of meta-learning with mismatched tasks.",
        "log_error_5", "meta", "mismatched", 0.75, "ours: a start may help for another reason than that it adapts",
    ),
    _error(
        "meta-beats-scratch-5",
        "After 5 steps it has at most half the error of a random start.",
        "log_error_5", "meta", "scratch", 0.5, OURS,
    ),
    _error(
        "meta-beats-pretraining-100",
        "After 100 steps it still has at most 0.8 times the error of the pre-trained start.",
        "log_error_100", "meta", "pretrained", 0.8, OURS,
    ),
    _error(
        "experience-helps-with-fixed-constants",
        "With all constants 1, as in the paper, it has at most 0.6 times the error of a random start after 20 steps.",
        "log_error_20", "meta_fixed", "scratch_fixed", 0.6, OURS,
    ),
    _error(
        "energy-stays",
        "The true energy drifts at most a fifth as much along orbits of the Hamiltonian network as along those of an "
        "equal network of the field.",
        "log_energy_drift", "meta", "vector_field", 0.2, "section on Hamiltonian networks; factor from a prototype",
        (
            # What stands still keeps its energy, too; and where friction takes energy, keeping it is a fault.
            Require("meta", "log_error_100", at_most=math.log10(0.5)),
            Require("meta", "energy_lost", at_most=0.01),
        ),
    ),
    *(
        _error(
            f"ordering-{system}",
            f"Held out {system}: after 5 steps the meta-learnt start is ahead of the pre-trained one.",
            "log_error_5",
            f"meta_{system.replace('-', '_')}",
            f"pretrained_{system.replace('-', '_')}",
            1.0,
            "experiments with other systems held out; with the magnetic mirror, three of four must hold",
        )
        for system in OTHERS
    ),
)  # fmt: skip

SMOKE = Config(
    systems="spring,magnetic-mirror", trajectories=4, samples=40, duration=4.0, width=8, iterations=10, tasks=3,
    shots=12, few_shots=4, inner_steps=2, adapt_steps=5, test_tasks=3, validation_tasks=2, rollout_tasks=2, horizon=2.0,
)  # fmt: skip
BODIES = Config(
    systems="spring,pendulum,henon-heiles,magnetic-mirror,two-body", held_out="three-body", trajectories=40, width=32,
    duration=3.0, iterations=300, inner_lr=0.1, test_tasks=12, validation_tasks=6, horizon=1.0,
)  # fmt: skip
FRICTION = Config(held_out="damped-pendulum", iterations=300)
PAPER = Config(
    setting="fixed",
    systems="spring,pendulum,henon-heiles,magnetic-mirror,two-body,three-body",
    trajectories=10_000,
    width=128,
    layers=3,
    iterations=50_000,
)


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """One arm with one seed; torch and scipy are imported only here."""
    need("scipy", extra="physical", to="run hamiltonian-meta")
    from wheatstone.studies.physical.hamiltonian_meta import experiment

    return experiment.run(trial)


STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(
            SMOKE,
            seeds=1,
            arms=("meta", "pretrained", "scratch", "vector_field"),
            about="Two systems, ten iterations: seconds.",
        ),
        "cpu": Preset(
            Config(),
            seeds=5,
            about="Every start, and every system held out in turn: about 45 core-minutes; half a minute for MAML, one "
            "seed. Five seeds: in the first record, with three, every seed was beyond the margins after 5 steps and "
            "the intervals still straddled them.",
        ),
        "bodies": Preset(
            BODIES,
            seeds=3,
            arms=("meta", "pretrained", "scratch"),
            about="Taught by single particles and by two bodies, adapted to three, a number never seen. Measured here, "
            "3 seeds, 4 core-minutes, meta-learnt, pre-trained and random start: the field on the same orbit is wrong "
            "by 24, 32 and 73 % after 5 steps and by 7, 11 and 6 % after 100, on another orbit by 70, 59 and 95 % "
            "after 5; orbits are lost after 0.8, 1.0 and 0.7 of 3 units of time. Experience helps at once, "
            "meta-learning no more than pre-training. (Over 10 units, with close encounters, none "
            "came below 80 % on average.)",
        ),
        "friction": Preset(
            FRICTION,
            seeds=3,
            arms=("meta", "vector_field"),
            about="What breaks: all four systems in training, a pendulum to adapt to that friction takes 86 % of its "
            "energy. Measured here, 3 seeds, 2 core-minutes: after 100 steps the field of an energy is wrong by 11 % "
            "and loses an orbit after 3.5 units of time, the equal network of the field by 6 % and after 8.1 of 10; "
            "the first keeps an energy that should be gone.",
        ),
        "paper": Preset(
            PAPER,
            seeds=3,
            arms=("meta", "pretrained", "scratch"),
            about="Six systems with one to three bodies, 10 000 trajectories each, constants 1: hours on a GPU, not "
            "run here.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(Verb("adapt", adapt, broken_input=("model", "broken.csv")),),
)
