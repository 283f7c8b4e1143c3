"""Circuits of different tasks are made of the same heads: what IOI uses, Colored Objects uses, and repairs it.

Source        Merullo, Eickhoff, Pavlick, ICLR 2024, arXiv:2310.08744 (code: jmerullo/circuit_reuse, MIT)
Idea          Path patching finds a circuit for one task at a time. If tasks that look different share their heads, a
              model is built of parts that it reuses, and a task that lacks a part can be mended by supplying it.
Method        1 prompts with a counterfactual each (IOI: the last name exchanged; Colored Objects: another object asked
              for)  2 path patching to the answer: the effect of every head at the last token, all else held  3 the same
              to the queries of the heads that carry the answer  4 top 2 % of the heads of each task: how many are
              common, and by chance  5 tell the negative movers, or IOI's inhibition heads, to look at the two wrong
              colours: an oracle, read from the answers, that tests a mechanism
Differs       In `cpu` the model is SmolLM2-135M-Instruct (30 layers, 9 heads, 4-bit weights computed in float32), the
              paper's is GPT-2 Medium: heads differ by name, so the claims are about counts and effects. 64 and 48
              prompts a sample (1000), three samples instead of one; intervals and stability from resampled prompts. No
              folding or centring of weights: it changes no logit. Sets are taken by absolute effect in logits, where
              the paper normalises: Colored Objects has a contrast too small to divide by. Stages 1 and 2 only, at the
              last token as in the released code. Inhibition heads and negative movers are found by patching in each
              sample, not named beforehand. There are no training seeds: a seed is a sample of prompts.
              Head sharing is partly forced where query heads share a key head: the overlap of key heads is beside it.
              Greater-than is the paper's with the last digit, as this tokenizer splits digits. Controls of ours:
              another sample of IOI, shuffled gold, random heads of the same layers (as many as in `both`, more than
              there are negative movers), two further tasks, ablations.
              Measured here: IOI is missed by the whole vocabulary where "his" or "her" is the likeliest word (of the
              two names 98 % are right). Colored Objects is near chance, its effects are a thirtieth of IOI's in logits.
              Told to look at the wrong colours, its negative movers (24.4, in two samples also 29.0) double three-way
              accuracy; IOI's inhibition heads alone do nothing, where GPT-2 Medium goes from 49.6 % to 81.5 %.
Falsified by  Colored Objects sharing no more of IOI's top heads than greater-than does; IOI's inhibition heads acting
              on Colored Objects as they do on IOI; random heads or random golds repairing as well as negative movers
"""

from __future__ import annotations

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.neural.circuit_reuse import verbs
from wheatstone.studies.neural.circuit_reuse.config import Config
from wheatstone.studies.neural.circuit_reuse.exhibits import exhibits
from wheatstone.studies.neural.circuit_reuse.experiment import MEASURES, run

CARD = Card(
    name="circuit-reuse",
    family="neural",
    title="Tasks share their circuits: the same heads for IOI and Colored Objects",
    source="Merullo et al., ICLR 2024, arXiv:2310.08744",
    claim="Tasks that look different use the same attention heads, and what one lacks can be supplied from the other",
    presets=("smoke", "cpu", "paper"),
)

ARMS = (
    Arm("ioi", "indirect object identification, a second sample: what the same task shares with itself"),
    Arm("ioi_abc", "the same with three other names as counterfactual", {"counterfactual": "abc"}),
    Arm("colored_objects", "Colored Objects, not repaired", {"task": "colored_objects"}),
    Arm(
        "negative_movers",
        "its negative movers look at the two wrong colours",
        {"task": "colored_objects", "repair": "negative_movers"},
    ),
    Arm("inhibition", "IOI's inhibition heads do", {"task": "colored_objects", "repair": "inhibition"}),
    Arm("both", "both do", {"task": "colored_objects", "repair": "both"}),
    Arm(
        "random_heads",
        "as many random heads of the same layers do",
        {"task": "colored_objects", "repair": "random_heads"},
    ),
    Arm(
        "shuffled_gold",
        "negative movers look at two colours of three, the third drawn",
        {"task": "colored_objects", "repair": "shuffled_gold"},
    ),
    Arm("greater_than", "control task: the last digit of a later year", {"task": "greater_than"}),
    Arm("capitals", "control task: capitals of countries", {"task": "capitals"}),
    Arm(
        "free_mlps",
        "Colored Objects and its reference with feed-forward layers that react to the patch",
        {"task": "colored_objects", "freeze_mlps": False},
    ),
)

HERE = "bound fixed for this model before the runs"
ASKED = (Require("ioi", "accuracy", at_least=0.5),)

