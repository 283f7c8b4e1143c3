"""Transcoders: a sparse layer in the place of a feed-forward layer, and the circuits that can be read off its weights.

Source        Dunefsky, Chlenski, Nanda, NeurIPS 2024, arXiv:2406.11944 (code: jacobdunefsky/transcoder_circuits)
Idea          An autoencoder says what a feed-forward layer writes, not why. A transcoder predicts the output from the
              input, so what feature i of one layer gives feature j of a later one is an activation, which depends on
              the prompt, times a product of weights, which does not.
Method        1 inputs and outputs of each feed-forward layer on text  2 train a wide sparse layer from one to the other
              3 put it in the layer's place and measure the model's loss on held-out documents  4 freeze attention and
              norms on a prompt and split a logit, or a feature, into what features, heads, tokens, errors and biases
              gave  5 take features out of the real model and compare  6 greater-than with only the best features kept
Differs       Own samples of a 260 k-parameter story model, and Wikipedia text in SmolLM2-135M (paper: GPT-2 small,
              Pythia-410M, OpenWebText); both have gated feed-forward layers, which are harder to mimic than GELU ones.
              80 000 and 40 000 tokens (60 million), 1024 and 2304 features (24 576). TopK decides the claims; ReLU with
              an L1 penalty, the paper's, is an arm. The loss is the share of variance left (paper: squared error over
              the output's norm). Dead features are resampled (paper: ghost gradients). The first position is left out.
              Graphs are searched by influence with error nodes (paper: best paths). Greater-than asks the units digit,
              as SmolLM2 splits digits, at layer 10: after layer 0 the one whose zeroing costs the model most of the
              score, found before any dictionary was trained. The margin of `input-invariant` (0.1) was set for a mean
              over edges; the spread became a median, which rare edges do not move, and the margin stayed. No human
              rating: `apply transcoders features --blind` makes its pages.
Falsified by  A layer of which less than 0.75 is recovered at 32 active features; contributions that do not add up;
              attributions that do not rank what ablation does; 30 neurons that keep greater-than as well as 30 features
"""

from __future__ import annotations

import dataclasses

from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb
from wheatstone.studies.neural.transcoders import verbs
from wheatstone.studies.neural.transcoders.config import Config
from wheatstone.studies.neural.transcoders.exhibits import exhibits
from wheatstone.studies.neural.transcoders.experiment import MEASURES, run
from wheatstone.studies.neural.transcoders.subject import SMALL, WIKITEXT

CARD = Card(
    name="transcoders",
    family="neural",
    title="Transcoders: circuits through feed-forward layers, read off weights",
    source="Dunefsky et al., NeurIPS 2024, arXiv:2406.11944",
    claim="A sparse layer stands in for a feed-forward layer, and its attributions predict what ablation does",
    presets=("smoke", "cpu", "paper"),
)

ONE_LAYER = {"layers": "2", "levels": "32,16", "steps": 500, "prompts": 0}
SMOLLM2 = {
    "model": "smollm2",
    "text": WIKITEXT,
    "begin": False,
    "tokens": 40_000,
    "held_out": 1_000,
    "context": 128,
    "n_features": 2304,
    "steps": 800,
    "prompts": 0,
    "cards": 8,
}
PLANTED = {"subject": "planted", "tokens": 30_000, "held_out": 4_000, "n_features": 128, "levels": "4", "steps": 1500}

ARMS = (
    Arm("transcoder", "transcoders on every layer of the story model, 32 active features"),
    Arm("untrained", "the same with random directions and the layer's mean as bias", {"trained": False, "prompts": 0}),
    Arm("layer_2", "a transcoder on layer 2 at two sparsities", {**ONE_LAYER, "neurons": True}),
    Arm("sae", "an autoencoder on the output of layer 2, at the same sparsities", {**ONE_LAYER, "kind": "sae"}),
    Arm("skip", "a transcoder with an affine path beside it", {**ONE_LAYER, "skip": True, "levels": "32"}),
    Arm("relu_l1", "ReLU with an L1 penalty: the paper's", {**ONE_LAYER, "activation": "relu", "levels": "0.02,0.04"}),
    Arm("batchtopk", "as many active features, but on average", {**ONE_LAYER, "activation": "batchtopk"}),
    Arm("jumprelu", "a learnt threshold for each feature", {**ONE_LAYER, "activation": "jumprelu", "levels": "32"}),
    Arm(
        "random_weights",
        "a transcoder on a model with shuffled weights",
        {**ONE_LAYER, "random_weights": True, "levels": "32"},
    ),
    Arm("planted", "a toy whose features are known", PLANTED),
    Arm("planted_untrained", "the same without training", {**PLANTED, "trained": False}),
    Arm("smollm2_l8", "a transcoder on layer 8 of SmolLM2", {**SMOLLM2, "layers": "8"}),
    Arm("smollm2_l8_untrained", "the same without training", {**SMOLLM2, "layers": "8", "trained": False, "cards": 0}),
    Arm("smollm2_l10", "a transcoder on layer 10, and greater-than", {**SMOLLM2, "layers": "10", "greater_than": True}),
    Arm("smollm2_sae", "an autoencoder on layer 8 of SmolLM2", {**SMOLLM2, "layers": "8", "kind": "sae"}),
)

