"""Networks that learn an operator: DeepONet, and the fully connected network that it is compared with.

    DeepONet    G(u)(y) = sum_k b_k(u(x_1), ..., u(x_m)) t_k(y) + b_0: the branch net sees the input function at its
                sensors, the trunk net the place of the output; the last layer of the trunk is activated, that of the
                branch is not. Stacked: each b_k is a network of its own, as in the theorem of Chen and Chen (1995).
    FNN         one network that eats sensors and place together
    FNO, LSTM   the output on the grid of the sensors by `grid_operators`, linear between them: for places of one
                coordinate, over the interval that the input lives on

Options beyond the paper: Fourier features of the place, outputs that are zero where the solution is known to be zero,
a fixed basis in place of the trunk, the outputs' own principal components (all three Lu et al., CMAME 393, 2022,
arXiv:2111.05512), inputs and outputs in units of their spread. With a fixed basis the coefficients start from ridge
regression (`Reduction`), and the branch learns what it leaves: that is ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from wheatstone.learn.models.grid_operators import FourierLayers, RecurrentLayers

GRID = 201
"""Even places at which a fixed basis is stored."""
Activation = Literal["relu", "tanh", "gelu", "silu"]
Hard = Literal["none", "start", "edges"]
Kind = Literal["deeponet", "fnn", "fno", "lstm"]
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "silu": F.silu,
}


@dataclass(frozen=True)
class OperatorNetworkConfig:
    """Shape of a network from `sensors` values and a place of `dim` coordinates to one number."""

    sensors: Annotated[int, Gt(0)] = 100
    """Values of the input function (m)."""
    dim: Annotated[int, Gt(0)] = 1
    """Coordinates of a place of the output function."""
    kind: Kind = "deeponet"
    """DeepONet, one fully connected network, Fourier layers, or a recurrent network."""
    width: Annotated[int, Gt(0)] = 40
    """Width of every layer; of a DeepONet also the number of products (p)."""
    depth: Annotated[int, Gt(0)] = 2
    """Layers of branch and trunk, each; hidden layers of the others."""
    activation: Activation = "relu"
    """Between layers."""
    stacked: bool = False
    """One branch network for each product."""
    bias: bool = True
    """The number b_0."""
    fourier: Annotated[int, Ge(0)] = 0
    """Harmonics of the place that the trunk sees beside the place itself."""
    hard: Hard = "none"
    """Where the output is zero by construction: nowhere, at the start (last coordinate), or there and at both ends of
    all others."""
    modes: Annotated[int, Ge(0)] = 0
    """Functions of a fixed basis in place of the trunk; 0 trains a trunk. For places of one coordinate."""
    frequencies: Annotated[int, Gt(0)] = 16
    """Frequencies that Fourier layers mix over all places."""


@dataclass(frozen=True)
class Scaling:
    """Units in which a network computes: z = (y - low) / (high - low), and shift and spread of u and s."""

    low: Sequence[float] = (0.0,)
    high: Sequence[float] = (1.0,)
    u_shift: float = 0.0
    u_spread: float = 1.0
    s_shift: float = 0.0
    s_spread: float = 1.0
    tensors: Mapping[str, Tensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        low, high = (torch.tensor(list(ends), dtype=torch.float64) for ends in (self.low, self.high))
        found = {"low": low, "span": high - low}
        for name in ("u_shift", "u_spread", "s_shift", "s_spread"):
            found[name] = torch.tensor(getattr(self, name), dtype=torch.float64)
        object.__setattr__(self, "tensors", {name: value.float() for name, value in found.items()})


@dataclass(frozen=True)
class Reduction:
    """A fixed basis, and a linear map to its coefficients: all in the units of the network (see `Scaling`).

    Attributes:
        basis: values at `GRID` even places of the unit interval; the last row has the coefficient 1.
        ridge: from the sensors and a constant to the other rows' coefficients.
        left: spread of the coefficients that the linear map leaves.
    """

    basis: Float[Tensor, "mode_and_mean place"]
    ridge: Float[Tensor, "sensor_and_one mode"]
    left: Float[Tensor, " mode"]


class Layers(nn.Module):
    """Linear layers with an activation between them: Glorot normal weights, zero biases.

    `copies` gives so many networks of the same shape side by side, the first layer of which reads the same input.
    """

    def __init__(self, sizes: Sequence[int], activation: str, init: torch.Generator, copies: int = 1) -> None:
        super().__init__()
        self.activation, self.copies = ACTIVATIONS[activation], copies
        pairs = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(
            [
                nn.Parameter(torch.randn(copies, a, b, generator=init) * math.sqrt(2 / (a + b)))
                if copies > 1
                else nn.Parameter(torch.randn(b, a, generator=init) * math.sqrt(2 / (a + b)))
                for a, b in pairs
            ]
        )
        shape = (copies,) if copies > 1 else ()
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(*shape, b)) for _, b in pairs])

    def forward(self, x: Float[Tensor, "*batch inner"]) -> Float[Tensor, "*batch outer"]:
        """The last layer's values, not activated; of several copies, which have one value each, side by side."""
        for at, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if at:
                x = self.activation(x)
            if self.copies == 1:
                x = F.linear(x, weight, bias)
            elif at == 0:
                x = torch.einsum("...i,cio->...co", x, weight) + bias
            else:
                x = (x[..., None] * weight).sum(-2) + bias if weight.shape[-1] == 1 else _each(x, weight) + bias
        return x if self.copies == 1 else x[..., 0]


