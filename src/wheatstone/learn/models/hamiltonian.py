"""A graph network that outputs one energy, whose derivatives are the motion; and its twin without that structure.

The state of a system is a graph: a node for each particle, with position and momentum as features, every particle
joined to every other. One network therefore fits systems with any number of particles, and the same weights can be
carried from one to three.

    1  embed position and momentum of each node
    2  `layers` times: a message for every ordered pair of nodes, summed over the senders, then an update of the node
    3  energy: a linear readout, summed over nodes;  dq/dt = dH/dp, dp/dt = -dH/dq

With one particle there are no messages, and the network is a perceptron. Activations are tanh: the field is a first
derivative of the network, its loss is differentiated once to adapt and once more to meta-learn, and a ReLU would leave
it piecewise constant. The readout has no bias: an additive constant of an energy has no effect on any motion.

Source  Greydanus, Dzamba, Yosinski, NeurIPS 2019, arXiv:1906.01563 (Hamiltonian networks); Song, Jeong, ICLR 2024,
        arXiv:2212.01168 (a graph network for several systems). A convolution that averages over a complete graph with
        self-loops would make all particles equal after one layer, so messages here depend on the pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad

AXES = 2
"""Axes of space; systems with fewer leave the others zero and mask them."""
D_STATE = 2 * AXES
"""Features of a node: position, then momentum."""


@dataclass(frozen=True)
class GraphConfig:
    """Size of the network."""

    width: int = 64
    layers: int = 2
    """Rounds of messages after the embedding."""


class GraphNetwork(nn.Module):
    """Node features after each layer. Dense: made for a few particles, with batches of equal size."""

    def __init__(self, cfg: GraphConfig, d_out: int, init: torch.Generator) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed = _linear(D_STATE, cfg.width, init)
        self.receive = nn.ModuleList([_linear(cfg.width, cfg.width, init) for _ in range(cfg.layers)])
        self.send = nn.ModuleList([_linear(cfg.width, cfg.width, init, bias=False) for _ in range(cfg.layers)])
        self.gather = nn.ModuleList([_linear(cfg.width, cfg.width, init, bias=False) for _ in range(cfg.layers)])
        self.update = nn.ModuleList([_linear(cfg.width, cfg.width, init) for _ in range(cfg.layers)])
        self.readout = _linear(cfg.width, d_out, init, bias=False)

    def activations(
        self, x: Float[Tensor, "*batch particle 4"], present: Float[Tensor, " particle"]
    ) -> list[Float[Tensor, "*batch particle width"]]:
        """Node features after the embedding and after each layer; `present` is 1 for a particle and 0 for padding."""
        h = torch.tanh(self.embed(x))
        found = [h]
        n = x.shape[-2]
        pairs = present[:, None] * present * (1 - torch.eye(n, dtype=x.dtype, device=x.device))
        for receive, send, gather, update in zip(self.receive, self.send, self.gather, self.update, strict=True):
            change = update(h)
            if n > 1:
                message = torch.tanh(receive(h)[..., :, None, :] + send(h)[..., None, :, :])
                change = change + gather((message * pairs[..., None]).sum(-2))
            h = torch.tanh(change)
            found.append(h)
        return found

    def nodes(
        self, x: Float[Tensor, "*batch particle 4"], present: Float[Tensor, " particle"]
    ) -> Float[Tensor, "*batch particle d_out"]:
        """The readout of each node."""
        return self.readout(self.activations(x, present)[-1])


class GraphHamiltonian(GraphNetwork):
    """One energy for a system; the field of motion is its symplectic gradient."""

    def __init__(self, cfg: GraphConfig, init: torch.Generator) -> None:
        super().__init__(cfg, 1, init)

    def energy(
        self, x: Float[Tensor, "*batch particle 4"], present: Float[Tensor, " particle"]
    ) -> Float[Tensor, " *batch"]:
        """The energy of each state, up to one constant."""
        return (self.nodes(x, present)[..., 0] * present).sum(-1)

    def forward(
        self, x: Float[Tensor, "*batch particle 4"], present: Float[Tensor, " particle"]
    ) -> Float[Tensor, "*batch particle 4"]:
        """Time derivatives (dq/dt, dp/dt) by Hamilton's equations; values along padded axes mean nothing."""

        def total(states: Tensor) -> Tensor:
            return self.energy(states, present).sum()

        slope = grad(total)(x)
        return torch.cat([slope[..., AXES:], -slope[..., :AXES]], dim=-1)


class GraphField(GraphNetwork):
    """The same network whose nodes say their time derivatives directly: nothing makes it conserve anything."""

    def __init__(self, cfg: GraphConfig, init: torch.Generator) -> None:
        super().__init__(cfg, D_STATE, init)

    def forward(
        self, x: Float[Tensor, "*batch particle 4"], present: Float[Tensor, " particle"]
    ) -> Float[Tensor, "*batch particle 4"]:
        """Time derivatives (dq/dt, dp/dt); values along padded axes mean nothing."""
        return self.nodes(x, present)


def _linear(d_in: int, d_out: int, init: torch.Generator, *, bias: bool = True) -> nn.Linear:
    """Glorot's uniform start, which keeps tanh in its slope; biases zero."""
    layer = nn.Linear(d_in, d_out, bias=bias)
    with torch.no_grad():
        nn.init.xavier_uniform_(layer.weight, generator=init)
        if bias:
            layer.bias.zero_()
    return layer
