"""Makes tests/data/oracles/saelens: dictionaries that SAELens wrote, ones that we wrote and it read, and its outputs.

Run in an environment of its own with sae-lens 6.54.0 beside wheatstone: python -m tests.oracles.saelens
(`wandb`, which it imports at start and only logging uses, may be a stub.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from wheatstone.interp.transcoders.dictionary import Activation, DictionaryConfig, Kind, random_dictionary
from wheatstone.interp.transcoders.files import save_dictionary

PLACE = Path(__file__).parent.parent / "data" / "oracles" / "saelens"
D_IN, D_SAE, TOKENS = 6, 20, 5
THEIRS = ("standard", "topk", "jumprelu", "transcoder", "skip_transcoder", "jumprelu_transcoder")
OURS: dict[str, tuple[Kind, Activation, bool]] = {
    "ours_relu_sae": ("sae", "relu", False),
    "ours_topk_sae": ("sae", "topk", False),
    "ours_batchtopk_sae": ("sae", "batchtopk", False),
    "ours_relu": ("transcoder", "relu", False),
    "ours_relu_skip": ("transcoder", "relu", True),
    "ours_jumprelu": ("transcoder", "jumprelu", False),
    "ours_jumprelu_skip": ("transcoder", "jumprelu", True),
}


def made_here(name: str) -> Any:
    """The dictionary of that name, the same wherever it is made."""
    kind, activation, skip = OURS[name]
    g = torch.Generator().manual_seed(len(name))
    k = 4 if activation in ("topk", "batchtopk") else 0
    found = random_dictionary(DictionaryConfig(D_IN, D_IN, D_SAE, kind, activation, k, skip), g)
    for tensor in (found.b_enc, found.b_dec, found.threshold, found.W_skip):
        if tensor is not None:
            tensor.uniform_(0.0, 0.3, generator=g)
    return found


def main() -> None:
    import sae_lens  # pyright: ignore[reportMissingImports]
    from sae_lens.registry import get_sae_class  # pyright: ignore[reportMissingImports]

    x = torch.randn(TOKENS, D_IN, generator=torch.Generator().manual_seed(0))
    answers = {"x": x}
    for name in THEIRS:
        torch.manual_seed(0)
        kind, config_kind = get_sae_class(name)
        extra: dict[str, Any] = {"k": 4} if name == "topk" else {}
        if "transcoder" in name:
            extra |= {"d_out": D_IN, "apply_b_dec_to_input": False}
        sae = kind(config_kind(d_in=D_IN, d_sae=D_SAE, **extra))
        with torch.no_grad():
            for parameter in sae.parameters():
                if parameter.ndim == 1 or parameter.shape == (D_IN, D_IN):
                    parameter.uniform_(0.0, 0.3)
            if name == "topk":
                sae.W_dec.div_(sae.W_dec.norm(dim=-1, keepdim=True))
        sae.cfg.metadata.hook_name = "blocks.3.ln2.hook_normalized"
        sae.save_model(PLACE / name)
        answers[name] = sae(x).detach()
    for name in OURS:
        save_dictionary(PLACE / name, made_here(name), layer=2, model="toy")
        answers[name] = sae_lens.SAE.load_from_disk(PLACE / name)(x).detach()
    save_file({name: value.contiguous() for name, value in answers.items()}, PLACE / "answers.safetensors")
    (PLACE / "ORIGIN.json").write_text(json.dumps({"sae-lens": sae_lens.__version__, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
