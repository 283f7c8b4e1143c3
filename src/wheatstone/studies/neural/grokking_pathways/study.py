"""After memorising, samples come to share their way through the experts: two router numbers tell how the test fares.

Source        Li, Fan, Zhou, ICLR 2026, arXiv:2506.21551 (no code published)
Idea          The pathway of a training sample through a mixture of experts is its own while it is memorised, and
              becomes shared and smooth when the model starts to generalise, though the loss no longer moves. Two
              numbers of training data alone, the edit distance between pathways and the consistency along one, then
              stand in for a test set.
Method        1 train four domains in one mixture: two-hop facts, modular addition, comparisons, and random answers that
              cannot be generalised  2 at evenly spaced steps read the routers at the last position of 200 training
              questions of each  3 mean edit distance of pairs that need the same last step, and of any pairs; cosine
              of weighted router rows between layers  4 from the step at which a domain is memorised, rank-correlate
              each number with test accuracy, beside the training loss, the norm of the weights, expert use, and
              pathways renamed at random; also with time held fixed, and with intervals from blocks of evaluations
Differs       A mixture of 3 layers of width 64 with 8 experts, 2 chosen, trained for 1300 steps (OLMoE: 7 B
              parameters, 16 layers, 64 experts, 8 chosen, ten checkpoints of one pass). A row is read about a hundred
              times (paper: once). Test accuracy is read off directly (the paper tunes each checkpoint by LoRA and runs
              benchmarks). The embedding of an expert is its router row, a symbol is a layer with an expert, and pairs
              of related samples are reported beside any pairs: the paper leaves the first two open. Claims are on
              domains, which stand for the paper's groups of samples; the report also matches quarters of the training
              questions with quarters of the test. Memorised is by accuracy (paper: a loss that has settled). Pathways
              are at the last position; `measure` averages tokens, as the paper does. In a first run of `cpu` (three
              seeds, rate 5e-3, decay 0.3, ten values, 400 random answers, addition read once) random answers and
              addition were never memorised, comparisons not in one seed. The settings now were chosen on seeds 10 and
              11 so that all four are, and two hops generalise later. Bounds and margins are those from before.
Found         The distance of related two-hop pathways falls by 0.23 of its peak (random answers 0.03, a hash 0.01),
              by 0.13 from memorising on, and tells the test (0.65). That the paper's monitor works is not shown by it:
              1 The training loss tells as much (0.69), for it goes on falling; counted only from where it is below
              0.02 of its first value, distance : loss is 0.54 : 0.58. The norm of all weights, which only grows, tells
              more (0.97). 2 With time held fixed 0.02 is left of the distance and 0.28 of the loss. 3 A frozen router
              shows nearly the same fall, 0.21, and tells its test better, 0.72 : 0.54: states come to be alike, and the
              routers need not learn it. 4 Related questions have their last token in common, where the routers are
              read. Pairs with that token but another last step, followed later in seeds 0 to 2, fall by 0.15 of their
              peak (related 0.24) and tell the test, 0.67 (0.77): much of it is the token, not the step. 5 Comparisons
              generalise while they are memorised and leave nothing to tell; addition is memorised late and ends at 0.33
              of its test. Consistency goes with the test in some seeds and against it in others; so do centred rows.
              Question by question (the same seeds) memorising early and generalising early go together over the last
              steps of two hops by 0.31, but by 0.34 over the random answers. The first layer is shared most, as in the
              paper: of six (seed 0), related pairs end 0.24 apart in the first and 0.32 to 0.41 in the others.
              As a signal to stop, where a monitor is not bettered for a tenth of the run: two hops would have stopped
              at step 828 by distance with 0.80 of the test answered, at 759 by loss with 0.79, at 531 by consistency
              with 0.63; the best of the run is 0.93.
              Arms of `variants`, means of seeds 0 to 2: how distance : loss tell two hops, fall of the distance, test
              at the end. Learned 0.77 : 0.68, 0.24, 0.93. Dense 0.62 : 0.64, 0.05, 0.55. No balance 0.47 : 0.65, 0.16,
              0.86. Six layers 0.70 : 0.69, 0.24, 0.96. 8 questions a fact 0.80 : 0.71, 0.16, 0.75. Muon, which
              generalises before it has memorised, -0.19 : 0.41, 0.58, 0.92. The distance is ahead of the loss in two
              seeds of three at most, in no arm in all.
              Tried on seeds 10 and 11, distance : loss. First run's rate and decay, 13 evaluations left after
              memorising: 0.68 : 0.05. Rate 2e-3, decay 0.75: 0.73 : 0.62. 2e-3, 0.25: 0.91 : 0.72 and 0.35 : 0.49.
              2.5e-3, 0.25, as now: 0.64 : 0.68 and 0.92 : 0.81. 3e-3, 0.3: 0.82 : 0.62 and 0.64 : 0.73. Batches of 256,
              decay 1: -0.23 : 0.67. 24 entities, 8 questions a fact: 0.54 : 0.30. No balance: 0.75 : 0.80. Muon,
              generalising 51 steps after memorising: -0.15 : 0.18. The distance as a share of that of any pairs differs
              little, pathways averaged over positions tell less (0.18), and the cosine between what the experts of two
              layers write has either sign. A dense twin as wide as all experts together answers 0.37 of the two-hop
              test after 1200 steps. Not tried: 100 entities with 9 questions a fact, plateaus of many thousand steps.
Falsified by  Distance or consistency not telling test accuracy after memorising, or no better than the training loss;
              the distance of the random domain falling as much; a frozen or a scrambled router showing the same
"""

