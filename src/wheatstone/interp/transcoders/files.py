"""Dictionaries on disk, in SAELens's layout: a folder with cfg.json and sae_weights.safetensors.

cfg.json           architecture, d_in, d_sae, d_out (transcoders), k (topk), apply_b_dec_to_input false,
                   normalize_activations "none", reshape_activations "none", dtype, device, metadata {hook_name,
                   hook_name_out, model_name, ...}
weights            W_enc [d_in d_sae], b_enc [d_sae], W_dec [d_sae d_out], b_dec [d_out], threshold [d_sae] (jumprelu),
                   W_skip [d_out d_in]: SAELens applies it transposed

SAELens 6 reads autoencoders (standard, topk, jumprelu) and transcoders (transcoder, skip_transcoder,
jumprelu_transcoder, jumprelu_skip_transcoder). A trained batchtopk dictionary is a jumprelu one. It has no topk
transcoder: that one is written as `topk_transcoder`, which only this bench reads; `Dictionary.with_threshold` makes a
jumprelu transcoder of it.

A transcoder here reads the normalised stream with the norm's gain. TransformerLens shows that at the same site for
layer norm; for RMS norm it shows the value before the gain, or folds the gain into the weights.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import disk_faults, read_json, write_json
from wheatstone.interp.transcoders.dictionary import Activation, Dictionary, DictionaryConfig
from wheatstone.learn.models.transformer import Sites

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
OURS = "topk_transcoder", "topk_skip_transcoder"
"""Architectures that SAELens does not know."""
ARCHITECTURES: dict[str, tuple[str, Activation, bool]] = {
    "standard": ("sae", "relu", False),
    "topk": ("sae", "topk", False),
    "jumprelu": ("sae", "jumprelu", False),
    "transcoder": ("transcoder", "relu", False),
    "skip_transcoder": ("transcoder", "relu", True),
    "jumprelu_transcoder": ("transcoder", "jumprelu", False),
    "jumprelu_skip_transcoder": ("transcoder", "jumprelu", True),
    "topk_transcoder": ("transcoder", "topk", False),
    "topk_skip_transcoder": ("transcoder", "topk", True),
}


class Stored(NamedTuple):
    """A dictionary read from disk."""

    dictionary: Dictionary
    layer: int | None
    """The layer that the file names, None where it names none."""
    metadata: dict[str, Any]


def architecture_of(cfg: DictionaryConfig) -> str:
    """SAELens's name for a variant, or ours. Raises ValueError for an autoencoder with a skip path."""
    activation = "jumprelu" if cfg.activation == "batchtopk" else cfg.activation
    for name, variant in ARCHITECTURES.items():
        if variant == (cfg.kind, activation, cfg.skip):
            return name
    raise ValueError("an autoencoder has no skip path: it would copy its input")


def save_dictionary(
    folder: Path, dictionary: Dictionary, *, layer: int, model: str, **metadata: str | int | float
) -> None:
    """Writes a dictionary of one layer of a model. Raises UserError when the disk is full."""
    cfg, sites = dictionary.cfg, Sites.of(layer)
    is_sae = cfg.kind == "sae"
    config: dict[str, Any] = {
        "architecture": architecture_of(cfg),
        "d_in": cfg.d_in,
        "d_sae": cfg.n_features,
        **({} if is_sae else {"d_out": cfg.d_out}),
        **({"k": cfg.k} if cfg.activation == "topk" else {}),
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "hook_name": sites.mlp_out if is_sae else sites.mlp_in,
            "hook_name_out": sites.mlp_out,
            "model_name": model,
            **metadata,
        },
    }
    tensors = {name: getattr(dictionary, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    if dictionary.threshold is not None:
        tensors["threshold"] = dictionary.threshold
    if dictionary.W_skip is not None:
        tensors["W_skip"] = dictionary.W_skip.T
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: one.detach().float().contiguous() for name, one in tensors.items()}, folder / WEIGHTS)
    write_json(folder / CONFIG, config)


