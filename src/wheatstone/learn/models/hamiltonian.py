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
        self-loops would make all particles equal after one layer, so messages here depend on the pair. The context
        is that of Zintgraf et al., ICML 2019, arXiv:1810.03642, section 3, at every layer instead of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

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
    context: int = 0
    """Numbers that describe the system at hand: they shift the features of every layer. They start at zero and are
    all that adapts in modulation-based meta-learning; 0 is a network without them."""


class _Round(nn.Module):
    """One round of messages: tanh(receive(h_i) + send(h_j)), summed over the senders j, gathered into the update."""

    def __init__(self, width: int, init: torch.Generator) -> None:
        super().__init__()
        self.receive = _linear(width, width, init)
        self.send = _linear(width, width, init, bias=False)
        self.gather = _linear(width, width, init, bias=False)
        self.update = _linear(width, width, init)


class GraphNetwork(nn.Module):
    """Node features after each layer. Dense: made for a few particles, with batches of equal size."""

    def __init__(self, cfg: GraphConfig, d_out: int, init: torch.Generator) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed = _linear(D_STATE, cfg.width, init)
        self.rounds = nn.ModuleList([_Round(cfg.width, init) for _ in range(cfg.layers)])
        self.readout = _linear(cfg.width, d_out, init, bias=False)
        if cfg.context:
            self.context = nn.Parameter(torch.zeros(cfg.context))
            self.modulate = _linear(cfg.context, cfg.width * (cfg.layers + 1), init, bias=False)

    def _shifts(self) -> Sequence[Tensor | None]:
        """What the context adds to the features [width] of each layer."""
        if not self.cfg.context:
            return [None] * (self.cfg.layers + 1)
        return self.modulate(self.context).reshape(self.cfg.layers + 1, self.cfg.width).unbind()

    def _parts(self) -> list[_Round]:
        return cast("list[_Round]", list(self.rounds))

    def used(self, particles: int) -> frozenset[str]:
        """Names of the parameters that matter to systems with so many particles: one particle sends no messages."""
        silent = () if particles > 1 else (".receive.", ".send.", ".gather.")
        return frozenset(name for name, _ in self.named_parameters() if not any(part in name for part in silent))

    def activations(
        self, x: Float[Tensor, "*batch particle 4"], present: Float[Tensor, " particle"]
    ) -> list[Float[Tensor, "*batch particle width"]]:
        """Node features after the embedding and after each layer; `present` is 1 for a particle and 0 for padding."""
        return self._passed(x, present)[0]

    def _passed(self, x: Tensor, present: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
        """Node features, and the messages [..., receiver, sender, width] of each layer (None for a single node)."""
        shifts = self._shifts()
        h = torch.tanh(_plus(self.embed(x), shifts[0]))
        layers, messages = [h], list[Tensor | None]()
        pairs = _pairs(x, present) if x.shape[-2] > 1 else present
        for part, shift in zip(self._parts(), shifts[1:], strict=True):
            change, message = _plus(part.update(h), shift), None
            if x.shape[-2] > 1:
                message = torch.tanh(part.receive(h)[..., :, None, :] + part.send(h)[..., None, :, :])
                change = change + part.gather((message * pairs).sum(-2))
            h = torch.tanh(change)
            layers.append(h)
            messages.append(message)
        return layers, messages

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
        # The reverse pass, written out: a loss of this field then needs one level of autograd less than one of the
        # energy's gradient, and an orbit none (a field of twelve systems: 1.1 ms by torch.func, 0.4 ms so).
        layers, messages = self._passed(x, present)
        pairs = _pairs(x, present) if x.shape[-2] > 1 else present
        back = self.readout.weight[0] * present[:, None]
        for i, part in reversed(list(enumerate(self._parts()))):
            change = back * (1 - layers[i + 1].square())
            back = change @ part.update.weight
            if (message := messages[i]) is not None:
                onto = (change @ part.gather.weight)[..., :, None, :] * (pairs * (1 - message.square()))
                back = back + onto.sum(-2) @ part.receive.weight + onto.sum(-3) @ part.send.weight
        slope = (back * (1 - layers[0].square())) @ self.embed.weight
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


def _plus(features: Tensor, shift: Tensor | None) -> Tensor:
    return features if shift is None else features + shift


def _pairs(x: Tensor, present: Tensor) -> Tensor:
    """[receiver, sender, 1]: 1 for two different particles."""
    n = x.shape[-2]
    return (present[:, None] * present * (1 - torch.eye(n, dtype=x.dtype, device=x.device)))[..., None]


def _linear(d_in: int, d_out: int, init: torch.Generator, *, bias: bool = True) -> nn.Linear:
    """Uniform within 1 / sqrt(d_in), biases too: without them a tanh network is odd, and energies are mostly even."""
    layer = nn.Linear(d_in, d_out, bias=bias)
    with torch.no_grad():
        for value in layer.parameters():
            value.uniform_(-(d_in**-0.5), d_in**-0.5, generator=init)
    return layer
