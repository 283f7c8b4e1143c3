"""TransformerLens' own activation patching on weights handed over in a file. Runs in an environment of its own.

Reads one word a line from stdin. `map` patches every layer and position and answers with a line of JSON: the seconds it
took and the share of changed answers; `logits` answers with the mean logit of the unpatched answer for each patch.
Imports nothing of wheatstone, which is not installed there.
"""

# pyright: basic, reportMissingImports=false
# (TransformerLens is not installed where the types are checked.)

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig, patching


def hooked(weights: dict[str, Tensor], heads: int) -> HookedTransformer:
    """The model of a state dict under wheatstone's names."""
    vocab, width = weights["embedding"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    cfg = HookedTransformerConfig(
        n_layers=layers,
        d_model=width,
        n_ctx=len(weights["position"]),
        d_head=width // heads,
        n_heads=heads,
        d_vocab=vocab,
        act_fn="gelu_new",
        normalization_type="LN",
    )
    model = HookedTransformer(cfg)
    theirs = {
        "embed.W_E": weights["embedding"],
        "pos_embed.W_pos": weights["position"],
        "unembed.W_U": weights["embedding"].T,
        "unembed.b_U": torch.zeros(vocab),
        "ln_final.w": weights["norm_final.weight"],
        "ln_final.b": weights["norm_final.bias"],
    }
    for i in range(layers):
        at = f"blocks.{i}."
        for theirs_norm, ours_norm in (("ln1", "norm_attn"), ("ln2", "norm_mlp")):
            theirs[f"{at}{theirs_norm}.w"] = weights[f"{at}{ours_norm}.weight"]
            theirs[f"{at}{theirs_norm}.b"] = weights[f"{at}{ours_norm}.bias"]
        for letter in "QKV":
            name = f"{at}attn.{letter.lower()}"
            theirs[f"{at}attn.W_{letter}"] = weights[f"{name}.weight"].view(heads, -1, width).transpose(1, 2)
            theirs[f"{at}attn.b_{letter}"] = weights[f"{name}.bias"].view(heads, -1)
        theirs[f"{at}attn.W_O"] = weights[f"{at}attn.out.weight"].T.reshape(heads, -1, width)
        theirs[f"{at}attn.b_O"] = weights[f"{at}attn.out.bias"]
        theirs[f"{at}mlp.W_in"], theirs[f"{at}mlp.b_in"] = weights[f"{at}mlp.up.weight"].T, weights[f"{at}mlp.up.bias"]
        theirs[f"{at}mlp.W_out"] = weights[f"{at}mlp.down.weight"].T
        theirs[f"{at}mlp.b_out"] = weights[f"{at}mlp.down.bias"]
    model.load_state_dict(theirs, strict=False)
    return model.eval()


@torch.no_grad()
def patched(
    model: HookedTransformer, clean: Tensor, source: Tensor, metric: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """[layer, pos]: a metric of (last logits, unpatched answers) after the stream before a block is patched."""
    _, cache = model.run_with_cache(source)
    before = model(clean)[:, -1].argmax(-1)
    return patching.get_act_patch_resid_pre(model, clean, cache, lambda logits: metric(logits[:, -1], before))


def main() -> None:
    """Arguments: file of weights and tokens, number of heads, threads."""
    given = load_file(Path(sys.argv[1]))
    torch.set_num_threads(int(sys.argv[3]))
    weights = {name.removeprefix("weights."): value for name, value in given.items() if name.startswith("weights.")}
    model = hooked(weights, int(sys.argv[2]))
    metrics: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "map": lambda logits, before: (logits.argmax(-1) != before).float().mean(),
        "logits": lambda logits, before: logits.gather(1, before[:, None]).mean(),
    }
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        found = patched(model, given["clean"], given["source"], metrics[line.strip()])
        print(json.dumps({"seconds": time.perf_counter() - started, "values": found.tolist()}), flush=True)


if __name__ == "__main__":
    main()