from __future__ import annotations

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.neural.grokking_pathways import verbs
from wheatstone.studies.neural.grokking_pathways.config import Config
from wheatstone.studies.neural.grokking_pathways.exhibits import exhibits
from wheatstone.studies.neural.grokking_pathways.experiment import MEASURES, TRIAL

CARD = Card(
    name="grokking-pathways",
    family="neural",
    title="Grokking seen in the routers: pathways of training samples tell how the test fares",
    source="Li et al., ICLR 2026, arXiv:2506.21551",
    claim="After memorising, the distance between pathways falls as test accuracy rises, while the loss says nothing",
    presets=("smoke", "cpu", "variants", "paper"),
)

ARMS = (
    Arm("learned", "routers trained with the model, as in the paper"),
    Arm("frozen_router", "routers stay at their initial weights: alike is still sent alike", {"router": "frozen"}),
    Arm("scrambled_router", "a hash of the state chooses: no two samples share a way", {"router": "scrambled"}),
    Arm("dense", "no experts: a layer as wide as those chosen, its most active neurons are the way", {"dense": True}),
    Arm("no_balance", "routers without load-balancing loss, free to collapse", {"balance": 0.0}),
    Arm("six_layers", "six blocks instead of the preset's number", {"n_layer": 6}),
    Arm("fewer_questions", "8 two-hop questions for each fact: nearer to where generalising ends", {"phi": 8.0}),
    Arm("muon", "Muon, under which memorising and generalising nearly coincide", {"optimiser": "muon", "lr": 2e-3}),
)

HERE = "bounds fixed before the runs"


def _tells(monitor: str, domain: str, about: str) -> Claim:
    """From memorising on, the monitor ranks the evaluations of a domain as its test accuracy does."""
    return Claim(
        f"{monitor}-tells-{domain.replace('_', '-')}",
        f"After {domain} is memorised, {about} goes with its test accuracy, more than its training loss does.",
        f"by_{monitor}_{domain}",
        "learned",
        "learned",
        "higher",
        control_measure=f"by_loss_{domain}",
        margin=0.0,
        bound=0.5,
        requires=(
            Require("learned", f"test_{domain}", at_least=0.8),
            Require("learned", f"window_{domain}", at_least=5),
        ),
        source="not in the paper; added after consistency as published had failed in a pilot, with the same bound"
        if monitor == "centred"
        else f"section 4, correlations over checkpoints (values not given); {HERE}",
    )


