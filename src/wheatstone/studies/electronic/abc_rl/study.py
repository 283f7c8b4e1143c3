"""A pretrained policy speeds up the search for synthesis recipes where the new circuit resembles those it has seen, and
a distance to them says how far it is to be trusted.

Source        Basak Chowdhury, Romanelli, Tan, Karri, Garg, ICLR 2024, arXiv:2401.12205 (code: NYU-MLDA/ABC-RL)
Idea          The order of synthesis passes decides area and delay, and the best order differs from circuit to circuit.
              Tree search finds it anew each time; a policy learnt on other circuits shortens the search on similar
              ones and misleads it on strange ones. So the policy's prior is flattened by an exponent alpha that falls
              with the distance to the nearest training circuit.
Method        1 self-play: tree search for ten-pass recipes on the training circuits  2 fit a policy (graph network over
              the circuit, transformer over the passes so far)  3 on validation circuits choose threshold and sharpness
              of alpha = 1 - sigmoid(T (d - d_th)), d the smallest cosine distance of the circuit's vector to a training
              circuit's  4 on each test circuit tree search with the prior policy^alpha  5 every method has the same
              number of evaluations, remembered ones counted  6 each result is proved equivalent to its source by SAT
              and repeated in a fresh process
Differs       Ten training circuits of at most 1 500 gates and three rounds of self-play (code: 22 and about 101). The
              policy imitates the passes of the best recipes found (arm `visit_counts`: the tree's visits, as the code),
              rollouts follow the flattened policy (arm `greedy_rollouts`: best pass once, then any, as the code), the
              prior sums to 1 (arm `unnormalised`: as the code, where a flat prior is seven ones). The recipe is encoded
              by a small transformer that is trained here, not by a frozen text model. Below alpha 0.001 the search is
              plain search, number for number, so that differences come from circuits where the policy is trusted; this
              was decided after a first run, which had lost that pairing. The
              network's heads see circuits standardised over the training set. A rollout has ten passes from the root,
              the code's has eleven. `strash` follows every pass, which makes a step a function of the graph.
              Mapped with IHP SG13G2 (code: a 7 nm library), gates unsized in both. Training, validation and test
              circuits are kept apart by name and by graph; the code's test circuits include none of its training
              ones either, but its d_th and T were chosen once for all.
Falsified by  `random` matching `mcts`; `prior_blind` losing nowhere; `abc_rl` behind `mcts` or `prior_blind` by more
              than half a percent; `abc_rl` needing more than 0.8 of plain search's evaluations on near circuits, or no
              fewer than a policy with the wrong memory
"""

from __future__ import annotations

from collections.abc import Mapping

from wheatstone.bench.run import Trial
from wheatstone.bench.study import Arm, Card, Claim, Preset, Study, Verb
from wheatstone.studies.electronic.abc_rl.config import Config
from wheatstone.studies.electronic.abc_rl.exhibits import exhibits
from wheatstone.studies.electronic.abc_rl.verbs import optimize, train

CARD = Card(
    name="abc-rl",
    family="electronic",
    title="Retrieval-guided search of logic synthesis recipes",
    source="Basak Chowdhury et al., ICLR 2024, arXiv:2401.12205",
    claim="Trusting a pretrained prior by similarity speeds up recipe search near it and loses nothing far from it",
    presets=("smoke", "cpu", "paper"),
)

MEASURES = {
    "gain": "area-delay product of resyn2 over that of the best recipe found, geometric mean over test circuits",
    "gain_less_half_percent": "0.995 times gain: what a rival must exceed not to be half a percent behind",
    "near_gain": "gain on the test circuits that contain or resemble a training circuit",
    "far_gain": "gain on the others",
    "gain_over_compress2rs": "area-delay product of compress2rs over that of the best recipe, geometric mean",
    "gain_over_dc2": "the same of dc2",
    "gain_over_nothing": "the same of the circuit as it came",
    "worst_far": "smallest gain on a far circuit, over plain tree search's there (of plain search itself exactly 1)",
    "near_evaluations": "evaluations to plain search's final gain over those it needed itself, mean over near circuits",
    "far_evaluations": "the same on far circuits",
    "evaluations": "recipes evaluated on each circuit, remembered ones counted",
    "passes": "passes that have to run for each circuit when every (graph, pass) is remembered",
    "proved": "share of results that are proved equivalent to their source [0, 1]",
    "replayed": "share of results with the same area and delay in a fresh process [0, 1]",
    "near_alpha": "mean exponent of the policy on near circuits [0, 1]; NaN without a policy",
    "far_alpha": "mean exponent of the policy on far circuits [0, 1]; NaN without a policy",
}

