"""Grokked transformers compose facts that they were only told one by one, if enough inferred facts were shown.

Source        Wang, Yue, Su, Sun, NeurIPS 2024, arXiv:2405.15071 (code: OSU-NLP-Group/GrokkedTransformer, MIT)
Idea          The ratio phi of inferred to atomic facts in training decides whether a transformer answers unseen
              two-hop questions. Composition is learnt in stages (bridge below, answer above) and stays in
              distribution; comparison is learnt in parallel, one fact store for both values, and reaches facts that
              were never used in any comparison.
Method        1 draw random facts, keep 5 % of them out of all inferred training facts (OOD)  2 split the two-hop
              chains of ID facts into training and ID test, sample phi training chains for each fact  3 train on facts
              and chains  4 accuracies over log-spaced steps  5 exchange single states between questions and see whether
              the answer becomes the counterfactual one; logit lens beside it
Differs       In `cpu`: 50 entities, 20 relations, 2 layers of width 128, Muon (the paper: 2000, 200, 8 layers of 768,
              AdamW), hundreds of steps instead of millions. Rates decay linearly. Tokens are the entities and relations
              alone, not an extended GPT-2 vocabulary, and an answer is one token. ID tests are 5 % of the chains
              (0.5 %), because 1 % of a small graph is too few. Comparison: 200 entities, 6 attributes, 10 values,
              width 64, phi 30 (up to 12.6), four copies of each fact, stronger decay: at phi 12.6 and width 128
              OOD accuracy stayed at 0.72 (2 layers) and 0.81 (3 layers) in pilot runs, at phi 30 and width 64 it was
              0.86 to 0.96, and with the stronger decay 0.93 on three seeds. Two layers leave its circuit mixed: the
              first block at e2 reads e1 too (a pilot with three layers: interchange 0.83 and 0.89). AdamW was tried
              at six settings of rate (2e-3 to 16e-3) and decay (0.3 to 2), on a seed of its own. Interchange accuracy
              and its verdict are our addition: the bridge is as readable by the logit lens in a model that memorised.
              Complex reasoning has few hard questions on a small graph: it is an arm of `paper`, and runs in `cpu`
              only when asked for (--arms complex).
Falsified by  `phi_3_6` answering unseen ID questions; `phi_15` answering OOD ones; a memorised model whose answers
              follow an exchanged bridge; `one_layer` composing; `comparison` failing on OOD facts
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.neural.grokked_transformers.config import Config
from wheatstone.studies.neural.grokked_transformers.exhibits import exhibits
from wheatstone.studies.neural.grokked_transformers.experiment import (
    FACTS,
    MEASURES,
    TRIAL,
    seeded_sampling,
    task_of_file,
)

CARD = Card(
    name="grokked-transformers",
    family="neural",
    title="Two-hop reasoning emerges by grokking, and phi decides whether",
    source="Wang et al., NeurIPS 2024, arXiv:2405.15071",
    claim="Enough inferred facts per fact make a transformer compose in distribution, and compare out of it",
    presets=("smoke", "cpu", "paper"),
)

ARMS = (
    Arm("phi_15", "15 inferred facts per fact", {"phi": 15.0}),
    Arm("phi_9", "9 inferred facts per fact", {"phi": 9.0}),
    Arm("phi_3_6", "3.6 inferred facts per fact, the paper's lowest", {"phi": 3.6}),
    Arm("phi_18", "18 inferred facts per fact, the paper's highest", {"phi": 18.0}),
    Arm(
        "adamw",
        "phi 15 with AdamW on all weights, at the best of six settings tried on another seed",
        {"phi": 15.0, "optimiser": "adamw", "lr": 8e-3, "weight_decay": 1.0},
    ),
    Arm("one_layer", "phi 15 with one block: no second look-up", {"phi": 15.0, "n_layer": 1}),
    Arm("shared_layer", "phi 15 with one block applied twice", {"phi": 15.0, "n_layer": 1, "loops": 2}),
    Arm("shared_stack", "phi 15 with four blocks applied twice", {"phi": 15.0, "n_layer": 4, "loops": 2}),
    Arm("entities_100", "phi 15 with 100 entities: twice the facts, same distribution", {"phi": 15.0, "n_entity": 100}),
    Arm("relabelled", "phi 15 with the entities renamed at random", {"phi": 15.0, "relabel": True}),
    Arm("comparison", "comparison of two facts", {"task": "comparison"}),
    Arm("complex", "comparison of values that are never told", {"task": "complex"}),
    Arm("own_facts", "the settings as they are, on the facts of a file if one is given"),
)

MEMORISES = Require("phi_3_6", "train_accuracy", at_least=0.97)
KNOWS_FACTS = Require("phi_15", "atomic_accuracy", at_least=0.97)
ONE_LAYER_KNOWS_FACTS = Require("one_layer", "atomic_accuracy", at_least=0.97)

CLAIMS = (
    Claim(
        "phi-decides",
        "With 15 inferred facts per fact unseen ID questions are answered, with 3.6 they are not, though both models "
        "know the facts and their training questions.",
        "id_accuracy",
        "phi_15",
        "phi_3_6",
        "higher",
        margin=0.65,
        bound=0.95,
        control_bound=0.30,
        requires=(MEMORISES, KNOWS_FACTS),
        source="section 3.2: phi, not the size of the data, decides; bounds set for this size from pilot runs",
    ),
    Claim(
        "composition-stays-in-distribution",
        "The same model does not compose facts that were in no training chain, though it knows them.",
        "id_accuracy",
        "phi_15",
        "phi_15",
        "higher",
        control_measure="ood_accuracy",
        margin=0.65,
        control_bound=0.20,
        requires=(KNOWS_FACTS,),
        source="section 3.2: no systematic generalisation in composition; bounds set for this size from pilot runs",
    ),
    Claim(
        "bridge-is-held",
        "Exchanging the state at r1 gives the answer of the other bridge in the model that composes, not in the one "
        "that memorised.",
        "bridge_interchange",
        "phi_15",
        "phi_3_6",
        "higher",
        margin=0.5,
        bound=0.90,
        control_bound=0.15,
        requires=(MEMORISES,),
        source="section 3.3: the generalising circuit is staged; interchange is ours, bounds from a pilot run "
        "(0.96 against 0.03, where the logit lens has 0.73 against 0.76)",
    ),
    Claim(
        "two-look-ups-need-two-layers",
        "One block answers fewer unseen questions in the same steps. It cannot hold all training chains beside the "
        "facts under the same weight decay, so all that is required of it is that it knows the facts.",
        "id_accuracy",
        "phi_15",
        "one_layer",
        "higher",
        margin=0.5,
        requires=(ONE_LAYER_KNOWS_FACTS, KNOWS_FACTS),
        source="section 3.3: the two hops happen in different layers; margin is ours",
    ),
    Claim(
        "depth-not-parameters",
        "One block applied twice composes with exactly the parameters with which one block applied once does not.",
        "id_accuracy",
        "shared_layer",
        "one_layer",
        "higher",
        margin=0.5,
        requires=(ONE_LAYER_KNOWS_FACTS,),
        source="section 3.3 and the appendix on parameter sharing; margin is ours",
    ),
    Claim(
        "comparison-leaves-distribution",
        "Comparisons of facts that were in no training comparison are answered, two-hop questions of such facts are "
        "not.",
        "ood_accuracy",
        "comparison",
        "phi_15",
        "higher",
        margin=0.6,
        bound=0.80,
        control_bound=0.20,
        requires=(Require("comparison", "id_accuracy", at_least=0.95), KNOWS_FACTS),
        source="section 4: comparison generalises ID and OOD; bounds set for this size",
    ),
    Claim(
        "comparison-is-parallel",
        "At one layer the states at e1 and e2 hold one value each; the state between them holds neither.",
        "values_interchange",
        "comparison",
        "comparison",
        "higher",
        control_measure="wrong_position",
        margin=0.5,
        bound=0.90,
        control_bound=0.15,
        requires=(Require("comparison", "id_accuracy", at_least=0.95),),
        source="section 4: the parallel circuit; interchange and its bounds are ours",
    ),
    Claim(
        "muon-groks-sooner",
        "Muon at the recipe's settings reaches 0.95 on unseen ID questions at least 100 steps before AdamW at the best "
        "of six settings, in runs of the same length. A model that never does counts as one step past the end, so "
        "the difference is a lower bound.",
        "step_id_95",
        "phi_15",
        "adamw",
        "lower",
        margin=100.0,
        requires=(KNOWS_FACTS, Require("phi_15", "id_accuracy", at_least=0.95)),
        source="not in the paper; arXiv:2504.16041 reports 102.9 against 153.1 epochs on modular tasks",
    ),
)

SMOKE = Config(
    n_entity=12,
    comparison_entities=20,
    n_attribute=2,
    n_value=4,
    comparison_phi=6.0,
    comparison_ood_share=0.2,
    comparison_width=32,
    comparison_steps=40,
    d_model=32,
    n_head=2,
    steps=40,
    warmup=5,
    batch=128,
    evaluations=6,
    asked=200,
    probe=60,
)
CPU = Config(steps=400, evaluations=30, complex_tests=20)
PAPER = Config(
    n_entity=2000,
    n_relation=200,
    phi=18.0,
    test_share=0.005,
    comparison_entities=1000,
    n_attribute=20,
    n_value=20,
    comparison_phi=12.6,
    comparison_width=768,
    comparison_steps=1_500_000,
    comparison_weight_decay=0.1,
    fact_copies=1,
    probe=300,
    d_model=768,
    n_layer=8,
    n_head=12,
    optimiser="adamw",
    lr=1e-4,
    weight_decay=0.1,
    beta2=0.999,
    schedule="constant",
    warmup=2000,
    steps=1_500_000,
    batch=512,
    dropout=0.1,
    evaluations=60,
    precision="bfloat16",
    accelerator=True,
)


def compose(
    facts: Path,
    phi: Annotated[float, Ge(0)] = 0.0,
    steps: Annotated[int, Ge(1)] = CPU.steps,
    seeds: Annotated[int, Ge(1)] = 1,
    out: Path | None = None,
) -> None:
    """Train two-hop questions on your own facts, and find out whether the model composes or memorises.

    Args:
        facts: triples head, relation, tail in a TSV, CSV, JSON Lines or N-Triples file.
        phi: training questions for each fact; 0 takes all that the graph has.
        steps: optimiser steps.
        seeds: how many trainings, each with a split of its own.
        out: the run directory; named after its content when not given.
    """
    from wheatstone.bench.config import to_json, validate
    from wheatstone.bench.engine import InlineEngine, execute_run
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.run import Run
    from wheatstone.bench.work import share_cores

    config = dataclasses.replace(CPU, phi=phi, steps=steps)
    config = validate(Config, to_json(config), f"{CARD.name} compose")
    task_of_file(facts, config, seeded_sampling(config), 0)  # refuses what cannot work before a file is written
    numbers, arms, inputs = range(seeds), ("own_facts",), {FACTS: facts}
    path = out or run_path(STUDY, "cpu", config, numbers, arms, inputs)
    made = Run.create(path, STUDY, "cpu", config, numbers, arms, share_cores(1).threads, inputs)
    with follow(made) as watch:
        execute_run(made, STUDY, InlineEngine(), watch)
    for seed in numbers:
        measures = made.trial("own_facts", seed).measures() or {}
        verdict = "composes through a bridge state" if measures["staged"] else "shows no bridge state"
        print(f"seed {seed}: {verdict} (interchange accuracy {measures['bridge_interchange']:.2f})")
        for name in ("train_accuracy", "atomic_accuracy", "id_accuracy", "ood_accuracy", "majority", "phi"):
            print(f"  {name:<16} {measures[name]:.3f}")
    print(f"Report: {made.path / 'report.html'}")


STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(SMOKE, seeds=1, arms=("phi_15", "phi_3_6", "comparison"), about="Seconds; proves nothing."),
        "cpu": Preset(
            CPU,
            seeds=3,
            arms=(
                "phi_15",
                "phi_9",
                "phi_3_6",
                "adamw",
                "one_layer",
                "shared_layer",
                "entities_100",
                "relabelled",
                "comparison",
            ),
            about="Every contrast at 50 entities: 19 core-minutes on one thread of a shared 2-core machine (40 s a "
            "trial, comparison 60 s).",
        ),
        "paper": Preset(
            PAPER,
            seeds=3,
            arms=(
                "phi_18",
                "phi_15",
                "phi_9",
                "phi_3_6",
                "one_layer",
                "shared_stack",
                "relabelled",
                "comparison",
                "complex",
            ),
            about="The paper's sizes and settings: 1.5 million steps an arm, for a large GPU; not run here.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=TRIAL.run,
    together=TRIAL.together,
    exhibits=exhibits,
    verbs=(Verb("compose", compose, broken_input=("broken.tsv",)),),
)
