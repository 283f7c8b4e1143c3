"""Networks from a function on an even grid to a function on the same grid: the rivals of a DeepONet on aligned data.

    fourier     (fno) each layer mixes channels at every place, and the lowest frequencies of each channel over all
                places; then the activation. What a circuit does at one time to a voltage, clip it, is one activation
                here, where a sum of fixed functions of time needs many.
    recurrent   (lstm) a long short-term memory that reads the input in its order: the output at a time depends on no
                later input, as in any circuit. The paper's sequence to sequence baseline.

Both see the value and the place. The Fourier transform is the product with a matrix of the wanted frequencies, which
costs less than a fast one for a hundred places and is the same for any number of them. Its period is longer than the
interval, so that the end of an output does not touch its beginning.

Source  Li et al., ICLR 2021, arXiv:2010.08895 (Fourier layers); Hochreiter and Schmidhuber, Neural Computation 9, 1997
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

PERIOD = 1.25
"""Of the lowest frequency, in units of the interval."""


class FourierLayers(nn.Module):
    """`fourier`, see the module.

    Args:
        places: of the grid.
        width: channels.
        depth: Fourier layers.
        frequencies: that are mixed over all places, the constant among them; at most half the places.
        activation: a name in `torch.nn.functional`, or tanh.
        init: draws the weights.
    """

    to_frequencies: Tensor
    to_places: Tensor

    def __init__(
        self, places: int, width: int, depth: int, frequencies: int, activation: str, init: torch.Generator
    ) -> None:
        super().__init__()
        self.depth, self.activation = depth, torch.tanh if activation == "tanh" else getattr(F, activation)
        kept = max(1, min(frequencies, places // 2))
        phase = torch.outer(torch.linspace(0, 1, places), torch.arange(kept)) * (2 * math.pi / PERIOD)
        waves = torch.cat([phase.cos(), -phase.sin()], dim=1)
        self.register_buffer("to_frequencies", waves / places)
        twice = torch.ones(2 * kept).index_fill_(0, torch.tensor([0, kept]), 0.5) * 2
        self.register_buffer("to_places", (waves * twice).mT.contiguous())

        def drawn(*shape: int, fan_in: int) -> nn.Parameter:
            return nn.Parameter((torch.rand(*shape, generator=init) * 2 - 1) / math.sqrt(fan_in))

        self.lift = drawn(width, 2, fan_in=2)
        self.lift_bias = nn.Parameter(torch.zeros(width, 1))
        # Real and imaginary part of a factor for every pair of channels and frequency.
        self.spectral = nn.ParameterList([drawn(2, width, width, kept, fan_in=width) for _ in range(depth)])
        self.local = nn.ParameterList([drawn(width, width, fan_in=width) for _ in range(depth)])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(width, 1)) for _ in range(depth)])
        self.project = drawn(width, width, fan_in=width)
        self.project_bias = nn.Parameter(torch.zeros(width, 1))
        self.out = drawn(1, width, fan_in=width)

    def forward(self, u: Float[Tensor, "function place"]) -> Float[Tensor, "function place"]:
        """The output at the places of the input."""
        place = torch.linspace(0, 1, u.shape[-1], dtype=u.dtype, device=u.device).expand_as(u)
        x = self.lift @ torch.stack([u, place], dim=1) + self.lift_bias
        for at in range(self.depth):
            mixed = self._over_all_places(x, self.spectral[at]) + self.local[at] @ x + self.biases[at]
            x = self.activation(mixed) if at < self.depth - 1 else mixed
        x = self.activation(self.project @ x + self.project_bias)
        return (self.out @ x)[:, 0]

    def _over_all_places(self, x: Float[Tensor, "function channel place"], weight: Tensor) -> Tensor:
        real, imaginary = (x @ self.to_frequencies).chunk(2, dim=-1)
        a, b = weight[0], weight[1]
        mix = "fik,iok->fok"
        spectrum = [
            torch.einsum(mix, real, a) - torch.einsum(mix, imaginary, b),
            torch.einsum(mix, real, b) + torch.einsum(mix, imaginary, a),
        ]
        return torch.cat(spectrum, dim=-1) @ self.to_places


class RecurrentLayers(nn.Module):
    """`recurrent`, see the module.

    Args:
        width: cells of a layer.
        depth: layers.
        init: draws the weights.
    """

    def __init__(self, width: int, depth: int, init: torch.Generator) -> None:
        super().__init__()
        self.cells = nn.LSTM(2, width, depth, batch_first=True)
        self.out = nn.Linear(width, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_((torch.rand(parameter.shape, generator=init) * 2 - 1) / math.sqrt(width))

    def forward(self, u: Float[Tensor, "function place"]) -> Float[Tensor, "function place"]:
        """The output at the places of the input, in whose order it is read."""
        place = torch.linspace(0, 1, u.shape[-1], dtype=u.dtype, device=u.device).expand_as(u)
        states: Tensor = self.cells(torch.stack([u, place], dim=-1))[0]
        return self.out(states)[..., 0]