ARMS = (
    Arm("abc_rl", "the method: policy with an exponent from the distance"),
    Arm("mcts", "plain tree search: every pass alike", {"prior": "uniform"}),
    Arm("mcts_again", "plain tree search with other random numbers: chance alone", {"prior": "uniform", "stream": "b"}),
    Arm("prior_blind", "the policy trusted everywhere: exponent 1", {"alpha": "fixed"}),
    Arm("random", "independent random recipes", {"method": "random"}),
    Arm("annealing", "simulated annealing over recipes", {"method": "annealing"}),
    Arm("greedy", "the best next pass, mapped after each", {"method": "greedy"}),
    Arm("unnormalised", "priors that do not sum to 1, as in the published code", {"normalise": False}),
    Arm("shuffled_memory", "a policy whose circuits have each other's recipes", {"shuffle": True}),
    Arm("wiring_fault", "results with one inverted wire, which no proof may pass",
        {"method": "random", "fault": True, "budget": 8}),
    Arm("half_alpha", "exponent 1/2 everywhere", {"alpha": "fixed", "fixed_alpha": 0.5}),
    Arm("visit_counts", "a policy fitted to the tree's visit counts, as published", {"targets": "visits"}),
    Arm("no_recipe", "a policy that sees how many passes there were, not which", {"recipe_encoder": False}),
    Arm("greedy_rollouts", "leaves played with the policy's best pass once, then any pass, as in the published code",
        {"rollout": "greedy"}),
)  # fmt: skip

OURS = "fixed before the runs; the paper compares geometric means over its test circuits (section 4)"
CLAIMS = (
    Claim(
        "tree-search-beats-random",
        "With equal evaluations plain tree search finds better recipes than random search.",
        "gain",
        "mcts",
        "random",
        "higher",
        margin=0.0,
        source=OURS,
    ),
    Claim(
        "blind-prior-misleads",
        "Trusted blindly, the policy is worse than plain search on at least one far circuit.",
        "worst_far",
        "prior_blind",
        "mcts",
        "lower",
        margin=0.0,
        source="introduction, figure 1: pretrained agents mislead on novel designs; threshold fixed before the runs",
    ),
    Claim(
        "blind-prior-misleads-beyond-chance",
        "Its worst far circuit is worse than that of plain search repeated with other random numbers.",
        "worst_far",
        "prior_blind",
        "mcts_again",
        "lower",
        margin=0.0,
        source="as before; the repeated search is the control that chance needs",
    ),
    Claim(
        "retrieval-not-behind-plain",
        "Over all circuits the method is not half a percent behind plain search.",
        "gain",
        "abc_rl",
        "mcts",
        "higher",
        control_measure="gain_less_half_percent",
        margin=0.0,
        source=OURS,
    ),
    Claim(
        "retrieval-not-behind-blind",
        "Over all circuits the method is not half a percent behind the policy that is trusted blindly.",
        "gain",
        "abc_rl",
        "prior_blind",
        "higher",
        control_measure="gain_less_half_percent",
        margin=0.0,
        source=OURS,
    ),
    Claim(
        "fewer-evaluations-near",
        "On near circuits the method needs at most 0.8 of the evaluations for plain search's final result.",
        "near_evaluations",
        "abc_rl",
        "mcts",
        "lower",
        margin=0.2,
        source="section 4: 1.6 times faster than plain search on average; 0.8 fixed before the runs",
        paper=0.625,
    ),
    Claim(
        "fewer-evaluations-near-beyond-chance",
        "On near circuits it needs fewer than plain search repeated with other random numbers.",
        "near_evaluations",
        "abc_rl",
        "mcts_again",
        "lower",
        margin=0.0,
        source="as before; the repeated search is the control that chance needs",
    ),
    Claim(
        "memory-of-the-right-circuit",
        "On near circuits it needs fewer than with a memory in which circuits have each other's recipes.",
        "near_evaluations",
        "abc_rl",
        "shuffled_memory",
        "lower",
        margin=0.0,
        source="section 3.3: similarity is what makes the policy useful; margin is ours",
    ),
    Claim(
        "proof-refuses-faults",
        "Every result is proved equivalent to its source, and none with an inverted wire is.",
        "proved",
        "abc_rl",
        "wiring_fault",
        "higher",
        margin=0.5,
        bound=1.0,
        control_bound=0.0,
        source="a check of the experiment, not of the paper",
    ),
)

SMOKE = Config(
    budget=12,
    circuits="generated",
    library="generic",
    size=2,
    iterations=1,
    simulations=12,
    epochs=4,
    validation_budget=6,
)
CPU = Config()
PAPER = Config(
    rollout="greedy", targets="visits", normalise=False, budget=100, circuits="published", library="asap7", size=22,
    iterations=101, simulations=1536, validation_budget=100, learning_rate=0.01,
)  # fmt: skip


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """One arm with one seed; torch is imported only here."""
    from wheatstone.studies.electronic.abc_rl import experiment

    return experiment.run(trial)


CPU_ARMS = tuple(arm.name for arm in ARMS[: [arm.name for arm in ARMS].index("half_alpha")])

STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(
            SMOKE,
            seeds=1,
            arms=tuple(name for name in CPU_ARMS if name not in ("greedy", "unnormalised")),
            about="Two generated training circuits and twelve evaluations, seconds; every result is proved.",
        ),
        "cpu": Preset(
            CPU,
            seeds=3,
            arms=CPU_ARMS,
            about="Ten training, eight validation and eight test circuits, 60 evaluations each; about 14 core-minutes. "
            "Arms of one seed share self-play and plain search, which the first of them makes.",
        ),
        "paper": Preset(
            PAPER, seeds=3, about="The published circuits, library, simulations and iterations: days; not run here."
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(
        Verb("optimize", optimize, broken_input=("broken.aag", "--budget", "4")),
        Verb("train", train, broken_input=("broken.txt",)),
    ),
)
