"""What TransformerLens computes for a small model: logits, and logits after one state is patched by its hooks.

TransformerLens is no dependency of the project, so this runs in an environment of its own and its answers are kept:

    python -m venv oracle && oracle/bin/pip install torch==2.13.0 transformer-lens==3.9.0 safetensors
    oracle/bin/python tests/oracles/transformer_lens_patching.py

It writes tests/data/oracles/patching.safetensors: the weights under our names, tokens, and the answers.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

LAYERS, HEADS, WIDTH, VOCAB, POSITIONS, BATCH = 2, 4, 16, 11, 3, 6
TARGET = Path(__file__).parent.parent / "data" / "oracles" / "patching.safetensors"


def weights() -> dict[str, torch.Tensor]:
    """Random weights under this project's names."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.4

    found = {"embedding": normal(VOCAB, WIDTH), "position": normal(POSITIONS, WIDTH)}
    for i in range(LAYERS):
        block = f"blocks.{i}"
        for norm in ("norm_attn", "norm_mlp"):
            found |= {f"{block}.{norm}.weight": 1 + normal(WIDTH), f"{block}.{norm}.bias": normal(WIDTH)}
        for name in ("q", "k", "v", "out"):
            found |= {f"{block}.attn.{name}.weight": normal(WIDTH, WIDTH), f"{block}.attn.{name}.bias": normal(WIDTH)}
        found |= {f"{block}.mlp.up.weight": normal(4 * WIDTH, WIDTH), f"{block}.mlp.up.bias": normal(4 * WIDTH)}
        found |= {f"{block}.mlp.down.weight": normal(WIDTH, 4 * WIDTH), f"{block}.mlp.down.bias": normal(WIDTH)}
    return found | {"norm_final.weight": 1 + normal(WIDTH), "norm_final.bias": normal(WIDTH)}


def as_hooked(ours: dict[str, torch.Tensor]) -> HookedTransformer:
    """The same model as TransformerLens has it."""
    cfg = HookedTransformerConfig(
        n_layers=LAYERS,
        d_model=WIDTH,
        n_ctx=POSITIONS,
        d_head=WIDTH // HEADS,
        n_heads=HEADS,
        d_vocab=VOCAB,
        act_fn="gelu_new",
        normalization_type="LN",
    )
    model = HookedTransformer(cfg)
    theirs = {"embed.W_E": ours["embedding"], "pos_embed.W_pos": ours["position"]}
    theirs |= {"unembed.W_U": ours["embedding"].T, "unembed.b_U": torch.zeros(VOCAB)}
    theirs |= {"ln_final.w": ours["norm_final.weight"], "ln_final.b": ours["norm_final.bias"]}
    for i in range(LAYERS):
        mine = {k.removeprefix(f"blocks.{i}."): v for k, v in ours.items() if k.startswith(f"blocks.{i}.")}
        block = {
            f"{ln}.{p}": mine[f"{norm}.{w}"]
            for ln, norm in (("ln1", "norm_attn"), ("ln2", "norm_mlp"))
            for p, w in (("w", "weight"), ("b", "bias"))
        }
        for upper, name in (("Q", "q"), ("K", "k"), ("V", "v")):
            by_head = mine[f"attn.{name}.weight"].view(HEADS, -1, WIDTH)
            block |= {
                f"attn.W_{upper}": by_head.transpose(1, 2),
                f"attn.b_{upper}": mine[f"attn.{name}.bias"].view(HEADS, -1),
            }
        block |= {"attn.W_O": mine["attn.out.weight"].T.reshape(HEADS, -1, WIDTH), "attn.b_O": mine["attn.out.bias"]}
        block |= {"mlp.W_in": mine["mlp.up.weight"].T, "mlp.b_in": mine["mlp.up.bias"]}
        block |= {"mlp.W_out": mine["mlp.down.weight"].T, "mlp.b_out": mine["mlp.down.bias"]}
        theirs |= {f"blocks.{i}.{name}": value for name, value in block.items()}
    model.load_state_dict(theirs, strict=False)
    return model.eval()


def main() -> None:
    ours = weights()
    model = as_hooked(ours)
    generator = torch.Generator().manual_seed(1)
    clean, source = (torch.randint(VOCAB, (BATCH, POSITIONS), generator=generator) for _ in range(2))
    with torch.no_grad():
        logits = model(clean)
        _, cache = model.run_with_cache(source)
        patched = torch.empty(LAYERS, POSITIONS, *logits.shape)
        for layer in range(LAYERS):
            site = f"blocks.{layer}.hook_resid_post"
            for position in range(POSITIONS):

                def put(value: torch.Tensor, hook: object, site: str = site, position: int = position) -> torch.Tensor:  # noqa: ARG001
                    value[:, position] = cache[site][:, position]
                    return value

                patched[layer, position] = model.run_with_hooks(clean, fwd_hooks=[(site, put)])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    answers = {"clean": clean, "source": source, "logits": logits, "patched": patched}
    save_file({**{f"weights.{k}": v.contiguous() for k, v in ours.items()}, **answers}, TARGET)


if __name__ == "__main__":
    main()
