"""A folder as Hugging Face writes it: config.json, one or several safetensors files, tokenizer.json.

Model types `llama` (also those that differ in name alone) and `gpt2`. GPT-2 stores its linear maps transposed
([in, out]) and queries, keys and values in one matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import read_json, write_atomically, write_json
from wheatstone.learn.models.decoder import DecoderConfig
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.loading.assemble import (
    LlamaNames,
    Wanted,
    as_float32,
    assemble,
    checked_config,
    llama_tensors,
    quotient,
)
from wheatstone.learn.models.loading.tokenizers import ByteLevelTokenizer, tokenizer_in

LLAMA = LlamaNames(
    embedding="model.embed_tokens.weight",
    block="model.layers.{}.",
    norm_attn="input_layernorm",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    out="self_attn.o_proj",
    norm_mlp="post_attention_layernorm",
    gate="mlp.gate_proj",
    up="mlp.up_proj",
    down="mlp.down_proj",
    norm_final="model.norm.weight",
    unembedding="lm_head.weight",
)
INDEX = "model.safetensors.index.json"


class SafetensorsFolder:
    """The tensors of every safetensors file that the folder's index names, or of model.safetensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handles: dict[str, Any] = {}
        self._file_of: dict[str, str] = {}
        single, index = folder / "model.safetensors", folder / INDEX
        if index.is_file():
            stored = read_json(index)
            files = stored.get("weight_map") if isinstance(stored, dict) else None
            if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
                raise UserError(f"{index} field 'weight_map': must be an object of tensor name -> file name")
            for file in sorted(set(files.values())):
                if Path(file).name != file or not (folder / file).is_file():
                    raise UserError(f"{index}: names the file '{file}', which is not in {folder}")
                self._open(file, (name for name, where in files.items() if where == file))
        elif single.is_file():
            self._open(single.name, None)
        else:
            raise UserError(f"{folder}: holds no model.safetensors and no {INDEX} (weights in pickles are not read)")

    @property
    def place(self) -> str:
        return str(self.folder)

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape without reading the data."""
        return tuple(self._handles[self._file_of[name]].get_slice(name).get_shape())

    def tensor(self, name: str) -> Tensor:
        """The data, float32."""
        try:
            return as_float32(self._handles[self._file_of[name]].get_tensor(name))
        except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(f"{self.folder}: tensor '{name}' cannot be read ({error})") from None

    def _open(self, file: str, names: Iterator[str] | None) -> None:
        path = self.folder / file
        try:
            handle = safe_open(path, framework="pt")
            stored = set(handle.keys())
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: not a whole safetensors file ({error}). Fetch it again.") from None
        self._handles[file] = handle
        for name in stored if names is None else names:
            if name not in stored:
                raise UserError(f"{path}: has no tensor '{name}', which {INDEX} says it has")
            self._file_of[name] = file


def load_folder(folder: Path) -> LanguageModel:
    """The model of a folder.

    Raises UserError for a model type that is not known, and for files that are missing, damaged or do not fit.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise UserError(f"{folder}: not the folder of a model: it has no config.json")
    config = read_json(file)
    if not isinstance(config, dict):
        raise UserError(f"{file}: must be a JSON object")
    weights = SafetensorsFolder(folder)
    match config.get("model_type"):
        case "llama":
            cfg = _llama_config(file, config, tied="lm_head.weight" not in weights)
            wanted = llama_tensors(cfg, LLAMA, neighbours=False)
        case "gpt2":
            prefix = "transformer." if "transformer.wte.weight" in weights else ""
            cfg = _gpt2_config(file, config)
            wanted = _gpt2_tensors(cfg, prefix)
        case other:
            raise UserError(f"{file} field 'model_type': {other!r} is not read; 'llama' and 'gpt2' are")
    model = assemble(cfg, wanted, weights)
    tokenizer = tokenizer_in(folder, cfg.vocab, bos=config.get("bos_token_id"), eos=config.get("eos_token_id"))
    return LanguageModel(model, tokenizer, folder.resolve().name)


def _llama_config(file: Path, config: Mapping[str, Any], *, tied: bool) -> DecoderConfig:
    activation = config.get("hidden_act", "silu")
    if activation != "silu":
        raise UserError(f"{file} field 'hidden_act': {activation!r} is not built, 'silu' is")
    for name in ("attention_bias", "mlp_bias"):
        if config.get(name):
            raise UserError(f"{file} field '{name}': a Llama with biases is not built")
    # transformers 5 keeps the rotary settings together, earlier ones apart.
    rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rotary.get("rope_type", rotary.get("type", "default")) if isinstance(rotary, dict) else rotary
    if kind != "default":
        raise UserError(f"{file}: rotary positions of the type {kind!r} are not built, only the plain ones are")
    heads, width = config.get("num_attention_heads"), config.get("hidden_size")
    return checked_config(
        str(file),
        vocab=config.get("vocab_size"),
        context=config.get("max_position_embeddings", 2048),
        d_model=width,
        n_layer=config.get("num_hidden_layers"),
        n_head=heads,
        n_kv_head=config.get("num_key_value_heads") or heads,
        d_head=config.get("head_dim") or quotient(width, heads),
        d_mlp=config.get("intermediate_size"),
        norm_eps=config.get("rms_norm_eps", 1e-6),
        rotary_base=rotary.get("rope_theta") or config.get("rope_theta", 10_000.0),
        # The file decides: older configs say nothing, and a tied model may or may not store its matrix twice.
        tied=tied or bool(config.get("tie_word_embeddings")),
    )


