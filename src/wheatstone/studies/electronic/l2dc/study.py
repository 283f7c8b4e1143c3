"""A reinforcement learner sizes an amplifier against a real simulator: constraints first, then area.

Source        Wang, Yang, Lee, Han, NeurIPS 2018 workshop on machine learning for systems, arXiv:1812.02734
Idea          Sizing has no data, but a simulator makes any amount of it. A policy that reads a circuit component by
              component and writes its sizes learns from its own simulations where designs meet the specification.
Method        1 simulate a sizing in ngspice with open device models: operating point and frequency response  2 reward:
              decades by which hard constraints are missed; once all hold, decades by which the target beats its
              reference  3 DDPG with an LSTM that reads the components and a second one, with attention, that writes
              their sizes  4 the same number of simulations for random search, Bayesian optimisation, CMA-ES and TPE,
              failures included  5 the winner at all corners, and its deck run by hand with `ngspice -b`
Differs       Open 130 nm models (SKY130) instead of a closed process, so loads and ranges are ours; 1500 simulations in
              `cpu` instead of 40 000. Coefficients of the reward, sizes of the networks, exploration and length of an
              episode are not given in the paper: an episode here is one simulation, the arm `five_steps` has five with
              observations of the design before. Low-threshold devices carry the follower and the load, without which
              a 1.8 V supply leaves no headroom. Thresholds of the claims were fixed before the runs; settings of the
              agent were tried on other seeds than those reported. Methods share no proposals, and none is given a
              starting point.
Falsified by  random search meeting the constraints as often as the trained agent proposes them; an area that does not
              fall after the constraints hold; Bayesian optimisation ending above the agent
"""

from __future__ import annotations

from collections.abc import Mapping

from wheatstone.bench.extras import need
from wheatstone.bench.run import Trial
from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.electronic.l2dc.config import Config
from wheatstone.studies.electronic.l2dc.exhibits import exhibits
from wheatstone.studies.electronic.l2dc.measures import MEASURES
from wheatstone.studies.electronic.l2dc.verbs import simulate, size

CARD = Card(
    name="l2dc",
    family="electronic",
    title="Learning to design circuits: transistor sizing by reinforcement learning on real SPICE",
    source="Wang et al., NeurIPS 2018 workshop, arXiv:1812.02734",
    claim="A DDPG agent meets gain, bandwidth and power within 1200 simulations, then shrinks the area",
    presets=("smoke", "cpu", "long", "bipolar"),
)

ARMS = (
    Arm("l2dc", "the method: LSTM encoder and decoder with attention, DDPG"),
    Arm("mlp", "the same agent with plain networks", {"network": "mlp"}),
    Arm("random", "uniform proposals, 5000 of them", {"method": "random", "simulations": 5000}),
    Arm("bo", "Bayesian optimisation: Gaussian process, expected improvement (BoTorch)", {"method": "bo"}),
    Arm("cma_es", "CMA-ES (pycma)", {"method": "cma_es"}),
    Arm("tpe", "tree-structured Parzen estimator (Optuna)", {"method": "tpe"}),
    Arm("five_steps", "episodes of five simulations, each sees the one before", {"episode": 5, "gamma": 0.95}),
    Arm("blind", "the same episodes without observations", {"episode": 5, "gamma": 0.95, "observe": False}),
    Arm("linear_reward", "constraints missed as a share of the bound, not in decades", {"reward": "linear"}),
    Arm("ungated", "the target counts before the constraints hold", {"gated": False}),
)
METHODS = ("l2dc", "mlp", "random", "bo", "cma_es", "tpe")

CLAIMS = (
    Claim(
        "meets-the-specification",
        "The agent meets all three hard constraints within 1200 simulations in every seed, and a fifth or more of its "
        "last 100 proposals do; of 5000 uniform proposals 0.5 % or fewer do.",
        "feasible_last",
        "l2dc",
        "random",
        "higher",
        margin=0.0,
        bound=0.2,
        control_measure="feasible_share",
        control_bound=0.005,
        requires=(Require("l2dc", "first_feasible", at_most=1200), Require("random", "simulations", at_least=5000)),
        source="abstract: learns from its own data to meet hard constraints; numbers are ours, fixed before the runs",
    ),
    Claim(
        "better-than-random",
        "After 1500 simulations its best design is worth more than that of random search.",
        "best_reward",
        "l2dc",
        "random",
        "higher",
        margin=0.0,
        source="abstract; at equal simulations",
    ),
    Claim(
        "then-shrinks-the-area",
        "After the first feasible design the gate area falls by 30 % or more.",
        "best_target",
        "l2dc",
        "l2dc",
        "lower",
        margin=0.0,
        control_measure="allowed_target",
        source="section on the reward: first constraints, then good-to-have; 30 % is ours, fixed before the runs",
    ),
    Claim(
        "keeps-up-with-bo",
        "Its best design is worth no less than that of Bayesian optimisation minus 0.1, at equal simulations.",
        "best_reward",
        "l2dc",
        "bo",
        "higher",
        margin=0.0,
        control_measure="reward_with_allowance",
        source="abstract: better than Bayesian optimisation under the same run time; times are in the figure",
    ),
    Claim(
        "cma-es-does-better",
        "CMA-ES, which the paper does not compare with, finds a better design in as many simulations.",
        "best_reward",
        "cma_es",
        "l2dc",
        "higher",
        margin=0.0,
        source="ours: evolution strategies are strong below 5000 simulations, and the reader should know",
    ),
)

SMOKE = Config(simulations=30, compared=30, warmup=20, updates=1, batch=8, hidden=16, network="seq2seq", corners=False)
CPU = Config()
LONG = Config(simulations=40_000, compared=40_000, updates=1)
BIPOLAR = Config(testbench="tia2_sg13g2")


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """One method with one seed; the engines behind it are imported only here."""
    need("cma", extra="electronic", to="run l2dc")
    from wheatstone.studies.electronic.l2dc import experiment

    return experiment.run(trial)


STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(SMOKE, seeds=1, arms=("l2dc", "cma_es"), about="30 simulations a method, seconds."),
        "cpu": Preset(
            CPU,
            seeds=5,
            arms=METHODS,
            about="1500 simulations a method, 5000 of random search: 24 core-minutes (a trial of the agent 100 s, of "
            "Bayesian optimisation 70 s, of the others 15 to 40 s). Seeds 3 and 4 were added after a run of three, in "
            "which random search's 0.1 to 0.4 % of feasible designs had an interval that reached over its bound.",
        ),
        "long": Preset(LONG, seeds=3, about="The paper's 40 000 simulations with every ablation; hours."),
        "bipolar": Preset(BIPOLAR, seeds=3, arms=METHODS, about="The two-stage amplifier in SiGe bipolar transistors."),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(
        Verb("size", size, broken_input=("broken.sp", "--spec", "spec.toml")),
        Verb("simulate", simulate, broken_input=("broken.sp", "--spec", "spec.toml")),
    ),
)
