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
              its learning rate, for each number of steps, on other tasks) is the equal of meta-learning in a prototype;
              the headline here is a setting in which tasks conflict (strengths between 1/4 and 4, the cubic term
              between -1 and 1), and the paper's setting is measured beside it without promise. 60 trajectories a
              system and 600 outer iterations instead of 10 000 and up to 50 000; messages depend on the pair of
              particles (a graph convolution over a complete graph makes all particles equal); the form of the mirror's
              potential, the split of a trajectory and the inner loop are our choice. CKA is reported, no claim hangs
              on it. Thresholds were fixed before any run of this study, from a prototype with a perceptron. Three
              choices were made after pilots with a seed that is not measured: orbits of all systems have comparable
              size (else the field of the held-out one is small beside what training saw), biases start at random
              (without them a tanh network is odd, and energies are mostly even), outer learning rate 0.003 for every
              method (with 0.001, 600 iterations leave MAML and joint training further from their ends).
Falsified by  fine-tuned joint pre-training as good as meta-learning on conflicting tasks; a network without the
              structure drifting no more than the Hamiltonian one; a start that helps on one held-out system alone
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from wheatstone.bench.extras import need
from wheatstone.bench.run import Trial
from wheatstone.bench.study import Arm, Card, Claim, Preset, Study, Verb
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
    presets=("smoke", "cpu", "paper"),
)

OTHERS = ("spring", "pendulum", "henon-heiles")
"""Systems that are also held out in turn; the magnetic mirror is the one of the main arms."""

ARMS = (
    Arm("meta", "the method: MAML on the other systems, the magnetic mirror held out"),
    Arm("pretrained", "joint pre-training on as many points, fine-tuned", {"method": "joint"}),
    Arm("scratch", "a random start", {"method": "none"}),
    Arm("vector_field", "MAML of the same network without the energy", {"network": "vector_field"}),
    Arm("first_order", "MAML without second derivatives", {"method": "first_order"}),
    Arm("reptile", "Reptile: towards where the inner steps lead", {"method": "reptile"}),
    Arm("anil", "only the readout adapts in the inner loop", {"method": "anil"}),
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


def _error(name: str, text: str, measure: str, treatment: str, control: str, factor: float, source: str) -> Claim:
    return Claim(name, text, measure, treatment, control, "lower", _times(factor), source)


OURS = "abstract: better than pre-trained and random starts; factor from a prototype"
CLAIMS = (
    _error(
        "meta-beats-pretraining-5",
        "After 5 steps on an unseen law the meta-learnt start has at most 0.75 times the error of the pre-trained one.",
        "log_error_5", "meta", "pretrained", 0.75, OURS,
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
            about="Every start, and every system held out in turn: about 40 core-minutes; half a minute for MAML, one "
            "seed. Five seeds, because with three every seed was beyond the margins after 5 steps and the intervals "
            "still straddled them.",
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