def _gpt2_config(file: Path, config: Mapping[str, Any]) -> DecoderConfig:
    activation = config.get("activation_function", "gelu_new")
    known = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
    if activation not in known:
        raise UserError(f"{file} field 'activation_function': {activation!r} is not built; {', '.join(known)} are")
    for name, plain in (("scale_attn_weights", True), ("scale_attn_by_inverse_layer_idx", False)):
        if config.get(name, plain) != plain:
            raise UserError(f"{file} field '{name}': {config.get(name)!r} is not built, {plain!r} is")
    width, heads = config.get("n_embd"), config.get("n_head")
    return checked_config(
        str(file),
        vocab=config.get("vocab_size"),
        context=config.get("n_positions"),
        d_model=width,
        n_layer=config.get("n_layer"),
        n_head=heads,
        n_kv_head=heads,
        d_head=quotient(width, heads),
        d_mlp=config.get("n_inner") or (4 * width if isinstance(width, int) else None),
        norm="layer",
        norm_eps=config.get("layer_norm_epsilon", 1e-5),
        positions="learned",
        mlp=known[activation],
        qkv_bias=True,
        bias=True,
        tied=True,
    )


def _gpt2_tensors(cfg: DecoderConfig, prefix: str) -> Iterator[Wanted]:
    d = cfg.d_model
    yield Wanted("embedding", f"{prefix}wte.weight", (cfg.vocab, d))
    yield Wanted("position", f"{prefix}wpe.weight", (cfg.context, d))
    for layer in range(cfg.n_layer):
        ours, theirs = f"blocks.{layer}.", f"{prefix}h.{layer}."
        for norm, name in (("norm_attn", "ln_1"), ("norm_mlp", "ln_2")):
            for part in ("weight", "bias"):
                yield Wanted(f"{ours}{norm}.{part}", f"{theirs}{name}.{part}", (d,))
        for third, name in enumerate("qkv"):
            rows = partial(_third, third)
            yield Wanted(f"{ours}attn.{name}.weight", f"{theirs}attn.c_attn.weight", (d, 3 * d), rows)
            yield Wanted(f"{ours}attn.{name}.bias", f"{theirs}attn.c_attn.bias", (3 * d,), rows)
        for mine, name, inner, outer in (
            ("attn.out", "attn.c_proj", d, d),
            ("mlp.up", "mlp.c_fc", d, cfg.d_mlp),
            ("mlp.down", "mlp.c_proj", cfg.d_mlp, d),
        ):
            yield Wanted(f"{ours}{mine}.weight", f"{theirs}{name}.weight", (inner, outer), Tensor.t)
            yield Wanted(f"{ours}{mine}.bias", f"{theirs}{name}.bias", (outer,))
    for part in ("weight", "bias"):
        yield Wanted(f"norm_final.{part}", f"{prefix}ln_f.{part}", (d,))


def _third(third: int, value: Tensor) -> Tensor:
    """Queries, keys or values out of [in, 3 out] or [3 out], as [out, in] or [out]."""
    return value.chunk(3, -1)[third].t()


def save_folder(language_model: LanguageModel, folder: Path) -> None:
    """Writes a Llama with its byte-level tokenizer as a folder that `load_folder` and transformers read.

    config.json comes last: a folder that has it is whole. Raises UserError for a model of another kind.
    """
    model, tokenizer = language_model.model, language_model.tokenizer
    cfg = model.cfg
    if cfg.norm != "rms" or cfg.mlp != "swiglu" or cfg.positions != "rotary" or cfg.qkv_bias or cfg.bias:
        raise UserError(f"{language_model.name}: only models with Llama's block are written")
    if not isinstance(tokenizer, ByteLevelTokenizer):
        raise UserError(f"{language_model.name}: only byte-level tokenizers are written")
    state = model.state_dict()
    tensors = {one.theirs: state[one.ours] for one in llama_tensors(cfg, LLAMA, neighbours=False)}
    write_atomically(folder / "model.safetensors", save(tensors, {"format": "pt"}))
    write_atomically(folder / "tokenizer.json", tokenizer.inner.to_str().encode())
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": cfg.vocab,
        "max_position_embeddings": cfg.context,
        "hidden_size": cfg.d_model,
        "num_hidden_layers": cfg.n_layer,
        "num_attention_heads": cfg.n_head,
        "num_key_value_heads": cfg.n_kv_head,
        "head_dim": cfg.d_head,
        "intermediate_size": cfg.d_mlp,
        "hidden_act": "silu",
        "rms_norm_eps": cfg.norm_eps,
        "rope_theta": cfg.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": cfg.rotary_base},
        "tie_word_embeddings": cfg.tied,
        "bos_token_id": tokenizer.bos,
        "eos_token_id": tokenizer.eos,
        "dtype": "float32",
    }
    write_json(folder / "config.json", config)
