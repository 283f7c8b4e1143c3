"""Grokking in the wild: synthetic facts push a real knowledge graph past the ratio at which two hops compose.

Source        Abramov, Steinbauer, Kasneci, ICML 2025, arXiv:2504.20752; circuit as in Wang et al., arXiv:2405.15071
Idea          A two-hop circuit forms only when each relation has enough inferred facts per fact. Real graphs are too
              sparse, but invented facts can fill them up: they only have to make looking up twice cheaper than
              memorising. Then real questions that training never showed come out right.
Method        1 load triples  2 split the real chains  3 add synthetic heads with their facts and chains until every
              relation is past the ratio  4 train one transformer on facts and chains  5 ask real questions
              6 exchange states to see the circuit
Differs       Synthetic heads are drawn, not written by a language model, and every entity is one token. `cpu` trains 2
              layers of width 128 with Muon instead of GPT-2 small with AdamW for 300 k steps. The graph is GeoNames
              countries (164 countries, 12 relations, in the package) instead of 2WikiMultiHopQA. A tenth of the facts
              is in no training chain; chains of two such facts are the OOD test. Composition questions only: the
              paper's comparison questions are, on synthetic facts, an arm of `grokked-transformers`.
Found         `inconsistent` costs 0.04, not the 0.10 that its claim needs, so that claim fails. The likely reason: it
              contradicts the one-hop statement of a synthetic fact, while the dozen chains through that fact still
              agree with each other and go on teaching two look-ups. A world whose chains disagree among themselves
              would be the stronger control; it has not been run.
Falsified by  `plain`, the same real questions without synthetic facts, answering as many held-out real questions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.bench.trial import Trial
from wheatstone.domains.kg.baselines import baselines
from wheatstone.domains.kg.graph import Chains
from wheatstone.domains.probes import composition_probe, fact_tokens
from wheatstone.interp.circuit import Circuit, Probe, find_circuit
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.replicas import Trained
from wheatstone.learn.training import Fitted, Point, Training, accuracy, answers
from wheatstone.studies.neural.grokking_in_the_wild import verbs
from wheatstone.studies.neural.grokking_in_the_wild.exhibits import exhibits
from wheatstone.studies.neural.grokking_in_the_wild.knowledge import sample_answers, save_knowledge
from wheatstone.studies.neural.grokking_in_the_wild.world import Config, World, build, phi_rows, some

CARD = Card(
    name="grokking-in-the-wild",
    family="neural",
    title="Grokking in the Wild: data augmentation for real-world multi-hop reasoning",
    source="Abramov, Steinbauer, Kasneci, ICML 2025, arXiv:2504.20752",
    claim="synthetic facts make a transformer answer unseen two-hop questions about a real knowledge graph",
    presets=("smoke", "cpu", "paper"),
)

PRESETS = {
    "smoke": Preset(
        Config(heads=20, steps=12, warmup=2, evaluations=4, d_model=32, batch=256, tests=200, probes=40),
        seeds=2,
        arms=("augmented", "plain"),
        about="The pipeline in seconds; decides nothing.",
    ),
    "cpu": Preset(
        Config(heads=400, steps=700),
        seeds=3,
        about="Two layers of width 128 on 164 countries; what it cost on a busy machine stands in the results.",
    ),
    "paper": Preset(
        Config(
            graph="fb15k-237",
            n_layer=8,
            d_model=768,
            n_head=12,
            optimiser="adamw",
            lr=5e-5,
            weight_decay=1.0,
            beta2=0.999,
            schedule="constant",
            warmup=2000,
            batch=512,
            steps=300_000,
            dropout=0.1,
            precision="bfloat16",
            heads=-1,
        ),
        seeds=3,
        arms=("augmented", "plain"),
        about="The paper's model and optimiser on FB15k-237, augmented to phi 8; about two GPU days a trial.",
    ),
}

ARMS = (
    Arm("augmented", "400 synthetic heads whose bridges are real (`cpu`)"),
    Arm("plain", "the same real questions and facts, nothing synthetic", {"augment": False}),
    Arm("heads_50", "50 synthetic heads", {"heads": 50}),
    Arm("heads_200", "200 synthetic heads", {"heads": 200}),
    Arm(
        "false_consistent",
        "half of the synthetic links lead to twins of real bridges, whose facts are wrong but agree with their chains",
        {"world": "false_consistent"},
    ),
    Arm(
        "inconsistent",
        "half of the synthetic facts name another bridge than their chains go through",
        {"world": "inconsistent"},
    ),
)

MEASURES = {
    "real_accuracy": "share of real two-hop questions that training never showed and that are answered exactly [0, 1]",
    "entity_accuracy": "real_accuracy where the answer is an entity with facts of its own [0, 1]",
    "attribute_accuracy": "real_accuracy where the answer is an attribute, such as a currency [0, 1]",
    "ood_accuracy": "the same for questions of two facts that are in no training chain [0, 1]",
    "shuffled_accuracy": "share still answered with the right answer after r1 is replaced by another relation [0, 1]",
    "majority": "real_accuracy of the most frequent training answer of (r1, r2) [0, 1]",
    "train_accuracy": "share of training chains answered exactly [0, 1]",
    "atomic_accuracy": "share of real one-hop facts answered exactly [0, 1]",
    "synthetic_answers": "share of real questions answered with a synthetic entity [0, 1]",
    "phi": "training chains for each fact, synthetic ones included",
    "step_memorised": "first evaluated step with train_accuracy of 0.99 or more; NaN if never",
    "bridge_interchange": "share of answers that follow the exchanged bridge state at r1, best layer [0, 1]",
    "bridge_lens": "mean reciprocal rank of the bridge at r1 after layer 1, under the logit lens [0, 1]",
    "wrong_position": "share of answers that change when the state at h is exchanged after layer 1 [0, 1]",
}

MEMORISED = (Require("plain", "train_accuracy", at_least=0.99), Require("augmented", "atomic_accuracy", at_least=0.99))

CLAIMS = (
    Claim(
        name="augmentation",
        text="Synthetic facts make unseen real questions answerable: 0.75 and more, 0.35 above the same run without.",
        measure="real_accuracy",
        treatment="augmented",
        control="plain",
        direction="higher",
        margin=0.35,
        bound=0.75,
        paper=0.95,
        source="arXiv:2504.20752, abstract (95-100 %); margin fixed before the study from a trial on this graph",
        requires=MEMORISED,
    ),
    Claim(
        name="ninety",
        text="Augmented, nine of ten unseen real questions are answered.",
        measure="real_accuracy",
        treatment="augmented",
        control="plain",
        direction="higher",
        margin=0.35,
        bound=0.90,
        paper=0.95,
        source="arXiv:2504.20752, abstract (95-100 %)",
        requires=MEMORISED,
    ),
    Claim(
        name="entities",
        text="The gain is as large where the answer is an entity, which no majority guess can reach.",
        measure="entity_accuracy",
        treatment="augmented",
        control="plain",
        direction="higher",
        margin=0.35,
        source="arXiv:2504.20752, section 4; low-entropy answers excluded",
        requires=MEMORISED,
    ),
    Claim(
        name="more_heads",
        text="More synthetic heads, more real questions answered: 400 beat 50.",
        measure="real_accuracy",
        treatment="augmented",
        control="heads_50",
        direction="higher",
        margin=0.10,
        source="arXiv:2504.20752, section 3 (the ratio decides); the paper has no graded sweep",
    ),
    Claim(
        name="false_facts_help",
        text="Synthetic facts may be false as long as they are consistent: they still beat no augmentation.",
        measure="real_accuracy",
        treatment="false_consistent",
        control="plain",
        direction="higher",
        margin=0.10,
        source="arXiv:2504.20752, abstract (factually incorrect data)",
        requires=(MEMORISED[0],),
    ),
    Claim(
        name="inconsistency_hurts",
        text="Synthetic facts that contradict their own chains help less: it is the structure that teaches.",
        measure="real_accuracy",
        treatment="augmented",
        control="inconsistent",
        direction="higher",
        margin=0.10,
        source="negative control of this bench",
    ),
    Claim(
        name="first_relation_used",
        text="The first relation is used: exchanged for another one, the old answer is gone.",
        measure="real_accuracy",
        treatment="augmented",
        control="augmented",
        control_measure="shuffled_accuracy",
        direction="higher",
        margin=0.35,
        source="check of this bench: with one relation a head can take on its bridge's vector",
    ),
    Claim(
        name="not_ood",
        text="Facts that no training chain uses do not compose: accuracy on them stays far below.",
        measure="real_accuracy",
        treatment="augmented",
        control="augmented",
        control_measure="ood_accuracy",
        direction="higher",
        margin=0.35,
        source="arXiv:2504.20752, section 5 (structured composition: ID about 100 %, OOD about 7 %)",
    ),
    Claim(
        name="bridge_circuit",
        text="The augmented model passes the bridge through one state; the plain one does so less.",
        measure="bridge_interchange",
        treatment="augmented",
        control="plain",
        direction="higher",
        margin=0.25,
        source="arXiv:2405.15071, section 3.2, with interchange instead of the lens",
        requires=(MEMORISED[0],),
    ),
)


class Prepared(NamedTuple):
    """A trial before training."""

    world: World
    test: Chains
    asked: Tensor
    expected: Tensor
    probe: Probe
    training: Training


def prepare(trial: Trial[Config]) -> Prepared:
    """The world of one arm, and its model with initial weights."""
    cfg = trial.config
    inputs = {name: trial.input(name) for name in trial.run.inputs}
    world = build(cfg, inputs, trial.seed_for("world") % 2**31)
    test, train = some(world.test, cfg.tests, trial.rng("tests")), some(world.train, 2000, trial.rng("train tests"))
    asked, expected = world.asked(test)
    seen = world.asked(train)
    facts = torch.from_numpy(fact_tokens(world.graph.triples, world.n_entity))
    tails = torch.from_numpy(world.graph.triples[:, 2].astype(np.int64))
    probe = composition_probe(
        world.known_table(), some(world.real_train, cfg.probes, trial.rng("probes")), trial.rng("corruptions")
    )

    def evaluate(model: Transformer) -> dict[str, float]:
        return {
            "real_accuracy": accuracy(model, asked, expected),
            "train_accuracy": accuracy(model, *seen),
            "atomic_accuracy": accuracy(model, facts, tails),
        }

    def keep_memorised(point: Point, model: Transformer) -> None:
        if point.values["train_accuracy"] >= 0.99 and not trial.file("circuit_memorised.json").exists():
            trial.write("circuit_memorised", measured(model, probe).to_json() | {"step": point.step})

    model = Transformer(
        cfg.transformer(len(world.vocabulary), 3), torch.Generator().manual_seed(trial.seed_for("init"))
    )
    training = Training(
        model,
        world.sequences(),
        cfg.fitting(),
        order_seed=trial.seed_for("order") % 2**31,
        evaluate=evaluate,
        keeper=trial,
        on_evaluation=keep_memorised,
    )
    return Prepared(world, test, asked, expected, probe, training)


def measure(trial: Trial[Config], prepared: Prepared, fitted: Fitted) -> Mapping[str, float]:
    """What the trained model knows about real questions, and where it computes the answer."""
    world, test, asked, expected, probe, training = prepared
    model = training.model
    circuit = measured(model, probe)
    trial.write("circuit", circuit.to_json())
    trial.write("phi", {"rows": phi_rows(world.report()), "phi": world.phi, "log": list(world.log)})
    save_knowledge(trial, model, world, circuit)
    trial.write("questions", sample_answers(model, world, some(test, 12, trial.rng("shown questions")), circuit))
    trial.write("by_relation", by_relation(model, world, test))
    assert training.evaluate is not None
    return {
        **training.evaluate(model),
        **answered(model, world, asked, expected, trial),
        **structure(circuit),
        **when(fitted),
    }


TRIAL = Trained(prepare, measure)


def measured(model: Transformer, probe: Probe) -> Circuit:
    """The circuit of a model in evaluation mode, which training goes on from unchanged."""
    was_training = model.training
    model.eval()
    circuit = find_circuit(model, probe)
    model.train(was_training)
    return circuit


def answered(
    model: Transformer, world: World, asked: Tensor, expected: Tensor, trial: Trial[Config]
) -> dict[str, float]:
    """The measures of a trained model on real questions, by kind of answer, beside what guessing gives."""
    given = answers(model, asked)
    right = given == expected
    is_entity = torch.from_numpy(world.leads_on)[expected]
    ood = accuracy(model, *world.asked(world.test_ood))
    return {
        "entity_accuracy": right[is_entity].float().mean().item(),
        "attribute_accuracy": right[~is_entity].float().mean().item(),
        "ood_accuracy": ood,
        "shuffled_accuracy": shuffled_accuracy(model, world, asked, expected, trial.rng("other relations")),
        "majority": baselines(world.train, world.test, world.whole.table).majority_pair,
        "synthetic_answers": is_synthetic(world, given).float().mean().item(),
        "phi": world.phi,
    }


def is_synthetic(world: World, tokens: Tensor) -> Tensor:
    """Which tokens are synthetic entities."""
    return (tokens >= len(world.graph.entities)) & (tokens < world.n_entity)


def shuffled_accuracy(
    model: Transformer, world: World, asked: Tensor, expected: Tensor, rng: np.random.Generator
) -> float:
    """Share of questions with the old answer although r1 is another relation of the head with another true answer."""
    table, n_entity = world.known_table(), world.n_entity
    head, r2 = asked[:, 0].numpy(), asked[:, 2].numpy() - n_entity
    other = rng.integers(0, table.shape[1], len(head))
    bridge = table[head, other]
    tail = np.where(bridge >= 0, table[bridge, r2], -1)
    usable = torch.from_numpy((tail >= 0) & (tail != expected.numpy()))
    changed = asked.clone()
    changed[:, 1] = torch.from_numpy(other + n_entity)
    return accuracy(model, changed[usable], expected[usable])


def by_relation(model: Transformer, world: World, test: Chains) -> list[dict[str, float | str]]:
    """Accuracy on the tests that use each relation as first and as second hop."""
    asked, expected = world.asked(test)
    right = (answers(model, asked) == expected).numpy()
    rows: list[dict[str, float | str]] = []
    for position, used in (("first", test.r1), ("second", test.r2)):
        for relation in np.unique(used).tolist():
            chosen = used == relation
            rows.append(
                {
                    "hop": position,
                    "relation": world.whole.relations[relation],
                    "accuracy": float(right[chosen].mean()),
                    "n": int(chosen.sum()),
                }
            )
    return rows


def structure(circuit: Circuit) -> dict[str, float]:
    """What the interventions say about the bridge, with the lens beside it."""
    if not circuit.n:
        return {"bridge_interchange": np.nan, "bridge_lens": np.nan, "wrong_position": np.nan}
    return {
        "bridge_interchange": circuit.best("bridge", 1),
        "bridge_lens": circuit.lens["bridge"][1][1],
        "wrong_position": circuit.effects["h"][1][0],
    }


def when(fitted: Fitted) -> dict[str, float]:
    """When the training set was known."""
    memorised = fitted.first("train_accuracy", 0.99)
    return {"step_memorised": memorised.step if memorised else np.nan}


STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets=PRESETS,
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=TRIAL.run,
    together=TRIAL.together,
    exhibits=exhibits,
    verbs=(
        Verb("grok", verbs.grok, ("broken.tsv",)),
        Verb("ask", verbs.ask, ("broken.tsv", "Germany | capital")),
        Verb("circuit", verbs.circuit, ("broken.tsv",)),
    ),
)
