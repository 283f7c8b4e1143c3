"""Whether a network that was compiled from a diagram computes what the model does, forwards and backwards."""

from __future__ import annotations

from torch import Tensor, nn

from wheatstone.domains.diagrams.network import Network, as_drawn


def assert_agree(model: nn.Module, network: Network, expected: Tensor, found: object, *, is_rotary: bool) -> None:
    """Outputs [pos, ...] of the model and of the network, and the gradients of their squares."""
    assert isinstance(found, Tensor)
    # The rotary table is made in float32, as the model's own angles are.
    close = 1e-5 if is_rotary else 1e-12
    assert (expected - found).abs().max() < close
    expected.square().sum().backward()
    found.square().sum().backward()
    gradients = network.gradients()
    for name, one in network.program.learned.items():
        stored = model.get_parameter(name).grad
        assert stored is not None
        whole = stored[: len(expected)] if name == "position" else stored
        assert (as_drawn(one, whole) - gradients[name]).abs().max() < close * max(1.0, float(whole.abs().max())), name
    assert set(network.program.learned) == {name for name, _ in model.named_parameters()}