CLAIMS = (
    Claim(
        "ioi-is-solved",
        "The model names the indirect object, and names another when the names are exchanged.",
        "accuracy",
        "ioi",
        "ioi",
        "higher",
        margin=0.5,
        bound=0.95,
        control_measure="counterfactual_accuracy",
        source=f"section 3; {HERE}",
    ),
    Claim(
        "ioi-logit-difference",
        "It prefers it by three logits or more.",
        "logit_difference",
        "ioi",
        "ioi",
        "higher",
        margin=3.0,
        bound=3.0,
        control_measure="counterfactual_logit_difference",
        source=f"section 3; {HERE}",
    ),
    Claim(
        "heads-are-shared",
        "Of the top 2 % of the heads by direct effect, IOI and Colored Objects share four or more of six.",
        "shared_heads",
        "colored_objects",
        "colored_objects",
        "higher",
        margin=2.0,
        bound=4.0,
        control_measure="shared_by_chance",
        requires=ASKED,
        source=f"section 5: 25 of 32, 78 %, over all stages; {HERE}",
    ),
    Claim(
        "more-than-another-task",
        "Colored Objects shares more of IOI's heads than greater-than does.",
        "shared_heads",
        "colored_objects",
        "greater_than",
        "higher",
        margin=0.0,
        requires=(*ASKED, Require("greater_than", "accuracy", at_least=0.5)),
        source="appendix: greater-than shares 3 of 18, 16.7 %, with IOI",
    ),
    Claim(
        "inhibition-is-missing",
        "IOI's inhibition heads act on the queries of Colored Objects' movers with a fifth of their effect at most.",
        "inhibition_ratio",
        "colored_objects",
        "ioi",
        "lower",
        margin=0.0,
        bound=0.2,
        requires=ASKED,
        source=f"section 5: inhibition heads take no part in Colored Objects; {HERE}",
    ),
    Claim(
        "repair",
        "When negative movers are told to look at the wrong colours, three-way accuracy rises by 0.20 or more.",
        "three_way",
        "negative_movers",
        "colored_objects",
        "higher",
        margin=0.20,
        source=f"section 6: 49.6 % to 78.1 % of the whole vocabulary; {HERE}",
    ),
    Claim(
        "random-heads-do-not-repair",
        "Random heads of the same layers with the same orders change it by less than 0.10.",
        "three_way_change",
        "random_heads",
        "negative_movers",
        "lower",
        margin=0.0,
        bound=0.10,
        source=f"section 6: random heads change nothing; {HERE}",
    ),
    Claim(
        "repair-needs-the-gold",
        "Negative movers that look at two colours with a random third one left out lose the gain.",
        "three_way",
        "negative_movers",
        "shuffled_gold",
        "higher",
        margin=0.20,
        source="control of this bench",
    ),
    Claim(
        "inhibition-repairs",
        "When IOI's inhibition heads are told to look at the wrong colours, three-way accuracy rises by 0.20 or more.",
        "three_way",
        "inhibition",
        "colored_objects",
        "higher",
        margin=0.20,
        source="section 6: 49.6 % to 81.5 % of the whole vocabulary in GPT-2 Medium",
    ),
)

SMOKE = Config(
    model="own",
    top_share=0.25,
    n_reference=8,
    n_task=6,
    resamples=20,
    n_repair=8,
    draws=2,
    checked=16,
    own_steps=40,
)
CPU = Config()
PAPER = Config(model="gpt2-medium", n_reference=1000, n_task=1000, n_repair=1000)

STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(
            SMOKE,
            seeds=1,
            arms=("ioi", "colored_objects", "negative_movers", "random_heads"),
            about="Seconds, on a tiny model that is trained in code; proves nothing.",
        ),
        "cpu": Preset(
            CPU,
            seeds=3,
            arms=tuple(arm.name for arm in ARMS if arm.name != "free_mlps"),
            about="SmolLM2-135M, three samples of prompts; install it first: `wheatstone models install smollm2`.",
        ),
        "paper": Preset(
            PAPER,
            seeds=3,
            arms=tuple(arm.name for arm in ARMS if arm.name != "greater_than"),
            about="The paper's model and 1000 prompts; `gpt2-medium` is a folder that you have (config.json, "
            "model.safetensors, tokenizer files). Its tokenizer joins digits: without greater-than. Not run here.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(
        Verb("circuit", verbs.circuit, broken_input=("broken.jsonl", "--model", "own")),
        Verb("compare", verbs.compare, broken_input=("broken_circuit.json", "broken_circuit.json")),
    ),
)