def _each(x: Float[Tensor, "*batch copy inner"], weight: Float[Tensor, "copy inner outer"]) -> Tensor:
    return torch.einsum("...ci,cio->...co", x, weight)


class OperatorNetwork(nn.Module):
    """A DeepONet or an FNN, see the module.

    Args:
        cfg: its shape.
        init: draws the initial weights.
        scaling: units of its inputs and outputs; stored with the weights.
        reduction: the fixed basis of a network with `modes`; stored with the weights, and zero until they are loaded
            when not given.
    """

    low: Tensor
    span: Tensor
    u_shift: Tensor
    u_spread: Tensor
    s_shift: Tensor
    s_spread: Tensor
    modes: Tensor
    ridge: Tensor
    left: Tensor

    def __init__(
        self,
        cfg: OperatorNetworkConfig,
        init: torch.Generator,
        scaling: Scaling | None = None,
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__()
        self.cfg = cfg
        scaling = scaling or Scaling((0.0,) * cfg.dim, (1.0,) * cfg.dim)
        for name, value in scaling.tensors.items():
            self.register_buffer(name, value.clone())
        seen, hidden = cfg.dim * (1 + 2 * cfg.fourier), [cfg.width] * cfg.depth
        if cfg.kind == "fnn":
            self.whole = Layers([cfg.sensors + seen, *hidden, 1], cfg.activation, init)
        elif cfg.kind in ("fno", "lstm"):
            if cfg.dim > 1:
                raise ValueError(f"'{cfg.kind}' is for places of one coordinate, not {cfg.dim}")
            sizes = (cfg.width, cfg.depth)
            self.grid = (
                FourierLayers(cfg.sensors, *sizes, cfg.frequencies, cfg.activation, init)
                if cfg.kind == "fno"
                else RecurrentLayers(*sizes, init)
            )
        elif cfg.modes:
            self.branch = Layers([cfg.sensors, *hidden, cfg.modes], cfg.activation, init)
            self.register_buffer("modes", torch.zeros(cfg.modes + 1, GRID) if reduction is None else reduction.basis)
            self.register_buffer(
                "ridge", torch.zeros(cfg.sensors + 1, cfg.modes) if reduction is None else reduction.ridge
            )
            self.register_buffer("left", torch.zeros(cfg.modes) if reduction is None else reduction.left)
            self.b0 = None
        else:
            copies = cfg.width if cfg.stacked else 1
            branch = [cfg.sensors, *hidden[:-1], 1 if cfg.stacked else cfg.width]
            self.branch = Layers(branch, cfg.activation, init, copies)
            self.trunk = Layers([seen, *hidden], cfg.activation, init)
            self.b0 = nn.Parameter(torch.zeros(())) if cfg.bias else None

    def coefficients(self, u: Float[Tensor, "*batch sensor"]) -> Float[Tensor, "*batch product"]:
        """b_k of input functions."""
        u = (u - self.u_shift) / self.u_spread
        if not self.cfg.modes:
            return self.branch(u)
        linear = u @ self.ridge[:-1] + self.ridge[-1]
        return torch.cat([linear + self.left * self.branch(u), torch.ones_like(u[..., :1])], dim=-1)

    def basis(self, y: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch product"]:
        """t_k at places."""
        if self.cfg.modes:
            return self._hats(y, GRID) @ self.modes.mT
        return ACTIVATIONS[self.cfg.activation](self.trunk(self._features(y)))

    def forward(self, u: Float[Tensor, "batch sensor"], y: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """The output of each function at its place."""
        if self.cfg.kind == "fnn":
            seen = torch.cat([(u - self.u_shift) / self.u_spread, self._features(y)], dim=-1)
            return self._finished(self.whole(seen)[..., 0], y)
        if self.cfg.kind != "deeponet":
            return self._finished((self._on_grid(u) * self._hats(y, self.cfg.sensors)).sum(-1), y)
        return self._finished((self.coefficients(u) * self.basis(y)).sum(-1) + self._bias(), y)

    def everywhere(
        self, u: Float[Tensor, "function sensor"], y: Float[Tensor, "point dim"]
    ) -> Float[Tensor, "function point"]:
        """The output of every function at every place."""
        if self.cfg.kind == "deeponet":
            return self._finished(self.coefficients(u) @ self.basis(y).mT + self._bias(), y[None])
        if self.cfg.kind != "fnn":
            return self._finished(self._on_grid(u) @ self._hats(y, self.cfg.sensors).mT, y[None])
        rows = (u.repeat_interleave(len(y), 0), y.repeat(len(u), 1))
        return self(*rows).view(len(u), len(y))

    def parameter_count(self) -> int:
        """Numbers that training changes."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _on_grid(self, u: Tensor) -> Tensor:
        return self.grid((u - self.u_shift) / self.u_spread)

    def _hats(self, y: Tensor, places: int) -> Tensor:
        """Weights of the places of an even grid, for values that are linear between them."""
        at = self._unit(y) * (places - 1)
        return (1 - (at - torch.arange(places, dtype=at.dtype, device=at.device)).abs()).clamp(min=0)

    def _bias(self) -> Tensor | float:
        return 0.0 if self.b0 is None else self.b0

    def _unit(self, y: Tensor) -> Tensor:
        return (y - self.low) / self.span

    def _features(self, y: Tensor) -> Tensor:
        z = self._unit(y)
        if not self.cfg.fourier:
            return z
        harmonics = torch.arange(1, self.cfg.fourier + 1, dtype=z.dtype, device=z.device) * (2 * math.pi)
        phases = (z[..., None] * harmonics).flatten(-2)
        return torch.cat([z, phases.cos(), phases.sin()], dim=-1)

    def _finished(self, s: Tensor, y: Tensor) -> Tensor:
        """In the units of the data, and zero where it has to be."""
        s = s * self.s_spread + self.s_shift
        if self.cfg.hard == "none":
            return s
        z = self._unit(y)
        s = s * z[..., -1]
        if self.cfg.hard == "edges":
            for at in range(self.cfg.dim - 1):
                s = s * 4 * z[..., at] * (1 - z[..., at])
        return s


class _Everywhere(nn.Module):
    """A network whose call is `everywhere`: `functional_call` knows calls only."""

    def __init__(self, network: OperatorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, u: Tensor, y: Tensor) -> Tensor:
        return self.network.everywhere(u, y)


class Ensemble(nn.Module):
    """Networks of one shape that differ in their weights, trained as one batched computation.

    Each goes through the updates that it would go through alone, as long as the loss is a sum over members and the
    optimiser treats every number by itself (Adam does).
    """

    def __init__(self, members: Sequence[OperatorNetwork]) -> None:
        super().__init__()
        parameters, self._buffers_of_all = stack_module_state(cast("list[nn.Module]", list(members)))
        self.names = list(parameters)
        self.stacked = nn.ParameterList([nn.Parameter(parameters[name].detach()) for name in self.names])
        self.n = len(members)
        self._shape = [members[0]]  # in a list: its weights are no parameters of this module
        self._whole = [_Everywhere(members[0])]

    def forward(self, u: Float[Tensor, "batch sensor"], y: Float[Tensor, "batch dim"]) -> Float[Tensor, "member batch"]:
        """What every member makes of the same rows."""
        return self._each(self._shape[0], "", u, y)

    def everywhere(
        self, u: Float[Tensor, "function sensor"], y: Float[Tensor, "point dim"]
    ) -> Float[Tensor, "member function point"]:
        """What every member makes of every function at every place."""
        return self._each(self._whole[0], "network.", u, y)

    def _each(self, network: nn.Module, prefix: str, u: Tensor, y: Tensor) -> Tensor:
        def of_one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            state = {prefix + name: value for name, value in (parameters | buffers).items()}
            return cast(Tensor, functional_call(network, state, (u, y)))

        return vmap(of_one)(dict(zip(self.names, self.stacked, strict=True)), self._buffers_of_all)

    def members(self) -> list[OperatorNetwork]:
        """Each network by itself, with a copy of its weights of now."""
        import copy

        found: list[OperatorNetwork] = []
        for index in range(self.n):
            one = copy.deepcopy(self._shape[0])
            state: dict[str, Any] = {
                name: stacked[index] for name, stacked in zip(self.names, self.stacked, strict=True)
            }
            state |= {name: stacked[index] for name, stacked in self._buffers_of_all.items()}
            one.load_state_dict({name: value.detach().clone() for name, value in state.items()})
            found.append(one.eval())
        return found