HERE = "fixed for this size before the runs"
CLAIMS = (
    Claim(
        "every-layer",
        "At 32 active features a transcoder recovers 0.75 of each layer of the story model, replaced alone.",
        "worst_recovered",
        "transcoder",
        "untrained",
        "higher",
        margin=0.25,
        bound=0.75,
        source=f"section 4.1; bound {HERE}",
    ),
    Claim(
        "all-layers",
        "With all layers replaced at once, half of what all layers give is recovered.",
        "all_recovered",
        "transcoder",
        "untrained",
        "higher",
        margin=0.25,
        bound=0.5,
        paper=0.91,
        source=f"notebook of the code, GPT-2 small: 3.59 original, 10.94 zeroed, 4.23 replaced; bound {HERE}",
    ),
    Claim(
        "language-model",
        "At 32 active features a transcoder recovers 0.6 of layer 8 of SmolLM2-135M.",
        "recovered",
        "smollm2_l8",
        "smollm2_l8_untrained",
        "higher",
        margin=0.25,
        bound=0.6,
        source=f"section 4.1; bound {HERE}",
    ),
    Claim(
        "complete",
        "With attention and norms frozen, what features, heads, tokens, errors and biases gave adds up to the target "
        "within a thousandth; without error nodes it does not.",
        "completeness",
        "transcoder",
        "transcoder",
        "lower",
        control_measure="without_errors",
        margin=0.01,
        bound=1e-3,
        source=f"section 5.1, equation for a feature's pre-activation; bound {HERE}",
    ),
    Claim(
        "input-invariant",
        "The weight of an edge is the same for every prompt, while its contribution is not.",
        "weight_error",
        "transcoder",
        "transcoder",
        "lower",
        control_measure="contribution_spread",
        margin=0.1,
        bound=1e-3,
        source=f"section 5.1: input-dependent and input-invariant factors; bound {HERE}",
    ),
    Claim(
        "causal",
        "Attributions rank the 30 features of a prompt as taking them out of the real model does, and attributions to "
        "another target do not.",
        "attribution_rank",
        "transcoder",
        "transcoder",
        "higher",
        control_measure="other_target_rank",
        margin=0.2,
        bound=0.7,
        source=f"test of this bench; bound {HERE}",
    ),
    Claim(
        "greater-than",
        "Thirty features of layer 10 keep more of greater-than than thirty neurons, all others at their mean.",
        "gt_features",
        "smollm2_l10",
        "smollm2_l10",
        "higher",
        control_measure="gt_neurons",
        margin=0.0,
        source="section 6.3: fewer features than neurons keep the behaviour",
    ),
    Claim(
        "greater-than-zero",
        "The same with all others at zero, as in the paper, where the transcoder's bias helps the features.",
        "gt_features_zero",
        "smollm2_l10",
        "smollm2_l10",
        "higher",
        control_measure="gt_neurons_zero",
        margin=0.0,
        source="section 6.3: fewer features than neurons keep the behaviour",
    ),
    Claim(
        "planted",
        "Planted directions are found.",
        "planted_cosine",
        "planted",
        "planted_untrained",
        "higher",
        margin=0.2,
        bound=0.9,
        source=f"control of this bench; bound {HERE}",
        requires=(Require("planted", "l0", at_most=4.0),),
    ),
)

CPU = Config(prompt="Once upon a time, there was a little girl named Lily. She loved to play outside in the")
SMOKE = Config(
    model=SMALL,
    n_features=64,
    levels="4",
    tokens=1_500,
    held_out=400,
    context=40,
    steps=60,
    batch=64,
    prompts=2,
    prompt_length=12,
    cards=3,
)
PAPER = dataclasses.replace(
    CPU,
    model="smollm2",
    text=WIKITEXT,
    begin=False,
    layers="8,10,20",
    n_features=24_576,
    tokens=10_000_000,
    held_out=100_000,
    context=128,
    steps=2_440,
    batch=4096,
    lr=4e-4,
    prompt="",
)

LEFT_OUT = ("batchtopk", "jumprelu", "smollm2_sae")
"""Arms that no claim needs: --arms layer_2,batchtopk runs them."""

STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(
            SMOKE, seeds=1, arms=("transcoder", "untrained"), about="Seconds; a random model; proves nothing."
        ),
        "cpu": Preset(
            CPU,
            seeds=3,
            arms=tuple(arm.name for arm in ARMS if arm.name not in LEFT_OUT),
            about="Every claim, on stories260K and SmolLM2-135M (wheatstone models install NAME) and WikiText-2.",
        ),
        "paper": Preset(
            PAPER,
            seeds=3,
            arms=("transcoder", "untrained"),
            about="The paper's width and tokens on SmolLM2, or with --config.model on GPT-2 small that you have; give "
            "a large text with --config.text. For a GPU of 80 GB; not run here.",
        ),
    },
    measures=MEASURES,
    arms=ARMS,
    claims=CLAIMS,
    run=run,
    exhibits=exhibits,
    verbs=(
        Verb("train", verbs.train, broken_input=("small", "broken.txt")),
        Verb("graph", verbs.graph, broken_input=("broken/cfg.json", "--prompt", "1 2 3")),
        Verb("features", verbs.features, broken_input=("broken/cfg.json",)),
    ),
)