def load_dictionary(folder: Path) -> Stored:
    """Reads a dictionary of SAELens's or of `save_dictionary`; decoder rows get length one, the function stays.

    Raises UserError when a file is missing, damaged, of an unknown architecture, normalises activations, or has tensors
    of the wrong shape.
    """
    if folder.suffix in (".pt", ".pth", ".pkl"):
        raise UserError(
            f"{folder}: a pickle file, which can run anything; it is not read. Convert it where you trust it: save its "
            f"tensors W_enc, b_enc, W_dec, b_dec as {WEIGHTS} beside a {CONFIG}."
        )
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file. A dictionary is a folder with {CONFIG} and {WEIGHTS}.")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG}: must be an object with 'architecture', 'd_in' and 'd_sae'")
    place, architecture = f"{folder / CONFIG}", config.get("architecture")
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"{place} field 'architecture': got {architecture!r}, must be one of {known}")
    if config.get("normalize_activations", "none") != "none":
        raise UserError(
            f"{place} field 'normalize_activations': got {config['normalize_activations']!r}, must be 'none'"
        )
    kind, activation, skip = ARCHITECTURES[architecture]
    try:
        tensors = {name: one.float() for name, one in load_file(folder / WEIGHTS).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{folder / WEIGHTS}: damaged ({error})") from None
    try:
        sizes = {"d_in": int(config["d_in"]), "n_features": int(config["d_sae"])}
        sizes["d_out"] = int(config.get("d_out", sizes["d_in"]))
        k = int(config["k"]) if activation == "topk" else 0
        cfg = DictionaryConfig(**sizes, kind=kind, activation=activation, k=k, skip=skip)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{place}: field {error} is missing or wrong") from None
    _check_shapes(folder / WEIGHTS, cfg, tensors)
    b_enc = tensors["b_enc"]
    if config.get("apply_b_dec_to_input", kind == "sae") and kind == "sae":
        b_enc = b_enc - tensors["b_dec"] @ tensors["W_enc"]
    rescaled = bool(config.get("rescale_acts_by_decoder_norm", False))
    found = Dictionary(
        cfg,
        tensors["W_enc"],
        b_enc,
        tensors["W_dec"],
        tensors["b_dec"],
        tensors.get("threshold"),
        tensors["W_skip"].T.contiguous() if skip else None,
    )
    metadata = config.get("metadata") or {}
    return Stored(with_unit_rows(found, selects_scaled=rescaled, place=place), _layer_of(metadata), dict(metadata))


def with_unit_rows(dictionary: Dictionary, *, selects_scaled: bool, place: str) -> Dictionary:
    """The same function with decoder rows of length one.

    topk selects by pre-activation, so its rows can only be rescaled when it selected by pre-activation times length
    (`selects_scaled`) or when they are of one length already. Raises UserError otherwise.
    """
    lengths = dictionary.W_dec.norm(dim=-1).clamp(min=1e-12)
    if dictionary.cfg.activation == "topk" and not selects_scaled and (lengths.max() / lengths.min()).item() > 1.01:
        raise UserError(
            f"{place}: rows of W_dec are {lengths.min():.3g} to {lengths.max():.3g} long, and topk selects without "
            "them. Rescale them to one length where it was trained."
        )
    threshold = None if dictionary.threshold is None else dictionary.threshold * lengths
    return dataclasses.replace(
        dictionary,
        W_enc=dictionary.W_enc * lengths,
        b_enc=dictionary.b_enc * lengths,
        W_dec=dictionary.W_dec / lengths[:, None],
        threshold=threshold,
    )


def _check_shapes(place: Path, cfg: DictionaryConfig, tensors: dict[str, Tensor]) -> None:
    expected: dict[str, tuple[int, ...]] = {
        "W_enc": (cfg.d_in, cfg.n_features),
        "b_enc": (cfg.n_features,),
        "W_dec": (cfg.n_features, cfg.d_out),
        "b_dec": (cfg.d_out,),
    }
    if cfg.activation == "jumprelu":
        expected["threshold"] = (cfg.n_features,)
    if cfg.skip:
        expected["W_skip"] = (cfg.d_out, cfg.d_in)
    for name, shape in expected.items():
        if name not in tensors:
            raise UserError(f"{place}: tensor '{name}' is missing")
        if tuple(tensors[name].shape) != shape:
            raise UserError(f"{place}: tensor '{name}' is {tuple(tensors[name].shape)}, {CONFIG} says {shape}")
        if not bool(torch.isfinite(tensors[name]).all()):
            raise UserError(f"{place}: tensor '{name}' has values that are not finite")


def _layer_of(metadata: dict[str, Any]) -> int | None:
    for part in str(metadata.get("hook_name", "")).split("."):
        if part.isdigit():
            return int(part)
    return None
