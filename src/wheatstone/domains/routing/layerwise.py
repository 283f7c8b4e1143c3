"""A Hugging Face mixture of experts run layer by layer: one layer's weights are in memory at a time.

A model of 7 billion parameters fills 28 GB in single precision; its largest layer fills 2. So the layers are the outer
loop and the samples the inner one:

1 the model is built without weights; that its files hold every weight, in the right shape, is read from their headers
2 `forward` of the whole model is called on each sample with layers that compute nothing and write down with what they
  were called: masks and positions are the model's own business
3 layer after layer is filled, run on what each sample has become so far, and emptied

What routers choose and how they weigh it is what they hand to their experts, in whatever way the model scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from wheatstone.bench.errors import UserError

PROJECTIONS = (("gate_proj", "up_proj", "down_proj"), ("w1", "w3", "w2"))
"""Names of an expert's three matrices in files: of Llama's kin, of Mixtral."""
FUSED = ("gate_up_proj", "down_proj")
"""In the model all experts of a layer are one tensor: gate over up [expert, 2 width, d_model], down."""
ROUTER = "topkrouter"
"""How the class of every router ends, in lower case."""
Progress = Callable[[int, int], None]
Routed = Callable[[int, int, Tensor, Tensor], None]
"""Called with (layer of routers, sample, weights [token choice], experts [token choice])."""


@dataclass(frozen=True)
class Part:
    """A stored tensor and where it lies in a weight of the model: `weight[at]`, for None all of it."""

    name: str
    at: tuple[int, slice] | None = None


class Stored:
    """The tensors in the safetensors of a folder.

    Raises UserError for a file that is damaged, and for one that the folder's index names and that is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[Path, Any] = {}
        self._files: dict[str, Path] = {}
        for path in self._paths():
            self._files |= dict.fromkeys(self._file(path).keys(), path)
        self.prefix = "model." if any(name.startswith("model.") for name in self._files) else ""
        """What stands before names of the model without its head."""

    def _file(self, path: Path) -> Any:
        from safetensors import SafetensorError, safe_open

        if path not in self._open:
            try:
                self._open[path] = safe_open(path, framework="pt")
            except (SafetensorError, OSError, ValueError) as error:
                why = " ".join(str(error).split())[:200]
                raise UserError(f"{path}: damaged, or not of this format ({why}). Fetch it again.") from None
        return self._open[path]

    def close(self) -> None:
        """Files are mapped into memory while they are open; they open again when they are asked."""
        self._open.clear()

    def _paths(self) -> list[Path]:
        index = self.folder / "model.safetensors.index.json"
        if not index.is_file():
            return sorted(self.folder.glob("*.safetensors"))
        try:
            names = sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{index}: cannot be read as an index of weights ({error}).") from None
        if missing := [name for name in names if not (self.folder / name).is_file()]:
            raise UserError(
                f"{self.folder}: {len(missing)} of the {len(names)} files of weights that {index.name} names are not "
                f"there, '{missing[0]}' first. Fetch the checkpoint again."
            )
        return [self.folder / name for name in names]

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def shape(self, name: str) -> list[int]:
        """The shape of a tensor, from its file's header."""
        return list(self._file(self._files[name]).get_slice(name).get_shape())

    def tensor(self, name: str) -> Tensor:
        """A tensor in single precision."""
        return self._file(self._files[name]).get_tensor(name).float()

    def parts(self, name: str, shape: Sequence[int]) -> Iterator[tuple[Part, list[int]]]:
        """What makes up a weight of the model, each with the shape that it must have."""
        ours = self.prefix + name
        for stored in (ours, ours.replace(".mlp.", ".block_sparse_moe.")):  # Mixtral's name
            if stored in self:
                yield Part(stored), list(shape)
                return
            stem, _, fused = stored.rpartition(".experts.")
            for gate, up, down in PROJECTIONS:
                if fused in FUSED and f"{stem}.experts.0.{down}.weight" in self:
                    half = shape[1] // 2
                    places = {down: slice(0, shape[1])}
                    if fused == FUSED[0]:
                        places = {gate: slice(0, half), up: slice(half, shape[1])}
                    for expert in range(shape[0]):
                        for matrix, place in places.items():
                            whole = f"{stem}.experts.{expert}.{matrix}.weight"
                            yield Part(whole, (expert, place)), [place.stop - place.start, shape[2]]
                    return
        yield Part(ours), list(shape)