CLAIMS = (
    Claim(
        "generalises",
        "Unseen two-hop questions are answered, unseen questions with random answers are not.",
        "test_two_hop",
        "learned",
        "learned",
        "higher",
        control_measure="test_noise",
        margin=0.5,
        bound=0.8,
        control_bound=0.12,
        source=f"control of this bench; {HERE}",
    ),
    Claim(
        "related-ways-converge",
        "The distance of related pathways falls from its peak where the domain generalises, not where it cannot.",
        "drop_two_hop",
        "learned",
        "learned",
        "higher",
        control_measure="drop_noise",
        margin=0.1,
        bound=0.2,
        control_bound=0.1,
        # Few experts in use would bring pathways together as well.
        requires=(Require("learned", "test_two_hop", at_least=0.8), Require("learned", "entropy", at_least=0.6)),
        source=f"section 4, distance over checkpoints; {HERE}",
    ),
    *(_tells("distance", domain, "minus the distance of related pathways") for domain in ("two_hop", "comparison")),
    *(_tells("consistency", domain, "consistency") for domain in ("two_hop", "comparison")),
    *(_tells("centred", domain, "consistency of centred rows") for domain in ("two_hop", "comparison")),
    Claim(
        "not-a-common-trend",
        "From evaluation to evaluation, changes of distance go with changes of test accuracy, more than in the domain "
        "that cannot be generalised.",
        "by_distance_differences_two_hop",
        "learned",
        "learned",
        "higher",
        control_measure="by_distance_differences_noise",
        margin=0.0,
        source="control of this bench: two curves that rise always correlate",
    ),
    Claim(
        "not-the-clock",
        "With the order of the evaluations held fixed, the distance still tells more than the training loss.",
        "by_distance_detrended_two_hop",
        "learned",
        "learned",
        "higher",
        control_measure="by_loss_detrended_two_hop",
        margin=0.0,
        source="control of this bench, added after a first run of three seeds",
    ),
    Claim(
        "more-than-the-norm",
        "The distance tells more than the norm of all weights, which is but a clock.",
        "by_distance_two_hop",
        "learned",
        "learned",
        "higher",
        control_measure="by_norm_two_hop",
        margin=0.0,
        source="control of this bench, added after a first run of three seeds",
    ),
    Claim(
        "not-any-renaming",
        "Pathways whose experts are renamed at random tell less of test accuracy.",
        "by_distance_two_hop",
        "learned",
        "learned",
        "higher",
        control_measure="by_shuffled_two_hop",
        margin=0.2,
        source="control of this bench",
    ),
    Claim(
        "not-by-a-hash",
        "Related pathways do not converge under a router that sends each state to experts of its own.",
        "drop_two_hop",
        "learned",
        "scrambled_router",
        "higher",
        margin=0.1,
        source="control of this bench",
    ),
    Claim(
        "routers-have-to-learn",
        "Related pathways converge more when routers are trained than when they keep their initial weights.",
        "drop_two_hop",
        "learned",
        "frozen_router",
        "higher",
        margin=0.0,
        source="control of this bench",
    ),
    Claim(
        "each-in-its-time",
        "A harder domain takes longer from memorising to generalising: two hops longer than comparisons.",
        "lag_two_hop",
        "learned",
        "learned",
        "higher",
        control_measure="lag_comparison",
        margin=0.0,
        source="section 3: local and asynchronous grokking, harder groups lag longer",
    ),
)

CPU = Config(
    n_entity=30,
    n_relation=12,
    phi=10.0,
    test_share=0.08,  # some 300 test questions: fewer blur the test accuracy that is to be told
    modulus=31,
    table_share=0.6,
    n_compared=24,
    n_value=4,  # with 10, comparisons were not memorised by the end in one seed of three
    n_noise=200,
    repeat=3,  # without, addition is not memorised by the end
    n_layer=3,
    d_model=64,
    d_expert=32,
    optimiser="adamw",  # under Muon hardly anything is left to happen after memorising
    lr=2.5e-3,  # at 5e-3 training accuracy does not settle: two hops memorised at 906, random answers never
    schedule="constant",  # a falling rate ends generalising as well: two hops stop at 0.87, addition at 0.16
    weight_decay=0.25,
    warmup=50,
    steps=1300,
    batch=512,
    evaluations=50,
)
SMOKE = Config(
    n_entity=12,
    n_relation=6,
    phi=3.0,
    modulus=7,
    n_compared=20,
    n_noise=60,
    test_share=0.2,
    n_expert=4,
    n_layer=2,
    n_head=2,
    d_model=32,
    d_expert=16,
    optimiser="adamw",
    lr=1e-2,
    weight_decay=0.1,
    warmup=5,
    steps=40,
    batch=128,
    evaluations=8,
    probe=40,
    asked=60,
    pairs=100,
)
PAPER = Config(
    n_entity=500,
    n_relation=50,
    modulus=97,
    n_compared=200,
    n_noise=3000,
    n_expert=64,
    top_k=8,
    d_expert=512,
    n_layer=16,
    d_model=512,
    n_head=16,
    optimiser="adamw",
    lr=4e-4,
    weight_decay=0.1,
    beta2=0.95,
    schedule="cosine",
    warmup=2000,
    steps=50_000,
    batch=4096,
    evaluations=100,
    probe=1000,
    asked=2000,
    precision="bfloat16",
    accelerator=True,
)

STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(SMOKE, seeds=1, arms=("learned", "scrambled_router"), about="Seconds; proves nothing."),
        "cpu": Preset(
            CPU,
            seeds=5,
            arms=("learned", "frozen_router", "scrambled_router"),
            about="Every claim; 15 trainings of about a CPU minute each.",
        ),
        "variants": Preset(
            CPU,
            seeds=3,
            arms=("learned", "dense", "no_balance", "six_layers", "fewer_questions", "muon"),
            about="What the monitors depend on: balance, depth, data, optimiser; 18 trainings of about a CPU minute. "
            "Run here with three seeds; its numbers are under Found.",
        ),
        "paper": Preset(
            PAPER,
            seeds=3,
            arms=("learned", "frozen_router", "scrambled_router", "no_balance"),
            about="OLMoE's depth, experts and choice on synthetic domains, for a large GPU; not run here. OLMoE itself "
            "is measured by `apply grokking-pathways measure` on its checkpoints.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=TRIAL.run,
    exhibits=exhibits,
    verbs=(Verb("measure", verbs.measure, broken_input=("broken.jsonl",)),),
)
