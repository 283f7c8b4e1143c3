"""Writing the bridge down turns two hops into one look-up twice, and that generalises to facts never chained.

Source        Yao, Ren, Liao, Liu, arXiv:2502.04667 (code: chen123CtrlS/TCotMechanism and T-CotMechanism, MIT); facts
              and splits as in Wang et al., arXiv:2405.15071
Idea          A two-hop question answered with its bridge first (`h r1 r2 -> b t`) is learnt in far fewer steps than one
              answered at once, and is then answered for facts that were in no training chain, which a model without
              chain of thought never does. Inside there are two stages, each an ordinary one-hop look-up. Wrong answers
              in the training traces hurt gradually, wrong bridges badly.
Method        1 random facts, 5 % of them in no training chain (OOD)  2 train on all facts and phi two-hop questions for
              each ID fact, answer written as the arm says, wrong steps in as many as the arm says  3 let the model
              write: the bridge that it reads next is its own  4 exchange single states at both stages, on questions
              that it answers right  5 ask three hops
Differs       In `cpu`: 60 entities, 20 relations, 2 layers of width 64, Muon, hundreds of steps (the paper: 2000, 200,
              8 layers of 768, AdamW, 8000 steps). One token for each entity and relation; rates decay. Phi is 3.6, not
              7.2, so that the arm without chain of thought stays at memorising for the length of a run. ID tests are
              5 % of the chains (0.5 %). The answer is scored apart from the bridge; the paper compares the whole
              string, which is the measure `id_exact`. Each corruption of the circuit changes one token (the paper's
              changes r1 along with r2), on hundreds of questions (10 to 20). Filler, shuffled bridges and every
              interchange are ours. `no_cot_phi_15` got ten times the steps after a first run, in which it had not
              learnt its own training questions. No fine-tuning of language models on natural text.
Found         1 In all seeds the bridge is looked up where it is written: the state at r2 after block 1 decides it
              (1.00), that at r1 nothing. Answered at once (`no_cot_phi_15`) it is held at r1 after block 1, and block 2
              looks up the answer at r2 (1.00 each). With the bridge written one block does both, and one is enough.
              Wrong answers, even 40 %, leave both stages in place (r2 after block 1, b as it is read); with 40 % wrong
              bridges what is written is decided only after block 2, in both.
              2 As logistic curves over log steps, half of the ID ceiling is reached at step 77 and of the OOD one at
              146, without chain of thought at phi 15 at 492. Wrong steps lower the ceiling and leave the time: 20 and
              40 % wrong answers end at 0.89 and 0.71, half of it at step 68; wrong bridges at 0.81 and 0.49, at 75 and
              77. Phi 7.2 is no sooner (74; OOD 173). Fewer questions cost OOD first (preset `beyond`): 1.8 for each
              fact end at ID 0.98 to 1.00 and OOD 0.70 to 0.96, 0.9 at 0.87 to 0.91 and 0.55 to 0.64.  3 There is no
              phase of right answers after wrong bridges: 0.07 of them at most, at any evaluation, in any arm of `cpu`
              (leaving out one with three such questions). 4 A dropped bridge is not internalised (`internalised`,
              preset `beyond`, three seeds): OOD 0.95 to 0.98 while all bridges are written, 0.10 to 0.16 when a third
              of the questions has lost it, and answered at once in the end 0.03 to 0.06 (ID 0.05 to 0.08, training
              1.00). The answers are memorised.
Falsified by  `no_cot`, even at ten times the steps, or `filler` answering OOD questions; wrong answers hurting as much
              as wrong bridges; answers that change with h or r1 once the bridge is written
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Together, Verb
from wheatstone.bench.trial import Trial
from wheatstone.studies.neural.cot_mechanisms import verbs
from wheatstone.studies.neural.cot_mechanisms.config import Config
from wheatstone.studies.neural.cot_mechanisms.exhibits import exhibits
from wheatstone.studies.neural.cot_mechanisms.experiment import MEASURES, TRIAL
from wheatstone.studies.neural.cot_mechanisms.internalise import internalise

CARD = Card(
    name="cot-mechanisms",
    family="neural",
    title="Why chain of thought generalises: two stages, one look-up each",
    source="Yao et al., 2025, arXiv:2502.04667",
    claim="Trained to write the bridge, a model answers two-hop questions of facts that it never saw in a chain",
    presets=("smoke", "cpu", "beyond", "paper"),
)

ARMS = (
    Arm("cot", "the bridge is written before the answer"),
    Arm("no_cot", "the answer alone, in as many steps", {"form": "direct"}),
    Arm(
        "no_cot_2x", "the answer alone, in twice the steps: more CPU time than `cot`", {"form": "direct", "longer": 2.0}
    ),
    Arm("no_cot_10x", "the answer alone, in ten times the steps", {"form": "direct", "longer": 10.0}),
    Arm(
        "no_cot_phi_15",
        "the answer alone, with 15 questions for each fact, in ten times the steps: four times the epochs of `cot`",
        {"form": "direct", "phi": 15.0, "longer": 10.0},
    ),
    Arm("filler", "a constant token in place of the bridge: as much computation, no reasoning", {"form": "filler"}),
    Arm("shuffled_bridges", "the bridge of another question", {"wrong": "shuffled", "noise": 1.0}),
    Arm("t_noise_20", "wrong answers in 20 % of the training questions", {"wrong": "t", "noise": 0.2}),
    Arm("t_noise_40", "wrong answers in 40 %", {"wrong": "t", "noise": 0.4}),
    Arm("t_noise_60", "wrong answers in 60 %", {"wrong": "t", "noise": 0.6}),
    Arm("b_noise_20", "wrong bridges in 20 % of the training questions", {"wrong": "b", "noise": 0.2}),
    Arm("b_noise_40", "wrong bridges in 40 %", {"wrong": "b", "noise": 0.4}),
    Arm("both_noise_20", "both wrong in 20 % of the training questions", {"wrong": "both", "noise": 0.2}),
    Arm("both_noise_40", "both wrong in 40 %", {"wrong": "both", "noise": 0.4}),
    Arm("phi_0_9", "chain of thought with 0.9 questions for each fact", {"phi": 0.9}),
    Arm("phi_1_8", "chain of thought with 1.8 questions for each fact", {"phi": 1.8}),
    Arm("phi_7_2", "chain of thought with 7.2, the paper's usual", {"phi": 7.2}),
    Arm("one_layer", "chain of thought with one block", {"n_layer": 1}),
    Arm("one_layer_no_cot", "the answer alone, with one block", {"n_layer": 1, "form": "direct"}),
    Arm("four_layers", "chain of thought with four blocks", {"n_layer": 4}),
    Arm("rotary", "chain of thought with rotary positions, for questions longer than trained", {"positions": "rotary"}),
    Arm("some_three_hops", "chain of thought, one three-hop question for each two facts too", {"three_hop": 0.5}),
    Arm(
        "internalised",
        "the bridge is written at first, then in two thirds, a third and none of the questions: four times the steps",
        {"form": "direct", "stages": 3},
    ),
    Arm("own_facts", "chain of thought on the facts of a file, if one is given"),
    Arm("own_facts_no_cot", "the answer alone on the facts of a file", {"form": "direct"}),
)

LEARNT = (Require("cot", "train_accuracy", at_least=0.97), Require("no_cot", "train_accuracy", at_least=0.97))
KNOWS = (Require("cot", "atomic_accuracy", at_least=0.97), Require("no_cot", "atomic_accuracy", at_least=0.97))
HERE = "margins and bounds fixed for this size before the runs"

CLAIMS = (
    Claim(
        "id",
        "In the same steps, with chain of thought unseen ID questions are answered, without it they are not; both "
        "models answer their training questions.",
        "id_accuracy",
        "cot",
        "no_cot",
        "higher",
        margin=0.67,
        bound=0.97,
        control_bound=0.30,
        paper=1.0,
        requires=LEARNT,
        source=f"section 3, figures; {HERE}",
    ),
    Claim(
        "ood",
        "Questions of two facts that were in no training chain are answered with chain of thought, and not without.",
        "ood_accuracy",
        "cot",
        "no_cot",
        "higher",
        margin=0.75,
        bound=0.90,
        control_bound=0.15,
        paper=1.0,
        requires=(*LEARNT, *KNOWS),
        source=f"section 3, figures; {HERE}",
    ),
    Claim(
        "not-for-want-of-steps",
        "Ten times the steps do not make the model without chain of thought answer OOD questions.",
        "ood_accuracy",
        "cot",
        "no_cot_10x",
        "higher",
        margin=0.75,
        bound=0.90,
        control_bound=0.15,
        requires=(Require("no_cot_10x", "train_accuracy", at_least=0.97),),
        source=f"section 3: no OOD generalisation without chain of thought however long; {HERE}",
    ),
    Claim(
        "not-for-want-of-data",
        "A model without chain of thought that does answer unseen ID questions, because it saw 15 for each fact, still "
        "does not answer OOD ones.",
        "ood_accuracy",
        "cot",
        "no_cot_phi_15",
        "higher",
        margin=0.75,
        bound=0.90,
        control_bound=0.15,
        requires=(Require("no_cot_phi_15", "id_accuracy", at_least=0.95),),
        source=f"arXiv:2405.15071, section 3.2, and section 3 here; {HERE}",
    ),
    Claim(
        "sooner",
        "Chain of thought reaches 0.95 on ID questions at least the length of its own run before the model without, "
        "given ten times the steps. One that never does counts as one step past its end.",
        "step_id_95",
        "cot",
        "no_cot_10x",
        "lower",
        margin=300.0,
        requires=LEARNT,
        source="section 3: thousands of steps against 10^5 to 10^6; the margin is ours",
    ),
    Claim(
        "not-for-more-computation",
        "A constant token in the bridge's place gives the same computation, and no OOD answers.",
        "ood_accuracy",
        "cot",
        "filler",
        "higher",
        margin=0.75,
        control_bound=0.15,
        requires=(Require("filler", "train_accuracy", at_least=0.97),),
        source="control of this bench",
    ),
    Claim(
        "the-right-bridge",
        "Bridges of other questions do not help: what is written must be the step.",
        "ood_accuracy",
        "cot",
        "shuffled_bridges",
        "higher",
        margin=0.75,
        control_bound=0.15,
        source="control of this bench",
    ),
    Claim(
        "answer-noise-falls-with-rate",
        "Of unseen ID questions fewer are answered after 40 % wrong answers in training than after 20 %.",
        "id_accuracy",
        "t_noise_20",
        "t_noise_40",
        "higher",
        margin=0.0,
        source="code, logs of only_t noise: 0.951, 0.866, 0.704, 0.426 at 0.2 to 0.8",
        paper=0.951,
    ),
    Claim(
        "answer-noise-hurts-ood-more",
        "After 40 % wrong answers ID questions are answered more often than OOD ones.",
        "id_accuracy",
        "t_noise_40",
        "t_noise_40",
        "higher",
        control_measure="ood_accuracy",
        margin=0.0,
        paper=0.866,
        source="code, logs of only_t noise 0.4: ID 0.866, OOD 0.491",
    ),
    Claim(
        "bridge-noise-is-worse",
        "40 % wrong bridges leave fewer ID answers right, each after the model's own bridge, than 40 % wrong answers.",
        "id_accuracy",
        "t_noise_40",
        "b_noise_40",
        "higher",
        margin=0.10,
        paper=0.866,
        source="code, logs: 0.866 against 0.018, of whole strings; 'clearly worse' taken as 0.10",
    ),
    Claim(
        "bridge-noise-is-worse-by-string",
        "The same by the paper's score, the whole string.",
        "id_exact",
        "t_noise_40",
        "b_noise_40",
        "higher",
        margin=0.10,
        paper=0.866,
        source="code, logs: 0.866 against 0.018",
    ),
    Claim(
        "stage-two-reads-the-bridge",
        "The bridge written, exchanging the state at b changes the answer, and no state of another h or r1 does.",
        "stage_two_bridge",
        "cot",
        "cot",
        "higher",
        control_measure="stage_two_question",
        margin=0.75,
        bound=0.80,
        control_bound=0.05,
        requires=(Require("cot", "n_probed", at_least=50),),
        source=f"section 4, the two-stage circuit; {HERE}",
    ),
    Claim(
        "one-block-suffices",
        "Each stage is one look-up, so one block answers unseen ID questions with chain of thought, not without.",
        "id_accuracy",
        "one_layer",
        "one_layer_no_cot",
        "higher",
        margin=0.5,
        bound=0.80,
        source=f"section 4: shallower layers suffice; {HERE}",
    ),
    Claim(
        "step-counts-are-trained",
        "Without three-hop questions in training, three hops are not answered; with a few, unseen ones are.",
        "three_hop_accuracy",
        "some_three_hops",
        "cot",
        "higher",
        margin=0.5,
        source="section on multi-hop; margin is ours",
    ),
)

SMOKE = Config(
    n_entity=20,
    n_relation=8,
    out_degree=8,
    phi=2.0,
    d_model=32,
    n_head=2,
    steps=60,
    warmup=10,
    batch=128,
    evaluations=5,
    asked=100,
    probe=60,
    test_share=0.1,
    ood_share=0.1,
)
CPU = Config(d_model=64, steps=300, warmup=50, batch=512, weight_decay=0.3, matrix_decay=0.2, evaluations=12, asked=600)
PAPER = Config(
    n_entity=2000,
    n_relation=200,
    phi=7.2,
    test_share=0.005,
    d_model=768,
    n_layer=8,
    n_head=12,
    optimiser="adamw",
    lr=1e-4,
    weight_decay=0.1,
    beta2=0.999,
    schedule="constant",
    warmup=2000,
    steps=20_000,
    batch=512,
    dropout=0.1,
    evaluations=60,
    asked=3000,
    probe=300,
    precision="bfloat16",
    accelerator=True,
)

OWN = ("own_facts", "own_facts_no_cot")
LEFT_OUT = (*OWN, "four_layers", "phi_0_9", "phi_1_8", "rotary", "t_noise_60", "internalised")


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """One trial: a training, or several on end while the bridge is dropped."""
    return internalise(trial) if trial.config.stages else TRIAL.run(trial)


def run_together(trials: Sequence[Trial[Config]]) -> list[Mapping[str, float]]:
    """Trainings share their steps; one with stages goes alone."""
    trained = iter(TRIAL.run_together([trial for trial in trials if not trial.config.stages]))
    return [internalise(trial) if trial.config.stages else next(trained) for trial in trials]


def gain(trials: Sequence[Trial[Config]], workers: int) -> float:
    """What sharing the steps of the trainings among these trials gains."""
    return TRIAL.gain([trial for trial in trials if not trial.config.stages], workers)


STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(SMOKE, seeds=1, arms=("cot", "no_cot", "b_noise_40"), about="Seconds; proves nothing."),
        "cpu": Preset(
            CPU,
            seeds=3,
            arms=tuple(arm.name for arm in ARMS if arm.name not in LEFT_OUT),
            about="Every contrast at 60 entities.",
        ),
        "beyond": Preset(
            dataclasses.replace(CPU, evaluations=40),
            seeds=3,
            arms=("cot", "phi_0_9", "phi_1_8", "internalised"),
            about="Few questions, evaluations close enough for the kinetics, and the bridge dropped step by step; five "
            "core-minutes, its numbers are under Found.",
        ),
        "paper": Preset(
            PAPER,
            seeds=3,
            arms=tuple(arm.name for arm in ARMS if arm.name not in OWN),
            about="The paper's sizes and settings, 20 000 steps an arm (no_cot_10x: 200 000), for a large GPU; not run "
            "here.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    together=Together(run_together, gain),
    exhibits=exhibits,
    verbs=(
        Verb("reason", verbs.reason, broken_input=("broken.tsv",)),
        Verb("trace", verbs.trace, broken_input=("broken.tsv", "ann | parent | parent")),
    ),
)