class Layers:
    """A model whose layers are filled and emptied one after the other.

    Raises UserError for files that do not hold all its weights in the shapes that config.json says, and for a model
    without routers.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        from transformers import AutoConfig, AutoModel

        self.folder, self.device = folder, device
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            with torch.device("meta"):
                self.model: Any = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False).eval()
        except Exception as error:  # what a config can break in a model's constructor has no common class
            why = " ".join(str(error).split())[:300]
            raise UserError(f"{folder / 'config.json'}: no model can be made of it ({why}).") from None
        self.layers = cast("list[nn.Module]", list(self.model.layers))
        found = ((at, _router(layer)) for at, layer in enumerate(self.layers))
        self.routers = [(at, router) for at, router in found if router is not None]
        if not self.routers:
            raise UserError(f"{folder}: no layer of the model has a router. Log the routing yourself, give the file.")
        self.stored = Stored(folder)
        self._check()
        self._fill("embed_tokens.", self.model.embed_tokens)
        self.stored.close()
        # What positions are turned by is computed from the config, not stored.
        self.model.rotary_emb = type(self.model.rotary_emb)(config).to(device)

    @property
    def top_k(self) -> int:
        """Experts that a token is sent to."""
        return int(self.model.config.num_experts_per_tok)

    def embedding(self) -> Tensor:
        """[layer expert d_model]: the routers' rows."""
        names = {id(module): name for name, module in self.model.named_modules()}
        found: list[Tensor] = []
        for _, router in self.routers:
            name, shape = f"{names[id(router)]}.weight", list(cast(Tensor, router.weight).shape)
            found += [self.stored.tensor(part.name) for part, _ in self.stored.parts(name, shape)]
        return torch.stack(found)

    @torch.inference_mode()
    def route(self, samples: Sequence[Sequence[int]], routed: Routed, progress: Progress | None = None) -> None:
        """Runs all samples, each a list of tokens, and hands over what each layer of routers does with each of them."""
        states, calls = map(list, zip(*(self._prepared(sample) for sample in samples), strict=True))
        number = {at: number for number, (at, _) in enumerate(self.routers)}
        last = self.routers[-1][0]
        for at, layer in enumerate(self.layers[: last + 1]):
            self._fill(f"layers.{at}.", layer)
            handed: list[tuple[Tensor, Tensor, Tensor]] = []
            router = _router(layer)
            hook = router and router.register_forward_hook(lambda _m, _i, out, to=handed: to.append(out))
            for sample, (args, kwargs) in enumerate(call[at] for call in calls):
                out = layer(states[sample], *args, **kwargs)
                states[sample] = out[0] if isinstance(out, tuple) else out
                if handed:
                    _, weights, experts = handed.pop()
                    routed(number[at], sample, weights.float().cpu(), experts.cpu())
                if progress is not None:
                    progress(at * len(samples) + sample + 1, (last + 1) * len(samples))
            if hook:
                hook.remove()
            layer.to("meta")
            self.stored.close()

    def _prepared(self, sample: Sequence[int]) -> tuple[Tensor, list[tuple[tuple[Any, ...], dict[str, Any]]]]:
        """The sample's embedded tokens, and with what else each layer is called."""
        first: list[Tensor] = []
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

        def note(hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            first.append(hidden)
            calls.append((args, kwargs))
            return hidden

        for layer in (*self.layers, self.model.norm):
            layer.forward = note
        try:
            self.model(input_ids=torch.tensor([list(sample)], device=self.device), use_cache=False)
        finally:
            for layer in (*self.layers, self.model.norm):
                del layer.forward
        return first[0], calls

    def _check(self) -> None:
        """Raises UserError for weights that are missing, or of another shape than the config says."""
        missing: list[str] = []
        other: list[tuple[str, list[int], list[int]]] = []
        for name, value in self.model.state_dict().items():
            for part, shape in self.stored.parts(name, list(value.shape)):
                if part.name not in self.stored:
                    missing.append(part.name)
                elif (found := self.stored.shape(part.name)) != shape:
                    other.append((part.name, found, shape))
        if other:
            name, found, wanted = other[0]
            raise UserError(
                f"{self.folder}: {len(other)} of the model's weights have another shape than config.json says, "
                f"'{name}' first: {found}, not {wanted}."
            )
        if missing:
            raise UserError(
                f"{self.folder}: {len(missing)} of the model's weights are not in its files, '{missing[0]}' first. "
                "Fetch the checkpoint again."
            )

    def _fill(self, prefix: str, module: nn.Module) -> None:
        """Gives a module of the model its weights."""
        state: dict[str, Tensor] = {}
        for name, empty in module.state_dict().items():
            for part, _ in self.stored.parts(prefix + name, list(empty.shape)):
                if part.at is None:
                    state[name] = self.stored.tensor(part.name).to(self.device)
                    continue
                if name not in state:
                    state[name] = torch.empty(empty.shape, device=self.device)
                state[name][part.at] = self.stored.tensor(part.name)
        module.load_state_dict(state, assign=True)


def _router(layer: nn.Module) -> nn.Module | None:
    """The router of a layer; None where it is dense."""
    return next((module for module in layer.modules() if type(module).__name__.lower().endswith(ROUTER)), None)
